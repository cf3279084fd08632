// The list of slides: search, pages, pictures as they come into view, upload, delete.

import { get, query, request } from "./api.js";
import { ask } from "./dialogs.js";
import { announce, button, el, fill, guarded, icon } from "./dom.js";
import { bytes, pixels, plural } from "./format.js";
import { Pictures } from "./pictures.js";
import { emit, mayWrite, on, state } from "./state.js";
import { uploader } from "./uploads.js";

const PAGE = 50;
const BIN = "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5";

export class SlideList {
  constructor(element) {
    this.next = null;
    this.asked = null;
    this.pictures = new Pictures();
    this.search = el("input", {
      type: "search",
      id: "search",
      placeholder: "Search by name",
      "aria-label": "Search slides by name",
      oninput: () => {
        clearTimeout(this.pause);
        this.pause = setTimeout(() => this.load(), 250);
      },
    });
    this.list = el("ul", { className: "slides", "aria-label": "Slides" });
    this.more = button("Show more", () => this.load(this.next), { hidden: true });
    this.said = el("p", { className: "hint" });
    const upload = mayWrite() ? uploader((id) => this.#uploaded(id)) : null;
    element.append(this.search, ...(upload ? [upload] : []), this.list, this.said, this.more);
    this.load = guarded(this.load.bind(this));
    on("slide", () => this.#mark());
    on("signed-in", () => this.load());
  }

  /** The first page for what is searched, or the page that `cursor` begins, added. */
  async load(cursor = null) {
    this.asked?.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    const q = this.search.value.trim();
    const page = await get(query("/v1/slides", { q, cursor, limit: PAGE }), { signal });
    const items = page.items.map((slide) => this.#item(slide));
    if (cursor) this.list.append(...items);
    else fill(this.list, items);
    this.pictures.tidy();
    this.next = page.next;
    this.more.hidden = !page.next;
    const count = plural(this.list.children.length, "slide");
    if (!this.list.children.length) {
      this.said.textContent = q
        ? "No slide has this in its name."
        : "There is no slide yet: put some into the server's data folder, or upload one.";
    } else this.said.textContent = page.next ? `${count} so far` : count;
    announce(this.said.textContent);
    this.#mark();
  }

  /** What is known of a slide has changed. */
  tell(slide) {
    this.list.querySelector(`[data-slide="${CSS.escape(slide.id)}"]`)?.replaceWith(this.#item(slide));
    this.pictures.tidy();
  }

  async #uploaded(id) {
    this.search.value = "";
    await this.load();
    emit("open", { slide: id });
  }

  #item(slide) {
    const facts = [
      slide.format,
      slide.size_level0 && pixels(slide.size_level0),
      slide.bytes && bytes(slide.bytes),
      slide.outline_version ? "outlined" : null,
      slide.kind === "upload" ? "upload" : null,
    ].filter(Boolean);
    const open = el(
      "button",
      {
        type: "button",
        className: "slide",
        "data-key": slide.id,
        disabled: !slide.usable,
        onclick: () => emit("open", { slide: slide.id }),
      },
      slide.usable
        ? this.pictures.frame(`/v1/slides/${slide.id}/thumbnail?side=128`)
        : el("span", { className: "thumb" }),
      el(
        "span",
        { className: "slide-words" },
        el("span", { className: "slide-name" }, slide.name),
        el("span", { className: "slide-facts" }, slide.usable ? facts.join(" · ") : (slide.reason ?? "cannot be read")),
      ),
    );
    return el("li", { "data-slide": slide.id }, open, this.#bin(slide));
  }

  #bin(slide) {
    if (slide.kind !== "upload" || !mayWrite()) return null;
    const remove = guarded(async () => {
      const sure = await ask(
        "Delete this upload?",
        `“${slide.name}” goes for good, with its outlines and results.`,
        { yes: "Delete" },
      );
      if (!sure) return;
      await request("DELETE", `/v1/slides/${slide.id}`);
      if (state.slide?.id === slide.id) emit("open", { slide: null });
      await this.load();
    });
    const label = `Delete ${slide.name}`;
    return button(icon(BIN), remove, { className: "quiet bin", "aria-label": label, title: "Delete" });
  }

  #mark() {
    for (const item of this.list.children) {
      const current = item.dataset.slide === state.slide?.id;
      item.firstChild.toggleAttribute("aria-current", current);
      if (current) item.firstChild.setAttribute("aria-current", "true");
    }
  }
}
