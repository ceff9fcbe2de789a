// Elements are made here and nowhere else. Text is only ever text: no function of this
// program makes markup from a string, and the page's Trusted Types policy forbids it.

const svgNames = new Set(["svg", "g", "path", "rect", "text", "circle", "title", "defs", "marker", "line"]);

// h makes an element; attributes that begin with "on" are listeners.
export function h(name, attributes, ...children) {
  const e = svgNames.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

// fill puts children in place of those that an element has.
export function fill(e, ...children) {
  e.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
}

export const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many ?? one + "s"}`;

// shortened keeps both ends of a long name: what differs is often at the end.
export function shortened(text, most) {
  if (text.length <= most) return text;
  const tail = Math.floor((most - 1) / 3);
  return text.slice(0, most - 1 - tail) + "…" + text.slice(text.length - tail);
}

export async function copy(text, say) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    // A page from a file has no clipboard in some browsers: have it selected.
    const area = h("textarea", { "aria-hidden": "true", class: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    say(done ? "Copied." : "The browser does not let this page copy.");
  }
}
