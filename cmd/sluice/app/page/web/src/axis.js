// What stands on an axis: ends under the headings of their namespaces, or a namespace as
// a whole where it is collapsed.

import { groupOf, matches } from "./model.js";

// An item is {type: "head"|"group"|"end", group, ends}. A head has no cells.
export function axis(model, groups, options) {
  const items = [];
  for (const [group, all] of groups) {
    if (options.hidden.has(group)) continue;
    const ends = all.filter((e) => (!options.query || matches(model.search[e], options.query)) && (!options.keep || options.keep(e)));
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

export function itemKey(model, item) {
  return item.type === "end" ? model.keys[item.ends[0]] : `namespace:${item.group}`;
}

// title is an item in words.
export function title(model, item) {
  if (item.type === "end") return endTitle(model, item.ends[0]);
  if (item.group === "outside" || item.group === "nodes") return item.group;
  return model.kind === "exposure" && model.ends[item.ends[0]].kind === "peer" ? item.group : `namespace ${item.group}`;
}

export function endTitle(model, e) {
  const end = model.ends[e];
  if (end.kind === "peer") return `${end.namespace} ${end.name}`;
  const more = (end.workloads?.length ?? end.addresses?.length ?? 1) - 1;
  const first = end.workloads?.[0] ?? end.addresses?.[0] ?? end.name;
  const host = end.kind === "hostNetwork" ? " (host network)" : "";
  return (more > 0 ? `${first} and ${more} more` : first) + host;
}

// itemOf is the item that stands for the end on an axis, or nothing.
export function indexOf(items, end, group) {
  let at = items.findIndex((i) => i.type === "end" && i.ends[0] === end);
  if (at < 0) at = items.findIndex((i) => i.type === "group" && i.group === group);
  return at;
}

// target resolves a key of a link: an end or a namespace.
export function target(model, key) {
  if (key?.startsWith("namespace:")) {
    const group = key.slice("namespace:".length);
    const ends = model.ends.map((_, i) => i).filter((i) => groupOf(model.ends[i]) === group);
    return ends.length ? { type: "group", group, ends } : null;
  }
  const e = model.byKey.get(key);
  return e === undefined ? null : { type: "end", group: groupOf(model.ends[e]), ends: [e] };
}
