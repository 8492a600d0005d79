/**
 * Writes book/_static/explorer: explorer.js, one classic script with the licences of what is in it, and explorer.css.
 * `node build.js FOLDER` writes elsewhere; the same sources give the same bytes.
 */

import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import wabt from "wabt";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "book", "_static", "explorer");

/** products.wat as bytes. */
export async function compiled() {
  const { parseWat } = await wabt();
  const name = join(here, "engine", "products.wat");
  return parseWat(name, readFileSync(name, "utf8"), { simd: true }).toBinary({}).buffer;
}

/** The packages that end in the bundle, with their licences, as a comment. */
function licences(inputs) {
  const names = new Set(Object.keys(inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean));
  const texts = [...names].sort().map((name) => {
    const folder = join(here, "node_modules", name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}`;
  });
  const rule = "-".repeat(78);
  return `/*! The explorer of the book: MIT licence, source in explorer/. It contains these packages:\n\n${texts.join(`\n\n${rule}\n\n`)}\n*/`;
}

const options = {
  absWorkingDir: here,
  entryPoints: ["page/main.js"],
  bundle: true,
  format: "iife",
  globalName: "bioadvExplorer",
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  plugins: [
    {
      name: "wat",
      setup(builder) {
        builder.onLoad({ filter: /\.wat$/ }, async () => ({ contents: await compiled(), loader: "binary" }));
      },
    },
  ],
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { metafile } = await build({ ...options, write: false, metafile: true });
  mkdirSync(out, { recursive: true });
  await build({ ...options, banner: { js: licences(metafile.inputs) }, outfile: join(out, "explorer.js") });
  copyFileSync(join(here, "page", "explorer.css"), join(out, "explorer.css"));
}
