"""What the labels in an outline file mean."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from annotations.errors import UsageError
from annotations.outline import IGNORE, TUMOUR

EXCLUSION = "exclusion"
"""The meaning of a hole that is painted over every class, though not over `ignore`."""

TUMOUR_ALIASES = (
    "tumor",
    "tumor region",
    "tumour region",
    "tumor area",
    "tumour area",
    "invasive",
    "invasive tumor",
    "invasive tumour",
    "invasive carcinoma",
    "invasive ductal carcinoma",
    "invasive cancer",
    "carcinoma",
    "cancer",
    "malignant",
    "metastasis",
    "metastases",
    "_0",
    "_1",
)
EXCLUSION_ALIASES = (
    "_2",
    "exclude",
    "excluded",
    "hole",
    "holes",
    "negative",
    "normal in tumor",
    "normal in tumour",
    "clear",
)
IGNORE_ALIASES = ("ignore*", "ignored", "artefact", "artifact", "artefacts", "artifacts")

# Names that programs give of their own accord: "Annotation 0", "_12", "shape3", "7".
_AUTOMATIC_NAME = re.compile(r"(annotation|shape|region|pathannotationobject)?[\s_#-]*\d*")
_TRAILING_NUMBER = re.compile(r"[\s_#-]*\d+$")


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _default_classes() -> dict[str, tuple[str, ...]]:
    return {TUMOUR: TUMOUR_ALIASES}


@dataclass(frozen=True)
class LabelRules:
    """Which of a file's labels mean what; upper and lower case and runs of blanks do not count.

    `classes`: canonical label -> its aliases; the label itself is always one of them.
    `exclusion`: holes, painted later over every class (CAMELYON's groups `_2` and `negative`).
    `ignore`: shapes in which nobody shall look; they become `ignore`.
    `unlabelled`: what a shape without any label becomes. By default `tumour`: in an expert's file
    that names nothing, what was outlined is the tumour. None leaves such shapes out, with a
    warning.
    A label that no rule knows stays as the file has it, blanks at its ends removed.

    Raises UsageError when one alias means two things.
    """

    classes: Mapping[str, tuple[str, ...]] = field(default_factory=_default_classes)
    exclusion: tuple[str, ...] = EXCLUSION_ALIASES
    ignore: tuple[str, ...] = IGNORE_ALIASES
    unlabelled: str | None = TUMOUR

    def __post_init__(self) -> None:
        for label in self.classes:
            if _plain(label) in (EXCLUSION, IGNORE):
                raise UsageError(
                    f"'{label}' cannot be a class: list its aliases as {_plain(label)}"
                )
        _ = self._meanings

    @cached_property
    def _meanings(self) -> dict[str, str]:
        rules = {**self.classes, EXCLUSION: self.exclusion, IGNORE: self.ignore}
        meanings: dict[str, str] = {}
        for label, aliases in rules.items():
            for alias in (label, *aliases):
                other = meanings.setdefault(_plain(alias), label)
                if other != label:
                    raise UsageError(
                        f"the label '{alias}' is given two meanings, '{other}' and '{label}': "
                        "take it out of one of them"
                    )
        return meanings

    def known(self, text: str) -> str | None:
        """The canonical label, EXCLUSION or IGNORE that a rule gives to `text`, else None."""
        return self._meanings.get(_plain(text))

    def label_of(self, classes: Sequence[str], shape_name: str = "") -> str | None:
        """What a shape is: a canonical label, EXCLUSION, IGNORE, or None = leave it out.

        `classes`: what the file says of its class, the most telling first (a group and the groups
        around it, say); blank ones do not count. The first that a rule knows decides; else the
        first. `shape_name`: the name of this one shape, which counts only where there is no class;
        numbers behind it do not count ("Tumor3"), names that programs give ("Annotation 0", "_2")
        say nothing.
        """
        stated = [" ".join(text.split()) for text in classes if text.strip()]
        for text in stated:
            meaning = self.known(text)
            if meaning is not None:
                return meaning
        if stated:
            return stated[0]
        name = " ".join(shape_name.split())
        if _AUTOMATIC_NAME.fullmatch(name.casefold()):
            return self.unlabelled
        return self.known(name) or self.known(_TRAILING_NUMBER.sub("", name)) or name
