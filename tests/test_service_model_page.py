"""The page of a model's card: whole, honest about what is missing, and safe from who wrote it."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from model.card import COMMAND, CROSS_VALIDATION, ModelCard
from model.network_config import NetworkConfig
from service.model_page import ModelSheet, Tried, model_page

NASTY = '<script>alert("x")</script>'
FIGURE = {"value": 0.873, "low": 0.819, "high": 0.918}
MEASURED: dict[str, Any] = {
    "n_slides": 21,
    "n_patients": 20,
    "cell_um": 200.0,
    "cells": {"balanced_accuracy": FIGURE, "f1": FIGURE},
    "pixels": {"dice": {"value": 0.763, "low": 0.666, "high": 0.842}},
    "reliability": {"ece": {"value": 0.088, "low": 0.06, "high": 0.133}},
    "reliability_curve": {
        "at": [0.1, 0.5, 0.9],
        "value": [0.05, 0.4, 0.95],
        "low": [0.0, 0.3, 0.9],
        "high": [0.1, 0.5, 1.0],
    },
    COMMAND: "extent crossvalidate cohort.csv --config ours",
}
CARD = ModelCard(
    name="ours",
    network=NetworkConfig(),
    classes=("background", "tumour"),
    foreground=1,
    mpp=4.0,
    data="Slides of ours.",
    licence="Nobody else's.",
    limits="Densely stained tumours.",
    patients={"train": ("a1", "b2", "c3"), "test": ("d4",)},
    training={COMMAND: "extent train cohort.csv --config ours", "seed": 7},
    measures={CROSS_VALIDATION: MEASURED},
)


class _Page(HTMLParser):
    """Tags, what is linked to, and the words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def page_of(card: ModelCard, *tried: Tried) -> _Page:
    return _Page(model_page(ModelSheet(card, "d" * 64, 960_000, tried)))


def test_all_that_the_card_says_is_there() -> None:
    words = page_of(CARD).words
    for said in (
        *("Research use only. Not for diagnosis.", "Slides of ours.", "Nobody else's."),
        *("3 trained on, 1 kept for a test", "background, tumour (mapped)", "4 µm a pixel"),
        *("0.96 million", "0.5 mm (126 pixels)", "21 slides of 20 patients", "Densely stained"),
        *("extent crossvalidate cohort.csv --config ours", "extent train cohort.csv", "d" * 64),
    ):
        assert said in words, said
    assert "0.873 (0.819\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}0.918)" in words


def test_the_page_needs_no_other_file() -> None:
    found = page_of(CARD, Tried("Folds", "Two folds.", b"jpeg", 2.0, 1.5, 0.8))
    assert "script" not in found.tags and "link" not in found.tags
    assert all(source.startswith(("#", "data:")) for source in found.sources)
    assert "1.50 mm² where 2.00 mm² are drawn; overlap (Dice) 0.80" in found.words.replace(
        "\n", " "
    )


def test_what_was_never_measured_is_said_to_be() -> None:
    bare = replace(CARD, measures={}, limits="", data="", licence="", patients={}, training={})
    words = page_of(bare).words
    assert "holds no cross-validation" in words and "names no known failure" in words
    assert "was not measured" in words and "no interval for the area" in words
    assert words.count("the card does not say") == 4


@pytest.mark.parametrize(
    "measured",
    [
        NASTY,
        {"cells": NASTY, "n_slides": NASTY, "reliability_curve": [NASTY]},
        {"cells": {"f1": {"value": NASTY, "low": None, "high": None}}, COMMAND: NASTY},
        {"cells": {"f1": {"value": 10**400, "low": 0, "high": 1}}},
        {"reliability_curve": {part: [NASTY] for part in ("at", "value", "low", "high")}},
        {"reliability_curve": {**MEASURED["reliability_curve"], "low": [0.0]}},
        {"reliability": {"ece": {"value": float("nan"), "low": None, "high": None}}},
    ],
)
def test_a_card_of_anybody_makes_a_page(measured: Any) -> None:
    card = replace(
        CARD,
        name=NASTY,
        classes=("background", NASTY),
        data=NASTY,
        limits=NASTY,
        measures={CROSS_VALIDATION: measured},
        training={"config": {NASTY: {NASTY: [NASTY]}}, "seed": NASTY},
        calibration={"scaling": {NASTY: 1.0}, "contours": None, "no_contours": NASTY},
    )
    assert "script" not in page_of(card).tags


def test_the_reliability_diagram_is_drawn_to_scale() -> None:
    text = model_page(ModelSheet(CARD, "d" * 64, 960_000))
    dots = text.count("<circle ")
    assert dots == 3 and '<circle cx="182" cy="170" r="3.2"' in text  # 0.5 across, 0.4 up
