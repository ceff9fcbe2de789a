// How the matrix looks. States differ in shape and size as well as in colour, for those
// who see few colours and for paper.

import { groupOf } from "./model.js";
import { shortened } from "./dom.js";
import { marks } from "./marks.js";

const angle = Math.PI / 3;
const family = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const longest = 34;

export class Painter {
  constructor(canvas, model) {
    this.canvas = canvas;
    this.model = model;
    this.pen = canvas.getContext("2d");
    this.slope = 1 / Math.tan(angle);
    this.colours = {};
    this.patterns = new Map();
  }

  // theme reads the colours of the page's style again.
  theme() {
    const style = getComputedStyle(document.documentElement);
    const names = ["paper", "raised", "ink", "quiet", "rule", "band", "all", "some", "depends", "added", "removed", "changed", "unasked", "focus", "mark", "exposed-all", "exposed-some"];
    this.colours = Object.fromEntries(names.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
    if (this.model.kind === "exposure") {
      this.colours.all = this.colours["exposed-all"];
      this.colours.some = this.colours["exposed-some"];
    }
    this.patterns.clear();
  }

  font(size, bold) {
    return `${bold ? "600 " : ""}${size}px ${family}`;
  }

  textSize(size) {
    return Math.min(13, Math.max(10, size * 0.72 + 1));
  }

  // label is an item's name on the axis, nothing where there is no room for it.
  label(item, size) {
    if (item.type === "end") return size >= 11 ? shortened(this.model.ends[item.ends[0]].name, longest) : "";
    const name = shortened(item.group || "cluster", longest);
    if (this.model.ends[item.ends[0]].kind === "peer") return name;
    return `${item.type === "head" ? "▾" : "▸"} ${name} (${item.ends.length})`;
  }

  measure(rows, columns, size, box) {
    const width = (items) => {
      let most = 60;
      for (const i of items) {
        this.pen.font = this.font(this.textSize(size), i.type !== "end");
        most = Math.max(most, this.pen.measureText(this.label(i, size)).width + (i.type === "end" ? 14 : 0));
      }
      return most;
    };
    this.left = Math.ceil(Math.min(width(rows) + 20, 300, box.clientWidth * 0.4));
    const header = Math.min(width(columns) + 14, 250);
    this.top = Math.ceil(Math.min(header * Math.sin(angle), box.clientHeight * 0.42));
    this.lean = Math.ceil(this.top * this.slope) + 16;
  }

  draw(view) {
    const { canvas, pen } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (!this.colours.paper) this.theme();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = this.colours.paper;
    pen.fillRect(0, 0, width, height);
    const seen = {
      width, height,
      rows: visible(view.rows.length, view.y, height - this.top, view.size),
      columns: visible(view.columns.length, view.x, width - this.left, view.size),
      x: (c) => this.left + c * view.size - view.x,
      y: (r) => this.top + r * view.size - view.y,
    };
    pen.save();
    pen.beginPath();
    pen.rect(this.left, this.top, width, height);
    pen.clip();
    this.bands(view, seen);
    this.cells(view, seen);
    this.cursor(view, seen);
    pen.restore();
    this.rowNames(view, seen);
    this.columnNames(view, seen);
    this.corner(view);
  }

  // bands are the headings' lanes, and the lanes of what is under the mouse.
  bands(view, seen) {
    const { pen, colours } = this;
    const right = Math.min(seen.width, seen.x(view.columns.length));
    const bottom = Math.min(seen.height, seen.y(view.rows.length));
    const lane = (isRow, n) => {
      if (isRow) pen.fillRect(this.left, seen.y(n), right - this.left, view.size);
      else pen.fillRect(seen.x(n), this.top, view.size, bottom - this.top);
    };
    pen.fillStyle = colours.band;
    for (let r = seen.rows[0]; r < seen.rows[1]; r++) if (view.rows[r].type === "head") lane(true, r);
    for (let c = seen.columns[0]; c < seen.columns[1]; c++) if (view.columns[c].type === "head") lane(false, c);
    pen.fillStyle = colours.mark;
    for (const at of [view.hover && [view.hover.row, view.hover.column], view.chosen || view.focused ? view.cursor : null]) {
      if (!at) continue;
      if (at[0] >= 0) lane(true, at[0]);
      if (at[1] >= 0) lane(false, at[1]);
    }
    if (view.size < 8) return;
    pen.strokeStyle = colours.rule;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let r = seen.rows[0]; r <= seen.rows[1]; r++) {
      const y = Math.round(seen.y(r)) + 0.5;
      pen.moveTo(this.left, y);
      pen.lineTo(right, y);
    }
    for (let c = seen.columns[0]; c <= seen.columns[1]; c++) {
      const x = Math.round(seen.x(c)) + 0.5;
      pen.moveTo(x, this.top);
      pen.lineTo(x, bottom);
    }
    pen.stroke();
  }

  cells(view, seen) {
    for (let r = seen.rows[0]; r < seen.rows[1]; r++) {
      const row = view.rows[r];
      if (row.type === "head") continue;
      const y = seen.y(r);
      for (let c = seen.columns[0]; c < seen.columns[1]; c++) {
        const column = view.columns[c];
        if (column.type === "head") continue;
        const { state, share } = this.looks(row, column);
        if (state !== "denied") marks(this, state, seen.x(c), y, view.size, share);
      }
    }
  }

