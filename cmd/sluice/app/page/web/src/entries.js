// The ways in from outside, by an Ingress, a Gateway or a route, and how they changed.

import { count, fill, h } from "./dom.js";
import { matches } from "./model.js";
import { entryStates } from "./words.js";

export class EntriesView {
  constructor(model, state) {
    Object.assign(this, { model, state });
    this.lines = model.doc.entries.map((e) => ({
      ...e, from: `${e.entry} ${e.at ?? ""}`.toLowerCase(), to: `${e.service ?? ""} ${e.target ?? ""}`.toLowerCase(),
    }));
    this.element = h("div", { class: "lines-table entries", tabindex: "0", role: "region", "aria-label": "Entries from outside" });
    window.addEventListener("beforeprint", () => this.refresh(true));
    state.onChange(() => this.refresh());
  }

  refresh(always) {
    if (!always && this.state.view !== "entries") return;
    const { state, model } = this;
    // Exposure has one field for both.
    const from = (e) => (model.kind === "exposure" ? `${e.from} ${e.to}` : e.from);
    const lines = this.lines.filter((e) => (!state.from || matches(from(e), state.from)) && (!state.to || matches(e.to, state.to)));
    fill(this.element,
      h("table", {},
        h("caption", {}, `${count(lines.length, "entry", "entries")} from outside. Policies never see an entry's clients, but whoever connects for it.`),
        h("thead", {}, h("tr", {}, ["Entry", "At", "Leads to", model.kind === "diff" ? "Change" : "State", "Because"].map((t) => h("th", { scope: "col" }, t)))),
        h("tbody", {}, lines.map((e) => this.line(e)))));
  }

  line(e) {
    const [swatch, words] = entryStates(this.model)[e.state] ?? ["denied", e.state];
    return h("tr", {},
      h("td", {}, h("div", { class: "name" }, e.entry), e.place ? h("code", {}, e.place) : null),
      h("td", { class: "name" }, e.at),
      h("td", {}, h("div", { class: "name" }, e.target || "nothing"), e.service ? h("div", { class: "note name" }, e.service) : null),
      h("td", {}, h("span", { class: `swatch ${swatch}`, "aria-hidden": "true" }), words),
      h("td", { class: "name" }, e.why));
  }
}
