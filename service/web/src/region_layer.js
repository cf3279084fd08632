// The rectangle to which an analysis is limited: shown, and drawn with a pointer.

import { Layer } from "./layer.js";

export class RegionLayer extends Layer {
  constructor(stage) {
    super(stage, "region");
    this.box = null;
  }

  /** [x, y, width, height] in level-0 pixels, or null. */
  set region(box) {
    this.box = box;
    this.invalidate();
  }

  /** Let a drag over the slide draw a rectangle, once; `done` gets it, or null if it was a click. */
  pick(done) {
    const { viewer } = this.stage;
    this.cancel?.();
    let from = null;
    const level0 = ({ originalEvent }) => this.stage.level0At(originalEvent);
    const between = (to) => this.#cut(from, to);
    const handlers = {
      "canvas-press": (event) => {
        from = level0(event);
      },
      "canvas-drag": (event) => {
        event.preventDefaultAction = true;
        if (from) this.region = between(level0(event));
      },
      "canvas-drag-end": (event) => {
        event.preventDefaultAction = true;
      },
      "canvas-release": (event) => {
        const box = from && between(level0(event));
        this.cancel();
        done(box && Math.min(box[2], box[3]) * this.stage.view.scale > 4 ? box : null);
      },
    };
    for (const [name, handler] of Object.entries(handlers)) viewer.addHandler(name, handler);
    viewer.canvas.classList.add("picking");
    this.cancel = () => {
      for (const [name, handler] of Object.entries(handlers)) viewer.removeHandler(name, handler);
      viewer.canvas.classList.remove("picking");
      this.cancel = null;
    };
  }

  /** The box between two points, cut to the slide, in whole pixels. */
  #cut([x0, y0], [x1, y1]) {
    const [width, height] = this.stage.slide.size_level0;
    const within = (value, most) => Math.round(Math.min(most, Math.max(0, value)));
    const [left, right] = [x0, x1].map((x) => within(x, width)).sort((a, b) => a - b);
    const [top, bottom] = [y0, y1].map((y) => within(y, height)).sort((a, b) => a - b);
    return [left, top, right - left, bottom - top];
  }

  draw(context, view) {
    if (!this.box) return;
    const [x, y, width, height] = this.box.map((value) => value * view.scale);
    const box = [x + view.x, y + view.y, width, height];
    context.fillStyle = "rgb(0 0 0 / 35%)";
    context.beginPath();
    context.rect(0, 0, view.width, view.height);
    context.rect(...box);
    context.fill("evenodd");
    context.lineWidth = 2 * view.density;
    context.strokeStyle = "#ffffff";
    context.strokeRect(...box);
  }
}
