// The whole explanation of what is chosen, beside the view.

import { endTitle, target, title } from "./axis.js";
import { copy, count, fill, h } from "./dom.js";
import { effect, pairTitle, sideText, states, sumText } from "./words.js";

const mostListed = 60;

export class Detail {
  constructor(model, state, say) {
    this.model = model;
    this.state = state;
    this.say = say;
    this.element = h("aside", { class: "detail", "aria-label": "Explanation", id: "detail" });
    state.onChange(() => this.draw());
  }

  focus() {
    this.element.querySelector("h2")?.focus();
  }

  draw() {
    const { model, state } = this;
    const row = target(model, state.row);
    const column = target(model, state.column);
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
      doc.notices?.length
        ? h("details", { class: "notices" }, h("summary", {}, count(doc.notices.length, "notice")), h("ul", {}, doc.notices.map((n) => h("li", {}, n))))
        : null,
    ];
  }

  // unisolated is what no policy isolates in a direction: the first thing to look at.
  unisolated(direction) {
    const { model, state } = this;
    const all = [...new Set([...model.doc.rows, ...model.doc.columns])].filter((e) => model.ends[e].kind === "pods");
    const open = all.filter((e) => !model.ends[e][direction]?.length);
    const heading = `${open.length ? count(open.length, "workload") : "No workload"} without isolation in direction ${direction}`;
    if (open.length === 0) return h("p", {}, `${heading}.`);
    const go = (e) => () => state.set({ row: model.keys[e], column: null });
    return h("details", { class: "notices" }, h("summary", {}, heading), h("ul", { class: "lines" },
      open.slice(0, mostListed).map((e) => h("li", {}, h("button", { type: "button", class: "line", onclick: go(e) }, endTitle(model, e)))),
      open.length > mostListed ? h("li", {}, `and ${open.length - mostListed} more`) : null));
  }

  changedPolicies() {
    const list = this.model.doc.changed;
    const line = (p) => h("li", {}, h("span", { class: "name" }, `${p.namespace}/${p.name}`), ` ${p.change}`, p.effective ? "" : h("em", {}, ", which changes nothing"));
    return [h("h3", {}, "Policies that differ"), h("ul", { class: "rules" }, list.map(line))];
  }

  tools(row, column) {
    const { model, state } = this;
    const buttons = [h("button", { type: "button", onclick: () => copy(location.href, this.say) }, "Copy link")];
    const ask = [row, column].map((i) => (i?.type === "end" ? model.ends[i.ends[0]].ask : ""));
    if (model.doc.explain && ask[0] && ask[1]) {
      const command = `${model.doc.explain} ${ask[0]} ${ask[1]}`;
      buttons.push(h("button", { type: "button", title: command, onclick: () => copy(command, this.say) }, "Copy explain command"));
    }
    if (row && column && model.kind !== "exposure") {
      buttons.push(h("button", { type: "button", onclick: () => state.set({ row: state.column, column: state.row }) }, "Other direction"));
    }
    buttons.push(h("button", { type: "button", onclick: () => state.set({ row: null, column: null }) }, "Close"));
    return h("div", { class: "tools" }, buttons);
  }

  pair(row, column) {
    const { model } = this;
    const arrow = model.kind === "exposure" ? "" : "→ ";
    const heading = h("h2", { tabindex: "-1", "aria-label": pairTitle(model, row, column) },
      this.name(row), h("br"), arrow, this.name(column));
    if (row.type !== "end" || column.type !== "end") return [heading, this.tools(row, column), this.group(row, column)];
    const [r, c] = [row.ends[0], column.ends[0]];
    const cell = model.state(r, c);
    const value = model.value(r, c);
    const verdict = h("p", { class: "verdict" }, h("span", { class: `swatch ${cell}`, "aria-hidden": "true" }),
      h("strong", {}, states[model.kind][cell]), value && cell !== "all" ? `: ${value.label}` : "");
    return [heading, this.tools(row, column), verdict,
      value ? value.parts.map((p) => this.part(p, r, c)) : this.denied(cell, r, c),
      value && value.parts.length === 0 ? h("p", {}, "No policy isolates these Pods in this direction: whoever reaches their address is let through.") : null];
  }

  name(item) {
    return h("span", { class: "name" }, title(this.model, item));
  }

  // group lists the cells of a namespace, those that say the same together.
  group(row, column) {
    const { model, state } = this;
    const sum = model.sum(row.ends, column.ends);
    const lines = [];
    let more = 0;
    for (const r of row.ends) {
      for (const c of column.ends) {
        if (model.at(r, c) < 0) continue;
        if (lines.length === mostListed) {
          more++;
          continue;
        }
        const go = () => state.set({ row: model.keys[r], column: model.keys[c] });
        lines.push(h("li", {}, h("button", { type: "button", class: "line", onclick: go },
          h("span", { class: `swatch ${model.state(r, c)}`, "aria-hidden": "true" }),
          `${model.ends[r].name} → ${model.ends[c].name}`, h("span", { class: "ports" }, model.value(r, c).label))));
      }
    }
    return [
      h("p", { class: "verdict" }, sumText(model, sum)),
      h("ul", { class: "lines" }, lines),
      more ? h("p", {}, `And ${count(more, "pair")} more: open the namespace, or search.`) : null,
    ];
  }

  denied(cell, r, c) {
    const { model } = this;
    if (cell === "self") return h("p", {}, "These are one Pod, and no policy is asked about a Pod and itself.");
    if (cell === "unasked") return h("p", {}, "Nothing is said of this pair: the command did not ask for it, or neither end is a Pod of the Pod network, so that no policy has a say.");
    if (model.kind === "diff") return h("p", {}, "What passes between these two is what passed before.");
    if (model.kind === "exposure") return h("p", {}, "Policies isolate these Pods, and none of them lets such a peer through.", this.isolation(r, model.ends[c].namespace === "open to" ? "ingress" : "egress"));
    return [
      h("p", {}, "Both ends must let a connection through, and no rules of both do on any port."),
      this.isolation(r, "egress"),
      this.isolation(c, "ingress"),
    ];
  }

  // isolation says who isolates an end in a direction.
  isolation(e, direction) {
    const { model } = this;
    const end = model.ends[e];
    const list = end[direction] ?? [];
    const who = endTitle(model, e);
    if (end.kind !== "pods") return h("p", {}, `${who}: no policy has a say, for it is no Pod of the Pod network.`);
    if (list.length === 0) return h("p", {}, `${who}: no policy isolates it in direction ${direction}, so it is not this end that denies.`);
    return [
      h("p", {}, `${who} is isolated in direction ${direction} by:`),
      h("ul", { class: "rules" }, list.map((p) => h("li", {}, this.policy(p)))),
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
      h("span", { class: "name" }, `${p.namespace}/${p.name}`), " ", h("code", {}, r.path),
      r.place || p.place ? h("span", { class: "place" }, r.place || p.place) : null,
      r.if ? h("span", { class: "condition" }, `if ${r.if}`) : null,
    ];
  }

  part(p, r, c) {
    return [
      p.title ? h("h3", {}, p.title) : null,
      p.old ? h("p", { class: "change" }, h("span", {}, "before: "), h("code", {}, p.old), h("br"), h("span", {}, "now: "), h("code", {}, p.new)) : null,
      (p.stretches ?? []).map((s) => this.stretch(s, r, c)),
    ];
  }

  stretch(s, r, c) {
    const { model } = this;
    const families = s.ipv4 ? ` (IPv4 ${s.ipv4}, IPv6 ${s.ipv6})` : "";
    const answer = s.old ? `${s.old} before, ${s.answer} now` : s.answer;
    const side = (which, e) => s[which] && this.side(s[which], which, e);
    return h("section", { class: "stretch" },
      h("h4", {}, h("code", {}, s.ports), ` ${answer}${families}`),
      side("egress", r), side("ingress", model.kind === "exposure" ? r : c),
      s.causes ? h("ul", { class: "rules" }, s.causes.map((x) => h("li", {}, x.rule >= 0 ? [this.rule(x.rule), " ", h("span", { class: "effect" }, effect(x))] : effect(x)))) : null,
      !s.egress && !s.ingress && !s.causes ? h("p", {}, "The command gave no reasons.") : null);
  }

  side(side, direction, e) {
    return [
      h("p", {}, sideText(side, endTitle(this.model, e), direction)),
      side.rules ? h("ul", { class: "rules" }, side.rules.map((r) => h("li", {}, this.rule(r)))) : null,
    ];
  }

  // single is what an end or a namespace is.
  single(item) {
    const { model, state } = this;
    const heading = h("h2", { tabindex: "-1" }, this.name(item));
    if (item.type !== "end") return [heading, this.tools(item), h("p", {}, `${count(item.ends.length, "end")} of ${title(model, item)}.`)];
    const e = item.ends[0];
    const end = model.ends[e];
    const facts = [
      ["Workloads", (end.workloads ?? []).join(", ")],
      ["Labels", Object.entries(end.labels ?? {}).map(([k, v]) => `${k}=${v}`).join(", ")],
      ["Named ports", (end.ports ?? []).join(", ")],
      ["Addresses", (end.addresses ?? []).join(", ")],
    ].filter(([, text]) => text);
    const only = (key) => h("button", { type: "button", onclick: () => state.set({ [key]: end.name, view: "matrix" }) },
      key === "from" ? "Only from it" : "Only to it");
    return [
      heading, this.tools(item),
      model.kind === "exposure" ? null : h("div", { class: "tools" }, only("from"), only("to")),
      h("dl", {}, facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
      this.isolation(e, "ingress"), this.isolation(e, "egress"),
    ];
  }
}
