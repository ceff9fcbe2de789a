// The document that the page was given, decoded for quick access.

export const DENIED = -1;
export const UNASKED = -2;

// groupOf is the heading under which an end stands.
export function groupOf(end) {
  if (end.kind === "outside") return "outside";
  if (end.kind === "nodes") return "nodes";
  return end.namespace ?? "";
}

function eachRun(runs, visit) {
  for (let i = 0; i < runs.length; i += 2) {
    for (let n = runs[i]; n < runs[i] + runs[i + 1]; n++) visit(n);
  }
}

export function listRuns(runs) {
  const out = [];
  eachRun(runs, (n) => out.push(n));
  return out;
}

// uniqueKeys names ends in links: by their first workload or address, and by a number
// besides where one name has several kinds of Pods.
function uniqueKeys(ends) {
  const seen = new Map();
  return ends.map((e) => {
    const base = e.workloads?.[0] ?? (e.kind === "peer" ? `${e.namespace} ${e.name}` : e.addresses?.[0] ?? e.name);
    const n = (seen.get(base) ?? 0) + 1;
    seen.set(base, n);
    return n === 1 ? base : `${base}#${n}`;
  });
}

// uniqueNames are names without a kind where that leaves no doubt.
function uniqueNames(ends) {
  const names = ends.map((e) => (e.namespace && e.workloads ? `${e.namespace}/${e.name}` : ""));
  const seen = new Map();
  for (const n of names) seen.set(n, (seen.get(n) ?? 0) + 1);
  return names.map((n) => (seen.get(n) === 1 ? n : ""));
}

export class Model {
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
    this.rowGroups = this.groups(doc.rows);
    this.columnGroups = this.groups(doc.columns);
    this.names = [...new Set([...this.rowGroups.keys(), ...(this.kind === "exposure" ? [] : this.columnGroups.keys())])];
  }

  fillCells(blocks, valueOf) {
    for (const b of blocks) {
      const value = valueOf(b);
      eachRun(b.rows, (r) => {
        for (let i = 0; i < b.columns.length; i += 2) {
          const from = r * this.width + b.columns[i];
          this.cells.fill(value, from, from + b.columns[i + 1]);
        }
      });
    }
  }

  // groups keeps the order of the ends, with what is outside last.
  groups(list) {
    const out = new Map();
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

  // state is "denied", "unasked", "self" or that of the value.
  state(row, column) {
    const v = this.at(row, column);
    if (v >= 0) return this.doc.values[v].state;
    if (this.own(row, column)) return "self";
    return v === UNASKED ? "unasked" : "denied";
  }

  // sum counts the cells of two lists of ends by state.
  sum(rows, columns) {
    const states = {};
    let all = 0;
    let passing = 0;
    for (const r of rows) {
      for (const c of columns) {
        const v = this.at(r, c);
        if (v === UNASKED || (v < 0 && this.own(r, c))) continue;
        all++;
        if (v < 0) continue;
        passing++;
        const s = this.doc.values[v].state;
        states[s] = (states[s] ?? 0) + 1;
      }
    }
    return { states, all, passing };
  }
}

function searchText(e) {
  const labels = Object.entries(e.labels ?? {}).map(([k, v]) => `${k}=${v}`);
  const outside = e.kind === "outside" ? ["internet", "outside"] : [];
  return [e.namespace, e.name, e.kind, ...(e.workloads ?? []), ...(e.addresses ?? []), ...labels, ...outside]
    .filter(Boolean).join("\n").toLowerCase();
}

// matches reports whether all words of a query stand in the text.
export function matches(text, query) {
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
