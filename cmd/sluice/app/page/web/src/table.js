// The answer as lines, which is what is printed, and what is easiest to have read aloud.

import { endTitle } from "./axis.js";
import { count, fill, h } from "./dom.js";
import { groupOf, listRuns, matches } from "./model.js";
import { states } from "./words.js";

const page = 100;
const mostNames = 8;

export class TableView {
  constructor(model, state) {
    Object.assign(this, { model, state });
    this.shown = page;
    this.lines = model.doc.cells.map((b) => ({ value: b.value, rows: listRuns(b.rows), columns: listRuns(b.columns) }));
    this.element = h("div", { class: "lines-table", tabindex: "0", role: "region", "aria-label": "Lines" });
    state.onChange(() => {
      this.shown = page;
      this.refresh();
    });
    // Paper cannot be asked for more.
    window.addEventListener("beforeprint", () => {
      Object.assign(this, { shown: 3000, printed: true });
      this.refresh(true);
    });
    window.addEventListener("afterprint", () => {
      Object.assign(this, { shown: page, printed: false });
      this.refresh();
    });
  }

  refresh(always) {
    if (!always && this.state.view !== "table") return;
    const { model, state } = this;
    const keep = (query) => (e) => !state.hidden.has(groupOf(model.ends[e])) && (!query || matches(model.search[e], query));
    const peers = model.kind === "exposure";
    const lines = this.lines.map((l) => ({ ...l, rows: l.rows.filter(keep(state.from)), columns: peers ? l.columns : l.columns.filter(keep(state.to)) }))
      .filter((l) => l.rows.length && l.columns.length);
    const heads = peers ? ["Workloads", "Peers", "Ports", "State"] : ["From", "To", "Ports", model.kind === "diff" ? "Change" : "State"];
    fill(this.element,
      h("table", {},
        h("caption", {}, `${count(lines.length, "line")}. What stands on none is ${states[model.kind].denied}.`),
        h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)), h("th", { scope: "col" }, "By"))),
        h("tbody", {}, lines.slice(0, this.shown).map((l) => this.line(l)))),
      lines.length > this.shown ? h("button", { type: "button", class: "more", onclick: () => this.more() }, `Show ${Math.min(page, lines.length - this.shown)} more of ${lines.length - this.shown}`) : null);
  }

  more() {
    this.shown += page;
    this.refresh();
  }

  line(l) {
    const { model, state } = this;
    const value = model.doc.values[l.value];
    const columns = l.columns.map((e) => model.ends[e].name);
    const peers = value.parts.map((p) => p.title).filter((text) => text && !columns.includes(text));
    const go = () => state.set({ row: model.keys[l.rows[0]], column: model.keys[l.columns[0]] });
    return h("tr", {},
      h("td", {}, this.names(l.rows, model.rowGroups)),
      h("td", {}, this.names(l.columns, model.columnGroups), this.folded(peers.map((p) => h("div", { class: "name" }, p)), 4)),
      h("td", {}, h("button", { type: "button", class: "link", onclick: go, "aria-label": `Explain ${value.label}` }, value.label)),
      h("td", {}, h("span", { class: `swatch ${value.state}`, "aria-hidden": "true" }), states[model.kind][value.state]),
      h("td", {}, this.by(value)));
  }

  // names says "all of namespace x" where it is all of them.
  names(ends, groups) {
    const { model } = this;
    const byGroup = new Map();
    for (const e of ends) {
      const g = groupOf(model.ends[e]);
      byGroup.set(g, [...(byGroup.get(g) ?? []), e]);
    }
    const out = [];
    for (const [g, of] of byGroup) {
      const whole = groups.get(g)?.length === of.length && of.length > 2;
      if (whole) out.push(h("div", { class: "name" }, g === "outside" ? "internet" : `all ${of.length} of ${g}`));
      else out.push(...of.map((e) => h("div", { class: "name", title: endTitle(model, e) }, model.plain[e] || endTitle(model, e))));
    }
    return this.folded(out, mostNames);
  }

  by(value) {
    const { model } = this;
    const found = new Set();
    for (const p of value.parts) {
      for (const s of p.stretches ?? []) {
        for (const r of [...(s.egress?.rules ?? []), ...(s.ingress?.rules ?? []), ...(s.causes ?? []).map((c) => c.rule)]) {
          if (r >= 0) found.add(r);
        }
      }
    }
    if (found.size === 0) return "no policy";
    const said = new Map();
    for (const n of found) {
      const r = model.doc.rules[n];
      const p = model.doc.policies[r.policy];
      const words = p ? [`${p.namespace}/${p.name}`, r.place || p.place || r.path] : [r.if ? `if ${r.if}` : "without a rule", ""];
      said.set(words.join(" "), words);
    }
    const list = [...said.values()].map(([name, at]) => h("div", {}, h("span", { class: "name" }, name), " ", h("code", {}, at)));
    return this.folded(list, 4);
  }

  // folded keeps what is more than some out of the page until it is asked for. Paper has
  // all of it.
  folded(list, most) {
    if (list.length <= most || this.printed) return list;
    const rest = list.slice(most - 1);
    const summary = h("summary", {}, `${rest.length} more`);
    const open = (e) => e.target.open && e.target.childElementCount === 1 && e.target.append(...rest);
    return [list.slice(0, most - 1), h("details", { ontoggle: open }, summary)];
  }
}
