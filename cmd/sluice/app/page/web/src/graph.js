// The graph. Of the whole it shows namespaces and the ends of those that are open, placed
// by forces; of one chosen end, who reaches it on the left and whom it reaches on the
// right, for there a layout of columns is the clearest.

import { axis, itemKey, target, title } from "./axis.js";
import { count, fill, h, shortened } from "./dom.js";
import { placed } from "./forces.js";
import { groupOf, matches } from "./model.js";
import { sumText } from "./words.js";

// Beyond these a graph is no longer read, so namespaces stay closed and lines wait until
// a node is pointed at.
const mostNodes = 90;
const mostLines = 110;
const mostInColumn = 28;

export class GraphView {
  constructor(model, state, say) {
    Object.assign(this, { model, state, say });
    this.spaces = new Set(model.ends.filter((e) => e.kind !== "peer" && e.namespace).map((e) => e.namespace)).size;
    this.note = h("p", { class: "note" });
    this.drawing = h("div", { class: "drawing" });
    this.element = h("div", { class: "graph", role: "group", "aria-label": "Graph" }, this.note, this.drawing);
    state.onChange(() => this.refresh());
  }

  refresh() {
    if (this.state.view !== "graph") return;
    const focus = target(this.model, this.state.row ?? this.state.column);
    if (focus && this.model.kind !== "exposure" && !(this.state.row && this.state.column)) this.around(focus);
    else this.whole();
  }

  // exposed is the workloads in the middle, to whom they are open on the left, and whom
  // they may reach on the right.
  exposed() {
    const { model, state } = this;
    const keep = state.from ? (e) => matches(model.search[e], state.from) : null;
    const items = (collapsed) => axis(model, model.rowGroups, { hidden: state.hidden, collapsed, keep }).filter((i) => i.type !== "head");
    let middle = items(state.collapsed);
    if (middle.length > mostInColumn) middle = items(new Set(model.names));
    const peers = model.doc.columns.map((e) => ({ type: "end", group: model.ends[e].namespace, ends: [e] }));
    const sides = [peers.filter((p) => p.group === "open to"), peers.filter((p) => p.group !== "open to")];
    const height = Math.max(middle.length, 4) * 34 + 40;
    const nodes = [];
    [sides[0], middle, sides[1]].forEach((list, column) => list.forEach((item, n) => {
      nodes.push({ item, column, x: (column - 1) * 380, y: (height * (n + 1)) / (list.length + 1), width: boxWidth(this.name(item)) });
    }));
    const links = [];
    nodes.forEach((a, from) => nodes.forEach((b, to) => {
      if (b.column !== a.column + 1) return;
      const sum = a.column ? model.sum(a.item.ends, b.item.ends) : model.sum(b.item.ends, a.item.ends);
      if (sum.passing) links.push({ from, to, sum, state: linkState(model, sum) });
    }));
    fill(this.note, "On the left who is let in, on the right whom the workloads may reach.");
    const svg = this.svg({ nodes, x: -500, y: 0, width: 1000, height }, links, links.length > mostLines);
    svg.classList.add("tall");
    svg.style.height = `${Math.max(height, 320)}px`;
    fill(this.drawing, svg);
  }

  // nodes are the items of both axes, each once.
  nodes(collapsed) {
    const { model, state } = this;
    const groups = new Map();
    for (const axisGroups of [model.rowGroups, model.columnGroups]) {
      for (const [g, ends] of axisGroups) groups.set(g, [...new Set([...(groups.get(g) ?? []), ...ends])]);
    }
    const query = [state.from, state.to].filter(Boolean);
    const items = axis(model, groups, {
      hidden: state.hidden, collapsed,
      keep: query.length ? (e) => query.some((q) => matches(model.search[e], q)) || this.neighbour(e, query) : null,
    });
    return items.filter((i) => i.type !== "head");
  }

  // neighbour reports whether an end is joined to one that is searched for.
  neighbour(e, query) {
    const { model } = this;
    this.found ??= new Map();
    const key = query.join("\n");
    if (!this.found.has(key)) {
      this.found.clear();
      this.found.set(key, model.ends.map((_, i) => i).filter((i) => query.some((q) => matches(model.search[i], q))));
    }
    return this.found.get(key).some((o) => model.at(e, o) >= 0 || model.at(o, e) >= 0);
  }

  whole() {
    const { model, state } = this;
    if (model.kind === "exposure") return this.exposed();
    // Ranges of addresses are many, and seldom what a picture is about.
    let collapsed = new Set([...state.collapsed, "outside"]);
    let nodes = this.nodes(collapsed);
    let note = "";
    if (nodes.length > mostNodes) {
      collapsed = new Set(model.names);
      nodes = this.nodes(collapsed);
      note = `More than ${mostNodes} nodes would not be readable, so namespaces are drawn as one node each. `;
      const rest = nodes.length - mostNodes;
      if (rest > 0) {
        nodes = [...nodes].sort((a, b) => b.ends.length - a.ends.length).slice(0, mostNodes);
        note += `${count(rest, "small namespace")} left out: search, or filter. `;
      }
    }
    const links = this.links(nodes);
    const quiet = links.length > mostLines;
    note += quiet ? `${count(links.length, "line")}: point at a node to see its own. ` : "";
    fill(this.note, note, "Choose a node to see who reaches it and whom it reaches.");
    fill(this.drawing, this.svg(placed(nodes, links, (i) => this.name(i)), links, quiet));
  }

