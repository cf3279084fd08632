// What is known of the open slide.

import { el, fill } from "./dom.js";
import { bytes, pixels, resolution } from "./format.js";
import { on } from "./state.js";

const row = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

export function slideFacts(element) {
  const line = el("p", { className: "facts" }, "Open a slide first, from the page “Slides”.");
  const table = el("dl");
  const more = el("details", { className: "more", hidden: true }, el("summary", {}, "About this slide"), table);
  element.append(line, more);
  on("slide", (slide) => {
    more.hidden = !slide;
    if (!slide) {
      line.textContent = "Open a slide first, from the page “Slides”.";
      return;
    }
    const mpp = slide.mpp && `${[...new Set(slide.mpp.map(resolution))].join(" × ")} µm/px`;
    line.textContent = [pixels(slide.size_level0), mpp ?? "resolution unknown"].join(" · ");
    fill(
      table,
      row("Format", slide.format ?? "–"),
      row("File", bytes(slide.bytes)),
      row("Levels", String(slide.levels?.length ?? "–")),
      slide.objective_power ? row("Objective", `${slide.objective_power} ×`) : [],
      Object.entries(slide.properties ?? {}).flatMap(([name, value]) => row(name, String(value))),
    );
  });
}
