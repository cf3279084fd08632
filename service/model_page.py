"""A model's card as one HTML page, which needs no other file and no script."""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotations.errors import CheckpointError
from annotations.outline import TUMOUR
from model.card import CROSS_VALIDATION, CROSS_VALIDATION_INT8, ModelCard
from model.conformal import Contours, contours_in

from . import evaluation_page as page
from . import evaluation_words as words
from . import model_page_facts as facts
from .card_values import figures_in, is_curve, is_number, measures_of, told
from .reliability_svg import reliability

_HASH = base64.b64encode(hashlib.sha256(page.STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of the page: its own style and pictures, nothing else."""


@dataclass(frozen=True)
class Tried:
    """What a model did on a drawn slide; areas in mm², `picture` a JPEG file."""

    title: str
    words: str
    picture: bytes
    drawn_mm2: float
    found_mm2: float
    dice: float | None


@dataclass(frozen=True)
class ModelSheet:
    """What a page shows. `weights`: how many numbers the file holds; `digest`: its SHA-256.

    `tried` are drawn slides; empty where nobody tried any.
    """

    card: ModelCard
    digest: str
    weights: int
    tried: Sequence[Tried] = ()


def model_page(sheet: ModelSheet) -> str:
    """The page; all that stands on the card is escaped, and what is missing is said to be."""
    card = sheet.card
    measured = measures_of(card, CROSS_VALIDATION)
    chapters = [
        ("measured", "What was measured", _measured(card, measured)),
        ("sure", "How sure it is", _how_sure(card, measured)),
        ("fails", "Where it fails", _failures(sheet)),
        ("data", "What it learned from", facts.data(card)),
        ("network", "The network", facts.network(card, sheet.weights)),
        ("made", "How it was made", facts.making(card, sheet.digest)),
    ]
    return page.page(f"Model card: {html.escape(card.name)}", _lead(card, measured), chapters)


def _lead(card: ModelCard, measured: Mapping[str, Any]) -> str:
    name, pixel = card.classes[card.foreground], card.mpp * card.output_stride
    text = (
        f"<p>Maps {html.escape(name)} on histology slides, which it looks at with {card.mpp:g} µm "
        f"a pixel: a probability for every square of {pixel:g} µm. A place counts as "
        f"{html.escape(name)} where it is above {card.threshold:.3g}.</p>"
        f'<p class="warning">{html.escape(card.intended_use)}</p>'
    )
    shown = [
        (title, row)
        for title, group, figure in (
            ("Balanced accuracy, cells", "cells", "balanced_accuracy"),
            ("F1, cells", "cells", "f1"),
            ("Area under the ROC curve, cells", "cells", "auc"),
            ("Overlap with the expert's area (Dice)", "pixels", "dice"),
            ("Calibration error (ECE), 0 is best", "reliability", "ece"),
        )
        if (row := figures_in(measured.get(group)).get(figure))
    ]
    return text + (page.cards(shown) if shown else "")


def _measured(card: ModelCard, measured: Mapping[str, Any]) -> str:
    if not measured:
        return "<p>Its card holds no cross-validation: how good it is was not measured.</p>"
    text = (
        f"<p>Cross-validated on {told(measured, 'n_slides')} slides of "
        f"{told(measured, 'n_patients')} patients: every slide was judged by a network that had "
        "not seen its patient, trained in the same way as this one. In brackets: the interval that "
        "holds 95 % of what other draws of such patients would give. Other laboratories and "
        "scanners may give worse.</p>"
    )
    for title, group, names in (
        (f"Cells of {told(measured, 'cell_um')} µm", "cells", words.CELLS),
        ("Tissue, pixel by pixel", "pixels", words.PIXELS),
    ):
        text += f"<h3>{title}</h3>{_table(card, measured.get(group), names)}"
    return text + _int8(card)


def _int8(card: ModelCard) -> str:
    """Whether computing in 8 bits is as good."""
    measured = measures_of(card, CROSS_VALIDATION_INT8)
    if not measured:
        return (
            "<p>What computing in int8 would lose was not measured, so it is not done unasked.</p>"
        )
    taken = (
        "which is why processors that are quick in it compute so unless told otherwise"
        if card.int8_holds
        else "so that it is done only when asked for"
    )
    rows = figures_in(measured.get("cells"))
    both = " and ".join(
        f"{title} of {page.interval(rows[name])}"
        for name, title in (("balanced_accuracy", "a balanced accuracy"), ("f1", "an F1"))
        if name in rows
    )
    return f"<p>Computed in int8, the same networks have {both} on cells, {taken}.</p>"


def _how_sure(card: ModelCard, measured: Mapping[str, Any]) -> str:
    text = _table(card, measured.get("reliability"), words.PROBABILITIES)
    curve, name = measured.get("reliability_curve"), html.escape(card.classes[card.foreground])
    if is_curve(curve):
        text += (
            f"<figure>{reliability(curve, name)}<figcaption>Of the places to which the map gives "
            f"such a probability, the share that is {name}: on the dotted line it is honest, below "
            f"it the model is too sure of {name}. The band: what 95 % of other draws of such "
            "patients would give.</figcaption></figure>"
        )
    elif not text:
        text = "<p>Whether its probabilities mean what they say was not measured.</p>"
    return text + _scaling(card) + _interval(card)


def _scaling(card: ModelCard) -> str:
    scaling = card.calibration.get("scaling")
    if not isinstance(scaling, Mapping) or not all(map(is_number, scaling.values())):
        return "<p>Its probabilities are the network's own, as training left them.</p>"
    steps = ", ".join(f"{html.escape(name)} {value:.3g}" for name, value in scaling.items())
    return (
        f"<p>Its probabilities were scaled ({steps}), and the threshold of {card.threshold:.3g} "
        "was chosen, by maps of patients that the networks had not seen.</p>"
    )


def _interval(card: ModelCard) -> str:
    """What the contours on the card promise, or why there are none."""
    try:
        contours = contours_in(card.calibration)
    except CheckpointError as error:
        contours = str(error)
    if not isinstance(contours, Contours):
        return f"<p>Results state no interval for the area: {html.escape(contours)}.</p>"
    sure = (
        f"With a probability of at least {contours.level:.0%}"
        if contours.kind == "guaranteed"
        else f"With a probability of about {contours.level:.0%} (approximate: cross-conformal)"
    )
    return (
        f"<p>Results state an interval for the area. {sure} the area that the experts of these "
        f"slides would outline lies within it, as measured on {contours.patients} patients and as "
        "far as a new slide is like theirs. An inner and an outer contour come with it: in "
        f"{1 - contours.missed:.0%} of patients at most {contours.slack:.0%} of the experts' "
        f"outlines lie outside the outer one, and in as many at most {contours.slack:.0%} of the "
        "inner one lies outside theirs.</p>"
    )


def _failures(sheet: ModelSheet) -> str:
    text = f"<p>{html.escape(sheet.card.limits)}</p>" if sheet.card.limits else ""
    if not sheet.tried:
        return (
            text or "<p>Its card names no known failure; that is not to say that there is none.</p>"
        )
    shown = (
        page.embedded(tried.picture, "image/jpeg", f"{tried.title}. {tried.words} {_found(tried)}")
        for tried in sheet.tried
    )
    return (
        f"{text}<p>What it does on drawn slides, which no patient stands behind: they show what "
        "kind of thing goes wrong, not how often. Blue, solid: the model's outline. Yellow, "
        f"dashed: the drawn tumour.</p>{page.pictures(*shown)}"
    )


def _found(tried: Tried) -> str:
    """What came out, in a sentence."""
    if tried.dice is None:
        return f"The model calls {tried.found_mm2:.2f} mm² of it tumour."
    return (
        f"The model outlines {tried.found_mm2:.2f} mm² where {tried.drawn_mm2:.2f} mm² are drawn; "
        f"overlap (Dice) {tried.dice:.2f}."
    )


def _table(card: ModelCard, rows: object, names: Mapping[str, str]) -> str:
    """Those figures that are there, in words for what the model maps."""
    sound, mapped = figures_in(rows), html.escape(card.classes[card.foreground])
    there = {name: text.replace(TUMOUR, mapped) for name, text in names.items() if name in sound}
    return page.figures(sound, there) if there else ""
