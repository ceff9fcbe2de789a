// What cells mean, in words. The detail, the live region and the legend share them.

import { title } from "./axis.js";
import { count } from "./dom.js";

const listStates = {
  all: "allowed on all ports",
  some: "allowed on some ports",
  depends: "allowed on a condition",
  denied: "denied",
  unasked: "not judged",
  self: "a Pod always reaches itself",
};

export const states = {
  list: listStates,
  diff: {
    added: "newly allowed",
    removed: "newly denied",
    changed: "on other ports or conditions",
    denied: "unchanged",
    unasked: "not judged",
    self: "unchanged",
  },
  exposure: {
    all: "open on all ports",
    some: "open on some ports",
    depends: "open on a condition",
    denied: "closed",
    unasked: "not judged",
    self: "closed",
  },
};

// legend is the states in the order in which they are explained.
export const legend = {
  list: ["all", "some", "depends", "denied", "unasked"],
  diff: ["added", "removed", "changed", "denied"],
  exposure: ["all", "some", "depends", "denied"],
};

// entryStates are the swatch and the words for what becomes of an entry.
export function entryStates(model) {
  if (model.kind === "diff") return { allowed: ["added", "newly let in"], denied: ["removed", "no longer let in"], changed: ["changed", "let in otherwise"] };
  return { allowed: ["all", "let in"], depends: ["depends", "depends"], denied: ["denied", "denied"] };
}

// nothing says why nothing is shown.
export function nothing(model) {
  if (model.doc.rows.length && model.doc.columns.length) return "Nothing matches the search and the filters.";
  return model.kind === "diff" ? "Nothing passes otherwise than before." : "There is no workload in the input.";
}

// spoken is a cell in one sentence.
export function spoken(model, row, column) {
  const names = pairTitle(model, row, column);
  if (row.type !== "end" || column.type !== "end") {
    const sum = model.sum(row.ends, column.ends);
    if (sum.all === 0) return `${names}: ${states[model.kind].unasked}`;
    return `${names}: ${sumText(model, sum)}`;
  }
  const state = model.state(row.ends[0], column.ends[0]);
  const value = model.value(row.ends[0], column.ends[0]);
  return `${names}: ${states[model.kind][state]}${value && state !== "all" ? `, ${value.label}` : ""}`;
}

export function pairTitle(model, row, column) {
  if (model.kind === "exposure") return `${title(model, row)} ${title(model, column)}`;
  return `${title(model, row)} to ${title(model, column)}`;
}

export function sumText(model, sum) {
  const all = count(sum.all, model.kind === "exposure" ? "cell" : "pair");
  const words = states[model.kind];
  if (sum.passing === 0) return sum.all === 1 ? words.denied : `${all}, all ${words.denied}`;
  const parts = legend[model.kind].filter((s) => sum.states[s]).map((s) => {
    return `${sum.states[s].toLocaleString("en")} ${words[s]}`;
  });
  if (sum.all === 1) return parts[0].replace(/^1 /, "");
  const others = sum.all - sum.passing;
  return `${all}: ${parts.join(", ")}${others ? `, ${others.toLocaleString("en")} ${words.denied}` : ""}`;
}

// summary is the whole answer in a sentence or two.
export function summary(model) {
  const { doc } = model;
  const pods = new Set([...doc.rows, ...doc.columns].filter((e) => ["pods", "hostNetwork"].includes(model.ends[e].kind)));
  const workloads = [...pods].reduce((n, e) => n + (model.ends[e].workloads?.length ?? 1), 0);
  if (doc.rows.length === 0) return nothing(model);
  const sum = model.sum(doc.rows, doc.columns);
  const what = `${count(workloads, "workload")} in ${count(new Set([...pods].map((e) => model.ends[e].namespace)).size, "namespace")}`;
  return `${what}. ${sumText(model, sum)}.`;
}

const effects = {
  allows: ["", "allows it now"],
  noLongerAllows: ["", "allowed it before"],
  isolates: ["", "isolates the Pods now, which no policy did before"],
  noLongerIsolates: ["", "isolated the Pods before, and no policy does now"],
};

// effect is what a cause did; the policy's name goes before it.
export function effect(c) {
  if (c.effect === "addedWorkload") return "One of the ends is new.";
  if (c.effect === "removedWorkload") return "One of the ends is gone.";
  return effects[c.effect][1] + (c.policyChanged ? "" : " (the policy is the same: labels or ports differ)");
}

// sideText is why one end lets something through.
export function sideText(side, who, direction) {
  const way = direction === "egress" ? "out of" : "into";
  switch (side.reason) {
    case "NoPod":
      return `No policy has a say ${way} ${who}: it is no Pod of the Pod network.`;
    case "NotIsolated":
      return `No policy isolates ${who} in direction ${direction}, so everything may go ${way} it.`;
    default:
      return side.answer === "depends"
        ? `${who}: whether anything may go ${way} it depends. One of these must hold:`
        : `Allowed ${way} ${who} by:`;
  }
}
