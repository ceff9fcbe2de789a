/*
d3-force 3.0.1
Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.

d3-dispatch 3.0.2
Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.

d3-quadtree 3.0.2
Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.

d3-timer 3.0.2
Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
*/
(() => {
  // src/model.js
  var DENIED = -1;
  var UNASKED = -2;
  function groupOf(end) {
    if (end.kind === "outside") return "outside";
    if (end.kind === "nodes") return "nodes";
    return end.namespace ?? "";
  }
  function eachRun(runs, visit) {
    for (let i = 0; i < runs.length; i += 2) {
      for (let n = runs[i]; n < runs[i] + runs[i + 1]; n++) visit(n);
    }
  }
  function eachCell(block, width, visit) {
    eachRun(block.rows, (r) => {
      for (let i = 0; i < block.columns.length; i += 2) {
        const from = r * width + block.columns[i];
        visit(from, from + block.columns[i + 1]);
      }
    });
  }
  function listRuns(runs) {
    const out = [];
    eachRun(runs, (n) => out.push(n));
    return out;
  }
  function uniqueKeys(ends) {
    const seen = /* @__PURE__ */ new Map();
    return ends.map((e) => {
      const base = e.workloads?.[0] ?? (e.kind === "peer" ? `${e.namespace} ${e.name}` : e.addresses?.[0] ?? e.name);
      const n = (seen.get(base) ?? 0) + 1;
      seen.set(base, n);
      return n === 1 ? base : `${base}#${n}`;
    });
  }
  function uniqueNames(ends) {
    const names = ends.map((e) => e.namespace && e.workloads ? `${e.namespace}/${e.name}` : "");
    const seen = /* @__PURE__ */ new Map();
    for (const n of names) seen.set(n, (seen.get(n) ?? 0) + 1);
    return names.map((n) => seen.get(n) === 1 ? n : "");
  }
  var Model = class {
    constructor(doc) {
      this.doc = doc;
      this.kind = doc.kind;
      this.ends = doc.ends;
      this.keys = uniqueKeys(doc.ends);
      this.byKey = new Map(this.keys.map((k, i) => [k, i]));
      this.plain = uniqueNames(doc.ends);
      this.search = doc.ends.map((e) => searchText(e));
      this.width = doc.ends.length;
      this.cells = new Int32Array(this.width * this.width).fill(DENIED);
      this.fillCells(doc.unasked ?? [], () => UNASKED);
      this.fillCells(doc.cells, (b) => b.value);
      this.denials = new Int8Array(this.width * this.width).fill(-1);
      for (const b of doc.denied ?? []) eachCell(b, this.width, (from, to) => this.denials.fill(b.value, from, to));
      this.rowGroups = this.groups(doc.rows);
      this.columnGroups = this.groups(doc.columns);
      this.names = [.../* @__PURE__ */ new Set([...this.rowGroups.keys(), ...this.kind === "exposure" ? [] : this.columnGroups.keys()])];
    }
    fillCells(blocks, valueOf) {
      for (const b of blocks) eachCell(b, this.width, (from, to) => this.cells.fill(valueOf(b), from, to));
    }
    // groups keeps the order of the ends, with what is outside last.
    groups(list) {
      const out = /* @__PURE__ */ new Map();
      for (const e of list) {
        const g = groupOf(this.ends[e]);
        if (!out.has(g)) out.set(g, []);
        out.get(g).push(e);
      }
      for (const last of ["nodes", "outside"]) {
        const ends = out.get(last);
        if (ends && out.delete(last)) out.set(last, ends);
      }
      return out;
    }
    at(row, column) {
      return this.cells[row * this.width + column];
    }
    // own reports whether a cell is about an end and itself.
    own(row, column) {
      return row === column && this.ends[row].kind === "pods";
    }
    value(row, column) {
      return this.doc.values[this.at(row, column)];
    }
    // denial is which end denies: 0 for none alone, 1 the source, 2 the destination, 3 both,
    // -1 if it is not known.
    denial(row, column) {
      return this.denials[row * this.width + column];
    }
    // state is "denied", "unasked", "self" or that of the value.
    state(row, column) {
      const v = this.at(row, column);
      if (v >= 0) return this.doc.values[v].state;
      if (this.own(row, column)) return "self";
      return v === UNASKED ? "unasked" : "denied";
    }
    // sum counts the cells of two lists of ends by state.
    sum(rows, columns) {
      const states2 = {};
      let all = 0;
      let passing = 0;
      for (const r of rows) {
        for (const c2 of columns) {
          const v = this.at(r, c2);
          if (v === UNASKED || v < 0 && this.own(r, c2)) continue;
          all++;
          if (v < 0) continue;
          passing++;
          const s = this.doc.values[v].state;
          states2[s] = (states2[s] ?? 0) + 1;
        }
      }
      return { states: states2, all, passing };
    }
  };
  function searchText(e) {
    const labels = Object.entries(e.labels ?? {}).map(([k, v]) => `${k}=${v}`);
    const outside = e.kind === "outside" ? ["internet", "outside"] : [];
    return [e.namespace, e.name, e.kind, ...e.workloads ?? [], ...e.addresses ?? [], ...labels, ...outside].filter(Boolean).join("\n").toLowerCase();
  }
  function matches(text, query) {
    return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  // src/axis.js
  function axis(model2, groups, options) {
    const items = [];
    for (const [group, all] of groups) {
      if (options.hidden.has(group)) continue;
      const ends = all.filter((e) => (!options.query || matches(model2.search[e], options.query)) && (!options.keep || options.keep(e)));
      if (ends.length === 0) continue;
      if (options.collapsed.has(group)) {
        items.push({ type: "group", group, ends });
        continue;
      }
      items.push({ type: "head", group, ends });
      for (const e of ends) items.push({ type: "end", group, ends: [e] });
    }
    return items;
  }
  function itemKey(model2, item) {
    return item.type === "end" ? model2.keys[item.ends[0]] : `namespace:${item.group}`;
  }
  function title(model2, item) {
    if (item.type === "end") return endTitle(model2, item.ends[0]);
    if (item.group === "outside" || item.group === "nodes") return item.group;
    return model2.kind === "exposure" && model2.ends[item.ends[0]].kind === "peer" ? item.group : `namespace ${item.group}`;
  }
  function endTitle(model2, e) {
    const end = model2.ends[e];
    if (end.kind === "peer") return `${end.namespace} ${end.name}`;
    const more = (end.workloads?.length ?? end.addresses?.length ?? 1) - 1;
    const first = end.workloads?.[0] ?? end.addresses?.[0] ?? end.name;
    const host = end.kind === "hostNetwork" ? " (host network)" : "";
    return (more > 0 ? `${first} and ${more} more` : first) + host;
  }
  function indexOf(items, end, group) {
    let at = items.findIndex((i) => i.type === "end" && i.ends[0] === end);
    if (at < 0) at = items.findIndex((i) => i.type === "group" && i.group === group);
    return at;
  }
  function target(model2, key) {
    if (key?.startsWith("namespace:")) {
      const group = key.slice("namespace:".length);
      const ends = model2.ends.map((_, i) => i).filter((i) => groupOf(model2.ends[i]) === group);
      return ends.length ? { type: "group", group, ends } : null;
    }
    const e = model2.byKey.get(key);
    return e === void 0 ? null : { type: "end", group: groupOf(model2.ends[e]), ends: [e] };
  }

  // src/dom.js
  var svgNames = /* @__PURE__ */ new Set(["svg", "g", "path", "rect", "text", "circle", "title", "defs", "marker", "line"]);
  function h(name, attributes, ...children) {
    const e = svgNames.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) {
      if (value === void 0 || value === null || value === false) continue;
      if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
      else e.setAttribute(key, value === true ? "" : value);
    }
    e.append(...children.flat(Infinity).filter((c2) => c2 !== null && c2 !== void 0 && c2 !== false));
    return e;
  }
  function fill(e, ...children) {
    e.replaceChildren(...children.flat(Infinity).filter((c2) => c2 !== null && c2 !== void 0 && c2 !== false));
  }
  var count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many ?? one + "s"}`;
  function shortened(text, most) {
    if (text.length <= most) return text;
    const tail = Math.floor((most - 1) / 3);
    return text.slice(0, most - 1 - tail) + "\u2026" + text.slice(text.length - tail);
  }
  async function copy(text, say2) {
    try {
      await navigator.clipboard.writeText(text);
      say2("Copied.");
    } catch {
      const area = h("textarea", { "aria-hidden": "true", class: "offscreen" });
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      say2(done ? "Copied." : "The browser does not let this page copy.");
    }
  }

  // src/words.js
  var listStates = {
    all: "allowed on all ports",
    some: "allowed on some ports",
    depends: "allowed on a condition",
    denied: "denied",
    unasked: "not judged",
    self: "a Pod always reaches itself"
  };
  var states = {
    list: listStates,
    diff: {
      added: "newly allowed",
      removed: "newly denied",
      changed: "on other ports or conditions",
      denied: "unchanged",
      unasked: "not judged",
      self: "unchanged"
    },
    exposure: {
      all: "open on all ports",
      some: "open on some ports",
      depends: "open on a condition",
      denied: "closed",
      unasked: "not judged",
      self: "closed"
    }
  };
  var legend = {
    list: ["all", "some", "depends", "denied", "unasked"],
    diff: ["added", "removed", "changed", "denied"],
    exposure: ["all", "some", "depends", "denied"]
  };
  function entryStates(model2) {
    if (model2.kind === "diff") return { allowed: ["added", "newly let in"], denied: ["removed", "no longer let in"], changed: ["changed", "let in otherwise"] };
    return { allowed: ["all", "let in"], depends: ["depends", "depends"], denied: ["denied", "denied"] };
  }
  function nothing(model2) {
    if (model2.doc.rows.length && model2.doc.columns.length) return "Nothing matches the search and the filters.";
    return model2.kind === "diff" ? "Nothing passes otherwise than before." : "There is no workload in the input.";
  }
  function spoken(model2, row, column) {
    const names = pairTitle(model2, row, column);
    if (row.type !== "end" || column.type !== "end") {
      const sum = model2.sum(row.ends, column.ends);
      if (sum.all === 0) return `${names}: ${states[model2.kind].unasked}`;
      return `${names}: ${sumText(model2, sum)}`;
    }
    const state2 = model2.state(row.ends[0], column.ends[0]);
    const value = model2.value(row.ends[0], column.ends[0]);
    return `${names}: ${states[model2.kind][state2]}${value && state2 !== "all" ? `, ${value.label}` : ""}`;
  }
  function pairTitle(model2, row, column) {
    if (model2.kind === "exposure") return `${title(model2, row)} ${title(model2, column)}`;
    return `${title(model2, row)} to ${title(model2, column)}`;
  }
  function sumText(model2, sum) {
    const all = count(sum.all, model2.kind === "exposure" ? "cell" : "pair");
    const words = states[model2.kind];
    if (sum.passing === 0) return sum.all === 1 ? words.denied : `${all}, all ${words.denied}`;
    const parts2 = legend[model2.kind].filter((s) => sum.states[s]).map((s) => {
      return `${sum.states[s].toLocaleString("en")} ${words[s]}`;
    });
    if (sum.all === 1) return parts2[0].replace(/^1 /, "");
    const others = sum.all - sum.passing;
    return `${all}: ${parts2.join(", ")}${others ? `, ${others.toLocaleString("en")} ${words.denied}` : ""}`;
  }
  function summary(model2) {
    const { doc } = model2;
    const pods = new Set([...doc.rows, ...doc.columns].filter((e) => ["pods", "hostNetwork"].includes(model2.ends[e].kind)));
    const workloads = [...pods].reduce((n, e) => n + (model2.ends[e].workloads?.length ?? 1), 0);
    if (doc.rows.length === 0) return nothing(model2);
    const sum = model2.sum(doc.rows, doc.columns);
    const what = `${count(workloads, "workload")} in ${count(new Set([...pods].map((e) => model2.ends[e].namespace)).size, "namespace")}`;
    return `${what}. ${sumText(model2, sum)}.`;
  }
  var effects = {
    allows: ["", "allows it now"],
    noLongerAllows: ["", "allowed it before"],
    isolates: ["", "isolates the Pods now, which no policy did before"],
    noLongerIsolates: ["", "isolated the Pods before, and no policy does now"]
  };
  function effect(c2) {
    if (c2.effect === "addedWorkload") return "One of the ends is new.";
    if (c2.effect === "removedWorkload") return "One of the ends is gone.";
    return effects[c2.effect][1] + (c2.policyChanged ? "" : " (the policy is the same: labels or ports differ)");
  }
  function sideText(side, who, direction) {
    const way = direction === "egress" ? "out of" : "into";
    switch (side.reason) {
      case "NoPod":
        return `No policy has a say ${way} ${who}: it is no Pod of the Pod network.`;
      case "NotIsolated":
        return `No policy isolates ${who} in direction ${direction}, so everything may go ${way} it.`;
      default:
        return side.answer === "depends" ? `${who}: whether anything may go ${way} it depends. One of these must hold:` : `Allowed ${way} ${who} by:`;
    }
  }

  // src/detail.js
  var mostListed = 60;
  var Detail = class {
    constructor(model2, state2, say2) {
      this.model = model2;
      this.state = state2;
      this.say = say2;
      this.element = h("aside", { class: "detail", "aria-label": "Explanation", id: "detail" });
      state2.onChange(() => this.draw());
    }
    focus() {
      this.element.querySelector("h2")?.focus();
    }
    draw() {
      const { model: model2, state: state2 } = this;
      const row = target(model2, state2.row);
      const column = target(model2, state2.column);
      if (row && column) fill(this.element, this.pair(row, column));
      else if (row || column) fill(this.element, this.single(row ?? column));
      else fill(this.element, this.nothing());
    }
    nothing() {
      const { doc } = this.model;
      return [
        h("h2", { tabindex: "-1" }, "Nothing is chosen"),
        h("p", {}, "Choose a cell for the whole explanation: which rules allow it, who isolates, what it depends on. Choose a name for what it is."),
        this.model.kind === "list" ? ["ingress", "egress"].map((d) => this.unisolated(d)) : null,
        doc.changed?.length ? this.changedPolicies() : null,
        doc.notices?.length ? h("details", { class: "notices" }, h("summary", {}, count(doc.notices.length, "notice")), h("ul", {}, doc.notices.map((n) => h("li", {}, n)))) : null
      ];
    }
    // unisolated is what no policy isolates in a direction: the first thing to look at.
    unisolated(direction) {
      const { model: model2, state: state2 } = this;
      const all = [.../* @__PURE__ */ new Set([...model2.doc.rows, ...model2.doc.columns])].filter((e) => model2.ends[e].kind === "pods");
      const open = all.filter((e) => !model2.ends[e][direction]?.length);
      const heading = `${open.length ? count(open.length, "workload") : "No workload"} without isolation in direction ${direction}`;
      if (open.length === 0) return h("p", {}, `${heading}.`);
      const go = (e) => () => state2.set({ row: model2.keys[e], column: null });
      return h("details", { class: "notices" }, h("summary", {}, heading), h(
        "ul",
        { class: "lines" },
        open.slice(0, mostListed).map((e) => h("li", {}, h("button", { type: "button", class: "line", onclick: go(e) }, endTitle(model2, e)))),
        open.length > mostListed ? h("li", {}, `and ${open.length - mostListed} more`) : null
      ));
    }
    changedPolicies() {
      const list = this.model.doc.changed;
      const line = (p) => h("li", {}, h("span", { class: "name" }, `${p.namespace}/${p.name}`), ` ${p.change}`, p.effective ? "" : h("em", {}, ", which changes nothing"));
      return [h("h3", {}, "Policies that differ"), h("ul", { class: "rules" }, list.map(line))];
    }
    tools(row, column) {
      const { model: model2, state: state2 } = this;
      const buttons = [h("button", { type: "button", onclick: () => copy(location.href, this.say) }, "Copy link")];
      const ask = [row, column].map((i) => i?.type === "end" ? model2.ends[i.ends[0]].ask : "");
      if (model2.doc.explain && ask[0] && ask[1]) {
        const command = `${model2.doc.explain} ${ask[0]} ${ask[1]}`;
        buttons.push(h("button", { type: "button", title: command, onclick: () => copy(command, this.say) }, "Copy explain command"));
      }
      if (row && column && model2.kind !== "exposure") {
        buttons.push(h("button", { type: "button", onclick: () => state2.set({ row: state2.column, column: state2.row }) }, "Other direction"));
      }
      buttons.push(h("button", { type: "button", onclick: () => state2.set({ row: null, column: null }) }, "Close"));
      return h("div", { class: "tools" }, buttons);
    }
    pair(row, column) {
      const { model: model2 } = this;
      const arrow = model2.kind === "exposure" ? "" : "\u2192 ";
      const heading = h(
        "h2",
        { tabindex: "-1", "aria-label": pairTitle(model2, row, column) },
        this.name(row),
        h("br"),
        arrow,
        this.name(column)
      );
      if (row.type !== "end" || column.type !== "end") return [heading, this.tools(row, column), this.group(row, column)];
      const [r, c2] = [row.ends[0], column.ends[0]];
      const cell = model2.state(r, c2);
      const value = model2.value(r, c2);
      const verdict = h(
        "p",
        { class: "verdict" },
        h("span", { class: `swatch ${cell}`, "aria-hidden": "true" }),
        h("strong", {}, states[model2.kind][cell]),
        value && cell !== "all" ? `: ${value.label}` : ""
      );
      return [
        heading,
        this.tools(row, column),
        verdict,
        value ? value.parts.map((p) => this.part(p, r, c2)) : this.denied(cell, r, c2),
        value && value.parts.length === 0 ? h("p", {}, "No policy isolates these Pods in this direction: whoever reaches their address is let through.") : null
      ];
    }
    name(item) {
      return h("span", { class: "name" }, title(this.model, item));
    }
    // group lists the cells of a namespace, those that say the same together.
    group(row, column) {
      const { model: model2, state: state2 } = this;
      const sum = model2.sum(row.ends, column.ends);
      const lines = [];
      let more = 0;
      for (const r of row.ends) {
        for (const c2 of column.ends) {
          if (model2.at(r, c2) < 0) continue;
          if (lines.length === mostListed) {
            more++;
            continue;
          }
          const go = () => state2.set({ row: model2.keys[r], column: model2.keys[c2] });
          lines.push(h("li", {}, h(
            "button",
            { type: "button", class: "line", onclick: go },
            h("span", { class: `swatch ${model2.state(r, c2)}`, "aria-hidden": "true" }),
            `${model2.ends[r].name} \u2192 ${model2.ends[c2].name}`,
            h("span", { class: "ports" }, model2.value(r, c2).label)
          )));
        }
      }
      return [
        h("p", { class: "verdict" }, sumText(model2, sum)),
        h("ul", { class: "lines" }, lines),
        more ? h("p", {}, `And ${count(more, "pair")} more: open the namespace, or search.`) : null
      ];
    }
    denied(cell, r, c2) {
      const { model: model2 } = this;
      if (cell === "self") return h("p", {}, "These are one Pod, and no policy is asked about a Pod and itself.");
      if (cell === "unasked") return h("p", {}, "Nothing is said of this pair: the command did not ask for it, or neither end is a Pod of the Pod network, so that no policy has a say.");
      if (model2.kind === "diff") return h("p", {}, "What passes between these two is what passed before.");
      if (model2.kind === "exposure") return h("p", {}, "Policies isolate these Pods, and none of them lets such a peer through.", this.isolation(r, model2.ends[c2].namespace === "open to" ? "ingress" : "egress"));
      const by = model2.denial(r, c2);
      const [from, to] = [endTitle(model2, r), endTitle(model2, c2)];
      const who = {
        0: `${from} lets something out to ${to}, and ${to} something in from ${from}, but nothing that both do: their ports or addresses differ.`,
        1: `It is ${from} that lets nothing out to ${to}; ${to} would let something in.`,
        2: `It is ${to} that lets nothing in from ${from}; ${from} would let something out.`,
        3: `Neither does ${from} let anything out to ${to}, nor ${to} anything in from ${from}.`
      };
      return [
        h("p", {}, who[by] ?? "Both ends must let a connection through, and no rules of both do on any port."),
        this.isolation(r, "egress"),
        this.isolation(c2, "ingress")
      ];
    }
    // isolation says who isolates an end in a direction.
    isolation(e, direction) {
      const { model: model2 } = this;
      const end = model2.ends[e];
      const list = end[direction] ?? [];
      const who = endTitle(model2, e);
      if (end.kind !== "pods") return h("p", {}, `${who}: no policy has a say, for it is no Pod of the Pod network.`);
      if (list.length === 0) return h("p", {}, `${who}: no policy isolates it in direction ${direction}, so it is not this end that denies.`);
      return [
        h("p", {}, `${who} is isolated in direction ${direction} by:`),
        h("ul", { class: "rules" }, list.map((p) => h("li", {}, this.policy(p))))
      ];
    }
    policy(number) {
      const p = this.model.doc.policies[number];
      return [h("span", { class: "name" }, `${p.namespace}/${p.name}`), p.place ? [" ", h("code", {}, p.place)] : null];
    }
    rule(number) {
      const r = this.model.doc.rules[number];
      if (r.policy < 0) return r.if ? `if ${r.if}` : "without a rule";
      const p = this.model.doc.policies[r.policy];
      return [
        h("span", { class: "name" }, `${p.namespace}/${p.name}`),
        " ",
        h("code", {}, r.path),
        r.place || p.place ? h("span", { class: "place" }, r.place || p.place) : null,
        r.if ? h("span", { class: "condition" }, `if ${r.if}`) : null
      ];
    }
    part(p, r, c2) {
      return [
        p.title ? h("h3", {}, p.title) : null,
        p.old ? h("p", { class: "change" }, h("span", {}, "before: "), h("code", {}, p.old), h("br"), h("span", {}, "now: "), h("code", {}, p.new)) : null,
        (p.stretches ?? []).map((s) => this.stretch(s, r, c2))
      ];
    }
    stretch(s, r, c2) {
      const { model: model2 } = this;
      const families = s.ipv4 ? ` (IPv4 ${s.ipv4}, IPv6 ${s.ipv6})` : "";
      const answer = s.old ? `${s.old} before, ${s.answer} now` : s.answer;
      const side = (which, e) => s[which] && this.side(s[which], which, e);
      return h(
        "section",
        { class: "stretch" },
        h("h4", {}, h("code", {}, s.ports), ` ${answer}${families}`),
        side("egress", r),
        side("ingress", model2.kind === "exposure" ? r : c2),
        s.causes ? h("ul", { class: "rules" }, s.causes.map((x2) => h("li", {}, x2.rule >= 0 ? [this.rule(x2.rule), " ", h("span", { class: "effect" }, effect(x2))] : effect(x2)))) : null,
        !s.egress && !s.ingress && !s.causes ? h("p", {}, "The command gave no reasons.") : null
      );
    }
    side(side, direction, e) {
      return [
        h("p", {}, sideText(side, endTitle(this.model, e), direction)),
        side.rules ? h("ul", { class: "rules" }, side.rules.map((r) => h("li", {}, this.rule(r)))) : null
      ];
    }
    // single is what an end or a namespace is.
    single(item) {
      const { model: model2, state: state2 } = this;
      const heading = h("h2", { tabindex: "-1" }, this.name(item));
      if (item.type !== "end") return [heading, this.tools(item), h("p", {}, `${count(item.ends.length, "end")} of ${title(model2, item)}.`)];
      const e = item.ends[0];
      const end = model2.ends[e];
      const facts = [
        ["Workloads", (end.workloads ?? []).join(", ")],
        ["Labels", Object.entries(end.labels ?? {}).map(([k, v]) => `${k}=${v}`).join(", ")],
        ["Named ports", (end.ports ?? []).join(", ")],
        ["Addresses", (end.addresses ?? []).join(", ")]
      ].filter(([, text]) => text);
      const only = (key) => h(
        "button",
        { type: "button", onclick: () => state2.set({ [key]: end.name, view: "matrix" }) },
        key === "from" ? "Only from it" : "Only to it"
      );
      return [
        heading,
        this.tools(item),
        model2.kind === "exposure" ? null : h("div", { class: "tools" }, only("from"), only("to")),
        h("dl", {}, facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
        this.isolation(e, "ingress"),
        this.isolation(e, "egress")
      ];
    }
  };

  // src/entries.js
  var EntriesView = class {
    constructor(model2, state2) {
      Object.assign(this, { model: model2, state: state2 });
      this.lines = model2.doc.entries.map((e) => ({
        ...e,
        from: `${e.entry} ${e.at ?? ""}`.toLowerCase(),
        to: `${e.service ?? ""} ${e.target ?? ""}`.toLowerCase()
      }));
      this.element = h("div", { class: "lines-table entries", tabindex: "0", role: "region", "aria-label": "Entries from outside" });
      window.addEventListener("beforeprint", () => this.refresh(true));
      state2.onChange(() => this.refresh());
    }
    refresh(always) {
      if (!always && this.state.view !== "entries") return;
      const { state: state2, model: model2 } = this;
      const from = (e) => model2.kind === "exposure" ? `${e.from} ${e.to}` : e.from;
      const lines = this.lines.filter((e) => (!state2.from || matches(from(e), state2.from)) && (!state2.to || matches(e.to, state2.to)));
      fill(
        this.element,
        h(
          "table",
          {},
          h("caption", {}, `${count(lines.length, "entry", "entries")} from outside. Policies never see an entry's clients, but whoever connects for it.`),
          h("thead", {}, h("tr", {}, ["Entry", "At", "Leads to", model2.kind === "diff" ? "Change" : "State", "Because"].map((t) => h("th", { scope: "col" }, t)))),
          h("tbody", {}, lines.map((e) => this.line(e)))
        )
      );
    }
    line(e) {
      const [swatch, words] = entryStates(this.model)[e.state] ?? ["denied", e.state];
      return h(
        "tr",
        {},
        h("td", {}, h("div", { class: "name" }, e.entry), e.place ? h("code", {}, e.place) : null),
        h("td", { class: "name" }, e.at),
        h("td", {}, h("div", { class: "name" }, e.target || "nothing"), e.service ? h("div", { class: "note name" }, e.service) : null),
        h("td", {}, h("span", { class: `swatch ${swatch}`, "aria-hidden": "true" }), words),
        h("td", { class: "name" }, e.why)
      );
    }
  };

  // node_modules/d3-quadtree/dist/d3-quadtree.mjs
  function tree_add(d) {
    const x2 = +this._x.call(null, d), y2 = +this._y.call(null, d);
    return add(this.cover(x2, y2), x2, y2, d);
  }
  function add(tree, x2, y2, d) {
    if (isNaN(x2) || isNaN(y2)) return tree;
    var parent, node = tree._root, leaf = { data: d }, x0 = tree._x0, y0 = tree._y0, x1 = tree._x1, y1 = tree._y1, xm, ym, xp, yp, right, bottom, i, j;
    if (!node) return tree._root = leaf, tree;
    while (node.length) {
      if (right = x2 >= (xm = (x0 + x1) / 2)) x0 = xm;
      else x1 = xm;
      if (bottom = y2 >= (ym = (y0 + y1) / 2)) y0 = ym;
      else y1 = ym;
      if (parent = node, !(node = node[i = bottom << 1 | right])) return parent[i] = leaf, tree;
    }
    xp = +tree._x.call(null, node.data);
    yp = +tree._y.call(null, node.data);
    if (x2 === xp && y2 === yp) return leaf.next = node, parent ? parent[i] = leaf : tree._root = leaf, tree;
    do {
      parent = parent ? parent[i] = new Array(4) : tree._root = new Array(4);
      if (right = x2 >= (xm = (x0 + x1) / 2)) x0 = xm;
      else x1 = xm;
      if (bottom = y2 >= (ym = (y0 + y1) / 2)) y0 = ym;
      else y1 = ym;
    } while ((i = bottom << 1 | right) === (j = (yp >= ym) << 1 | xp >= xm));
    return parent[j] = node, parent[i] = leaf, tree;
  }
  function addAll(data) {
    if (!Array.isArray(data)) data = Array.from(data);
    const n = data.length;
    const xz = new Float64Array(n);
    const yz = new Float64Array(n);
    let x0 = Infinity, y0 = x0, x1 = -x0, y1 = x1;
    for (let i = 0, d, x2, y2; i < n; ++i) {
      if (isNaN(x2 = +this._x.call(null, d = data[i])) || isNaN(y2 = +this._y.call(null, d))) {
        xz[i] = NaN;
        continue;
      }
      xz[i] = x2;
      yz[i] = y2;
      if (x2 < x0) x0 = x2;
      if (x2 > x1) x1 = x2;
      if (y2 < y0) y0 = y2;
      if (y2 > y1) y1 = y2;
    }
    if (x0 > x1 || y0 > y1) return this;
    this.cover(x0, y0).cover(x1, y1);
    for (let i = 0; i < n; ++i) {
      add(this, xz[i], yz[i], data[i]);
    }
    return this;
  }
  function tree_cover(x2, y2) {
    if (isNaN(x2 = +x2) || isNaN(y2 = +y2)) return this;
    var x0 = this._x0, y0 = this._y0, x1 = this._x1, y1 = this._y1;
    if (isNaN(x0)) {
      x1 = (x0 = Math.floor(x2)) + 1;
      y1 = (y0 = Math.floor(y2)) + 1;
    } else {
      var z = x1 - x0 || 1, node = this._root, parent, i;
      while (x0 > x2 || x2 >= x1 || y0 > y2 || y2 >= y1) {
        i = (y2 < y0) << 1 | x2 < x0;
        parent = new Array(4), parent[i] = node, node = parent, z *= 2;
        switch (i) {
          case 0:
            x1 = x0 + z, y1 = y0 + z;
            break;
          case 1:
            x0 = x1 - z, y1 = y0 + z;
            break;
          case 2:
            x1 = x0 + z, y0 = y1 - z;
            break;
          case 3:
            x0 = x1 - z, y0 = y1 - z;
            break;
        }
      }
      if (this._root && this._root.length) this._root = node;
    }
    this._x0 = x0;
    this._y0 = y0;
    this._x1 = x1;
    this._y1 = y1;
    return this;
  }
  function tree_data() {
    var data = [];
    this.visit(function(node) {
      if (!node.length) do
        data.push(node.data);
      while (node = node.next);
    });
    return data;
  }
  function tree_extent(_) {
    return arguments.length ? this.cover(+_[0][0], +_[0][1]).cover(+_[1][0], +_[1][1]) : isNaN(this._x0) ? void 0 : [[this._x0, this._y0], [this._x1, this._y1]];
  }
  function Quad(node, x0, y0, x1, y1) {
    this.node = node;
    this.x0 = x0;
    this.y0 = y0;
    this.x1 = x1;
    this.y1 = y1;
  }
  function tree_find(x2, y2, radius) {
    var data, x0 = this._x0, y0 = this._y0, x1, y1, x22, y22, x3 = this._x1, y3 = this._y1, quads = [], node = this._root, q, i;
    if (node) quads.push(new Quad(node, x0, y0, x3, y3));
    if (radius == null) radius = Infinity;
    else {
      x0 = x2 - radius, y0 = y2 - radius;
      x3 = x2 + radius, y3 = y2 + radius;
      radius *= radius;
    }
    while (q = quads.pop()) {
      if (!(node = q.node) || (x1 = q.x0) > x3 || (y1 = q.y0) > y3 || (x22 = q.x1) < x0 || (y22 = q.y1) < y0) continue;
      if (node.length) {
        var xm = (x1 + x22) / 2, ym = (y1 + y22) / 2;
        quads.push(
          new Quad(node[3], xm, ym, x22, y22),
          new Quad(node[2], x1, ym, xm, y22),
          new Quad(node[1], xm, y1, x22, ym),
          new Quad(node[0], x1, y1, xm, ym)
        );
        if (i = (y2 >= ym) << 1 | x2 >= xm) {
          q = quads[quads.length - 1];
          quads[quads.length - 1] = quads[quads.length - 1 - i];
          quads[quads.length - 1 - i] = q;
        }
      } else {
        var dx = x2 - +this._x.call(null, node.data), dy = y2 - +this._y.call(null, node.data), d2 = dx * dx + dy * dy;
        if (d2 < radius) {
          var d = Math.sqrt(radius = d2);
          x0 = x2 - d, y0 = y2 - d;
          x3 = x2 + d, y3 = y2 + d;
          data = node.data;
        }
      }
    }
    return data;
  }
  function tree_remove(d) {
    if (isNaN(x2 = +this._x.call(null, d)) || isNaN(y2 = +this._y.call(null, d))) return this;
    var parent, node = this._root, retainer, previous, next, x0 = this._x0, y0 = this._y0, x1 = this._x1, y1 = this._y1, x2, y2, xm, ym, right, bottom, i, j;
    if (!node) return this;
    if (node.length) while (true) {
      if (right = x2 >= (xm = (x0 + x1) / 2)) x0 = xm;
      else x1 = xm;
      if (bottom = y2 >= (ym = (y0 + y1) / 2)) y0 = ym;
      else y1 = ym;
      if (!(parent = node, node = node[i = bottom << 1 | right])) return this;
      if (!node.length) break;
      if (parent[i + 1 & 3] || parent[i + 2 & 3] || parent[i + 3 & 3]) retainer = parent, j = i;
    }
    while (node.data !== d) if (!(previous = node, node = node.next)) return this;
    if (next = node.next) delete node.next;
    if (previous) return next ? previous.next = next : delete previous.next, this;
    if (!parent) return this._root = next, this;
    next ? parent[i] = next : delete parent[i];
    if ((node = parent[0] || parent[1] || parent[2] || parent[3]) && node === (parent[3] || parent[2] || parent[1] || parent[0]) && !node.length) {
      if (retainer) retainer[j] = node;
      else this._root = node;
    }
    return this;
  }
  function removeAll(data) {
    for (var i = 0, n = data.length; i < n; ++i) this.remove(data[i]);
    return this;
  }
  function tree_root() {
    return this._root;
  }
  function tree_size() {
    var size = 0;
    this.visit(function(node) {
      if (!node.length) do
        ++size;
      while (node = node.next);
    });
    return size;
  }
  function tree_visit(callback) {
    var quads = [], q, node = this._root, child, x0, y0, x1, y1;
    if (node) quads.push(new Quad(node, this._x0, this._y0, this._x1, this._y1));
    while (q = quads.pop()) {
      if (!callback(node = q.node, x0 = q.x0, y0 = q.y0, x1 = q.x1, y1 = q.y1) && node.length) {
        var xm = (x0 + x1) / 2, ym = (y0 + y1) / 2;
        if (child = node[3]) quads.push(new Quad(child, xm, ym, x1, y1));
        if (child = node[2]) quads.push(new Quad(child, x0, ym, xm, y1));
        if (child = node[1]) quads.push(new Quad(child, xm, y0, x1, ym));
        if (child = node[0]) quads.push(new Quad(child, x0, y0, xm, ym));
      }
    }
    return this;
  }
  function tree_visitAfter(callback) {
    var quads = [], next = [], q;
    if (this._root) quads.push(new Quad(this._root, this._x0, this._y0, this._x1, this._y1));
    while (q = quads.pop()) {
      var node = q.node;
      if (node.length) {
        var child, x0 = q.x0, y0 = q.y0, x1 = q.x1, y1 = q.y1, xm = (x0 + x1) / 2, ym = (y0 + y1) / 2;
        if (child = node[0]) quads.push(new Quad(child, x0, y0, xm, ym));
        if (child = node[1]) quads.push(new Quad(child, xm, y0, x1, ym));
        if (child = node[2]) quads.push(new Quad(child, x0, ym, xm, y1));
        if (child = node[3]) quads.push(new Quad(child, xm, ym, x1, y1));
      }
      next.push(q);
    }
    while (q = next.pop()) {
      callback(q.node, q.x0, q.y0, q.x1, q.y1);
    }
    return this;
  }
  function defaultX(d) {
    return d[0];
  }
  function tree_x(_) {
    return arguments.length ? (this._x = _, this) : this._x;
  }
  function defaultY(d) {
    return d[1];
  }
  function tree_y(_) {
    return arguments.length ? (this._y = _, this) : this._y;
  }
  function quadtree(nodes, x2, y2) {
    var tree = new Quadtree(x2 == null ? defaultX : x2, y2 == null ? defaultY : y2, NaN, NaN, NaN, NaN);
    return nodes == null ? tree : tree.addAll(nodes);
  }
  function Quadtree(x2, y2, x0, y0, x1, y1) {
    this._x = x2;
    this._y = y2;
    this._x0 = x0;
    this._y0 = y0;
    this._x1 = x1;
    this._y1 = y1;
    this._root = void 0;
  }
  function leaf_copy(leaf) {
    var copy2 = { data: leaf.data }, next = copy2;
    while (leaf = leaf.next) next = next.next = { data: leaf.data };
    return copy2;
  }
  var treeProto = quadtree.prototype = Quadtree.prototype;
  treeProto.copy = function() {
    var copy2 = new Quadtree(this._x, this._y, this._x0, this._y0, this._x1, this._y1), node = this._root, nodes, child;
    if (!node) return copy2;
    if (!node.length) return copy2._root = leaf_copy(node), copy2;
    nodes = [{ source: node, target: copy2._root = new Array(4) }];
    while (node = nodes.pop()) {
      for (var i = 0; i < 4; ++i) {
        if (child = node.source[i]) {
          if (child.length) nodes.push({ source: child, target: node.target[i] = new Array(4) });
          else node.target[i] = leaf_copy(child);
        }
      }
    }
    return copy2;
  };
  treeProto.add = tree_add;
  treeProto.addAll = addAll;
  treeProto.cover = tree_cover;
  treeProto.data = tree_data;
  treeProto.extent = tree_extent;
  treeProto.find = tree_find;
  treeProto.remove = tree_remove;
  treeProto.removeAll = removeAll;
  treeProto.root = tree_root;
  treeProto.size = tree_size;
  treeProto.visit = tree_visit;
  treeProto.visitAfter = tree_visitAfter;
  treeProto.x = tree_x;
  treeProto.y = tree_y;

  // node_modules/d3-dispatch/dist/d3-dispatch.mjs
  var noop = { value: () => {
  } };
  function dispatch() {
    for (var i = 0, n = arguments.length, _ = {}, t; i < n; ++i) {
      if (!(t = arguments[i] + "") || t in _ || /[\s.]/.test(t)) throw new Error("illegal type: " + t);
      _[t] = [];
    }
    return new Dispatch(_);
  }
  function Dispatch(_) {
    this._ = _;
  }
  function parseTypenames(typenames, types) {
    return typenames.trim().split(/^|\s+/).map(function(t) {
      var name = "", i = t.indexOf(".");
      if (i >= 0) name = t.slice(i + 1), t = t.slice(0, i);
      if (t && !types.hasOwnProperty(t)) throw new Error("unknown type: " + t);
      return { type: t, name };
    });
  }
  Dispatch.prototype = dispatch.prototype = {
    constructor: Dispatch,
    on: function(typename, callback) {
      var _ = this._, T = parseTypenames(typename + "", _), t, i = -1, n = T.length;
      if (arguments.length < 2) {
        while (++i < n) if ((t = (typename = T[i]).type) && (t = get(_[t], typename.name))) return t;
        return;
      }
      if (callback != null && typeof callback !== "function") throw new Error("invalid callback: " + callback);
      while (++i < n) {
        if (t = (typename = T[i]).type) _[t] = set(_[t], typename.name, callback);
        else if (callback == null) for (t in _) _[t] = set(_[t], typename.name, null);
      }
      return this;
    },
    copy: function() {
      var copy2 = {}, _ = this._;
      for (var t in _) copy2[t] = _[t].slice();
      return new Dispatch(copy2);
    },
    call: function(type, that) {
      if ((n = arguments.length - 2) > 0) for (var args = new Array(n), i = 0, n, t; i < n; ++i) args[i] = arguments[i + 2];
      if (!this._.hasOwnProperty(type)) throw new Error("unknown type: " + type);
      for (t = this._[type], i = 0, n = t.length; i < n; ++i) t[i].value.apply(that, args);
    },
    apply: function(type, that, args) {
      if (!this._.hasOwnProperty(type)) throw new Error("unknown type: " + type);
      for (var t = this._[type], i = 0, n = t.length; i < n; ++i) t[i].value.apply(that, args);
    }
  };
  function get(type, name) {
    for (var i = 0, n = type.length, c2; i < n; ++i) {
      if ((c2 = type[i]).name === name) {
        return c2.value;
      }
    }
  }
  function set(type, name, callback) {
    for (var i = 0, n = type.length; i < n; ++i) {
      if (type[i].name === name) {
        type[i] = noop, type = type.slice(0, i).concat(type.slice(i + 1));
        break;
      }
    }
    if (callback != null) type.push({ name, value: callback });
    return type;
  }

  // node_modules/d3-timer/dist/d3-timer.mjs
  var frame = 0;
  var timeout$1 = 0;
  var interval$1 = 0;
  var pokeDelay = 1e3;
  var taskHead;
  var taskTail;
  var clockLast = 0;
  var clockNow = 0;
  var clockSkew = 0;
  var clock = typeof performance === "object" && performance.now ? performance : Date;
  var setFrame = typeof window === "object" && window.requestAnimationFrame ? window.requestAnimationFrame.bind(window) : function(f) {
    setTimeout(f, 17);
  };
  function now() {
    return clockNow || (setFrame(clearNow), clockNow = clock.now() + clockSkew);
  }
  function clearNow() {
    clockNow = 0;
  }
  function Timer() {
    this._call = this._time = this._next = null;
  }
  Timer.prototype = timer.prototype = {
    constructor: Timer,
    restart: function(callback, delay, time) {
      if (typeof callback !== "function") throw new TypeError("callback is not a function");
      time = (time == null ? now() : +time) + (delay == null ? 0 : +delay);
      if (!this._next && taskTail !== this) {
        if (taskTail) taskTail._next = this;
        else taskHead = this;
        taskTail = this;
      }
      this._call = callback;
      this._time = time;
      sleep();
    },
    stop: function() {
      if (this._call) {
        this._call = null;
        this._time = Infinity;
        sleep();
      }
    }
  };
  function timer(callback, delay, time) {
    var t = new Timer();
    t.restart(callback, delay, time);
    return t;
  }
  function timerFlush() {
    now();
    ++frame;
    var t = taskHead, e;
    while (t) {
      if ((e = clockNow - t._time) >= 0) t._call.call(void 0, e);
      t = t._next;
    }
    --frame;
  }
  function wake() {
    clockNow = (clockLast = clock.now()) + clockSkew;
    frame = timeout$1 = 0;
    try {
      timerFlush();
    } finally {
      frame = 0;
      nap();
      clockNow = 0;
    }
  }
  function poke() {
    var now2 = clock.now(), delay = now2 - clockLast;
    if (delay > pokeDelay) clockSkew -= delay, clockLast = now2;
  }
  function nap() {
    var t0, t1 = taskHead, t2, time = Infinity;
    while (t1) {
      if (t1._call) {
        if (time > t1._time) time = t1._time;
        t0 = t1, t1 = t1._next;
      } else {
        t2 = t1._next, t1._next = null;
        t1 = t0 ? t0._next = t2 : taskHead = t2;
      }
    }
    taskTail = t0;
    sleep(time);
  }
  function sleep(time) {
    if (frame) return;
    if (timeout$1) timeout$1 = clearTimeout(timeout$1);
    var delay = time - clockNow;
    if (delay > 24) {
      if (time < Infinity) timeout$1 = setTimeout(wake, Math.ceil(time - clock.now() - clockSkew) + 1);
      if (interval$1) interval$1 = clearInterval(interval$1);
    } else {
      if (!interval$1) clockLast = clock.now(), interval$1 = setInterval(poke, pokeDelay);
      frame = 1, setFrame(wake);
    }
  }

  // node_modules/d3-force/dist/d3-force.mjs
  function constant(x2) {
    return function() {
      return x2;
    };
  }
  function jiggle(random) {
    return (random() - 0.5) * 1e-6;
  }
  function x$2(d) {
    return d.x + d.vx;
  }
  function y$2(d) {
    return d.y + d.vy;
  }
  function collide(radius) {
    var nodes, radii, random, strength = 1, iterations = 1;
    if (typeof radius !== "function") radius = constant(radius == null ? 1 : +radius);
    function force() {
      var i, n = nodes.length, tree, node, xi, yi, ri, ri2;
      for (var k = 0; k < iterations; ++k) {
        tree = quadtree(nodes, x$2, y$2).visitAfter(prepare);
        for (i = 0; i < n; ++i) {
          node = nodes[i];
          ri = radii[node.index], ri2 = ri * ri;
          xi = node.x + node.vx;
          yi = node.y + node.vy;
          tree.visit(apply);
        }
      }
      function apply(quad, x0, y0, x1, y1) {
        var data = quad.data, rj = quad.r, r = ri + rj;
        if (data) {
          if (data.index > node.index) {
            var x2 = xi - data.x - data.vx, y2 = yi - data.y - data.vy, l = x2 * x2 + y2 * y2;
            if (l < r * r) {
              if (x2 === 0) x2 = jiggle(random), l += x2 * x2;
              if (y2 === 0) y2 = jiggle(random), l += y2 * y2;
              l = (r - (l = Math.sqrt(l))) / l * strength;
              node.vx += (x2 *= l) * (r = (rj *= rj) / (ri2 + rj));
              node.vy += (y2 *= l) * r;
              data.vx -= x2 * (r = 1 - r);
              data.vy -= y2 * r;
            }
          }
          return;
        }
        return x0 > xi + r || x1 < xi - r || y0 > yi + r || y1 < yi - r;
      }
    }
    function prepare(quad) {
      if (quad.data) return quad.r = radii[quad.data.index];
      for (var i = quad.r = 0; i < 4; ++i) {
        if (quad[i] && quad[i].r > quad.r) {
          quad.r = quad[i].r;
        }
      }
    }
    function initialize() {
      if (!nodes) return;
      var i, n = nodes.length, node;
      radii = new Array(n);
      for (i = 0; i < n; ++i) node = nodes[i], radii[node.index] = +radius(node, i, nodes);
    }
    force.initialize = function(_nodes, _random) {
      nodes = _nodes;
      random = _random;
      initialize();
    };
    force.iterations = function(_) {
      return arguments.length ? (iterations = +_, force) : iterations;
    };
    force.strength = function(_) {
      return arguments.length ? (strength = +_, force) : strength;
    };
    force.radius = function(_) {
      return arguments.length ? (radius = typeof _ === "function" ? _ : constant(+_), initialize(), force) : radius;
    };
    return force;
  }
  function index(d) {
    return d.index;
  }
  function find(nodeById, nodeId) {
    var node = nodeById.get(nodeId);
    if (!node) throw new Error("node not found: " + nodeId);
    return node;
  }
  function link(links) {
    var id = index, strength = defaultStrength, strengths, distance = constant(30), distances, nodes, count2, bias, random, iterations = 1;
    if (links == null) links = [];
    function defaultStrength(link2) {
      return 1 / Math.min(count2[link2.source.index], count2[link2.target.index]);
    }
    function force(alpha) {
      for (var k = 0, n = links.length; k < iterations; ++k) {
        for (var i = 0, link2, source, target2, x2, y2, l, b; i < n; ++i) {
          link2 = links[i], source = link2.source, target2 = link2.target;
          x2 = target2.x + target2.vx - source.x - source.vx || jiggle(random);
          y2 = target2.y + target2.vy - source.y - source.vy || jiggle(random);
          l = Math.sqrt(x2 * x2 + y2 * y2);
          l = (l - distances[i]) / l * alpha * strengths[i];
          x2 *= l, y2 *= l;
          target2.vx -= x2 * (b = bias[i]);
          target2.vy -= y2 * b;
          source.vx += x2 * (b = 1 - b);
          source.vy += y2 * b;
        }
      }
    }
    function initialize() {
      if (!nodes) return;
      var i, n = nodes.length, m2 = links.length, nodeById = new Map(nodes.map((d, i2) => [id(d, i2, nodes), d])), link2;
      for (i = 0, count2 = new Array(n); i < m2; ++i) {
        link2 = links[i], link2.index = i;
        if (typeof link2.source !== "object") link2.source = find(nodeById, link2.source);
        if (typeof link2.target !== "object") link2.target = find(nodeById, link2.target);
        count2[link2.source.index] = (count2[link2.source.index] || 0) + 1;
        count2[link2.target.index] = (count2[link2.target.index] || 0) + 1;
      }
      for (i = 0, bias = new Array(m2); i < m2; ++i) {
        link2 = links[i], bias[i] = count2[link2.source.index] / (count2[link2.source.index] + count2[link2.target.index]);
      }
      strengths = new Array(m2), initializeStrength();
      distances = new Array(m2), initializeDistance();
    }
    function initializeStrength() {
      if (!nodes) return;
      for (var i = 0, n = links.length; i < n; ++i) {
        strengths[i] = +strength(links[i], i, links);
      }
    }
    function initializeDistance() {
      if (!nodes) return;
      for (var i = 0, n = links.length; i < n; ++i) {
        distances[i] = +distance(links[i], i, links);
      }
    }
    force.initialize = function(_nodes, _random) {
      nodes = _nodes;
      random = _random;
      initialize();
    };
    force.links = function(_) {
      return arguments.length ? (links = _, initialize(), force) : links;
    };
    force.id = function(_) {
      return arguments.length ? (id = _, force) : id;
    };
    force.iterations = function(_) {
      return arguments.length ? (iterations = +_, force) : iterations;
    };
    force.strength = function(_) {
      return arguments.length ? (strength = typeof _ === "function" ? _ : constant(+_), initializeStrength(), force) : strength;
    };
    force.distance = function(_) {
      return arguments.length ? (distance = typeof _ === "function" ? _ : constant(+_), initializeDistance(), force) : distance;
    };
    return force;
  }
  var a = 1664525;
  var c = 1013904223;
  var m = 4294967296;
  function lcg() {
    let s = 1;
    return () => (s = (a * s + c) % m) / m;
  }
  function x$1(d) {
    return d.x;
  }
  function y$1(d) {
    return d.y;
  }
  var initialRadius = 10;
  var initialAngle = Math.PI * (3 - Math.sqrt(5));
  function simulation(nodes) {
    var simulation2, alpha = 1, alphaMin = 1e-3, alphaDecay = 1 - Math.pow(alphaMin, 1 / 300), alphaTarget = 0, velocityDecay = 0.6, forces = /* @__PURE__ */ new Map(), stepper = timer(step2), event = dispatch("tick", "end"), random = lcg();
    if (nodes == null) nodes = [];
    function step2() {
      tick();
      event.call("tick", simulation2);
      if (alpha < alphaMin) {
        stepper.stop();
        event.call("end", simulation2);
      }
    }
    function tick(iterations) {
      var i, n = nodes.length, node;
      if (iterations === void 0) iterations = 1;
      for (var k = 0; k < iterations; ++k) {
        alpha += (alphaTarget - alpha) * alphaDecay;
        forces.forEach(function(force) {
          force(alpha);
        });
        for (i = 0; i < n; ++i) {
          node = nodes[i];
          if (node.fx == null) node.x += node.vx *= velocityDecay;
          else node.x = node.fx, node.vx = 0;
          if (node.fy == null) node.y += node.vy *= velocityDecay;
          else node.y = node.fy, node.vy = 0;
        }
      }
      return simulation2;
    }
    function initializeNodes() {
      for (var i = 0, n = nodes.length, node; i < n; ++i) {
        node = nodes[i], node.index = i;
        if (node.fx != null) node.x = node.fx;
        if (node.fy != null) node.y = node.fy;
        if (isNaN(node.x) || isNaN(node.y)) {
          var radius = initialRadius * Math.sqrt(0.5 + i), angle2 = i * initialAngle;
          node.x = radius * Math.cos(angle2);
          node.y = radius * Math.sin(angle2);
        }
        if (isNaN(node.vx) || isNaN(node.vy)) {
          node.vx = node.vy = 0;
        }
      }
    }
    function initializeForce(force) {
      if (force.initialize) force.initialize(nodes, random);
      return force;
    }
    initializeNodes();
    return simulation2 = {
      tick,
      restart: function() {
        return stepper.restart(step2), simulation2;
      },
      stop: function() {
        return stepper.stop(), simulation2;
      },
      nodes: function(_) {
        return arguments.length ? (nodes = _, initializeNodes(), forces.forEach(initializeForce), simulation2) : nodes;
      },
      alpha: function(_) {
        return arguments.length ? (alpha = +_, simulation2) : alpha;
      },
      alphaMin: function(_) {
        return arguments.length ? (alphaMin = +_, simulation2) : alphaMin;
      },
      alphaDecay: function(_) {
        return arguments.length ? (alphaDecay = +_, simulation2) : +alphaDecay;
      },
      alphaTarget: function(_) {
        return arguments.length ? (alphaTarget = +_, simulation2) : alphaTarget;
      },
      velocityDecay: function(_) {
        return arguments.length ? (velocityDecay = 1 - _, simulation2) : 1 - velocityDecay;
      },
      randomSource: function(_) {
        return arguments.length ? (random = _, forces.forEach(initializeForce), simulation2) : random;
      },
      force: function(name, _) {
        return arguments.length > 1 ? (_ == null ? forces.delete(name) : forces.set(name, initializeForce(_)), simulation2) : forces.get(name);
      },
      find: function(x2, y2, radius) {
        var i = 0, n = nodes.length, dx, dy, d2, node, closest;
        if (radius == null) radius = Infinity;
        else radius *= radius;
        for (i = 0; i < n; ++i) {
          node = nodes[i];
          dx = x2 - node.x;
          dy = y2 - node.y;
          d2 = dx * dx + dy * dy;
          if (d2 < radius) closest = node, radius = d2;
        }
        return closest;
      },
      on: function(name, _) {
        return arguments.length > 1 ? (event.on(name, _), simulation2) : event.on(name);
      }
    };
  }
  function manyBody() {
    var nodes, node, random, alpha, strength = constant(-30), strengths, distanceMin2 = 1, distanceMax2 = Infinity, theta2 = 0.81;
    function force(_) {
      var i, n = nodes.length, tree = quadtree(nodes, x$1, y$1).visitAfter(accumulate);
      for (alpha = _, i = 0; i < n; ++i) node = nodes[i], tree.visit(apply);
    }
    function initialize() {
      if (!nodes) return;
      var i, n = nodes.length, node2;
      strengths = new Array(n);
      for (i = 0; i < n; ++i) node2 = nodes[i], strengths[node2.index] = +strength(node2, i, nodes);
    }
    function accumulate(quad) {
      var strength2 = 0, q, c2, weight = 0, x2, y2, i;
      if (quad.length) {
        for (x2 = y2 = i = 0; i < 4; ++i) {
          if ((q = quad[i]) && (c2 = Math.abs(q.value))) {
            strength2 += q.value, weight += c2, x2 += c2 * q.x, y2 += c2 * q.y;
          }
        }
        quad.x = x2 / weight;
        quad.y = y2 / weight;
      } else {
        q = quad;
        q.x = q.data.x;
        q.y = q.data.y;
        do
          strength2 += strengths[q.data.index];
        while (q = q.next);
      }
      quad.value = strength2;
    }
    function apply(quad, x1, _, x2) {
      if (!quad.value) return true;
      var x3 = quad.x - node.x, y2 = quad.y - node.y, w = x2 - x1, l = x3 * x3 + y2 * y2;
      if (w * w / theta2 < l) {
        if (l < distanceMax2) {
          if (x3 === 0) x3 = jiggle(random), l += x3 * x3;
          if (y2 === 0) y2 = jiggle(random), l += y2 * y2;
          if (l < distanceMin2) l = Math.sqrt(distanceMin2 * l);
          node.vx += x3 * quad.value * alpha / l;
          node.vy += y2 * quad.value * alpha / l;
        }
        return true;
      } else if (quad.length || l >= distanceMax2) return;
      if (quad.data !== node || quad.next) {
        if (x3 === 0) x3 = jiggle(random), l += x3 * x3;
        if (y2 === 0) y2 = jiggle(random), l += y2 * y2;
        if (l < distanceMin2) l = Math.sqrt(distanceMin2 * l);
      }
      do
        if (quad.data !== node) {
          w = strengths[quad.data.index] * alpha / l;
          node.vx += x3 * w;
          node.vy += y2 * w;
        }
      while (quad = quad.next);
    }
    force.initialize = function(_nodes, _random) {
      nodes = _nodes;
      random = _random;
      initialize();
    };
    force.strength = function(_) {
      return arguments.length ? (strength = typeof _ === "function" ? _ : constant(+_), initialize(), force) : strength;
    };
    force.distanceMin = function(_) {
      return arguments.length ? (distanceMin2 = _ * _, force) : Math.sqrt(distanceMin2);
    };
    force.distanceMax = function(_) {
      return arguments.length ? (distanceMax2 = _ * _, force) : Math.sqrt(distanceMax2);
    };
    force.theta = function(_) {
      return arguments.length ? (theta2 = _ * _, force) : Math.sqrt(theta2);
    };
    return force;
  }
  function x(x2) {
    var strength = constant(0.1), nodes, strengths, xz;
    if (typeof x2 !== "function") x2 = constant(x2 == null ? 0 : +x2);
    function force(alpha) {
      for (var i = 0, n = nodes.length, node; i < n; ++i) {
        node = nodes[i], node.vx += (xz[i] - node.x) * strengths[i] * alpha;
      }
    }
    function initialize() {
      if (!nodes) return;
      var i, n = nodes.length;
      strengths = new Array(n);
      xz = new Array(n);
      for (i = 0; i < n; ++i) {
        strengths[i] = isNaN(xz[i] = +x2(nodes[i], i, nodes)) ? 0 : +strength(nodes[i], i, nodes);
      }
    }
    force.initialize = function(_) {
      nodes = _;
      initialize();
    };
    force.strength = function(_) {
      return arguments.length ? (strength = typeof _ === "function" ? _ : constant(+_), initialize(), force) : strength;
    };
    force.x = function(_) {
      return arguments.length ? (x2 = typeof _ === "function" ? _ : constant(+_), initialize(), force) : x2;
    };
    return force;
  }
  function y(y2) {
    var strength = constant(0.1), nodes, strengths, yz;
    if (typeof y2 !== "function") y2 = constant(y2 == null ? 0 : +y2);
    function force(alpha) {
      for (var i = 0, n = nodes.length, node; i < n; ++i) {
        node = nodes[i], node.vy += (yz[i] - node.y) * strengths[i] * alpha;
      }
    }
    function initialize() {
      if (!nodes) return;
      var i, n = nodes.length;
      strengths = new Array(n);
      yz = new Array(n);
      for (i = 0; i < n; ++i) {
        strengths[i] = isNaN(yz[i] = +y2(nodes[i], i, nodes)) ? 0 : +strength(nodes[i], i, nodes);
      }
    }
    force.initialize = function(_) {
      nodes = _;
      initialize();
    };
    force.strength = function(_) {
      return arguments.length ? (strength = typeof _ === "function" ? _ : constant(+_), initialize(), force) : strength;
    };
    force.y = function(_) {
      return arguments.length ? (y2 = typeof _ === "function" ? _ : constant(+_), initialize(), force) : y2;
    };
    return force;
  }

  // src/forces.js
  var steps = 260;
  function placed(items, links, nameOf) {
    const groups = [...new Set(items.map((i) => i.group))];
    const nodes = items.map((item, i) => {
      const turn = 2 * Math.PI * groups.indexOf(item.group) / groups.length;
      const far = 60 + 26 * Math.sqrt(items.length);
      const width = nameOf(item).length * 7 + 22;
      return { item, width, home: [1.5 * far * Math.cos(turn), far * Math.sin(turn)], x: 1.5 * far * Math.cos(turn) + i % 7, y: far * Math.sin(turn) + i % 5 };
    });
    const strength = links.length > 4 * items.length ? 5e-3 : 0.06;
    simulation(nodes).force("link", link(links.map((l) => ({ source: l.from, target: l.to }))).distance(130).strength(strength)).force("apart", manyBody().strength(-260).distanceMax(420)).force("room", collide((n) => n.width / 2 + 8).iterations(2)).force("x", x((n) => n.home[0]).strength(0.09)).force("y", y((n) => n.home[1]).strength(0.13)).stop().tick(steps);
    for (const n of nodes) [n.x, n.y] = [Math.round(n.x), Math.round(n.y * 0.75)];
    const left = Math.min(...nodes.map((n) => n.x - n.width / 2)) - 16;
    const right = Math.max(...nodes.map((n) => n.x + n.width / 2)) + 16;
    const top = Math.min(...nodes.map((n) => n.y)) - 28;
    const bottom = Math.max(...nodes.map((n) => n.y)) + 28;
    return { nodes, x: left, y: top, width: right - left, height: bottom - top };
  }

  // src/graph.js
  var mostNodes = 90;
  var mostLines = 110;
  var mostInColumn = 28;
  var GraphView = class {
    constructor(model2, state2, say2) {
      Object.assign(this, { model: model2, state: state2, say: say2 });
      this.spaces = new Set(model2.ends.filter((e) => e.kind !== "peer" && e.namespace).map((e) => e.namespace)).size;
      this.note = h("p", { class: "note" });
      this.drawing = h("div", { class: "drawing" });
      this.element = h("div", { class: "graph", role: "group", "aria-label": "Graph" }, this.note, this.drawing);
      state2.onChange(() => this.refresh());
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
      const { model: model2, state: state2 } = this;
      const keep = state2.from ? (e) => matches(model2.search[e], state2.from) : null;
      const items = (collapsed) => axis(model2, model2.rowGroups, { hidden: state2.hidden, collapsed, keep }).filter((i) => i.type !== "head");
      let middle = items(state2.collapsed);
      if (middle.length > mostInColumn) middle = items(new Set(model2.names));
      const peers = model2.doc.columns.map((e) => ({ type: "end", group: model2.ends[e].namespace, ends: [e] }));
      const sides = [peers.filter((p) => p.group === "open to"), peers.filter((p) => p.group !== "open to")];
      const height = Math.max(middle.length, 4) * 34 + 40;
      const nodes = [];
      [sides[0], middle, sides[1]].forEach((list, column) => list.forEach((item, n) => {
        nodes.push({ item, column, x: (column - 1) * 380, y: height * (n + 1) / (list.length + 1), width: boxWidth(this.name(item)) });
      }));
      const links = [];
      nodes.forEach((a2, from) => nodes.forEach((b, to) => {
        if (b.column !== a2.column + 1) return;
        const sum = a2.column ? model2.sum(a2.item.ends, b.item.ends) : model2.sum(b.item.ends, a2.item.ends);
        if (sum.passing) links.push({ from, to, sum, state: linkState(model2, sum) });
      }));
      fill(this.note, "On the left who is let in, on the right whom the workloads may reach.");
      const svg = this.svg({ nodes, x: -500, y: 0, width: 1e3, height }, links, links.length > mostLines);
      svg.classList.add("tall");
      svg.style.height = `${Math.max(height, 320)}px`;
      fill(this.drawing, svg);
    }
    // nodes are the items of both axes, each once.
    nodes(collapsed) {
      const { model: model2, state: state2 } = this;
      const groups = /* @__PURE__ */ new Map();
      for (const axisGroups of [model2.rowGroups, model2.columnGroups]) {
        for (const [g, ends] of axisGroups) groups.set(g, [.../* @__PURE__ */ new Set([...groups.get(g) ?? [], ...ends])]);
      }
      const query = [state2.from, state2.to].filter(Boolean);
      const items = axis(model2, groups, {
        hidden: state2.hidden,
        collapsed,
        keep: query.length ? (e) => query.some((q) => matches(model2.search[e], q)) || this.neighbour(e, query) : null
      });
      return items.filter((i) => i.type !== "head");
    }
    // neighbour reports whether an end is joined to one that is searched for.
    neighbour(e, query) {
      const { model: model2 } = this;
      this.found ??= /* @__PURE__ */ new Map();
      const key = query.join("\n");
      if (!this.found.has(key)) {
        this.found.clear();
        this.found.set(key, model2.ends.map((_, i) => i).filter((i) => query.some((q) => matches(model2.search[i], q))));
      }
      return this.found.get(key).some((o) => model2.at(e, o) >= 0 || model2.at(o, e) >= 0);
    }
    whole() {
      const { model: model2, state: state2 } = this;
      if (model2.kind === "exposure") return this.exposed();
      let collapsed = /* @__PURE__ */ new Set([...state2.collapsed, "outside"]);
      let nodes = this.nodes(collapsed);
      let note = "";
      if (nodes.length > mostNodes) {
        collapsed = new Set(model2.names);
        nodes = this.nodes(collapsed);
        note = `More than ${mostNodes} nodes would not be readable, so namespaces are drawn as one node each. `;
        const rest = nodes.length - mostNodes;
        if (rest > 0) {
          nodes = [...nodes].sort((a2, b) => b.ends.length - a2.ends.length).slice(0, mostNodes);
          note += `${count(rest, "small namespace")} left out: search, or filter. `;
        }
      }
      if (nodes.length === 0) {
        fill(this.note, nothing(model2));
        fill(this.drawing);
        return;
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
      const { model: model2 } = this;
      const way = (from, to) => {
        const sum = model2.sum(nodes[from].ends, nodes[to].ends);
        return sum.passing ? { from, to, sum, state: linkState(model2, sum) } : null;
      };
      const out = [];
      for (let a2 = 0; a2 < nodes.length; a2++) {
        for (let b = a2 + 1; b < nodes.length; b++) {
          const [there, back] = [way(a2, b), way(b, a2)];
          if (there && back && there.state === back.state) out.push({ ...there, back: back.sum });
          else out.push(...[there, back].filter(Boolean));
        }
      }
      return out;
    }
    name(item) {
      const { model: model2 } = this;
      if (item.type !== "end") return item.group === "outside" ? "outside" : `${item.group} (${item.ends.length})`;
      const end = model2.ends[item.ends[0]];
      const space = end.namespace && end.kind !== "peer" && this.spaces > 1 ? `${end.namespace}/` : "";
      return shortened(space + end.name, 32);
    }
    svg(layout, links, quiet) {
      const lines = links.map((l) => {
        const a2 = layout.nodes[l.from];
        const b = layout.nodes[l.to];
        const go = () => this.pick(a2.item, b.item);
        const [from, to] = [title(this.model, a2.item), title(this.model, b.item)];
        const label = `${from} to ${to}: ${sumText(this.model, l.sum)}` + (l.back ? `
${to} to ${from}: ${sumText(this.model, l.back)}` : "");
        return h("path", { class: `edge ${l.state}`, d: curve(a2, b), "data-from": l.from, "data-to": l.to, "marker-end": `url(#end-${l.state})`, "marker-start": l.back ? `url(#end-${l.state})` : null, onclick: go }, h("title", {}, label));
      });
      const svg = h("svg", {
        viewBox: `${layout.x} ${layout.y} ${layout.width} ${layout.height}`,
        class: quiet ? "quiet" : "",
        role: "group",
        "aria-label": "Nodes are namespaces and workloads; lines lead to whom they reach."
      }, markers(), h("g", {}, lines), h("g", {}, layout.nodes.map((n, i) => this.node(n, i, links.filter((l) => l.from === i || l.to === i).length))));
      svg.style.maxWidth = `${Math.max(layout.width * 1.15, 320)}px`;
      const light = (e) => {
        const n = e.target.closest?.(".node")?.dataset.node;
        svg.classList.toggle("pointed", n !== void 0);
        for (const p of svg.querySelectorAll(".edge")) p.classList.toggle("lit", n !== void 0 && (p.dataset.from === n || p.dataset.to === n));
      };
      for (const kind of ["mouseover", "focusin"]) svg.addEventListener(kind, light);
      for (const kind of ["mouseleave", "focusout"]) svg.addEventListener(kind, () => light({ target: svg }));
      return svg;
    }
    node(n, i, degree) {
      const { model: model2, state: state2 } = this;
      const go = () => state2.set({ row: itemKey(model2, n.item), column: null });
      const kind = n.item.type === "end" ? model2.ends[n.item.ends[0]].kind : n.item.group === "outside" ? "outside" : "group";
      return h(
        "g",
        {
          class: `node ${kind}`,
          "data-node": i,
          tabindex: "0",
          role: "button",
          transform: `translate(${n.x} ${n.y})`,
          "aria-label": `${title(model2, n.item)}, ${count(degree, "line")}`,
          onclick: go,
          onkeydown: (e) => (e.key === "Enter" || e.key === " ") && (e.preventDefault(), go())
        },
        h("rect", { x: -n.width / 2, y: -12, width: n.width, height: 24, rx: n.item.type === "end" ? 12 : 5 }),
        h("text", { "text-anchor": "middle", y: 4 }, this.name(n.item)),
        h("title", {}, title(model2, n.item))
      );
    }
    pick(a2, b) {
      const [row, column] = this.model.ends[a2.ends[0]].kind === "peer" ? [b, a2] : [a2, b];
      this.state.set({ row: itemKey(this.model, row), column: itemKey(this.model, column) });
    }
    // around is one end, or one namespace, with its neighbours.
    around(focus) {
      const { model: model2 } = this;
      const sides = [this.side(focus, true), this.side(focus, false)];
      const back = h("button", { type: "button", onclick: () => this.state.set({ row: null, column: null }) }, "Back to the whole");
      const words = model2.kind === "list" ? ["can reach it", "it can reach"] : ["change towards it", "from it change"];
      fill(this.note, back, ` ${count(sides[0].ends, "end")} ${words[0]}, ${words[1]} ${sides[1].ends}.`);
      const most = Math.max(sides[0].items.length, sides[1].items.length, 1);
      const height = most * 34 + 40;
      const here = { item: focus, x: 0, y: height / 2, width: boxWidth(this.name(focus)) };
      const nodes = [here];
      const links = [];
      sides.forEach(({ items }, right) => {
        items.forEach((item, n) => {
          const at = { item, x: right ? 380 : -380, y: height * (n + 1) / (items.length + 1), width: boxWidth(this.name(item)) };
          const [from, to] = right ? [0, nodes.length] : [nodes.length, 0];
          const sum = right ? model2.sum(focus.ends, item.ends) : model2.sum(item.ends, focus.ends);
          nodes.push(at);
          links.push({ from, to, sum, state: linkState(model2, sum) });
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
      const { model: model2, state: state2 } = this;
      const list = coming ? model2.doc.rows : model2.doc.columns;
      const ends = list.filter((e) => !state2.hidden.has(groupOf(model2.ends[e])) && !focus.ends.includes(e) && focus.ends.some((f) => (coming ? model2.at(e, f) : model2.at(f, e)) >= 0));
      const groups = /* @__PURE__ */ new Map();
      for (const e of ends) {
        const g = groupOf(model2.ends[e]);
        groups.set(g, [...groups.get(g) ?? [], e]);
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
    ports(link2, nodes) {
      const far = link2.from === 0 ? nodes[link2.to] : nodes[link2.from];
      const labels = /* @__PURE__ */ new Set();
      for (const a2 of nodes[link2.from].item.ends) {
        for (const b of nodes[link2.to].item.ends) {
          const value = this.model.value(a2, b);
          if (value) labels.add(value.label);
        }
      }
      const text = [...labels].sort().join(" or ");
      const near = far.x < 0 ? far.x + far.width / 2 + 12 : far.x - far.width / 2 - 16;
      return h("text", { class: "ports", x: near, y: far.y - 5, "text-anchor": far.x < 0 ? "start" : "end" }, shortened(text, 40));
    }
  };
  var boxWidth = (text) => text.length * 7 + 22;
  function linkState(model2, sum) {
    const found = Object.keys(sum.states);
    if (found.length === 1) return found[0];
    return model2.kind === "diff" ? "changed" : "some";
  }
  function curve(a2, b) {
    const [dx, dy] = [b.x - a2.x, b.y - a2.y];
    const far = Math.hypot(dx, dy) || 1;
    const bend = Math.min(24, far * 0.12);
    const mid = { x: (a2.x + b.x) / 2 - dy / far * bend, y: (a2.y + b.y) / 2 + dx / far * bend };
    const inside = (box) => Math.abs(mid.x - box.x) < box.width / 2 + 8 && Math.abs(mid.y - box.y) < 20;
    const aim = inside(a2) || inside(b);
    const from = border(a2, aim ? b : mid, 1);
    const to = border(b, aim ? a2 : mid, 5);
    if (aim) return `M${from.x} ${from.y}L${to.x} ${to.y}`;
    return `M${from.x} ${from.y}Q${Math.round(mid.x)} ${Math.round(mid.y)} ${to.x} ${to.y}`;
  }
  function border(box, point, gap) {
    const [dx, dy] = [point.x - box.x, point.y - box.y];
    const t = Math.min((box.width / 2 + gap) / Math.abs(dx || 1e-6), (12 + gap) / Math.abs(dy || 1e-6), 1);
    return { x: Math.round(box.x + dx * t), y: Math.round(box.y + dy * t) };
  }
  function markers() {
    const names = ["all", "some", "depends", "added", "removed", "changed"];
    return h("defs", {}, names.map((n) => h("marker", { id: `end-${n}`, class: `head ${n}`, viewBox: "0 0 8 8", refX: 5, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, h("path", { d: "M0 0L8 4L0 8z" }))));
  }

  // src/marks.js
  function marks(painter, state2, x2, y2, size, share) {
    const { pen, colours } = painter;
    const inset = size >= 8 ? 1.5 : size >= 5 ? 0.5 : 0;
    const whole = size - 2 * inset;
    const draw = shapes[state2];
    if (!draw) return;
    const side = share >= 1 ? whole : Math.max(Math.min(3, whole), whole * Math.sqrt(share));
    const off = inset + (whole - side) / 2 + (size >= 8 ? 0.5 : 0);
    draw(painter, pen, colours, x2 + off, y2 + off, side, size);
  }
  function square(pen, x2, y2, side) {
    if (side < 8) {
      pen.fillRect(x2, y2, side, side);
      return;
    }
    pen.beginPath();
    pen.roundRect(x2, y2, side, side, 2);
    pen.fill();
  }
  function sign(pen, colour, x2, y2, side, strokes) {
    if (side < 8) return;
    pen.strokeStyle = colour;
    pen.lineWidth = Math.max(1.5, side / 9);
    pen.beginPath();
    for (const [ax, ay, bx, by] of strokes) {
      pen.moveTo(x2 + ax * side, y2 + ay * side);
      pen.lineTo(x2 + bx * side, y2 + by * side);
    }
    pen.stroke();
  }
  var level = [0.22, 0.5, 0.78, 0.5];
  var wave = [[0.18, 0.58, 0.4, 0.42], [0.4, 0.42, 0.6, 0.58], [0.6, 0.58, 0.82, 0.42]];
  var upright = [0.5, 0.22, 0.5, 0.78];
  function hatch(painter, colour, ground) {
    const key = `${colour} ${ground}`;
    if (!painter.patterns.has(key)) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 6;
      const pen = tile.getContext("2d");
      if (ground) {
        pen.globalAlpha = 0.25;
        pen.fillStyle = ground;
        pen.fillRect(0, 0, 6, 6);
        pen.globalAlpha = 1;
      }
      pen.strokeStyle = colour;
      pen.lineWidth = 1.8;
      pen.beginPath();
      for (const at of [-6, 0, 6]) {
        pen.moveTo(at - 1, 7);
        pen.lineTo(at + 7, -1);
      }
      pen.stroke();
      painter.patterns.set(key, painter.pen.createPattern(tile, "repeat"));
    }
    return painter.patterns.get(key);
  }
  var shapes = {
    all(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = colours.all;
      square(pen, x2, y2, side);
    },
    // Some ports: a smaller square in a lighter colour.
    some(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = colours.some;
      const inner = side >= 8 ? side * 0.62 : side;
      square(pen, x2 + (side - inner) / 2, y2 + (side - inner) / 2, inner);
    },
    depends(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = side >= 7 ? hatch(painter, colours.depends, colours.depends) : colours.depends;
      square(pen, x2, y2, side);
    },
    added(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = colours.added;
      square(pen, x2, y2, side);
      sign(pen, colours.paper, x2, y2, side, [level, upright]);
    },
    removed(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = colours.removed;
      square(pen, x2, y2, side);
      sign(pen, colours.paper, x2, y2, side, [level]);
    },
    changed(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = colours.changed;
      square(pen, x2, y2, side);
      sign(pen, colours.paper, x2, y2, side, wave);
    },
    unasked(painter, pen, colours, x2, y2, side) {
      pen.fillStyle = colours.unasked;
      pen.fillRect(x2 - 1, y2 - 1, side + 2, side + 2);
    },
    self(painter, pen, colours, x2, y2, side) {
      if (side < 5) return;
      pen.strokeStyle = colours.quiet;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.arc(x2 + side / 2, y2 + side / 2, Math.min(3, side / 4), 0, 2 * Math.PI);
      pen.stroke();
    }
  };

  // src/paint.js
  var angle = Math.PI / 3;
  var family = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
  var longest = 34;
  var Painter = class {
    constructor(canvas, model2) {
      this.canvas = canvas;
      this.model = model2;
      this.pen = canvas.getContext("2d");
      this.slope = 1 / Math.tan(angle);
      this.colours = {};
      this.patterns = /* @__PURE__ */ new Map();
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
      return `${item.type === "head" ? "\u25BE" : "\u25B8"} ${name} (${item.ends.length})`;
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
      const header2 = Math.min(width(columns) + 14, 250);
      this.top = Math.ceil(Math.min(header2 * Math.sin(angle), box.clientHeight * 0.42));
      this.lean = Math.ceil(this.top * this.slope) + 16;
    }
    draw(view2) {
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
      if (view2.rows.length === 0 || view2.columns.length === 0) {
        pen.fillStyle = this.colours.ink;
        pen.font = this.font(14, false);
        pen.fillText(nothing(this.model), 20, 40);
        return;
      }
      const seen = {
        width,
        height,
        rows: visible(view2.rows.length, view2.y, height - this.top, view2.size),
        columns: visible(view2.columns.length, view2.x, width - this.left, view2.size),
        x: (c2) => this.left + c2 * view2.size - view2.x,
        y: (r) => this.top + r * view2.size - view2.y
      };
      pen.save();
      pen.beginPath();
      pen.rect(this.left, this.top, width, height);
      pen.clip();
      this.bands(view2, seen);
      this.cells(view2, seen);
      this.cursor(view2, seen);
      pen.restore();
      this.rowNames(view2, seen);
      this.columnNames(view2, seen);
      this.corner();
    }
    // bands are the headings' lanes, and the lanes of what is under the mouse.
    bands(view2, seen) {
      const { pen, colours } = this;
      const right = Math.min(seen.width, seen.x(view2.columns.length));
      const bottom = Math.min(seen.height, seen.y(view2.rows.length));
      const lane = (isRow, n) => {
        if (isRow) pen.fillRect(this.left, seen.y(n), right - this.left, view2.size);
        else pen.fillRect(seen.x(n), this.top, view2.size, bottom - this.top);
      };
      pen.fillStyle = colours.band;
      for (let r = seen.rows[0]; r < seen.rows[1]; r++) if (view2.rows[r].type === "head") lane(true, r);
      for (let c2 = seen.columns[0]; c2 < seen.columns[1]; c2++) if (view2.columns[c2].type === "head") lane(false, c2);
      pen.fillStyle = colours.mark;
      for (const at of [view2.hover && [view2.hover.row, view2.hover.column], view2.chosen || view2.focused ? view2.cursor : null]) {
        if (!at) continue;
        if (at[0] >= 0) lane(true, at[0]);
        if (at[1] >= 0) lane(false, at[1]);
      }
      if (view2.size < 8) return;
      pen.strokeStyle = colours.rule;
      pen.lineWidth = 1;
      pen.beginPath();
      for (let r = seen.rows[0]; r <= seen.rows[1]; r++) {
        const y2 = Math.round(seen.y(r)) + 0.5;
        pen.moveTo(this.left, y2);
        pen.lineTo(right, y2);
      }
      for (let c2 = seen.columns[0]; c2 <= seen.columns[1]; c2++) {
        const x2 = Math.round(seen.x(c2)) + 0.5;
        pen.moveTo(x2, this.top);
        pen.lineTo(x2, bottom);
      }
      pen.stroke();
    }
    cells(view2, seen) {
      for (let r = seen.rows[0]; r < seen.rows[1]; r++) {
        const row = view2.rows[r];
        if (row.type === "head") continue;
        const y2 = seen.y(r);
        for (let c2 = seen.columns[0]; c2 < seen.columns[1]; c2++) {
          const column = view2.columns[c2];
          if (column.type === "head") continue;
          const { state: state2, share } = this.looks(row, column);
          if (state2 !== "denied") marks(this, state2, seen.x(c2), y2, view2.size, share);
        }
      }
    }
    // looks is the state that a cell is drawn with, and the share of it that passes.
    looks(row, column) {
      if (row.type === "end" && column.type === "end") return { state: this.model.state(row.ends[0], column.ends[0]), share: 1 };
      row.sums ??= /* @__PURE__ */ new Map();
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
      const states2 = Object.keys(sum.states);
      const mixed = this.model.kind === "diff" ? "changed" : "some";
      return { state: states2.length === 1 ? states2[0] : mixed, share: sum.passing / sum.all };
    }
    cursor(view2, seen) {
      const { pen, colours } = this;
      if (!view2.focused && !view2.chosen) return;
      const [r, c2] = view2.cursor;
      pen.strokeStyle = colours.focus;
      pen.lineWidth = 2;
      pen.strokeRect(seen.x(c2) - 0.5, seen.y(r) - 0.5, view2.size + 2, view2.size + 2);
    }
    rowNames(view2, seen) {
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
        const item = view2.rows[r];
        const text = this.label(item, view2.size);
        const y2 = seen.y(r) + view2.size / 2;
        if (!text || view2.size < 11 && y2 < free) continue;
        free = y2 + 12;
        this.lit(view2, r, true, item, () => pen.fillRect(0, seen.y(r), this.left, view2.size));
        pen.fillText(text, item.type === "end" ? 24 : 10, y2 + 0.5);
      }
      pen.restore();
    }
    columnNames(view2, seen) {
      const { pen, colours } = this;
      pen.save();
      pen.fillStyle = colours.paper;
      pen.fillRect(0, 0, seen.width, this.top);
      pen.beginPath();
      pen.moveTo(this.left - 10, this.top);
      pen.lineTo(this.left - 10 + this.top * this.slope, 0);
      pen.lineTo(seen.width, 0);
      pen.lineTo(seen.width, this.top);
      pen.clip();
      pen.textBaseline = "middle";
      let free = -Infinity;
      for (let c2 = seen.columns[0]; c2 < seen.columns[1]; c2++) {
        const item = view2.columns[c2];
        const text = this.label(item, view2.size);
        const x2 = seen.x(c2) + view2.size / 2;
        if (!text || view2.size < 11 && x2 < free) continue;
        free = x2 + 14;
        pen.save();
        pen.translate(x2, this.top - 4);
        pen.rotate(-angle);
        this.lit(view2, c2, false, item, () => pen.fillRect(-2, -9, pen.measureText(text).width + 9, 18));
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
    lit(view2, n, isRow, item, mark) {
      const { pen, colours } = this;
      const at = isRow ? 0 : 1;
      pen.font = this.font(this.textSize(view2.size), item.type !== "end");
      const hovered = view2.hover && (isRow ? view2.hover.row : view2.hover.column) === n;
      const current = (view2.focused || view2.chosen) && view2.cursor[at] === n;
      if (hovered || current) {
        pen.fillStyle = colours.mark;
        mark();
      }
      const outside = item.type === "end" && groupOf(this.model.ends[item.ends[0]]) === "outside";
      pen.fillStyle = outside && !current ? colours.quiet : colours.ink;
    }
    corner() {
      const { pen, colours } = this;
      pen.fillStyle = colours.paper;
      pen.fillRect(0, 0, this.left - 1, this.top - 1);
      pen.fillStyle = colours.quiet;
      pen.font = this.font(11, false);
      pen.textBaseline = "alphabetic";
      if (this.model.kind === "exposure") return;
      pen.fillText("from \u2193", 10, this.top - 10);
      pen.textAlign = "right";
      pen.fillText("to \u2192", this.left - 10, this.top - 10);
      pen.textAlign = "left";
    }
  };
  function visible(count2, scrolled, shown, size) {
    return [Math.max(0, Math.floor(scrolled / size)), Math.min(count2, Math.ceil((scrolled + shown) / size))];
  }

  // src/matrix.js
  var sizes = [2, 3, 5, 8, 11, 15, 19, 24, 30, 38];
  var usual = [15, 19, 24, 30];
  var MatrixView = class {
    constructor(model2, state2, say2, open) {
      Object.assign(this, { model: model2, state: state2, say: say2, open });
      this.size = 0;
      this.hover = null;
      this.row = 0;
      this.column = 0;
      this.rows = [];
      this.columns = [];
      this.canvas = h("canvas", { "aria-hidden": "true" });
      this.painter = new Painter(this.canvas, model2);
      this.spacer = h("div", { class: "spacer" });
      this.cell = h("span", { role: "gridcell", id: "cell-now", class: "offscreen" });
      this.tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
      this.scroller = h("div", {
        class: "scroller",
        tabindex: "0",
        role: "grid",
        "aria-activedescendant": "cell-now",
        id: "grid",
        "aria-label": "Matrix. Rows are where connections come from, columns where they go to. Arrow keys move, Enter explains."
      }, this.spacer, h("div", { role: "row" }, this.cell));
      this.element = h("div", { class: "matrix" }, this.canvas, this.scroller, this.tip);
      this.listen();
      state2.onChange(() => this.refresh());
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
      const { model: model2, state: state2 } = this;
      const keepRow = state2.connected ? this.connected(true) : null;
      const keepColumn = state2.connected ? this.connected(false) : null;
      const common = { hidden: state2.hidden, collapsed: state2.collapsed };
      this.rows = axis(model2, model2.rowGroups, { ...common, query: state2.from, keep: keepRow });
      const columns = model2.kind === "exposure" ? { hidden: /* @__PURE__ */ new Set(), collapsed: /* @__PURE__ */ new Set() } : common;
      this.columns = axis(model2, model2.columnGroups, { ...columns, query: state2.to, keep: keepColumn });
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
      const { model: model2, state: state2 } = this;
      const query = isRow ? state2.to : state2.from;
      const others = (isRow ? model2.doc.columns : model2.doc.rows).filter((o) => !state2.hidden.has(groupOf(model2.ends[o])) && (!query || matches(model2.search[o], query)));
      return (e) => others.some((o) => (isRow ? model2.at(e, o) : model2.at(o, e)) >= 0);
    }
    // place finds what is chosen on the axes.
    place() {
      const row = target(this.model, this.state.row);
      const column = target(this.model, this.state.column);
      const find2 = (items, t, was2) => {
        if (!t) return Math.min(was2, Math.max(items.length - 1, 0));
        const at = t.type === "end" ? indexOf(items, t.ends[0], t.group) : items.findIndex((i) => i.type !== "end" && i.group === t.group);
        return at < 0 ? Math.min(was2, Math.max(items.length - 1, 0)) : at;
      };
      const was = [this.row, this.column];
      this.row = find2(this.rows, row, this.row);
      this.column = find2(this.columns, column, this.column);
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
        rows: this.rows,
        columns: this.columns,
        size: this.size,
        hover: this.hover,
        cursor: [this.row, this.column],
        focused: document.activeElement === this.scroller,
        chosen: !!(chosenRow && chosenColumn),
        x: this.scroller.scrollLeft,
        y: this.scroller.scrollTop
      });
    }
    // hit is the row and column under the mouse; -1 where it is on names.
    hit(event) {
      const box = this.element.getBoundingClientRect();
      const x2 = event.clientX - box.left;
      const y2 = event.clientY - box.top;
      const { left, top } = this.painter;
      let column = x2 < left ? -1 : Math.floor((x2 - left + this.scroller.scrollLeft) / this.size);
      const row = y2 < top ? -1 : Math.floor((y2 - top + this.scroller.scrollTop) / this.size);
      if (row < 0 && column >= 0) column = Math.floor((x2 - left - (top - y2) * this.painter.slope + this.scroller.scrollLeft) / this.size);
      if (row >= this.rows.length || column >= this.columns.length || row < 0 && column < 0) return null;
      return { row, column };
    }
    point(hit, event) {
      this.hover = hit;
      this.later();
      const row = hit && this.rows[hit.row];
      const column = hit && this.columns[hit.column];
      const text = row && column ? row.type === "head" || column.type === "head" ? "" : spoken(this.model, row, column) : this.nameTip(row ?? column);
      this.tip.hidden = !text;
      if (!text) return;
      this.tip.textContent = text;
      const box = this.element.getBoundingClientRect();
      const x2 = event.clientX - box.left;
      const y2 = event.clientY - box.top;
      this.tip.style.left = `${Math.max(0, Math.min(x2 + 14, box.width - this.tip.offsetWidth - 8))}px`;
      this.tip.style.top = `${y2 + 18 + this.tip.offsetHeight > box.height ? y2 - this.tip.offsetHeight - 10 : y2 + 18}px`;
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
      const page2 = (n) => Math.max(1, Math.floor(n / this.size) - 1);
      const box = this.scroller;
      const moves = {
        ArrowUp: [-1, 0],
        ArrowDown: [1, 0],
        ArrowLeft: [0, -1],
        ArrowRight: [0, 1],
        PageUp: [-page2(box.clientHeight - this.painter.top), 0],
        PageDown: [page2(box.clientHeight - this.painter.top), 0],
        Home: [0, -Infinity],
        End: [0, Infinity]
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
        return this.painter.left + this.columns.length * size + this.painter.lean <= box.clientWidth && this.painter.top + this.rows.length * size + 12 <= box.clientHeight;
      };
      return [...of].reverse().find(fits) ?? of[0];
    }
  };
  function step(items, at, by) {
    if (items.length === 0) return 0;
    const to = Math.max(0, Math.min(items.length - 1, at + by));
    const way = by < 0 ? -1 : 1;
    for (let i = to; items[i]; i += way) if (items[i].type !== "head") return i;
    for (let i = to; items[i]; i -= way) if (items[i].type !== "head") return i;
    return at;
  }

  // src/state.js
  var views = ["matrix", "graph", "table", "entries"];
  var State = class {
    constructor(model2) {
      this.model = model2;
      this.listeners = [];
      this.defaults();
    }
    defaults() {
      this.view = "matrix";
      this.from = "";
      this.to = "";
      this.hidden = /* @__PURE__ */ new Set();
      this.connected = false;
      this.collapsed = new Set(this.model.doc.rows.length > 150 ? this.model.names : []);
      this.row = null;
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
    toggle(set2, group) {
      const next = new Set(this[set2]);
      if (!next.delete(group)) next.add(group);
      this.set({ [set2]: next });
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
      const model2 = this.model;
      this.view = views.includes(p.get("view")) && (p.get("view") !== "entries" || model2.doc.entries) ? p.get("view") : "matrix";
      this.from = p.get("search-from") ?? "";
      this.to = p.get("search-to") ?? "";
      this.connected = p.get("connected") === "yes";
      this.hidden = new Set(p.getAll("without").filter((g) => model2.names.includes(g)));
      this.row = p.get("from");
      this.column = p.get("to");
      for (const key of [this.row, this.column]) {
        const e = model2.byKey.get(key);
        if (e === void 0) continue;
        const end = model2.ends[e];
        const group = end.kind === "outside" || end.kind === "nodes" ? end.kind : end.namespace;
        this.collapsed.delete(group);
        this.hidden.delete(group);
      }
      for (const f of this.listeners) f("read");
    }
  };

  // src/table.js
  var page = 100;
  var mostNames = 8;
  var TableView = class {
    constructor(model2, state2) {
      Object.assign(this, { model: model2, state: state2 });
      this.shown = page;
      this.lines = model2.doc.cells.map((b) => ({ value: b.value, rows: listRuns(b.rows), columns: listRuns(b.columns) }));
      this.element = h("div", { class: "lines-table", tabindex: "0", role: "region", "aria-label": "Lines" });
      state2.onChange(() => {
        this.shown = page;
        this.refresh();
      });
      window.addEventListener("beforeprint", () => {
        Object.assign(this, { shown: 3e3, printed: true });
        this.refresh(true);
      });
      window.addEventListener("afterprint", () => {
        Object.assign(this, { shown: page, printed: false });
        this.refresh();
      });
    }
    refresh(always) {
      if (!always && this.state.view !== "table") return;
      const { model: model2, state: state2 } = this;
      const keep = (query) => (e) => !state2.hidden.has(groupOf(model2.ends[e])) && (!query || matches(model2.search[e], query));
      const peers = model2.kind === "exposure";
      const lines = this.lines.map((l) => ({ ...l, rows: l.rows.filter(keep(state2.from)), columns: peers ? l.columns : l.columns.filter(keep(state2.to)) })).filter((l) => l.rows.length && l.columns.length);
      const heads = peers ? ["Workloads", "Peers", "Ports", "State"] : ["From", "To", "Ports", model2.kind === "diff" ? "Change" : "State"];
      fill(
        this.element,
        h(
          "table",
          {},
          h("caption", {}, `${count(lines.length, "line")}. What stands on none is ${states[model2.kind].denied}.`),
          h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)), h("th", { scope: "col" }, "By"))),
          h("tbody", {}, lines.slice(0, this.shown).map((l) => this.line(l)))
        ),
        lines.length > this.shown ? h("button", { type: "button", class: "more", onclick: () => this.more() }, `Show ${Math.min(page, lines.length - this.shown)} more of ${lines.length - this.shown}`) : null
      );
    }
    more() {
      this.shown += page;
      this.refresh();
    }
    line(l) {
      const { model: model2, state: state2 } = this;
      const value = model2.doc.values[l.value];
      const columns = l.columns.map((e) => model2.ends[e].name);
      const peers = value.parts.map((p) => p.title).filter((text) => text && !columns.includes(text));
      const go = () => state2.set({ row: model2.keys[l.rows[0]], column: model2.keys[l.columns[0]] });
      return h(
        "tr",
        {},
        h("td", {}, this.names(l.rows, model2.rowGroups)),
        h("td", {}, this.names(l.columns, model2.columnGroups), this.folded(peers.map((p) => h("div", { class: "name" }, p)), 4)),
        h("td", {}, h("button", { type: "button", class: "link", onclick: go, "aria-label": `Explain ${value.label}` }, value.label)),
        h("td", {}, h("span", { class: `swatch ${value.state}`, "aria-hidden": "true" }), states[model2.kind][value.state]),
        h("td", {}, this.by(value))
      );
    }
    // names says "all of namespace x" where it is all of them.
    names(ends, groups) {
      const { model: model2 } = this;
      const byGroup = /* @__PURE__ */ new Map();
      for (const e of ends) {
        const g = groupOf(model2.ends[e]);
        byGroup.set(g, [...byGroup.get(g) ?? [], e]);
      }
      const out = [];
      for (const [g, of] of byGroup) {
        const whole = groups.get(g)?.length === of.length && of.length > 2;
        if (whole) out.push(h("div", { class: "name" }, g === "outside" ? "internet" : `all ${of.length} of ${g}`));
        else out.push(...of.map((e) => h("div", { class: "name", title: endTitle(model2, e) }, model2.plain[e] || endTitle(model2, e))));
      }
      return this.folded(out, mostNames);
    }
    by(value) {
      const { model: model2 } = this;
      const found = /* @__PURE__ */ new Set();
      for (const p of value.parts) {
        for (const s of p.stretches ?? []) {
          for (const r of [...s.egress?.rules ?? [], ...s.ingress?.rules ?? [], ...(s.causes ?? []).map((c2) => c2.rule)]) {
            if (r >= 0) found.add(r);
          }
        }
      }
      if (found.size === 0) return "no policy";
      const said = /* @__PURE__ */ new Map();
      for (const n of found) {
        const r = model2.doc.rules[n];
        const p = model2.doc.policies[r.policy];
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
      const summary2 = h("summary", {}, `${rest.length} more`);
      const open = (e) => e.target.open && e.target.childElementCount === 1 && e.target.append(...rest);
      return [list.slice(0, most - 1), h("details", { ontoggle: open }, summary2)];
    }
  };

  // src/main.js
  var model = new Model(JSON.parse(document.getElementById("data").textContent));
  var state = new State(model);
  var live = h("div", { class: "offscreen", role: "status", "aria-live": "polite" });
  var say = (text) => {
    live.textContent = text;
  };
  var detail = new Detail(model, state, say);
  var matrix = new MatrixView(model, state, say, () => detail.focus());
  var graph = new GraphView(model, state, say);
  var table = new TableView(model, state);
  var parts = { matrix, graph, table };
  if (model.doc.entries) parts.entries = new EntriesView(model, state);
  var themes = ["auto", "light", "dark"];
  function remembered() {
    try {
      return localStorage.getItem("sluice-theme") ?? "auto";
    } catch {
      return "auto";
    }
  }
  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    themeButton.textContent = { auto: "\u25D0 Auto", light: "\u25CB Light", dark: "\u25CF Dark" }[theme];
    themeButton.setAttribute("aria-label", `Colours: ${theme}`);
    try {
      localStorage.setItem("sluice-theme", theme);
    } catch {
    }
    matrix.painter.theme();
    matrix.later();
  }
  var themeButton = h("button", { type: "button", id: "theme", onclick: () => setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]) });
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
    const set2 = (all) => () => state.set({ hidden: new Set(all ? [] : model.names) });
    const menu = h("details", { class: "menu", id: "namespaces" }, heading, h(
      "div",
      { class: "choices" },
      h("div", { class: "tools" }, h("button", { type: "button", onclick: set2(true) }, "All"), h("button", { type: "button", onclick: set2(false) }, "None")),
      boxes.map((b) => b.label)
    ));
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
    const buttons = Object.entries(names).map(([view2, name]) => h("button", { type: "button", role: "tab", id: `tab-${view2}`, "aria-controls": "view", onclick: () => state.set({ view: view2 }) }, name));
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
  var extent = h("li", { class: "extent", id: "extent" });
  function matrixTools() {
    const connected = h("input", { type: "checkbox", id: "connected", onchange: () => state.set({ connected: connected.checked }) });
    state.onChange(() => {
      connected.checked = state.connected;
    });
    const button = (name, label, f) => h("button", { type: "button", title: label, "aria-label": label, onclick: f }, name);
    const tools = h(
      "div",
      { class: "group" },
      button("\u2212", "Smaller cells (-)", () => matrix.zoom(-1)),
      button("Fit", "Fit everything in (0)", () => matrix.fit()),
      button("+", "Larger cells (+)", () => matrix.zoom(1))
    );
    const folds = h(
      "div",
      { class: "group" },
      button("Collapse", "Collapse all namespaces", () => state.collapseAll(true)),
      button("Expand", "Open all namespaces", () => state.collapseAll(false))
    );
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
  var view = h("div", { class: "view", id: "view", role: "tabpanel" }, Object.values(parts).map((p) => p.element));
  var help = "Keys: / search, arrows move, Enter explains, Esc back, c collapse, + \u2212 0 size";
  function header() {
    const { doc } = model;
    return h(
      "header",
      {},
      h(
        "div",
        { class: "heading" },
        h("h1", {}, doc.title),
        h("p", { class: "summary" }, summary(model)),
        doc.command ? h("code", { class: "command" }, doc.command) : null
      ),
      themeButton
    );
  }
  function toolbar() {
    const exposure = model.kind === "exposure";
    return h(
      "div",
      { class: "toolbar", role: "search", "aria-label": "Search and filters" },
      tabs(),
      searchField("from", exposure ? "Search" : "From", "name or label ( / )"),
      exposure ? null : searchField("to", "To", "name, label, internet"),
      namespaceFilter(),
      matrixTools()
    );
  }
  fill(
    document.getElementById("app"),
    header(),
    toolbar(),
    legendList(),
    h("main", { class: model.kind }, view, detail.element),
    h("footer", {}, h("span", { class: "keys" }, help), h("span", {}, `Sluice ${model.doc.version ?? ""}`)),
    live
  );
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
      "+": () => matrix.zoom(1),
      "=": () => matrix.zoom(1),
      "-": () => matrix.zoom(-1),
      0: () => matrix.fit(),
      m: () => state.set({ view: "matrix" }),
      g: () => state.set({ view: "graph" }),
      t: () => state.set({ view: "table" }),
      ...model.doc.entries ? { e: () => state.set({ view: "entries" }) } : {}
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
})();
