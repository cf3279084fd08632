"""A job as a client asks for it and as it is answered."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from model.conformal import Kind
from model.stored import MAP_FILE, SUMMARY_FILE

from ..records.tables import UNFINISHED, Job
from ..results import OUTLINE_FILE, OVERLAY_FILE
from ..schemas import Answer, Body, Id, Time, time_of
from .followed import Followed, followed

Pixels = Annotated[int, Field(ge=0, le=1 << 31)]
Side = Annotated[int, Field(ge=1, le=1 << 31)]
Region = Annotated[
    tuple[Pixels, Pixels, Side, Side],
    Field(
        description="x, y, width, height in level-0 pixels of the slide's full plane.",
        examples=[[12000, 8000, 20000, 15000]],
    ),
]
Threshold = Annotated[
    float,
    Field(description="Tumour is where the probability is above this.", examples=[0.5]),
]
Adaptive = Annotated[
    bool,
    Field(
        description="Look coarsely first and skip tissue without a sign of tumour; "
        "`adaptive` in summary.json says what that saved, and what it may have missed."
    ),
]

BEGINS = {  # of each phase: the share of a usual job that is then done
    "reading": 0.0,
    "canvas": 0.02,
    "pyramid": 0.90,
    "tracing": 0.93,
    "overlay": 0.96,
    "publishing": 0.99,
}
FILES = (SUMMARY_FILE, OUTLINE_FILE, MAP_FILE, OVERLAY_FILE, "report.html")


class JobRequest(Body):
    """A slide to be mapped with a model.

    Without a region the whole slide; without a threshold the model card's.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "slide": "6f1ed002ab5595859014ebf0951522d9",
                    "model": "breast-idc",
                    "region_level0": [20000, 12000, 8192, 8192],
                    "threshold": 0.5,
                    "adaptive": False,
                }
            ]
        }
    )

    slide: Id
    model: Annotated[str, Field(min_length=1, max_length=200, examples=["breast-idc"])]
    region_level0: Region | None = None
    mpp: Annotated[
        float | None,
        Field(
            ge=0.05,
            le=20,
            description="µm per level-0 pixel, for a slide whose file does not say.",
            examples=[0.25],
        ),
    ] = None
    threshold: Annotated[Threshold | None, Field(ge=0, lt=1)] = None
    adaptive: Annotated[Adaptive, Field(examples=[True])] = False


class AreaIntervalAnswer(Answer):
    """What experts would outline lies within, with a probability of `level`.

    Measured on so many `patients`: "guaranteed" where the model saw none of them in any way,
    "approximate" where it was cross-validated on them. For slides like theirs.
    """

    low: Annotated[float, Field(description="mm²")]
    high: Annotated[float, Field(description="mm²")]
    level: Annotated[float, Field(examples=[0.8])]
    kind: Kind
    patients: int
    slack: Annotated[
        float, Field(description="The share by which contours may miss what experts outline.")
    ]


class FamiliarityAnswer(Answer):
    """Whether the slide looks like those of the `patients` that the model was measured on.

    Where it does not, the figures may be far off, and there is no interval.
    """

    verdict: Literal["like", "unlike"]
    p_value: Annotated[
        float, Field(description="The share of patients, this one among them, at least as unusual.")
    ]
    score: Annotated[float, Field(description="How unusual; of what is usual, about 1.")]
    patients: int
    reason: Annotated[str, Field(description="What is unlike; empty where nothing is.")]


class Outcome(Answer):
    """The headline figures of a finished map."""

    tumour_area_mm2: float
    area_interval_mm2: AreaIntervalAnswer | None = None
    no_interval: Annotated[
        str, Field(description="Why there is no interval; empty where there is one.")
    ] = ""
    familiarity: FamiliarityAnswer | None = None
    no_familiarity: Annotated[str, Field(description="Why it is not known; empty where it is.")] = (
        ""
    )
    tissue_area_mm2: float
    tumour_fraction: float
    max_diameter_mm: float
    regions: int


class JobAnswer(Followed):
    """A map that was asked for. `revision` grows with every change; `share`: how much is done."""

    slide: Id
    slide_name: str
    model: str
    model_digest: str | None
    region_level0: Region | None
    mpp: float | None
    threshold: Threshold
    adaptive: Adaptive
    expires_at: Annotated[Time | None, Field(description="When its result will be deleted.")]
    deleted_at: Annotated[Time | None, Field(description="When its result was deleted.")]
    outcome: Outcome | None
    links: Annotated[dict[str, str], Field(description="Where its events, map and files are.")]

    @classmethod
    def of(cls, job: Job) -> Self:
        """What the owner of a map job gets to see of its record."""
        request = job.request
        return cls.model_validate(
            {
                **followed(job),
                "share": _share(job),
                "slide": job.slide_id,
                "slide_name": request["slide_name"],
                "model": job.model,
                "model_digest": job.model_digest,
                "region_level0": request["region_level0"],
                "mpp": request["mpp"],
                "threshold": request["threshold"],
                "adaptive": request.get("adaptive", False),
                "expires_at": time_of(job.expires_at),
                "deleted_at": time_of(job.deleted_at),
                "outcome": _outcome(job),
                "links": _links(job),
            }
        )


class JobsAnswer(Answer):
    """Jobs, newest first; `next` is the cursor of the next page."""

    items: list[JobAnswer]
    next: str | None


def _share(job: Job) -> float:
    """How much of a job is done: by its phase, and within that by what is done of it."""
    if job.state == "succeeded":
        return 1.0
    begins = BEGINS.get(job.phase, 0.0)
    ends = min((share for share in BEGINS.values() if share > begins), default=1.0)
    within = min(1.0, job.done / job.total) if job.total else 0.0
    return round(begins + (ends - begins) * within, 4)


def _outcome(job: Job) -> dict[str, Any] | None:
    if job.state != "succeeded" or job.outcome is None:
        return None
    # Jobs that ended before there were intervals, or familiarity, say nothing of them
    return {name: job.outcome[name] for name in Outcome.model_fields if name in job.outcome}


def _links(job: Job) -> dict[str, str]:
    here = f"/v1/jobs/{job.id}"
    links = {"self": here, "slide": f"/v1/slides/{job.slide_id}", "events": f"{here}/events"}
    there = job.result_attempt is not None
    if there or job.state in UNFINISHED:
        links |= {"map": f"{here}/map", "areas": f"{here}/areas"}
    return links | ({name: f"{here}/{name}" for name in FILES} if there else {})
