// Questions, the sign-in form and the page of keys, as native dialogs: they keep the focus inside.

import { request } from "./api.js";
import { button, el, field } from "./dom.js";

function dialog(title, ...content) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const made = el("dialog", { "aria-labelledby": "dialog-title" }, heading, ...content);
  made.addEventListener("close", () => made.remove());
  document.body.append(made);
  made.showModal();
  return made;
}

/** Ask; `choices` are {name: words}. The name chosen, or null when the dialog is closed. */
export function ask(title, text, choices) {
  return new Promise((resolve) => {
    let chosen = null;
    const buttons = Object.entries(choices).map(([name, words], place) =>
      button(
        words,
        () => {
          chosen = name;
          asked.close();
        },
        { className: place ? "quiet" : "main" },
      ),
    );
    buttons.push(button("Go back", () => asked.close(), { className: "quiet" }));
    const asked = dialog(title, el("p", {}, text), el("div", { className: "row" }, buttons));
    asked.addEventListener("close", () => resolve(chosen));
  });
}

/** The form that exchanges a key for a cookie; resolves once there is one. */
export function signIn(why) {
  let entered;
  const key = el("input", { type: "password", autocomplete: "current-password", required: true });
  key.id = "key";
  const wrong = el("p", { className: "wrong", role: "alert" });
  const form = el(
    "form",
    { method: "dialog" },
    el("p", {}, why),
    field("Key", key),
    wrong,
    el("div", { className: "row" }, el("button", { className: "main" }, "Sign in")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    try {
      await request("POST", "/v1/session", { json: { key: key.value.trim() } });
      entered();
      shown.close();
    } catch (error) {
      wrong.textContent = error.message;
      key.select();
    }
  });
  const shown = dialog("Sign in", form);
  shown.setAttribute("closedby", "none"); // without a key there is nothing behind it
  shown.addEventListener("cancel", (event) => event.preventDefault());
  return new Promise((resolve) => {
    entered = resolve;
  });
}

const KEYS = [
  ["Tab, Shift+Tab", "from control to control"],
  ["Arrow keys", "pan the slide"],
  ["+ and −", "zoom in and out"],
  ["0", "fit the slide"],
  ["n and p", "next and previous region"],
  ["m", "probability map on and off"],
  ["o", "predicted outline on and off"],
  ["c", "outer and inner contours on and off"],
  ["e", "expert outlines on and off"],
  ["d", "draw an outline, while correcting"],
  ["Delete", "delete the chosen outline, while correcting"],
  ["Esc", "stop drawing"],
  ["/", "search for a slide"],
  ["?", "this page"],
];

export function help() {
  const rows = KEYS.map(([keys, does]) =>
    el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, keys)), el("td", {}, does)),
  );
  const shown = dialog(
    "Keys",
    el("table", { className: "keys" }, el("tbody", {}, rows)),
    el(
      "p",
      { className: "hint" },
      "Keys act wherever the focus is not in a field. With a mouse or fingers: drag to pan, " +
        "wheel or pinch to zoom. What Extent measures is for research, not for diagnosis.",
    ),
    el("div", { className: "row" }, button("Close", () => shown.close(), { className: "main" })),
  );
}
