// The shown analysis: its map over the slide, the area at the slider's threshold, its files.

import { get } from "./api.js";
import { check, el, field, fill, guarded } from "./dom.js";
import { area, fixed, interval, percent, plural } from "./format.js";
import { hasResult, isFinal, isUnlike } from "./jobs.js";
import { colourOf, isComputed, labelOf } from "./outline_layer.js";
import { isAbove } from "./palette.js";
import { regionList } from "./regions.js";
import { emit, on, show, state } from "./state.js";

const PACE = 1200; // milliseconds between looks at a growing map
const FILES = [
  ["report.html", "Report"],
  ["summary.json", "Figures (JSON)"],
  ["extent.geojson", "Outline (GeoJSON)"],
  ["probability.tiff", "Map (TIFF)"],
  ["overlay.png", "Picture (PNG)"],
];

const STEP = 0.01;
const slider = (id, value, max) => el("input", { type: "range", id, min: 0, max, step: STEP, value });

/** Area above a threshold, in mm²: stored values are counted, as the server counts them. */
export function areaAbove({ pixel_area_mm2: pixel, counts }, threshold) {
  return pixel * counts.reduce((sum, count, v) => sum + (isAbove(v, threshold) ? count : 0), 0);
}

/** How sure the area is, in words: the job's outcome says so, or why that is not known. */
function howSure(outcome) {
  const within = outcome?.area_interval_mm2;
  if (!within) return outcome?.no_interval ? `No interval: ${outcome.no_interval}` : "";
  const measured = `${within.kind}, from ${plural(within.patients, "patient")}`;
  return `${percent(within.level)} interval: ${interval(within)} (${measured})`;
}

/** Whether the slide is like those that the model was measured on, in words. */
function likeness(outcome) {
  const found = outcome?.familiarity;
  if (!found) return "";
  if (isUnlike(outcome)) return `Unlike known slides, map and figures may be wrong: ${found.reason}`;
  return `Stain and sharpness are like those of the ${plural(found.patients, "patient")} measured on`;
}

export class Result {
  constructor(element, stage, layers) {
    Object.assign(this, { stage, layers });
    this.areas = null;
    this.area = el("output", { className: "figure", id: "area" }, "–");
    this.sure = el("p", { className: "hint", id: "interval" });
    this.likeness = el("p", { className: "hint", id: "likeness" });
    this.beside = el("p", { className: "hint" });
    this.progress = el("progress", { max: 1, "aria-label": "Progress of the shown analysis" });
    this.threshold = slider("threshold", 0.5, 0.99);
    this.opacity = slider("opacity", 0.6, 1);
    this.said = el("output", { className: "value" });
    this.note = el("p", { className: "hint", id: "threshold-note" });
    this.legend = el("ul", { className: "labels", "aria-label": "Contours" });
    this.regions = el("div");
    this.files = el("ul", { className: "files", "aria-label": "Files of this analysis" });
    this.box = el(
      "section",
      { className: "card", id: "result", "aria-label": "Result", hidden: true },
      el("p", { className: "label" }, "Tumour area ", this.said),
      this.area,
      this.sure,
      this.likeness,
      this.progress,
      this.beside,
      field("Threshold", this.threshold),
      this.note,
      field("Opacity of the map", this.opacity),
      this.#checks(),
      this.legend,
      this.regions,
      this.files,
    );
    element.append(this.box);
    this.threshold.addEventListener("input", () => this.#slid());
    this.opacity.addEventListener("input", () => this.#faded());
    on("job", guarded((job) => this.#shown(job)));
    on("progress", guarded((job) => this.#progressed(job)));
    on("layers", () => this.#layers());
    this.#faded();
  }

  #checks() {
    const box = (layer, label, key) =>
      check(label, true, (on_) => show(layer, on_), { "data-layer": layer, "aria-keyshortcuts": key });
    this.contours = box("contours", "Contours", "c");
    this.contours.hidden = true; // until a result has some
    return el(
      "div",
      { className: "checks", role: "group", "aria-label": "Layers" },
      box("map", "Probability map", "m"),
      box("predicted", "Outline", "o"),
      this.contours,
      box("expert", "Experts' outlines", "e"),
    );
  }

  #layers() {
    for (const name of ["map", "contours", "predicted"]) this.layers[name].shown = state.layers[name];
    for (const each of this.box.querySelectorAll("[data-layer]")) {
      each.checked = state.layers[each.dataset.layer];
    }
  }

  /** Outlines and contours of a result; without contours nothing is said of them. */
  #outlined(features) {
    const contours = features.filter(isComputed);
    this.layers.predicted.features = features.filter((feature) => !isComputed(feature));
    this.layers.contours.features = contours;
    this.contours.hidden = !contours.length;
    const colours = new Map(contours.map((feature) => [labelOf(feature), colourOf(feature)]));
    const rows = [...colours].map(([label, colour]) => {
      const swatch = el("span", { className: "swatch" });
      swatch.style.background = colour;
      return el("li", {}, swatch, el("span", {}, label));
    });
    fill(this.legend, rows);
  }

  #faded() {
    this.layers.map.opacity = this.opacity.value;
    this.opacity.setAttribute("aria-valuetext", percent(Number(this.opacity.value)));
  }

  #slid() {
    state.threshold = this.#asked();
    this.threshold.setAttribute("aria-valuetext", fixed(state.threshold, 2));
    this.layers.map.threshold = state.threshold;
    emit("threshold");
    this.#figures();
  }

  /** What the slider says; where it stands at the analysis' own threshold, that to every digit. */
  #asked() {
    const slid = Number(this.threshold.value);
    const own = state.job?.threshold;
    return Math.abs(slid - own) <= STEP / 2 ? own : slid;
  }

  async #shown(job) {
    clearTimeout(this.pause);
    this.pause = null;
    this.areas = null;
    this.layers.map.close();
    this.#outlined([]);
    fill(this.regions);
    fill(this.files);
    this.box.hidden = !job;
    if (!job) return;
    this.threshold.value = job.threshold ?? 0.5;
    this.#slid();
    await this.#progressed(job);
  }

