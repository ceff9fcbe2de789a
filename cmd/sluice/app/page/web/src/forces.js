// Where nodes of the whole graph stand. The same graph is always placed alike: d3-force
// draws its random numbers from a seed of its own.

import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from "d3-force";

const steps = 260;

// placed gives each item its place, and says how large the whole is.
export function placed(items, links, nameOf) {
  const groups = [...new Set(items.map((i) => i.group))];
  const nodes = items.map((item, i) => {
    const turn = (2 * Math.PI * groups.indexOf(item.group)) / groups.length;
    const far = 60 + 26 * Math.sqrt(items.length);
    const width = nameOf(item).length * 7 + 22;
    return { item, width, home: [1.5 * far * Math.cos(turn), far * Math.sin(turn)], x: 1.5 * far * Math.cos(turn) + (i % 7), y: far * Math.sin(turn) + (i % 5) };
  });
  const strength = links.length > 4 * items.length ? 0.005 : 0.06;
  forceSimulation(nodes)
    .force("link", forceLink(links.map((l) => ({ source: l.from, target: l.to }))).distance(130).strength(strength))
    .force("apart", forceManyBody().strength(-260).distanceMax(420))
    .force("room", forceCollide((n) => n.width / 2 + 8).iterations(2))
    .force("x", forceX((n) => n.home[0]).strength(0.09))
    .force("y", forceY((n) => n.home[1]).strength(0.13))
    .stop()
    .tick(steps);
  for (const n of nodes) [n.x, n.y] = [Math.round(n.x), Math.round(n.y * 0.75)];
  const left = Math.min(...nodes.map((n) => n.x - n.width / 2)) - 16;
  const right = Math.max(...nodes.map((n) => n.x + n.width / 2)) + 16;
  const top = Math.min(...nodes.map((n) => n.y)) - 28;
  const bottom = Math.max(...nodes.map((n) => n.y)) + 28;
  return { nodes, x: left, y: top, width: right - left, height: bottom - top };
}
