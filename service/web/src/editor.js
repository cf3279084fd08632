// Drawing and correcting outlines: the tools, and what is not saved yet.

import { announce, button, el, field, fill } from "./dom.js";
import { area } from "./format.js";
import { colourOf, labelOf } from "./outline_layer.js";
import { areasByLabel } from "./shapes.js";
import { on, state } from "./state.js";

export class Editor {
  /** `save(features)` and `leave()` are the panel's. */
  constructor(stage, { save, leave }) {
    this.stage = stage;
    this.annotator = null;
    this.dirty = false;
    this.drawing = false;
    this.label = el("input", { id: "label", value: "tumour", maxLength: 200, autocomplete: "off" });
    this.label.setAttribute("list", "labels");
    this.known = el("datalist", { id: "labels" });
    this.label.addEventListener("change", () => this.#relabel());
    this.drawButton = button("Draw", () => this.draw(!this.drawing), {
      className: "toggle",
      "aria-pressed": "false",
      "aria-keyshortcuts": "d",
    });
    this.deleteButton = button("Delete", () => this.#delete(), { disabled: true });
    this.saveButton = button("Save as a new version", () => save(this.annotator.features), { className: "main", id: "save" });
    this.areas = el("p", { className: "hint", id: "edited-areas", "aria-live": "polite" });
    this.box = el(
      "section",
      { className: "card", id: "editor", "aria-label": "Correct outlines", hidden: true },
      el(
        "p",
        { className: "hint" },
        "Draw: click or tap from corner to corner, and double-click, or the first corner again, to " +
          "close. Without Draw, choose an outline to move its corners.",
      ),
      field("Label", this.label),
      this.known,
      el(
        "div",
        { className: "row" },
        this.drawButton,
        this.deleteButton,
        button("Undo", () => this.#undo("undo")),
        button("Redo", () => this.#undo("redo")),
      ),
      this.areas,
      el("div", { className: "row" }, this.saveButton, button("Discard", leave, { className: "quiet" })),
    );
    on("draw", () => this.annotator && this.draw(!this.drawing));
    on("stop-drawing", () => this.annotator && this.draw(false));
    on("delete-chosen", () => this.annotator && this.#delete());
  }

  get open() {
    return this.annotator !== null;
  }

  /** Begin on these features. The drawing tools are a file of their own, loaded here. */
  async begin(features) {
    const { Annotator } = await import("./annotator.js");
    const colours = new Map(features.map((feature) => [labelOf(feature), colourOf(feature)]));
    this.annotator = new Annotator(this.stage.viewer, features, {
      colour: (label) => colours.get(label) ?? "#e25555",
      newLabel: () => this.label.value.trim() || "tumour",
      drawn: () => this.draw(false), // it stays chosen: its label and corners can be set right
      changed: () => this.#changed(),
      chosen: (label) => {
        this.deleteButton.disabled = label === null;
        if (label !== null) this.label.value = label;
      },
    });
    fill(this.known, [...new Set(["tumour", "ignore", ...colours.keys()])].map((value) => el("option", { value })));
    this.dirty = false;
    this.box.hidden = false;
    this.#measure();
    this.label.focus();
  }

  close() {
    if (!this.annotator) return;
    this.draw(false);
    this.annotator.close();
    this.annotator = null;
    this.dirty = false;
    this.box.hidden = true;
  }

  draw(now) {
    this.drawing = now;
    this.annotator.draw(now);
    this.stage.drawing(now);
    this.drawButton.setAttribute("aria-pressed", String(now));
    announce(now ? "Drawing: click from corner to corner, double-click to close" : "Not drawing");
  }

  #relabel() {
    const label = this.label.value.trim();
    if (!label || !this.annotator.chosen.length) return;
    for (const id of this.annotator.chosen) this.annotator.relabel(id, label);
    this.#changed();
  }

  #delete() {
    this.annotator.deleteChosen();
    this.#changed();
  }

  #undo(which) {
    this.annotator[which]();
    this.#changed();
  }

  #changed() {
    this.dirty = true;
    cancelAnimationFrame(this.waiting); // a dragged corner changes dozens of times a second
    this.waiting = requestAnimationFrame(() => this.annotator && this.#measure());
  }

  #measure() {
    const measured = areasByLabel(this.annotator.features, state.slide.mpp);
    const parts = Object.entries(measured).map(([label, mm2]) => `${label} ${area(mm2)}`);
    this.areas.textContent = parts.length ? parts.join(" · ") : "Nothing is outlined yet.";
    this.saveButton.disabled = !this.dirty;
  }
}