  async #progressed(job) {
    if (hasResult(job)) {
      clearTimeout(this.pause);
      this.pause = null;
      await this.#look(job);
      await this.#finished(job);
    } else if (job.state === "running" && job.done > 0) {
      this.pause ??= setTimeout(
        guarded(async () => {
          await this.#look(job);
          this.pause = null;
        }),
        this.areas ? PACE : 0,
      );
    } else if (isFinal(job)) {
      this.box.hidden = true;
    }
  }

  /** The map as it is now, and the area in it. */
  async #look({ id }) {
    const url = `/v1/jobs/${id}/map`;
    const [map, areas] = await Promise.all([get(url), get(`/v1/jobs/${id}/areas`)]).catch((error) => {
      if (error.status === 404 || error.status === 409) return []; // no map yet, or none any more
      throw error;
    });
    if (!map || state.job?.id !== id) return;
    if (this.layers.map.map && this.layers.map.tiles.url === `${url}_files`) this.layers.map.renew(map);
    else this.layers.map.open(url, map);
    this.areas = areas;
    this.#figures();
  }

  async #finished({ id }) {
    if (state.job?.id !== id || !hasResult(state.job)) return;
    const [summary, outline] = await Promise.all([
      get(`/v1/jobs/${id}/summary.json`),
      get(`/v1/jobs/${id}/extent.geojson`),
    ]);
    if (state.job?.id !== id) return;
    this.#outlined(outline.features ?? []);
    fill(this.regions, regionList(this.stage, summary.regions ?? []));
    fill(
      this.files,
      FILES.map(([name, words]) => {
        const look = name.endsWith(".html") ? { target: "_blank" } : { download: name };
        return el("li", {}, el("a", { href: `/v1/jobs/${id}/${name}`, ...look }, words));
      }),
    );
    this.#figures();
  }

  #figures() {
    const { job, threshold } = state;
    if (!job) return;
    this.progress.hidden = isFinal(job);
    if (job.total > 0) this.progress.value = job.share;
    else this.progress.removeAttribute("value");
    const mm2 = this.areas && areaAbove(this.areas, threshold);
    this.area.textContent = area(mm2);
    this.sure.textContent = howSure(job.outcome);
    this.likeness.textContent = likeness(job.outcome);
    this.likeness.classList.toggle("warning", isUnlike(job.outcome));
    this.said.textContent = `above ${fixed(threshold, 2)}`;
    const tissue = job.outcome?.tissue_area_mm2;
    const parts = [
      tissue && mm2 !== null && `${percent(mm2 / tissue)} of ${area(tissue)} tissue`,
      job.outcome && plural(job.outcome.regions, "region"),
      !isFinal(job) && `${percent(job.share)} done`,
    ];
    this.beside.textContent = parts.filter(Boolean).join(" · ");
    const differs = threshold !== job.threshold;
    this.note.textContent = differs
      ? `Outline, regions and files keep this analysis' threshold, ${fixed(job.threshold, 2)}.`
      : "";
    this.note.hidden = !differs;
  }
}
