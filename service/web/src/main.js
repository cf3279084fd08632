// The viewer: its parts, wired together once.

import { get } from "./api.js";
import { byId, guarded, notice } from "./dom.js";
import { hud } from "./hud.js";
import { JobList } from "./jobs.js";
import { beginKeys } from "./keys.js";
import { MapLayer } from "./map_layer.js";
import { OutlineLayer, colourOf } from "./outline_layer.js";
import { Outlines } from "./outlines.js";
import { RegionLayer } from "./region_layer.js";
import { Result } from "./result.js";
import { begin } from "./session.js";
import { slideFacts } from "./slide_facts.js";
import { SlideList } from "./slides.js";
import { Stage } from "./stage.js";
import { StartForm } from "./start.js";
import { address, emit, on, remember, state } from "./state.js";
import { beginTabs, choose } from "./tabs.js";

async function main() {
  await begin();
  const stage = new Stage(byId("stage"));
  const layers = {
    map: new MapLayer(stage),
    contours: new OutlineLayer(stage, "contours", {
      colour: colourOf,
      dash: [],
      casing: "rgb(255 255 255 / 85%)",
      width: 1.5,
    }),
    predicted: new OutlineLayer(stage, "predicted", {
      colour: () => "#ffe45c",
      dash: [],
      casing: "rgb(20 20 20 / 70%)",
      width: 2,
    }),
    expert: new OutlineLayer(stage, "expert", {
      colour: colourOf,
      dash: [9, 5],
      casing: "rgb(255 255 255 / 85%)",
      width: 2,
    }),
  };
  hud(byId("stage"), stage);
  slideFacts(byId("analysis"));
  const result = new Result(byId("analysis"), stage, layers);
  const start = new StartForm(byId("analysis"), stage, new RegionLayer(stage));
  const jobs = new JobList(byId("analysis"));
  const outlines = new Outlines(byId("outlines"), stage, layers.expert);
  const slides = new SlideList(byId("slides"));
  beginKeys(stage);

  let latest = 0; // a slide that is chosen while another opens takes its place
  const open = async ({ slide: id, job }, begun = () => {}) => {
    latest += 1;
    const turn = latest;
    const slide = id ? await get(`/v1/slides/${id}`) : null;
    if (slide && !slide.usable) {
      slides.tell(slide);
      throw new Error(`${slide.name}: ${slide.reason}`);
    }
    if (turn !== latest || !(await outlines.mayLeave())) return;
    jobs.show(null);
    state.slide = slide;
    remember({ slide: id, job: "" });
    document.title = slide ? `${slide.name} – Extent` : "Extent";
    byId("slide-title").textContent = slide?.name ?? "";
    byId("stage").dataset.shows = "";
    emit("slide", slide);
    begun();
    const analyses = guarded(() => jobs.open(job))();
    await Promise.all([slide ? stage.open(slide) : stage.close(), analyses]).finally(() => {
      if (turn === latest) byId("stage").dataset.shows = stage.slide?.name ?? "nothing";
    });
  };
  const toAnalysis = () => {
    if (!state.slide) return;
    const lost = byId("slides").contains(document.activeElement);
    choose("analysis");
    if (lost) byId("tab-analysis").focus();
  };
  on("open", guarded((which) => open(which, toAnalysis)));

  const { slide, job, tab } = address();
  beginTabs(slide ? tab : "slides");
  byId("stage").dataset.shows = "nothing";
  await Promise.all([slides.load(), start.load(), slide && guarded(open)({ slide, job })]);
}

main().catch((error) => notice(error.message));
