// The three pages of the panel.

import { byId } from "./dom.js";
import { remember } from "./state.js";

const NAMES = ["slides", "analysis", "outlines"];
const tab = (name) => byId(`tab-${name}`);

export function choose(name) {
  for (const each of NAMES) {
    const chosen = each === name;
    byId(each).hidden = !chosen;
    tab(each).setAttribute("aria-selected", String(chosen));
    tab(each).tabIndex = chosen ? 0 : -1;
  }
  remember({ tab: name });
}

export function beginTabs(first) {
  for (const [place, name] of NAMES.entries()) {
    tab(name).addEventListener("click", () => choose(name));
    tab(name).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: NAMES.length - 1 }[event.key];
      if (!step) return;
      const next = NAMES[(place + step) % NAMES.length];
      choose(next);
      tab(next).focus();
    });
  }
  choose(NAMES.includes(first) ? first : NAMES[0]);
}
