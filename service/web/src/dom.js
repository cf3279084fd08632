// Elements. What comes from people or files reaches the page as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: properties are set, on… functions listen, aria-/data-/other names are attributes. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A line drawing on a 24 × 24 grid. */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Replace what an element holds, keeping the focus on the control of the same data-key. */
export function fill(element, ...children) {
  const key = element.contains(document.activeElement)
    ? document.activeElement.dataset.key
    : undefined;
  element.replaceChildren(...children.flat().filter((child) => child));
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

export function button(text, onclick, more = {}) {
  return el("button", { type: "button", onclick, ...more }, text);
}

/** A labelled control; `hint` is read out with it. */
export function field(label, control, hint) {
  control.id ||= `field-${label.toLowerCase().replace(/\W+/g, "-")}`;
  const parts = [el("label", { htmlFor: control.id }, label), control];
  if (hint) {
    const said = el("p", { id: `${control.id}-hint`, className: "hint" }, hint);
    control.setAttribute("aria-describedby", said.id);
    parts.push(said);
  }
  return el("div", { className: "field" }, parts);
}

/** A checkbox with its words. */
export function check(label, checked, onchange, more = {}) {
  const box = el("input", { type: "checkbox", checked, ...more });
  box.addEventListener("change", () => onchange(box.checked));
  return el("label", { className: "check" }, box, label);
}

/** Say something to those who cannot see it. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Something went wrong, or was done: stays until closed, or goes by itself when `good`. */
export function notice(text, { good = false } = {}) {
  const said = [...byId("notices").querySelectorAll("p")].map((each) => each.textContent);
  if (said.includes(text)) return;
  const close = button("Close", () => note.remove(), { className: "quiet" });
  const note = el("div", { className: good ? "notice good" : "notice" }, el("p", {}, text), close);
  byId("notices").append(note);
  if (good) setTimeout(() => note.remove(), 5000);
}

/** Run what may be refused, and show the refusal. */
export function guarded(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      if (error.name !== "AbortError" && error.status !== 401) notice(error.message);
      return undefined;
    }
  };
}