  // links are lines from one node to another; one line with two heads where both ways
  // look alike.
  links(nodes) {
    const { model } = this;
    const way = (from, to) => {
      const sum = model.sum(nodes[from].ends, nodes[to].ends);
      return sum.passing ? { from, to, sum, state: linkState(model, sum) } : null;
    };
    const out = [];
    for (let a = 0; a < nodes.length; a++) {
      for (let b = a + 1; b < nodes.length; b++) {
        const [there, back] = [way(a, b), way(b, a)];
        if (there && back && there.state === back.state) out.push({ ...there, back: back.sum });
        else out.push(...[there, back].filter(Boolean));
      }
    }
    return out;
  }

  name(item) {
    const { model } = this;
    if (item.type !== "end") return item.group === "outside" ? "outside" : `${item.group} (${item.ends.length})`;
    const end = model.ends[item.ends[0]];
    const space = end.namespace && end.kind !== "peer" && this.spaces > 1 ? `${end.namespace}/` : "";
    return shortened(space + end.name, 32);
  }

  svg(layout, links, quiet) {
    const lines = links.map((l) => {
      const a = layout.nodes[l.from];
      const b = layout.nodes[l.to];
      const go = () => this.pick(a.item, b.item);
      const [from, to] = [title(this.model, a.item), title(this.model, b.item)];
      const label = `${from} to ${to}: ${sumText(this.model, l.sum)}` + (l.back ? `\n${to} to ${from}: ${sumText(this.model, l.back)}` : "");
      return h("path", { class: `edge ${l.state}`, d: curve(a, b), "data-from": l.from, "data-to": l.to, "marker-end": `url(#end-${l.state})`, "marker-start": l.back ? `url(#end-${l.state})` : null, onclick: go }, h("title", {}, label));
    });
    const svg = h("svg", {
      viewBox: `${layout.x} ${layout.y} ${layout.width} ${layout.height}`, class: quiet ? "quiet" : "", role: "group",
      "aria-label": "Nodes are namespaces and workloads; lines lead to whom they reach.",
    }, markers(), h("g", {}, lines), h("g", {}, layout.nodes.map((n, i) => this.node(n, i, links.filter((l) => l.from === i || l.to === i).length))));
    svg.style.maxWidth = `${Math.max(layout.width * 1.15, 320)}px`;
    const light = (e) => {
      const n = e.target.closest?.(".node")?.dataset.node;
      svg.classList.toggle("pointed", n !== undefined);
      for (const p of svg.querySelectorAll(".edge")) p.classList.toggle("lit", n !== undefined && (p.dataset.from === n || p.dataset.to === n));
    };
    for (const kind of ["mouseover", "focusin"]) svg.addEventListener(kind, light);
    for (const kind of ["mouseleave", "focusout"]) svg.addEventListener(kind, () => light({ target: svg }));
    return svg;
  }

  node(n, i, degree) {
    const { model, state } = this;
    const go = () => state.set({ row: itemKey(model, n.item), column: null });
    const kind = n.item.type === "end" ? model.ends[n.item.ends[0]].kind : n.item.group === "outside" ? "outside" : "group";
    return h("g", {
      class: `node ${kind}`, "data-node": i, tabindex: "0", role: "button", transform: `translate(${n.x} ${n.y})`,
      "aria-label": `${title(model, n.item)}, ${count(degree, "line")}`, onclick: go,
      onkeydown: (e) => (e.key === "Enter" || e.key === " ") && (e.preventDefault(), go()),
    }, h("rect", { x: -n.width / 2, y: -12, width: n.width, height: 24, rx: n.item.type === "end" ? 12 : 5 }),
    h("text", { "text-anchor": "middle", y: 4 }, this.name(n.item)), h("title", {}, title(model, n.item)));
  }

  pick(a, b) {
    // Of exposure the workload is the row, whichever way the line leads.
    const [row, column] = this.model.ends[a.ends[0]].kind === "peer" ? [b, a] : [a, b];
    this.state.set({ row: itemKey(this.model, row), column: itemKey(this.model, column) });
  }

