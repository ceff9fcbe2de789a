// What the reader chose. It is in the address of the page, so that a link shows the same.

export const views = ["matrix", "graph", "table", "entries"];

export class State {
  constructor(model) {
    this.model = model;
    this.listeners = [];
    this.defaults();
  }

  defaults() {
    this.view = "matrix";
    this.from = "";
    this.to = "";
    this.hidden = new Set();
    this.connected = false;
    // A matrix of hundreds of rows says most by its namespaces: they are opened one by one.
    this.collapsed = new Set(this.model.doc.rows.length > 150 ? this.model.names : []);
    this.row = null; // keys of what is chosen
    this.column = null;
  }

  onChange(f) {
    this.listeners.push(f);
  }

  // set changes some of it and tells everybody.
  set(changes, why) {
    Object.assign(this, changes);
    this.write();
    for (const f of this.listeners) f(why ?? "set");
  }

  toggle(set, group) {
    const next = new Set(this[set]);
    if (!next.delete(group)) next.add(group);
    this.set({ [set]: next });
  }

  collapseAll(all) {
    this.set({ collapsed: new Set(all ? this.model.names : []) });
  }

  write() {
    const p = new URLSearchParams();
    if (this.view !== "matrix") p.set("view", this.view);
    if (this.row) p.set("from", this.row);
    if (this.column) p.set("to", this.column);
    if (this.from) p.set("search-from", this.from);
    if (this.to) p.set("search-to", this.to);
    if (this.connected) p.set("connected", "yes");
    for (const g of this.hidden) p.append("without", g);
    const hash = p.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  // read takes what the address says; what it does not know stays as it was made.
  read() {
    const p = new URLSearchParams(location.hash.slice(1));
    const model = this.model;
    this.view = views.includes(p.get("view")) && (p.get("view") !== "entries" || model.doc.entries) ? p.get("view") : "matrix";
    this.from = p.get("search-from") ?? "";
    this.to = p.get("search-to") ?? "";
    this.connected = p.get("connected") === "yes";
    this.hidden = new Set(p.getAll("without").filter((g) => model.names.includes(g)));
    this.row = p.get("from");
    this.column = p.get("to");
    // What a link leads to is shown, whatever is collapsed.
    for (const key of [this.row, this.column]) {
      const e = model.byKey.get(key);
      if (e === undefined) continue;
      const end = model.ends[e];
      const group = end.kind === "outside" || end.kind === "nodes" ? end.kind : end.namespace;
      this.collapsed.delete(group);
      this.hidden.delete(group);
    }
    for (const f of this.listeners) f("read");
  }
}