  // looks is the state that a cell is drawn with, and the share of it that passes.
  looks(row, column) {
    if (row.type === "end" && column.type === "end") return { state: this.model.state(row.ends[0], column.ends[0]), share: 1 };
    row.sums ??= new Map();
    let known = row.sums.get(column);
    if (!known) {
      known = this.sumLooks(this.model.sum(row.ends, column.ends));
      row.sums.set(column, known);
    }
    return known;
  }

  sumLooks(sum) {
    if (sum.all === 0) return { state: "unasked", share: 1 };
    if (sum.passing === 0) return { state: "denied", share: 0 };
    const states = Object.keys(sum.states);
    const mixed = this.model.kind === "diff" ? "changed" : "some";
    return { state: states.length === 1 ? states[0] : mixed, share: sum.passing / sum.all };
  }

  cursor(view, seen) {
    const { pen, colours } = this;
    if (!view.focused && !view.chosen) return;
    const [r, c] = view.cursor;
    pen.strokeStyle = colours.focus;
    pen.lineWidth = 2;
    pen.strokeRect(seen.x(c) - 0.5, seen.y(r) - 0.5, view.size + 2, view.size + 2);
  }

  rowNames(view, seen) {
    const { pen, colours } = this;
    pen.save();
    pen.fillStyle = colours.paper;
    pen.fillRect(0, this.top, this.left, seen.height);
    pen.beginPath();
    pen.rect(0, this.top, this.left - 6, seen.height);
    pen.clip();
    pen.textBaseline = "middle";
    let free = -Infinity;
    for (let r = seen.rows[0]; r < seen.rows[1]; r++) {
      const item = view.rows[r];
      const text = this.label(item, view.size);
      const y = seen.y(r) + view.size / 2;
      if (!text || (view.size < 11 && y < free)) continue;
      free = y + 12;
      this.lit(view, r, true, item, () => pen.fillRect(0, seen.y(r), this.left, view.size));
      pen.fillText(text, item.type === "end" ? 24 : 10, y + 0.5);
    }
    pen.restore();
  }

  columnNames(view, seen) {
    const { pen, colours } = this;
    pen.save();
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, seen.width, this.top);
    pen.beginPath();
    // Names lean to the right: those of columns that are out of sight do not come back.
    pen.moveTo(this.left - 10, this.top);
    pen.lineTo(this.left - 10 + this.top * this.slope, 0);
    pen.lineTo(seen.width, 0);
    pen.lineTo(seen.width, this.top);
    pen.clip();
    pen.textBaseline = "middle";
    let free = -Infinity;
    for (let c = seen.columns[0]; c < seen.columns[1]; c++) {
      const item = view.columns[c];
      const text = this.label(item, view.size);
      const x = seen.x(c) + view.size / 2;
      if (!text || (view.size < 11 && x < free)) continue;
      free = x + 14;
      pen.save();
      pen.translate(x, this.top - 4);
      pen.rotate(-angle);
      this.lit(view, c, false, item, () => pen.fillRect(-2, -9, pen.measureText(text).width + 9, 18));
      pen.fillText(text, 2, 0);
      pen.restore();
    }
    pen.restore();
    pen.strokeStyle = colours.rule;
    pen.beginPath();
    pen.moveTo(0, this.top - 0.5);
    pen.lineTo(seen.width, this.top - 0.5);
    pen.moveTo(this.left - 0.5, this.top);
    pen.lineTo(this.left - 0.5, seen.height);
    pen.stroke();
  }

  // lit sets the pen for a name, and marks that of the row or column in question.
  lit(view, n, isRow, item, mark) {
    const { pen, colours } = this;
    const at = isRow ? 0 : 1;
    pen.font = this.font(this.textSize(view.size), item.type !== "end");
    const hovered = view.hover && (isRow ? view.hover.row : view.hover.column) === n;
    const current = (view.focused || view.chosen) && view.cursor[at] === n;
    if (hovered || current) {
      pen.fillStyle = colours.mark;
      mark();
    }
    const outside = item.type === "end" && groupOf(this.model.ends[item.ends[0]]) === "outside";
    pen.fillStyle = outside && !current ? colours.quiet : colours.ink;
  }

  corner(view) {
    const { pen, colours } = this;
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, this.left - 1, this.top - 1);
    pen.fillStyle = colours.quiet;
    pen.font = this.font(11, false);
    pen.textBaseline = "alphabetic";
    if (this.model.kind === "exposure") return;
    pen.fillText("from ↓", 10, this.top - 10);
    pen.textAlign = "right";
    pen.fillText("to →", this.left - 10, this.top - 10);
    pen.textAlign = "left";
    if (view.rows.length && view.columns.length) return;
    pen.fillStyle = colours.ink;
    pen.font = this.font(14, false);
    pen.fillText("Nothing matches the search and the filters.", 20, this.top + 40);
  }
}

// visible is the range of items that are in sight.
function visible(count, scrolled, shown, size) {
  return [Math.max(0, Math.floor(scrolled / size)), Math.min(count, Math.ceil((scrolled + shown) / size))];
}
