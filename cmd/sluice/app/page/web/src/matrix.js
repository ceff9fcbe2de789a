// The matrix: one canvas of the size of the window on it, drawn anew when it is scrolled,
// so that its cost is that of the cells in sight. What is spoken and reached by keys is a
// grid of one cell, the current one.

import { axis, indexOf, itemKey, target, title } from "./axis.js";
import { count, h } from "./dom.js";
import { groupOf, matches } from "./model.js";
import { Painter } from "./paint.js";
import { spoken } from "./words.js";

const sizes = [2, 3, 5, 8, 11, 15, 19, 24, 30, 38];
const usual = [15, 19, 24, 30];

export class MatrixView {
  constructor(model, state, say, open) {
    Object.assign(this, { model, state, say, open });
    this.size = 0; // until there is room to choose by
    this.hover = null;
    this.row = 0;
    this.column = 0;
    this.rows = [];
    this.columns = [];
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.painter = new Painter(this.canvas, model);
    this.spacer = h("div", { class: "spacer" });
    this.cell = h("span", { role: "gridcell", id: "cell-now", class: "offscreen" });
    this.tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.scroller = h("div", {
      class: "scroller", tabindex: "0", role: "grid", "aria-activedescendant": "cell-now", id: "grid",
      "aria-label": "Matrix. Rows are where connections come from, columns where they go to. Arrow keys move, Enter explains.",
    }, this.spacer, h("div", { role: "row" }, this.cell));
    this.element = h("div", { class: "matrix" }, this.canvas, this.scroller, this.tip);
    this.listen();
    state.onChange(() => this.refresh());
  }

  listen() {
    const s = this.scroller;
    s.addEventListener("scroll", () => this.later());
    s.addEventListener("mousemove", (e) => this.point(this.hit(e), e));
    s.addEventListener("mouseleave", () => this.point(null));
    s.addEventListener("click", (e) => this.choose(this.hit(e)));
    s.addEventListener("keydown", (e) => this.key(e));
    s.addEventListener("focus", () => this.later());
    s.addEventListener("blur", () => this.later());
    new ResizeObserver(() => this.refresh()).observe(this.element);
  }

  // refresh lays the axes out anew.
  refresh() {
    if (this.state.view !== "matrix" || !this.element.clientWidth) return;
    const { model, state } = this;
    const keepRow = state.connected ? this.connected(true) : null;
    const keepColumn = state.connected ? this.connected(false) : null;
    const common = { hidden: state.hidden, collapsed: state.collapsed };
    this.rows = axis(model, model.rowGroups, { ...common, query: state.from, keep: keepRow });
    const columns = model.kind === "exposure" ? { hidden: new Set(), collapsed: new Set() } : common;
    this.columns = axis(model, model.columnGroups, { ...columns, query: state.to, keep: keepColumn });
    // A narrow matrix is scrolled down like a table, so its rows may be high.
    if (!this.size) this.size = this.columns.length <= 12 ? usual[2] : this.largest(usual);
    this.place();
    this.layout();
    this.scroller.setAttribute("aria-rowcount", this.rows.length);
    this.scroller.setAttribute("aria-colcount", this.columns.length);
    this.announce(false);
    this.later();
  }

  // connected tells the ends of an axis that have a connection with any that the other
  // axis shows.
  connected(isRow) {
    const { model, state } = this;
    const query = isRow ? state.to : state.from;
    const others = (isRow ? model.doc.columns : model.doc.rows)
      .filter((o) => !state.hidden.has(groupOf(model.ends[o])) && (!query || matches(model.search[o], query)));
    return (e) => others.some((o) => (isRow ? model.at(e, o) : model.at(o, e)) >= 0);
  }

  // place finds what is chosen on the axes.
  place() {
    const row = target(this.model, this.state.row);
    const column = target(this.model, this.state.column);
    const find = (items, t, was) => {
      if (!t) return Math.min(was, Math.max(items.length - 1, 0));
      const at = t.type === "end" ? indexOf(items, t.ends[0], t.group) : items.findIndex((i) => i.type !== "end" && i.group === t.group);
      return at < 0 ? Math.min(was, Math.max(items.length - 1, 0)) : at;
    };
    const was = [this.row, this.column];
    this.row = find(this.rows, row, this.row);
    this.column = find(this.columns, column, this.column);
    if (this.rows[this.row]?.type === "head" && !row) this.row = Math.min(this.row + 1, this.rows.length - 1);
    if (this.columns[this.column]?.type === "head" && !column) this.column = Math.min(this.column + 1, this.columns.length - 1);
    this.moved = was[0] !== this.row || was[1] !== this.column;
  }

  // extent is how much is shown, in words.
  extent() {
    const cells = (items) => items.filter((i) => i.type !== "head").length;
    return `${count(cells(this.rows), "row")}, ${count(cells(this.columns), "column")}`;
  }

  layout() {
    this.painter.measure(this.rows, this.columns, this.size, this.element);
    const { left, top } = this.painter;
    Object.assign(this.scroller.dataset, { left, top, size: this.size });
    this.onLayout?.();
    this.spacer.style.width = `${left + this.columns.length * this.size + this.painter.lean}px`;
    this.spacer.style.height = `${top + this.rows.length * this.size + 12}px`;
    if (this.moved && (this.state.row || this.state.column)) this.reveal();
    this.moved = false;
  }

  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  draw() {
    const chosenRow = target(this.model, this.state.row);
    const chosenColumn = target(this.model, this.state.column);
    this.painter.draw({
      rows: this.rows, columns: this.columns, size: this.size, hover: this.hover,
      cursor: [this.row, this.column], focused: document.activeElement === this.scroller, chosen: !!(chosenRow && chosenColumn),
      x: this.scroller.scrollLeft, y: this.scroller.scrollTop,
    });
  }

