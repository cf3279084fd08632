// The analyses of the open slide, and word of how they get on.

import { get, query, request } from "./api.js";
import { ask } from "./dialogs.js";
import { announce, button, el, fill, guarded } from "./dom.js";
import { area, interval, percent, time } from "./format.js";
import { emit, mayWrite, on, remember, state } from "./state.js";

const POLL = 4000; // milliseconds between looks at jobs that are not on show
const FINAL = new Set(["succeeded", "failed", "cancelled"]);
const WORDS = {
  queued: "Waiting",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** What a job does at present, in words of those who wait for it. */
const DOING = {
  reading: "opening the slide",
  canvas: "computing the map",
  pyramid: "storing the map",
  tracing: "tracing outlines",
  overlay: "drawing the picture",
  publishing: "storing the result",
};

export const isFinal = (job) => FINAL.has(job.state);
/** Whether its files are there: it succeeded, and nobody deleted them. */
export const hasResult = (job) => Boolean(job.links["summary.json"]);
/** Whether the slide is known to look unlike those that the model was measured on. */
export const isUnlike = (outcome) => outcome?.familiarity?.verdict === "unlike";

export class JobList {
  constructor(element) {
    this.jobs = new Map();
    this.list = el("ul", { className: "jobs", "aria-label": "Analyses of this slide" });
    this.none = el("p", { className: "hint" }, "No analysis of this slide yet.");
    this.heading = el("h2", {}, "Analyses of this slide");
    element.append(this.heading, this.none, this.list);
    on("started", (job) => {
      this.#take(job);
      this.show(job);
    });
    on("signed-in", guarded(() => this.#refresh(state.job?.id)));
    setInterval(() => this.#poll().catch(() => {}), POLL); // the next look may find the server
  }

  /** Look what analyses the open slide has, and show one: `id`, or else the newest to be seen. */
  async open(id) {
    const { slide } = state;
    await this.load();
    if (state.slide !== slide || !slide) return;
    const named = id && (this.jobs.get(id) ?? (await get(`/v1/jobs/${id}`)));
    this.show(named || (this.#newest.find((job) => hasResult(job) || !isFinal(job)) ?? null));
  }

  async load() {
    const { slide } = state;
    const page = slide ? await get(query("/v1/jobs", { slide: slide.id, limit: 50 })) : { items: [] };
    if (state.slide !== slide) return;
    this.jobs = new Map(page.items.map((job) => [job.id, job]));
    emit("jobs", this.jobs.size);
    this.#render();
  }

  get #newest() {
    return [...this.jobs.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  }

  /** Show a job's map and result, and follow it until it ends. */
  show(job) {
    this.source?.close();
    state.job = job;
    remember({ job: job?.id });
    emit("job", job);
    this.#render();
    if (job && !isFinal(job)) this.#follow(job.id);
  }

  /** One stream only: browsers allow few connections to a server, and tiles need them. */
  #follow(id) {
    const source = new EventSource(`/v1/jobs/${id}/events`);
    this.source = source;
    source.addEventListener("job", ({ data }) => {
      const job = JSON.parse(data);
      if (isFinal(job)) source.close();
      this.#take(job);
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) this.source = null; // polling goes on
    });
  }

  async #poll() {
    if (document.hidden) return;
    const streamed = this.source?.readyState === EventSource.OPEN ? state.job?.id : null;
    const waiting = [...this.jobs.values()].filter((job) => !isFinal(job) && job.id !== streamed);
    if (!waiting.length) return;
    const page = await get(query("/v1/jobs", { slide: state.slide?.id, limit: 50 }));
    for (const job of page.items) this.#take(job);
  }

  #take(job) {
    const before = this.jobs.get(job.id);
    if (job.slide !== state.slide?.id || (before && before.revision > job.revision)) return;
    this.jobs.set(job.id, job);
    if (before && before.state !== job.state) announce(`Analysis: ${WORDS[job.state]}`);
    if (before?.revision === job.revision && before.state === job.state) return;
    const item = this.list.querySelector(`[data-job="${job.id}"]`);
    if (item && before?.state === job.state) item.querySelector(".under-way")?.replaceWith(this.#progress(job));
    else this.#render();
    if (state.job?.id === job.id) {
      state.job = job;
      emit("progress", job);
    }
  }

  #render() {
    this.none.hidden = !state.slide || this.jobs.size > 0;
    this.heading.hidden = !state.slide;
    fill(this.list, this.#newest.map((job) => this.#item(job)));
  }

  #item(job) {
    const shown = state.job?.id === job.id;
    const fate = job.state === "succeeded" ? area(job.outcome?.tumour_area_mm2) : WORDS[job.state];
    const within = job.outcome?.area_interval_mm2;
    const facts = [
      isUnlike(job.outcome) && "unlike known slides",
      within && interval(within),
      time(job.created_at),
      job.region_level0 && "region",
    ];
    const open = el(
      "button",
      {
        type: "button",
        className: "job",
        "data-key": `job-${job.id}`,
        "aria-pressed": String(shown),
        onclick: () => this.show(shown ? null : job),
      },
      el("span", { className: `badge ${job.state}` }, fate),
      el("span", { className: "job-model" }, job.model),
      el("span", { className: "slide-facts" }, facts.filter(Boolean).join(" · ")),
    );
    return el(
      "li",
      { "data-job": job.id, "data-state": job.state },
      open,
      isFinal(job) ? null : this.#progress(job),
      job.reason ? el("p", { className: "wrong" }, job.reason) : null,
      job.deleted_at ? el("p", { className: "hint" }, "Its results were deleted.") : null,
      mayWrite() ? el("div", { className: "row" }, this.#actions(job)) : null,
    );
  }

  #progress(job) {
    const waiting = job.state === "queued" ? "A worker takes it up when one is free." : "starting";
    const doing = job.phase ? `${DOING[job.phase] ?? job.phase}, ${percent(job.share)}` : waiting;
    const known = job.state === "running" && job.total > 0;
    return el(
      "div",
      { className: "under-way" },
      el("progress", { max: 1, ...(known && { value: job.share }), "aria-label": "Progress" }),
      el("p", { className: "hint" }, doing),
    );
  }

  #actions(job) {
    const act = (name, words, method, path, question) =>
      button(
        words,
        guarded(async () => {
          if (!(await ask(`${words}?`, question, { yes: words }))) return;
          await request(method, path);
          await this.#refresh(job.id);
        }),
        { className: "quiet", "data-key": `${name}-${job.id}` },
      );
    const path = `/v1/jobs/${job.id}`;
    if (!isFinal(job)) {
      return [act("cancel", "Cancel analysis", "DELETE", path, "What it has computed so far is lost.")];
    }
    if (!hasResult(job)) return [];
    const question = "Map, outline and report of this analysis go for good; its record stays.";
    return [act("delete", "Delete results", "DELETE", `${path}/results`, question)];
  }

  async #refresh(id) {
    await this.load();
    if (state.job?.id === id) this.show(this.jobs.get(id) ?? null);
  }
}
