// The form that starts an analysis.

import { get, request } from "./api.js";
import { announce, button, el, field, fill, guarded } from "./dom.js";
import { fixed, pixels, resolution } from "./format.js";
import { emit, mayWrite, on, state } from "./state.js";

export class StartForm {
  constructor(element, stage, regions) {
    this.stage = stage;
    this.regions = regions;
    this.region = null;
    this.model = el("select", { id: "model", required: true });
    this.model.addEventListener("change", () => this.#modelChosen());
    this.about = el("p", { className: "hint" });
    const figure = (id, step, min, max) => el("input", { type: "number", id, step, min, max });
    this.threshold = figure("job-threshold", 0.01, 0, 0.99);
    this.mpp = figure("mpp", "any", 0.05, 20);
    this.mppField = field(
      "Resolution, µm per pixel",
      this.mpp,
      "The file does not say it. Look it up at the scanner: every area depends on it.",
    );
    this.regionRow = el("div", { className: "field", role: "group", "aria-label": "Region" });
    this.go = el("button", { className: "main", id: "start" }, "Start analysis");
    this.form = el(
      "form",
      {},
      field("Model", this.model),
      this.about,
      this.mppField,
      this.regionRow,
      field("Threshold", this.threshold, "Tumour is where the probability is above it."),
      this.go,
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      guarded(() => this.#start())();
    });
    this.details = el("details", { className: "card" }, el("summary", {}, "New analysis"), this.form);
    element.append(this.details);
    on("slide", () => this.#slideOpened());
    on("stop-drawing", () => {
      if (!regions.cancel) return;
      regions.cancel();
      this.#setRegion(null);
    });
    on("jobs", (count) => {
      this.details.open = Boolean(state.slide) && count === 0;
    });
  }

  /** The models that the server has. */
  async load() {
    this.models = (await get("/v1/models")).filter(({ usable }) => usable);
    fill(
      this.model,
      this.models.map(({ name, mpp }) => el("option", { value: name }, `${name} (${resolution(mpp)} µm/px)`)),
    );
    this.#modelChosen();
  }

  #modelChosen() {
    const model = this.models.find(({ name }) => name === this.model.value);
    this.go.disabled = !model || !mayWrite();
    if (!model) {
      this.about.textContent = "This server has no model.";
      return;
    }
    this.threshold.value = fixed(model.threshold, 2);
    const finds = `Finds ${model.foreground} at ${resolution(model.mpp)} µm/px.`;
    const card = el("a", { href: `/v1/models/${model.name}/card.html`, target: "_blank", rel: "noopener" }, "Its card");
    fill(this.about, [`${finds} ${model.card.intended_use} `, card]);
  }

  #slideOpened() {
    this.mppField.hidden = !state.slide || Boolean(state.slide.mpp);
    this.mpp.required = !this.mppField.hidden;
    this.mpp.value = "";
    this.form.inert = !state.slide;
    this.#setRegion(null);
  }

  #setRegion(box) {
    this.region = box;
    this.regions.region = box;
    const draw = () => {
      this.regions.pick((drawn) => this.#setRegion(drawn));
      this.drawButton.textContent = "Drag over the slide";
      announce("Drag over the slide to mark the region");
    };
    const seen = () => this.#setRegion(this.stage.seenLevel0);
    this.drawButton = button("Draw", draw, { "data-key": "draw-region" });
    fill(
      this.regionRow,
      el("p", { className: "label" }, box ? `Region: ${pixels(box.slice(2))}` : "Region: whole slide"),
      el(
        "div",
        { className: "row" },
        this.drawButton,
        button("What is on screen", seen, { "data-key": "seen-region" }),
        box && button("Whole slide", () => this.#setRegion(null), { className: "quiet" }),
      ),
    );
  }

  async #start() {
    this.go.disabled = true;
    const { slide } = state;
    try {
      const response = await request("POST", "/v1/jobs", {
        headers: { "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` },
        json: {
          slide: slide.id,
          model: this.model.value,
          threshold: this.threshold.valueAsNumber,
          ...(this.region && { region_level0: this.region }),
          ...(!slide.mpp && { mpp: this.mpp.valueAsNumber }),
        },
      });
      const job = await response.json();
      this.details.open = false;
      this.#setRegion(null);
      announce("The analysis waits its turn");
      emit("started", job);
    } finally {
      this.go.disabled = !mayWrite();
    }
  }
}
