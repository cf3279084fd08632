// Small pictures in a long list: fetched as they come into view, few at once. Browsers allow few
// connections to a server, and the slide that is opened meanwhile needs them more.

import { el } from "./dom.js";

const MOST_AT_ONCE = 2;
const RETRIES = [3000, 10_000]; // milliseconds until one that did not come is asked for again

export class Pictures {
  constructor() {
    this.waiting = new Set(); // frames, in the order in which they came into view
    this.underWay = new Map(); // frame -> picture
    this.watch = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        if (isIntersecting) this.waiting.add(target);
        else this.waiting.delete(target);
      }
      this.#next();
    });
  }

  /** An empty frame, which the picture at `url` replaces some time after it is seen. */
  frame(url) {
    const frame = el("span", { className: "thumb", "data-from": url, "data-tried": "0" });
    this.watch.observe(frame);
    return frame;
  }

  /** Forget those that are not in the page any more. */
  tidy() {
    for (const [frame, picture] of this.underWay) {
      if (frame.isConnected) continue;
      picture.removeAttribute("src"); // ends its request
      this.underWay.delete(frame);
    }
    this.#next();
  }

  #next() {
    for (const frame of this.waiting) {
      if (this.underWay.size >= MOST_AT_ONCE) break;
      this.waiting.delete(frame);
      this.watch.unobserve(frame);
      if (frame.isConnected) this.#fetch(frame);
    }
  }

  #fetch(frame) {
    const picture = el("img", { className: "thumb", alt: "", decoding: "async" });
    const ended = (act) => () => {
      if (!this.underWay.delete(frame)) return;
      act();
      this.#next();
    };
    picture.addEventListener("load", ended(() => frame.replaceWith(picture)));
    picture.addEventListener("error", ended(() => this.#again(frame)));
    this.underWay.set(frame, picture);
    picture.src = frame.dataset.from;
  }

  #again(frame) {
    const pause = RETRIES[frame.dataset.tried];
    frame.dataset.tried = Number(frame.dataset.tried) + 1;
    if (pause) setTimeout(() => this.watch.observe(frame), pause);
  }
}