  // hit is the row and column under the mouse; -1 where it is on names.
  hit(event) {
    const box = this.element.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    const { left, top } = this.painter;
    let column = x < left ? -1 : Math.floor((x - left + this.scroller.scrollLeft) / this.size);
    const row = y < top ? -1 : Math.floor((y - top + this.scroller.scrollTop) / this.size);
    // Names of columns lean: the one under the mouse begins further left.
    if (row < 0 && column >= 0) column = Math.floor((x - left - (top - y) * this.painter.slope + this.scroller.scrollLeft) / this.size);
    if (row >= this.rows.length || column >= this.columns.length || (row < 0 && column < 0)) return null;
    return { row, column };
  }

  point(hit, event) {
    this.hover = hit;
    this.later();
    const row = hit && this.rows[hit.row];
    const column = hit && this.columns[hit.column];
    const text = row && column ? (row.type === "head" || column.type === "head" ? "" : spoken(this.model, row, column)) : this.nameTip(row ?? column);
    this.tip.hidden = !text;
    if (!text) return;
    this.tip.textContent = text;
    const box = this.element.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    this.tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - this.tip.offsetWidth - 8))}px`;
    this.tip.style.top = `${y + 18 + this.tip.offsetHeight > box.height ? y - this.tip.offsetHeight - 10 : y + 18}px`;
  }

  nameTip(item) {
    if (!item) return "";
    if (item.type === "end") return title(this.model, item);
    return `${title(this.model, item)}: click to ${item.type === "head" ? "collapse" : "open"}`;
  }

  choose(hit) {
    if (!hit) return;
    const row = this.rows[hit.row];
    const column = this.columns[hit.column];
    if (row && column) {
      if (row.type === "head" || column.type === "head") return;
      this.row = hit.row;
      this.column = hit.column;
      this.state.set({ row: itemKey(this.model, row), column: itemKey(this.model, column) });
      return;
    }
    const item = row ?? column;
    if (item.type === "end") {
      this.state.set(row ? { row: itemKey(this.model, item), column: null } : { row: null, column: itemKey(this.model, item) });
    } else if (this.model.ends[item.ends[0]].kind !== "peer") {
      this.state.toggle("collapsed", item.group);
    }
  }

  key(event) {
    const page = (n) => Math.max(1, Math.floor(n / this.size) - 1);
    const box = this.scroller;
    const moves = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      PageUp: [-page(box.clientHeight - this.painter.top), 0], PageDown: [page(box.clientHeight - this.painter.top), 0],
      Home: [0, -Infinity], End: [0, Infinity],
    };
    if (event.ctrlKey && event.key === "Home") this.move(-Infinity, -Infinity);
    else if (event.ctrlKey && event.key === "End") this.move(Infinity, Infinity);
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (moves[event.key]) this.move(...moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.enter();
    else if (event.key === "c" && this.rows[this.row]) this.state.toggle("collapsed", this.rows[this.row].group);
    else return;
    event.preventDefault();
  }

  move(rows, columns) {
    this.row = step(this.rows, this.row, rows);
    this.column = step(this.columns, this.column, columns);
    this.reveal();
    this.announce(true);
    this.later();
  }

  enter() {
    const row = this.rows[this.row];
    const column = this.columns[this.column];
    if (!row || !column || row.type === "head" || column.type === "head") return;
    this.state.set({ row: itemKey(this.model, row), column: itemKey(this.model, column) });
    this.open();
  }

  announce(aloud) {
    const row = this.rows[this.row];
    const column = this.columns[this.column];
    const text = row && column && row.type !== "head" && column.type !== "head" ? spoken(this.model, row, column) : "";
    this.cell.textContent = text;
    this.cell.setAttribute("aria-rowindex", this.row + 1);
    this.cell.setAttribute("aria-colindex", this.column + 1);
    if (aloud) this.say(text);
  }

  // reveal scrolls the current cell into sight.
  reveal() {
    const s = this.scroller;
    const { left, top } = this.painter;
    const into = (at, shown, scrolled) => {
      const from = at * this.size;
      if (from < scrolled + this.size) return Math.max(0, from - this.size);
      if (from + 2 * this.size > scrolled + shown) return from + 2 * this.size - shown;
      return scrolled;
    };
    s.scrollTop = into(this.row, s.clientHeight - top, s.scrollTop);
    s.scrollLeft = into(this.column, s.clientWidth - left, s.scrollLeft);
  }

  zoom(by) {
    const at = sizes.indexOf(this.size);
    this.size = sizes[Math.max(0, Math.min(sizes.length - 1, at + by))];
    this.refresh();
    this.reveal();
  }

  // fit takes the largest cells with which everything is in sight.
  fit() {
    this.size = this.largest(sizes);
    this.refresh();
  }

  // largest is the largest of some sizes with which everything is in sight, else the
  // smallest of them.
  largest(of) {
    const box = this.element;
    const fits = (size) => {
      this.painter.measure(this.rows, this.columns, size, box);
      return this.painter.left + this.columns.length * size + this.painter.lean <= box.clientWidth &&
        this.painter.top + this.rows.length * size + 12 <= box.clientHeight;
    };
    return [...of].reverse().find(fits) ?? of[0];
  }
}

// step moves on an axis, past the headings.
function step(items, at, by) {
  if (items.length === 0) return 0;
  const to = Math.max(0, Math.min(items.length - 1, at + by));
  const way = by < 0 ? -1 : 1;
  for (let i = to; items[i]; i += way) if (items[i].type !== "head") return i;
  for (let i = to; items[i]; i -= way) if (items[i].type !== "head") return i;
  return at;
}
