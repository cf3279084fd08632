// The list of places where cancer is; each flies there.

import { announce, el } from "./dom.js";
import { area, millimetres, percent, plural } from "./format.js";

let flown = -1; // which of the listed regions was flown to last

export function regionList(stage, regions) {
  flown = -1;
  const items = regions.map((region, place) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", className: "region", "data-region": place, onclick: () => fly(place) },
        el("span", { className: "region-number" }, String(place + 1)),
        el("span", { className: "region-area" }, area(region.area_mm2)),
        el(
          "span",
          { className: "slide-facts" },
          `${millimetres(region.max_diameter_mm)} · ${percent(region.mean_probability)}`,
        ),
      ),
    ),
  );
  function fly(place) {
    const { bbox_level0: [left, top, right, bottom], area_mm2: mm2 } = regions[place];
    stage.flyTo([left, top, right - left, bottom - top]);
    flown = place;
    for (const [at, { firstChild }] of items.entries()) {
      firstChild.toggleAttribute("aria-current", at === place);
    }
    items[place].scrollIntoView({ block: "nearest" });
    announce(`Region ${place + 1} of ${regions.length}, ${area(mm2)}`);
  }
  if (!regions.length) return [el("h3", {}, "No region")];
  const heading = el("h3", {}, plural(regions.length, "region"));
  const columns = el("p", { className: "hint" }, "Area, largest diameter, mean probability");
  return [heading, columns, el("ol", { className: "regions", "aria-label": "Regions" }, items)];
}

/** Fly to the next (1) or previous (-1) region of the list, round and round. */
export function step(by) {
  const buttons = document.querySelectorAll("[data-region]");
  if (!buttons.length) return;
  const from = flown < 0 && by < 0 ? 0 : flown;
  buttons[(from + by + buttons.length) % buttons.length].click();
}
