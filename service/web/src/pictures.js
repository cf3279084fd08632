// Small pictures in a long list: fetched as they come into view, few at once. Browsers allow few
// connections to a server, and the slide that is opened meanwhile needs them more.

import { el } from "./dom.js";

const MOST_AT_ONCE = 2;
const RETRIES = [3000, 10_000]; // milliseconds until a picture is asked for again: servers are busy at times

export class Pictures {
  constructor() {
    this.waiting = new Set();
    this.underWay = new Set();
    this.watch = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        if (isIntersecting) this.waiting.add(target);
        else this.waiting.delete(target);
      }
      this.#next();
    });
  }

  /** A picture that is fetched from `url` once it is seen; an empty frame until then. */
  picture(url) {
    const image = el("img", { className: "thumb empty", alt: "", decoding: "async", "data-from": url });
    this.watch.observe(image);
    return image;
  }

  /** Forget those that are not in the page any more. */
  tidy() {
    for (const image of [...this.waiting, ...this.underWay]) {
      if (image.isConnected) continue;
      image.removeAttribute("src"); // ends its request
      this.#done(image);
    }
    this.#next();
  }

  #next() {
    for (const image of this.waiting) {
      if (this.underWay.size >= MOST_AT_ONCE) break;
      this.waiting.delete(image);
      this.watch.unobserve(image);
      if (!image.isConnected) continue;
      this.underWay.add(image);
      image.onload = () => {
        image.classList.remove("empty");
        this.#came(image);
      };
      image.onerror = () => {
        image.removeAttribute("src"); // a slide without a picture keeps the empty frame
        this.#came(image);
        this.#again(image);
      };
      image.src = image.dataset.from;
    }
  }

  #came(image) {
    this.#done(image);
    this.#next();
  }

  #again(image) {
    const tried = Number(image.dataset.tried ?? 0);
    image.dataset.tried = tried + 1;
    if (tried < RETRIES.length) setTimeout(() => this.watch.observe(image), RETRIES[tried]);
  }

  #done(image) {
    Object.assign(image, { onload: null, onerror: null });
    this.waiting.delete(image);
    this.underWay.delete(image);
    this.watch.unobserve(image);
  }
}
