// The page: its data, its state, and the parts that show them.

import { Detail } from "./detail.js";
import { count, fill, h } from "./dom.js";
import { EntriesView } from "./entries.js";
import { GraphView } from "./graph.js";
import { MatrixView } from "./matrix.js";
import { Model } from "./model.js";
import { State } from "./state.js";
import { TableView } from "./table.js";
import { legend, states, summary } from "./words.js";

const model = new Model(JSON.parse(document.getElementById("data").textContent));
const state = new State(model);
const live = h("div", { class: "offscreen", role: "status", "aria-live": "polite" });
const say = (text) => {
  live.textContent = text;
};

const detail = new Detail(model, state, say);
const matrix = new MatrixView(model, state, say, () => detail.focus());
const graph = new GraphView(model, state, say);
const table = new TableView(model, state);
const parts = { matrix, graph, table };
if (model.doc.entries) parts.entries = new EntriesView(model, state);

// The theme is the system's until the reader chooses; a page from a file may have no
// place to remember it.
const themes = ["auto", "light", "dark"];
function remembered() {
  try {
    return localStorage.getItem("sluice-theme") ?? "auto";
  } catch {
    return "auto";
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  themeButton.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme];
  themeButton.setAttribute("aria-label", `Colours: ${theme}`);
  try {
    localStorage.setItem("sluice-theme", theme);
  } catch {
    // Then it is chosen anew next time.
  }
  matrix.painter.theme();
  matrix.later();
}

const themeButton = h("button", { type: "button", id: "theme", onclick: () => setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]) });

function searchField(key, label, hint) {
  const input = h("input", { type: "search", id: `search-${key}`, placeholder: hint, autocomplete: "off", spellcheck: "false" });
  input.addEventListener("input", () => {
    state.set({ [key]: input.value });
    if (state.view === "matrix") say(matrix.extent());
  });
  state.onChange(() => {
    if (input.value !== state[key]) input.value = state[key];
  });
  return h("label", { class: "field" }, h("span", {}, label), input);
}

function namespaceFilter() {
  const heading = h("summary", {});
  const boxes = model.names.map((g) => {
    const box = h("input", { type: "checkbox", onchange: () => state.toggle("hidden", g) });
    return { g, box, label: h("label", {}, box, " ", g || "cluster") };
  });
  const set = (all) => () => state.set({ hidden: new Set(all ? [] : model.names) });
  const menu = h("details", { class: "menu", id: "namespaces" }, heading, h("div", { class: "choices" },
    h("div", { class: "tools" }, h("button", { type: "button", onclick: set(true) }, "All"), h("button", { type: "button", onclick: set(false) }, "None")),
    boxes.map((b) => b.label)));
  const draw = () => {
    for (const b of boxes) b.box.checked = !state.hidden.has(b.g);
    const shown = model.names.length - state.hidden.size;
    heading.textContent = state.hidden.size ? `${shown} of ${count(model.names.length, "namespace")}` : "All namespaces";
  };
  state.onChange(draw);
  draw();
  document.addEventListener("click", (e) => {
    if (!menu.contains(e.target)) menu.open = false;
  });
  return menu;
}

function tabs() {
  const names = { matrix: "Matrix", graph: "Graph", table: "Table" };
  if (model.doc.entries) names.entries = `Entries (${model.doc.entries.length})`;
  const buttons = Object.entries(names).map(([view, name]) => h("button", { type: "button", role: "tab", id: `tab-${view}`, "aria-controls": "view", onclick: () => state.set({ view }) }, name));
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "View" }, buttons);
  list.addEventListener("keydown", (e) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!by) return;
    const next = (buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length;
    buttons[next].focus();
    buttons[next].click();
  });
  state.onChange(() => {
    for (const b of buttons) {
      const chosen = b.id === `tab-${state.view}`;
      b.setAttribute("aria-selected", chosen);
      b.tabIndex = chosen ? 0 : -1;
    }
  });
  return list;
}

const extent = h("li", { class: "extent", id: "extent" });

