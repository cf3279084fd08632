// Bundles the viewer: node build.mjs [OUT]; OUT is dist unless given.
// OUT/index.html, OUT/assets/<name>-<hash>.{js,css}, OUT/licences.txt

import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "dist");
const staticUniforms = join(here, "node_modules/@pixi/unsafe-eval/lib/syncUniforms.mjs");

// Pixi writes functions from strings, which the page's content security policy forbids.
// @pixi/unsafe-eval is Pixi's own cure, but it reaches only a Pixi that is imported; Annotorious
// ships its Pixi inside its bundle, so the same cure is added at the end of that file.
const pixiWithoutEval = {
  name: "pixi-without-eval",
  setup({ onLoad }) {
    onLoad({ filter: /annotorious-openseadragon\.es\.js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const before = text.slice(0, text.indexOf("systemCheck() {"));
      const shaderSystem = [...before.matchAll(/^class (\w+) \{/gm)].at(-1)?.[1];
      if (!shaderSystem || !text.includes("@pixi/unsafe-eval")) {
        throw new Error("Annotorious holds Pixi in another form than this build knows");
      }
      const cure = `
        import { syncUniforms } from ${JSON.stringify(staticUniforms)};
        Object.assign(${shaderSystem}.prototype, {
          systemCheck() {},
          syncUniforms(group, program) {
            const { uniformData } = this.shader.program;
            syncUniforms(group, uniformData, program.uniformData, group.uniforms, this.renderer);
          },
        });`;
      return { contents: text + cure, loader: "js" };
    });
  },
};

async function bundle() {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.js", style: "style.css" },
    outdir: join(out, "assets"),
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none", // licences.txt has the texts in full
    metafile: true,
    logLevel: "warning",
    plugins: [pixiWithoutEval],
  });
  const made = Object.keys(metafile.outputs).map((path) => basename(path));
  return {
    script: made.find((name) => /^app-.*\.js$/.test(name)),
    style: made.find((name) => /^style-.*\.css$/.test(name)),
  };
}

async function licences() {
  const lock = JSON.parse(await readFile(join(here, "package-lock.json"), "utf8"));
  const parts = [await readFile(join(here, "licences.txt"), "utf8")];
  for (const [path, { dev, version, license }] of Object.entries(lock.packages)) {
    if (!path || dev) continue;
    const files = (await readdir(join(here, path))).filter((name) => /^licen[cs]e/i.test(name));
    const texts = await Promise.all(files.map((name) => readFile(join(here, path, name), "utf8")));
    parts.push(`${path.replace(/^.*node_modules\//, "")} ${version} (${license})\n\n${texts.join("\n")}`);
  }
  return parts.join(`\n${"-".repeat(80)}\n`);
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const { script, style } = await bundle();
const page = await readFile(join(here, "index.html"), "utf8");
await writeFile(
  join(out, "index.html"),
  page.replace("style.css", `/assets/${style}`).replace("src/main.js", `/assets/${script}`),
);
await writeFile(join(out, "licences.txt"), await licences());
