// Keys that act wherever the focus is not in a field of its own keys.

import { help } from "./dialogs.js";
import { byId } from "./dom.js";
import { step } from "./regions.js";
import { emit, show, state } from "./state.js";
import { choose } from "./tabs.js";

const TAKES_LETTERS = "input:not([type=checkbox]):not([type=range]):not([type=file]), select, textarea";
const TAKES_ARROWS = `${TAKES_LETTERS}, input[type=range], [role=tab]`;
const STEP = 0.15; // of what is seen

const toggle = (layer) => show(layer, !state.layers[layer]);

export function beginKeys(stage) {
  const arrows = {
    ArrowLeft: () => stage.pan(-STEP, 0),
    ArrowRight: () => stage.pan(STEP, 0),
    ArrowUp: () => stage.pan(0, -STEP),
    ArrowDown: () => stage.pan(0, STEP),
  };
  const letters = {
    "+": () => stage.zoom(1.4),
    "=": () => stage.zoom(1.4),
    "-": () => stage.zoom(1 / 1.4),
    0: () => stage.fit(),
    n: () => step(1),
    p: () => step(-1),
    m: () => toggle("map"),
    o: () => toggle("predicted"),
    c: () => toggle("contours"),
    e: () => toggle("expert"),
    d: () => emit("draw"),
    Escape: () => emit("stop-drawing"),
    Delete: () => emit("delete-chosen"),
    "?": help,
    "/": () => {
      choose("slides");
      byId("search").focus();
    },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    const act = Object.hasOwn(arrows, key)
      ? !target.closest(TAKES_ARROWS) && arrows[key]
      : Object.hasOwn(letters, key) && !target.closest(TAKES_LETTERS) && letters[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  byId("help").addEventListener("click", help);
}