function matrixTools() {
  const connected = h("input", { type: "checkbox", id: "connected", onchange: () => state.set({ connected: connected.checked }) });
  state.onChange(() => {
    connected.checked = state.connected;
  });
  const button = (name, label, f) => h("button", { type: "button", title: label, "aria-label": label, onclick: f }, name);
  const tools = h("div", { class: "group" },
    button("−", "Smaller cells (-)", () => matrix.zoom(-1)), button("Fit", "Fit everything in (0)", () => matrix.fit()), button("+", "Larger cells (+)", () => matrix.zoom(1)));
  const folds = h("div", { class: "group" },
    button("Collapse", "Collapse all namespaces", () => state.collapseAll(true)), button("Expand", "Open all namespaces", () => state.collapseAll(false)));
  const only = h("label", { class: "check" }, connected, " hide empty");
  matrix.onLayout = () => {
    extent.textContent = matrix.extent();
  };
  state.onChange(() => {
    tools.hidden = only.hidden = extent.hidden = state.view !== "matrix";
    folds.hidden = state.view === "table" || state.view === "entries";
  });
  return [folds, tools, only];
}

function legendList() {
  const items = legend[model.kind].map((s) => h("li", {}, h("span", { class: `swatch ${s}`, "aria-hidden": "true" }), states[model.kind][s]));
  if (model.kind !== "exposure") items.push(h("li", {}, h("span", { class: "swatch self", "aria-hidden": "true" }), "the Pod itself"));
  return h("ul", { class: `legend ${model.kind}`, "aria-label": "Legend" }, items, extent);
}

const view = h("div", { class: "view", id: "view", role: "tabpanel" }, Object.values(parts).map((p) => p.element));
const help = "Keys: / search, arrows move, Enter explains, Esc back, c collapse, + − 0 size";

function header() {
  const { doc } = model;
  return h("header", {},
    h("div", { class: "heading" }, h("h1", {}, doc.title), h("p", { class: "summary" }, summary(model)),
      doc.command ? h("code", { class: "command" }, doc.command) : null),
    themeButton);
}

function toolbar() {
  const exposure = model.kind === "exposure";
  return h("div", { class: "toolbar", role: "search", "aria-label": "Search and filters" }, tabs(),
    searchField("from", exposure ? "Search" : "From", "name or label ( / )"),
    exposure ? null : searchField("to", "To", "name, label, internet"),
    namespaceFilter(), matrixTools());
}

fill(document.getElementById("app"), header(), toolbar(), legendList(),
  h("main", { class: model.kind }, view, detail.element),
  h("footer", {}, h("span", { class: "keys" }, help), h("span", {}, `Sluice ${model.doc.version ?? ""}`)), live);

state.onChange(() => {
  for (const [name, part] of Object.entries(parts)) part.element.hidden = state.view !== name;
  view.setAttribute("aria-labelledby", `tab-${state.view}`);
  parts[state.view].refresh();
  document.body.classList.toggle("chosen", Boolean(state.row || state.column));
});

document.addEventListener("keydown", (e) => {
  const typing = e.target.matches?.("input, textarea, select");
  if (e.key === "Escape") {
    if (typing) e.target.blur();
    else if (state.row || state.column) state.set({ row: null, column: null });
    if (state.view === "matrix") matrix.scroller.focus();
    return;
  }
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  const keys = {
    "/": () => document.getElementById("search-from").focus(),
    "+": () => matrix.zoom(1), "=": () => matrix.zoom(1), "-": () => matrix.zoom(-1), 0: () => matrix.fit(),
    m: () => state.set({ view: "matrix" }), g: () => state.set({ view: "graph" }), t: () => state.set({ view: "table" }),
    ...(model.doc.entries ? { e: () => state.set({ view: "entries" }) } : {}),
  };
  if (!keys[e.key]) return;
  keys[e.key]();
  e.preventDefault();
});

window.addEventListener("hashchange", () => state.read());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  matrix.painter.theme();
  matrix.later();
});

setTheme(themes.includes(remembered()) ? remembered() : "auto");
state.read();
document.documentElement.dataset.ready = "yes";
