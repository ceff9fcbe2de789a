// Bundles src and d3-force into ../assets/page.js, and writes into ../assets/page.sum the
// digest of everything that it was built from. The output is not minified, so that a
// change of it can be reviewed. It has the licences of what is bundled: the page is a copy.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const bundled = ["d3-force", "d3-dispatch", "d3-quadtree", "d3-timer"];
const licences = bundled.map((name) => {
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return `${name} ${version}\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}`;
});

await build({
  entryPoints: ["src/main.js"],
  outfile: "../assets/page.js",
  bundle: true,
  format: "iife",
  target: "es2021",
  charset: "ascii",
  legalComments: "none",
  banner: { js: `/*\n${licences.join("\n\n")}\n*/` },
});

// The order and the form are those of the test in page_test.go.
const sources = ["build.mjs", "package.json", "package-lock.json", ...readdirSync("src").sort().map((f) => `src/${f}`)];
const hash = createHash("sha256");
for (const name of sources) hash.update(`${name}\n`).update(readFileSync(name));
hash.update("page.js\n").update(readFileSync("../assets/page.js"));
writeFileSync("../assets/page.sum", `${hash.digest("hex")}\n`);
