// A canvas over the slide that is drawn anew whenever the view moves.

import { el } from "./dom.js";

export class Layer {
  /** `name` is for the style sheet and the tests. */
  constructor(stage, name) {
    this.stage = stage;
    this.canvas = el("canvas", { className: `layer layer-${name}`, "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d");
    this.waiting = 0;
    stage.viewer.canvas.append(this.canvas);
    stage.viewer.addHandler("update-viewport", () => this.redraw());
    stage.viewer.addHandler("close", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(stage.viewer.canvas);
  }

  /** Draw soon, once, however often it is asked for. */
  invalidate() {
    this.waiting ||= requestAnimationFrame(() => this.redraw());
  }

  redraw() {
    cancelAnimationFrame(this.waiting);
    this.waiting = 0;
    const { clientWidth, clientHeight } = this.stage.viewer.canvas;
    const density = devicePixelRatio;
    const [width, height] = [clientWidth, clientHeight].map((side) => Math.round(side * density));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, width, height);
    const view = this.stage.view;
    if (!view) return;
    this.draw(this.context, {
      scale: view.scale * density, // device pixels per level-0 pixel
      x: view.x * density,
      y: view.y * density,
      width,
      height,
      density,
    });
  }

  /** Children draw here, in device pixels: level-0 × scale + [x, y]. */
  draw() {}
}
