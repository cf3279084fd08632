// What lies on the slide's edges: zoom buttons, scale bar, coordinates, the map's legend.

import { button, el, icon } from "./dom.js";
import { fixed, micrometres } from "./format.js";
import { hasResult, isFinal } from "./jobs.js";
import { COLOURS, isAbove } from "./palette.js";
import { on, state } from "./state.js";

const PLUS = "M12 5v14M5 12h14";
const MINUS = "M5 12h14";
const WHOLE = "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5";
const MOST_WIDE = 160; // CSS pixels of the scale bar

export function hud(element, stage) {
  element.append(zoomButtons(stage), scaleBar(stage), coordinates(stage), legend());
}

function zoomButtons(stage) {
  const tool = (label, path, act) => button(icon(path), act, { "aria-label": label, title: label });
  return el(
    "div",
    { className: "zoom", role: "group", "aria-label": "Zoom" },
    tool("Zoom in", PLUS, () => stage.zoom(1.6)),
    tool("Zoom out", MINUS, () => stage.zoom(1 / 1.6)),
    tool("Fit the slide", WHOLE, () => stage.fit()),
  );
}

/** The longest of 1, 2, 5 × 10ⁿ µm that fits. */
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((times) => times * power).find((length) => length <= most);
}

function scaleBar(stage) {
  const words = el("span");
  const line = el("span", { className: "scale-line" });
  const bar = el("div", { id: "scale-bar", className: "hud scale", hidden: true }, words, line);
  stage.viewer.addHandler("update-viewport", () => {
    const view = stage.view;
    const mpp = stage.slide?.mpp;
    bar.hidden = !view || !mpp;
    if (bar.hidden) return;
    const pixelUm = mpp[0] / view.scale;
    const length = roundLength(MOST_WIDE * pixelUm);
    words.textContent = micrometres(length);
    line.style.width = `${length / pixelUm}px`;
  });
  return bar;
}

function coordinates(stage) {
  const said = el("div", { id: "coordinates", className: "hud coordinates", hidden: true });
  stage.viewer.canvas.addEventListener("pointermove", (event) => {
    const point = stage.level0At(event);
    if (!point) return;
    const { mpp } = stage.slide;
    const [x, y] = point.map((value, axis) => Math.round(value * (mpp ? mpp[axis] : 1)));
    said.hidden = false;
    said.textContent = `x ${x.toLocaleString("en-GB")}  y ${y.toLocaleString("en-GB")} ${mpp ? "µm" : "px"}`;
  });
  stage.viewer.canvas.addEventListener("pointerleave", () => {
    said.hidden = true;
  });
  return said;
}

/** The palette from 0 to 1; what does not count as tumour is dimmed. */
function legend() {
  const ramp = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const mark = el("span", { className: "legend-mark" });
  const words = el("span", {}, "Tumour probability");
  const box = el(
    "div",
    { id: "legend", className: "hud legend", hidden: true },
    words,
    el("div", { className: "legend-ramp" }, ramp, mark),
    el("div", { className: "legend-ends", "aria-hidden": "true" }, el("span", {}, "0"), el("span", {}, "1")),
  );
  const draw = () => {
    const { job } = state;
    box.hidden = !job || (isFinal(job) && !hasResult(job)) || !state.layers.map;
    const context = ramp.getContext("2d");
    context.clearRect(0, 0, 256, 1);
    COLOURS.forEach((rgb, value) => {
      context.fillStyle = `rgb(${rgb.join(" ")} / ${isAbove(value, state.threshold) ? 100 : 22}%)`;
      context.fillRect(value, 0, 1, 1);
    });
    mark.style.left = `${state.threshold * 100}%`;
    words.textContent = `Tumour probability above ${fixed(state.threshold, 2)}`;
  };
  for (const name of ["job", "progress", "layers", "threshold"]) on(name, draw);
  return box;
}