  // around is one end, or one namespace, with its neighbours.
  around(focus) {
    const { model } = this;
    const sides = [this.side(focus, true), this.side(focus, false)];
    const back = h("button", { type: "button", onclick: () => this.state.set({ row: null, column: null }) }, "Back to the whole");
    const words = model.kind === "list" ? ["can reach it", "it can reach"] : ["change towards it", "from it change"];
    fill(this.note, back, ` ${count(sides[0].ends, "end")} ${words[0]}, ${words[1]} ${sides[1].ends}.`);
    const most = Math.max(sides[0].items.length, sides[1].items.length, 1);
    const height = most * 34 + 40;
    const here = { item: focus, x: 0, y: height / 2, width: boxWidth(this.name(focus)) };
    const nodes = [here];
    const links = [];
    sides.forEach(({ items }, right) => {
      items.forEach((item, n) => {
        const at = { item, x: right ? 380 : -380, y: (height * (n + 1)) / (items.length + 1), width: boxWidth(this.name(item)) };
        const [from, to] = right ? [0, nodes.length] : [nodes.length, 0];
        const sum = right ? model.sum(focus.ends, item.ends) : model.sum(item.ends, focus.ends);
        nodes.push(at);
        links.push({ from, to, sum, state: linkState(model, sum) });
      });
    });
    const widest = Math.max(...nodes.map((n) => n.width));
    const layout = { nodes, x: -380 - widest / 2 - 10, y: 0, width: 760 + widest + 20, height };
    const svg = this.svg(layout, links, false);
    svg.classList.add("tall");
    svg.style.height = `${Math.max(height, 320)}px`;
    svg.append(...links.map((l) => this.ports(l, nodes)));
    fill(this.drawing, svg);
  }

  // side is the neighbours in one direction, by namespace where they are many.
  side(focus, coming) {
    const { model, state } = this;
    const list = coming ? model.doc.rows : model.doc.columns;
    const ends = list.filter((e) => !state.hidden.has(groupOf(model.ends[e])) && !focus.ends.includes(e) &&
      focus.ends.some((f) => (coming ? model.at(e, f) : model.at(f, e)) >= 0));
    const groups = new Map();
    for (const e of ends) {
      const g = groupOf(model.ends[e]);
      groups.set(g, [...(groups.get(g) ?? []), e]);
    }
    const items = [];
    const few = ends.length <= mostInColumn;
    for (const [group, of] of groups) {
      if (few || of.length === 1) items.push(...of.map((e) => ({ type: "end", group, ends: [e] })));
      else items.push({ type: "group", group, ends: of });
    }
    return { items, ends: ends.length };
  }

  // ports stand beside a neighbour.
  ports(link, nodes) {
    const far = link.from === 0 ? nodes[link.to] : nodes[link.from];
    const labels = new Set();
    for (const a of nodes[link.from].item.ends) {
      for (const b of nodes[link.to].item.ends) {
        const value = this.model.value(a, b);
        if (value) labels.add(value.label);
      }
    }
    const text = [...labels].sort().join(" or ");
    const near = far.x < 0 ? far.x + far.width / 2 + 12 : far.x - far.width / 2 - 16;
    return h("text", { class: "ports", x: near, y: far.y - 5, "text-anchor": far.x < 0 ? "start" : "end" }, shortened(text, 40));
  }
}

const boxWidth = (text) => text.length * 7 + 22;

function linkState(model, sum) {
  const found = Object.keys(sum.states);
  if (found.length === 1) return found[0];
  return model.kind === "diff" ? "changed" : "some";
}

// curve leads from the border of one box to that of another, bent to its right, so that
// the line of the other direction is another one.
function curve(a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const far = Math.hypot(dx, dy) || 1;
  const bend = Math.min(24, far * 0.12);
  const mid = { x: (a.x + b.x) / 2 - (dy / far) * bend, y: (a.y + b.y) / 2 + (dx / far) * bend };
  const inside = (box) => Math.abs(mid.x - box.x) < box.width / 2 + 8 && Math.abs(mid.y - box.y) < 20;
  const aim = inside(a) || inside(b);
  const from = border(a, aim ? b : mid, 1);
  const to = border(b, aim ? a : mid, 5);
  if (aim) return `M${from.x} ${from.y}L${to.x} ${to.y}`;
  return `M${from.x} ${from.y}Q${Math.round(mid.x)} ${Math.round(mid.y)} ${to.x} ${to.y}`;
}

// border is where the line from a box's middle to a point leaves the box.
function border(box, point, gap) {
  const [dx, dy] = [point.x - box.x, point.y - box.y];
  const t = Math.min((box.width / 2 + gap) / Math.abs(dx || 1e-6), (12 + gap) / Math.abs(dy || 1e-6), 1);
  return { x: Math.round(box.x + dx * t), y: Math.round(box.y + dy * t) };
}

function markers() {
  const names = ["all", "some", "depends", "added", "removed", "changed"];
  return h("defs", {}, names.map((n) => h("marker", { id: `end-${n}`, class: `head ${n}`, viewBox: "0 0 8 8", refX: 5, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, h("path", { d: "M0 0L8 4L0 8z" }))));
}
