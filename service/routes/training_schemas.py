"""A training as a client asks for it and as it is answered."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

from ..records.tables import Job
from ..schemas import Answer, Body, Id
from .followed import Followed, followed

Label = Annotated[str, Field(min_length=1, max_length=200, examples=["tumour"])]
Patient = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Name = Annotated[
    str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$", examples=["our-breast-2026"])
]
Config = Annotated[str, Field(min_length=1, max_length=100, examples=["breast-idc"])]


class TrainingRequest(Body):
    """What to learn from: slides, each with outlines of your group, of which the last counts.

    A slide with an empty collection of outlines is one on which there is no tumour. `patients`
    says which slides are of one patient, so that nobody's slides are both learned from and judged
    on; each slide is a patient of its own unless named. Use pseudonyms.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "our-breast-2026",
                    "slides": ["6f1ed002ab5595859014ebf0951522d9"],
                    "config": "breast-idc",
                    "foreground_label": "tumour",
                    "hours": 8,
                }
            ]
        }
    )

    name: Name
    slides: Annotated[list[Id], Field(min_length=1, max_length=10_000)]
    config: Config
    foreground_label: Label = "tumour"
    patients: dict[Id, Patient] = Field(default_factory=dict)
    mpp: Annotated[
        float | None,
        Field(ge=0.05, le=20, description="µm per level-0 pixel of slides that do not say."),
    ] = None
    epochs: Annotated[
        int | None, Field(ge=1, le=1000, description="Fewer or more than the settings have.")
    ] = None
    hours: Annotated[
        float | None, Field(gt=0, le=1000, description="After which it is stopped.")
    ] = None
    seed: Annotated[int, Field(ge=0, lt=1 << 31)] = 0


class TrainingOutcome(Answer):
    """What came out. `best_dice`: on patients that were held out; null where none were."""

    model: Annotated[str, Field(examples=["our-breast-2026"])]
    digest: str
    epochs: int
    best_epoch: int
    best_dice: float | None
    patients: Annotated[dict[str, int], Field(examples=[{"train": 8, "validation": 2, "test": 0}])]


class TrainingAnswer(Followed):
    """A training. `revision` grows with every change; `share`: how much of it is done."""

    name: str
    config: str
    slides: list[Id]
    foreground_label: str
    outcome: TrainingOutcome | None
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> Self:
        """What the owner of a training gets to see of its record."""
        done = job.state == "succeeded"
        return cls.model_validate(
            {
                **followed(job),
                "share": 1.0 if done else min(1.0, job.done / job.total) if job.total else 0.0,
                "name": job.model,
                "config": job.request["config"],
                "slides": [case["slide"] for case in job.request["cases"]],
                "foreground_label": job.request["foreground_label"],
                "outcome": job.outcome if done else None,
                "links": _links(job),
            }
        )


class TrainingsAnswer(Answer):
    """Trainings, newest first; `next` is the cursor of the next page."""

    items: list[TrainingAnswer]
    next: str | None


class Curves(Answer):
    """The learning curves so far: a value an epoch. Validation is null where none was held out."""

    epochs: Annotated[list[int], Field(examples=[[1, 2]])]
    series: Annotated[
        dict[str, list[float | None]],
        Field(examples=[{"train_loss": [0.9, 0.6], "validation_dice": [0.4, 0.7]}]),
    ]


def _links(job: Job) -> dict[str, Any]:
    here = f"/v1/trainings/{job.id}"
    links = {"self": here, "events": f"{here}/events", "curves": f"{here}/curves"}
    if job.state == "succeeded":
        links |= {"picture": f"{here}/curves.png", "model": f"/v1/models/{job.model}"}
    return links
