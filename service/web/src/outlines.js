// The expert outlines of the open slide: shown, corrected, saved, taken back to earlier versions.

import { get, query, request } from "./api.js";
import { ask } from "./dialogs.js";
import { button, check, el, fill, guarded, notice } from "./dom.js";
import { Editor } from "./editor.js";
import { area, plural, time } from "./format.js";
import { colourOf, labelOf } from "./outline_layer.js";
import { areasByLabel } from "./shapes.js";
import { mayWrite, on, show, state } from "./state.js";

const FORMATS = [
  ["geojson", "GeoJSON"],
  ["qupath", "QuPath"],
  ["asap", "ASAP"],
  ["imagescope", "ImageScope"],
];
const GEOJSON = "application/geo+json";
const ANYTHING = "application/octet-stream"; // the server looks what it is

/** Features as a file whose (0, 0) is the corner of the slide's full plane. */
const collection = (features) =>
  JSON.stringify({ type: "FeatureCollection", origin_level0: [0, 0], features });

export class Outlines {
  constructor(element, stage, layer) {
    Object.assign(this, { stage, layer, slide: null, features: [], versions: [], version: null, etag: null });
    this.editor = new Editor(stage, {
      save: guarded((features) => this.#save(collection(features))),
      leave: guarded(() => this.#leave()),
    });
    this.box = el("div");
    element.append(this.editor.box, this.box);
    this.shown = check("Expert outlines", true, (now) => show("expert", now), { "aria-keyshortcuts": "e" });
    on("slide", guarded(() => this.load()));
    on("layers", () => this.#layers());
    addEventListener("beforeunload", (event) => {
      if (this.editor.dirty) event.preventDefault();
    });
    this.#render();
  }

  get #path() {
    return `/v1/slides/${state.slide.id}/outlines`;
  }

  /** Whether the open slide may be left: yes, unless unsaved outlines are to be kept. */
  async mayLeave() {
    if (this.editor.dirty) {
      const text = "Outlines of this slide were changed and not saved.";
      if (!(await ask("Leave without saving?", text, { yes: "Leave without saving" }))) return false;
    }
    this.editor.close();
    return true;
  }

  /** Load a version, the newest unless said. */
  async load(version = null) {
    const { slide } = state;
    this.editor.close();
    if (slide !== this.slide) this.#take({ slide, features: [], versions: [], etag: null });
    if (!slide) return;
    const [response, versions] = await Promise.all([
      request("GET", query(this.#path, { version, format: "geojson" }), { cache: "no-cache" }),
      get(`${this.#path}/versions`),
    ]);
    const features = (await response.json()).features ?? [];
    if (slide !== state.slide) return;
    this.#take({ features, version, versions: versions.sort((a, b) => b.version - a.version), loaded: true });
    if (version === null) this.etag = response.headers.get("ETag");
  }

  #take(what) {
    Object.assign(this, { loaded: false, version: null }, what);
    this.layer.features = this.features;
    this.#layers();
    this.#render();
  }

  #layers() {
    this.layer.shown = state.layers.expert && !this.editor.open;
    this.shown.firstChild.checked = state.layers.expert;
  }

  async #edit() {
    await this.stage.opened;
    await this.editor.begin(this.features);
    this.#layers();
    this.#render();
  }

  async #leave() {
    if (!(await this.mayLeave())) return;
    this.#layers();
    this.#render();
    this.box.querySelector("#edit")?.focus();
  }

