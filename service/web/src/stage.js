// The slide, by OpenSeadragon, and where its level-0 pixels lie on the screen.

import OpenSeadragon from "openseadragon";
import { el } from "./dom.js";

// OpenSeadragon adds a style sheet to the page unless it finds it there. The page's policy forbids
// that, and its rule hides the focus: this empty element, which is no style sheet, keeps it away.
const standIn = document.createElementNS("", "style");
standIn.setAttribute("data-openseadragon-mobile-css", "");

const AGAIN = 4000; // milliseconds until a tile that did not come is asked for again
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  constructor(element) {
    const host = el("div", { className: "osd" });
    element.append(host);
    this.slide = null;
    /** Settles when the slide that was asked for last is there, or is known not to come. */
    this.opened = Promise.resolve();
    document.head.append(standIn);
    this.viewer = OpenSeadragon({
      element: host,
      // The canvas drawer is the same on every machine; WebGL's limits and losses are not.
      drawer: "canvas",
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "TOP_RIGHT",
      navigatorSizeRatio: 0.15,
      navigatorAutoFade: false,
      navigatorOpacity: 1,
      navigatorBackground: "#202327",
      navigatorBorderColor: "#4a5056",
      navigatorDisplayRegionColor: "#12857c",
      animationTime: still.matches ? 0 : 0.5,
      maxZoomPixelRatio: 4,
      minZoomImageRatio: 0.6,
      visibilityRatio: 0.3,
      imageLoaderLimit: 4, // of the six connections that browsers allow: the next slide needs one
      maxImageCacheCount: 400,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { dblClickToZoom: true },
    });
    this.viewer.addHandler("canvas-key", (event) => {
      event.preventDefaultAction = true; // keys.js has them all
    });
    // The server was busy or away: OpenSeadragon would leave a hole. Only tiles in view are fetched.
    this.viewer.addHandler("tile-load-failed", ({ tile, tiledImage }) => {
      setTimeout(() => {
        tile.exists = true;
        tiledImage.setClip(tiledImage.getClip()); // has it look through its tiles anew
      }, AGAIN);
    });
    this.viewer.canvas.setAttribute("aria-label", "Slide: arrow keys pan, plus and minus zoom");
    this.viewer.canvas.setAttribute("role", "application");
  }

  /** Show a slide, {id, size_level0, bounds_level0, mpp}; resolves when its first view is there. */
  async open(slide) {
    this.slide = null;
    this.wanted = slide;
    const opened = this.opened.then(() => this.#open(slide));
    this.opened = opened.catch(() => {});
    await opened;
  }

  async #open(slide) {
    if (slide !== this.wanted) return; // another was chosen meanwhile
    await new Promise((resolve, reject) => {
      const { viewer } = this;
      const heard = (settle) => () => {
        viewer.removeHandler("open", done);
        viewer.removeHandler("open-failed", failed);
        settle();
      };
      const done = heard(resolve);
      const failed = heard(() =>
        reject(new Error("This slide cannot be shown: the server did not give its tiles.")),
      );
      viewer.addHandler("open", done);
      viewer.addHandler("open-failed", failed);
      viewer.open(`/v1/slides/${slide.id}.dzi`);
    });
    if (slide !== this.wanted) return;
    this.slide = slide;
    this.flyTo(this.#whole, { margin: 0.02, at: "once" });
  }

  close() {
    this.slide = null;
    this.wanted = null;
    this.opened = this.opened.then(() => this.viewer.close());
  }

  /** Screen pixels (CSS) = level-0 pixels × scale + [x, y]; null while no slide is open. */
  get view() {
    if (!this.slide || !this.viewer.viewport) return null;
    const bounds = this.viewer.viewport.getBounds(true);
    const { x: width } = this.viewer.viewport.getContainerSize();
    const level0 = this.slide.size_level0[0]; // one viewport unit is the slide's width
    const scale = width / (bounds.width * level0);
    return { scale, x: -bounds.x * level0 * scale, y: -bounds.y * level0 * scale };
  }

  /** The level-0 point under a point of the page. */
  level0At({ clientX, clientY }) {
    const view = this.view;
    if (!view) return null;
    const { left, top } = this.viewer.canvas.getBoundingClientRect();
    return [(clientX - left - view.x) / view.scale, (clientY - top - view.y) / view.scale];
  }

  /** What is on the screen, cut to the slide: [x, y, width, height] in whole level-0 pixels. */
  get seenLevel0() {
    const view = this.view;
    if (!view) return null;
    const size = this.viewer.viewport.getContainerSize();
    const [width, height] = this.slide.size_level0;
    const x = Math.max(0, Math.round(-view.x / view.scale));
    const y = Math.max(0, Math.round(-view.y / view.scale));
    const right = Math.min(width, Math.round((size.x - view.x) / view.scale));
    const bottom = Math.min(height, Math.round((size.y - view.y) / view.scale));
    return right > x && bottom > y ? [x, y, right - x, bottom - y] : null;
  }

  /** Bring a level-0 box into view, with a margin around it in shares of its longer side. */
  flyTo([x, y, width, height], { margin = 0.25, at = "soon" } = {}) {
    if (!this.slide) return;
    const unit = this.slide.size_level0[0];
    const around = Math.max(width, height, 64) * margin;
    const box = [x - around, y - around, width + 2 * around, height + 2 * around];
    const seen = new OpenSeadragon.Rect(...box.map((value) => value / unit));
    this.viewer.viewport.fitBounds(seen, at === "once");
  }

  /** Pan by shares of what is seen. */
  pan(across, down) {
    if (!this.slide) return;
    const { width, height } = this.viewer.viewport.getBounds();
    this.viewer.viewport.panBy(new OpenSeadragon.Point(across * width, down * height));
    this.viewer.viewport.applyConstraints();
  }

  zoom(factor) {
    if (!this.slide) return;
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  fit() {
    if (!this.slide) return;
    this.flyTo(this.#whole, { margin: 0.02 });
  }

  /** The part of the slide that was scanned. */
  get #whole() {
    return this.slide.bounds_level0 ?? [0, 0, ...this.slide.size_level0];
  }

  /** While a shape is drawn, a double click ends it instead of zooming. */
  drawing(now) {
    this.viewer.gestureSettingsMouse.dblClickToZoom = !now;
    this.viewer.gestureSettingsTouch.dblClickToZoom = !now;
  }
}