  async #save(body, type = GEOJSON) {
    const put = (match) =>
      request("PUT", this.#path, { body, headers: { "Content-Type": type, ...(match && { "If-Match": match }) } });
    let response;
    try {
      response = await put(this.etag);
    } catch (error) {
      if (error.status !== 412) throw error;
      const choice = await ask(
        "Someone else saved outlines of this slide meanwhile",
        "Both stay: each is a version of its own. Which is to be the newest?",
        { mine: "Mine: save it as the newest", theirs: "Theirs: load it, leave mine" },
      );
      if (choice === "theirs") await this.load();
      if (choice !== "mine") return;
      response = await put(null);
    }
    const saved = await response.json();
    await this.load();
    this.box.querySelector("#edit")?.focus();
    const areas = Object.entries(saved.areas_mm2 ?? {}).map(([label, mm2]) => `${label} ${area(mm2)}`);
    const holds = saved.count ? areas.join(", ") : "It holds no outline.";
    notice(`Saved as version ${saved.version}. ${holds}`, { good: true });
    for (const warning of saved.warnings ?? []) notice(warning);
  }

  async #import(file) {
    this.box.inert = true;
    this.imports.textContent = "Importing…";
    try {
      await this.#save(file, ANYTHING);
    } finally {
      this.box.inert = false;
      this.#render();
    }
  }

  #render() {
    if (!state.slide) {
      fill(this.box, el("p", { className: "facts" }, "Open a slide first, from the page “Slides”."));
      return;
    }
    this.box.hidden = this.editor.open;
    if (!this.loaded) {
      fill(this.box, el("p", { className: "facts" }, "Loading the outlines…"));
      return;
    }
    fill(this.box, this.shown, this.#labels(), this.#actions(), this.#versionList(), this.#exports());
  }

  #labels() {
    if (!this.features.length) return el("p", { className: "hint" }, "Nobody has outlined this slide yet.");
    const colours = new Map(this.features.map((feature) => [labelOf(feature), colourOf(feature)]));
    const saved = this.versions.find(({ version }) => version === this.#shown)?.areas_mm2;
    const rows = Object.entries(saved ?? areasByLabel(this.features, state.slide.mpp)).map(([label, mm2]) => {
      const swatch = el("span", { className: "swatch" });
      swatch.style.background = colours.get(label);
      return el("li", {}, swatch, el("span", {}, label), el("span", { className: "value" }, area(mm2)));
    });
    return el("ul", { className: "labels", "aria-label": "Labels" }, rows);
  }

  #actions() {
    if (!mayWrite()) return el("p", { className: "hint" }, "Your key may look at outlines, not change them.");
    const words = this.features.length ? "Correct outlines" : "Draw outlines";
    const picker = el("input", { type: "file", id: "import", className: "spoken" });
    picker.addEventListener("change", guarded(() => picker.files[0] && this.#import(picker.files[0])));
    this.imports = el("label", { htmlFor: "import", className: "button" }, "Import a file…");
    return el(
      "div",
      { className: "row" },
      button(words, guarded(() => this.#edit()), { className: "main", id: "edit", "data-key": "edit" }),
      picker,
      this.imports,
    );
  }

  get #shown() {
    return this.version ?? this.versions[0]?.version;
  }

  #versionList() {
    const items = this.versions.map(({ version, author, created_at, count }) =>
      el(
        "li",
        {},
        el(
          "button",
          {
            type: "button",
            className: "version",
            "data-key": `version-${version}`,
            "aria-pressed": String(version === this.#shown),
            onclick: guarded(() => this.load(version === this.versions[0].version ? null : version)),
          },
          el("span", {}, `Version ${version}`),
          el("span", { className: "slide-facts" }, `${author} · ${time(created_at)} · ${plural(count, "outline")}`),
        ),
      ),
    );
    if (!items.length) return null;
    const early = this.version !== null && "This is an earlier version. Correct and save it to make it the newest.";
    return el(
      "section",
      { "aria-label": "Versions" },
      el("h3", {}, "Versions"),
      early ? el("p", { className: "hint" }, early) : null,
      el("ul", { className: "versions" }, items),
    );
  }

  #exports() {
    if (!this.features.length) return null;
    const links = FORMATS.map(([format, words]) => {
      const href = query(this.#path, { version: this.version, format });
      return el("li", {}, el("a", { href, download: "" }, words));
    });
    return el("section", { "aria-label": "Download" }, el("h3", {}, "Download"), el("ul", { className: "files" }, links));
  }
}
