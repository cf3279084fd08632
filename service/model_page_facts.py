"""The chapters of a model's page on where the model comes from: data, network, commands."""

import html
from collections.abc import Mapping, Sequence

from model.card import COMMAND, CROSS_VALIDATION, CROSS_VALIDATION_INT8, ModelCard

from .card_values import measures_of


def data(card: ModelCard) -> str:
    """Whose slides, how many patients, under which licence."""
    parts = {
        "train": "trained on",
        "validation": "decided when to stop",
        "test": "kept for a test",
    }
    counts = [
        f"{len(card.patients[name])} {done}"
        for name, done in parts.items()
        if card.patients.get(name)
    ]
    rows = [
        ("Data", card.data or "the card does not say"),
        ("Licence of the data", card.licence or "the card does not say"),
        ("Patients", ", ".join(counts) or "the card does not say"),
        ("SHA-256 of the cohort", card.cohort_digest or "the card does not say"),
    ]
    return _rows(rows) + (
        "<p><small>The card holds a keyed hash of each patient's name, so that nobody whom the "
        "model has seen is taken for a test by mistake; it names nobody.</small></p>"
    )


def network(card: ModelCard, weights: int) -> str:
    """Its shape; `weights`: how many numbers its file holds."""
    shape = card.network
    reach = shape.receptive_radius
    foreground = card.classes[card.foreground]
    named = (f"{name} (mapped)" if name == foreground else name for name in card.classes)
    rows = [
        ("Classes", ", ".join(named)),
        ("Looks at", f"{card.mpp:g} µm a pixel"),
        ("Map", f"{card.mpp * shape.output_stride:g} µm a pixel"),
        (
            "Sees around each place",
            f"{reach * card.mpp / 1000:.2g} mm ({reach} pixels) on each side",
        ),
        ("Weights", f"{weights / 1e6:.2f} million"),
        ("Channels at each stride", ", ".join(map(str, shape.widths))),
    ]
    return f"<p>Fully convolutional.</p>{_rows(rows)}"


def making(card: ModelCard, digest: str) -> str:
    """Commands and settings, and the `digest` of the file that came out."""
    training = card.training
    sources = (
        measures_of(card, CROSS_VALIDATION),
        measures_of(card, CROSS_VALIDATION_INT8),
        training,
    )
    commands = dict.fromkeys(str(found[COMMAND]) for found in sources if found.get(COMMAND))
    listed = "".join(f"<p><code>{html.escape(command)}</code></p>" for command in commands)
    settings = training.get("config")
    rows = [
        (name, str(training[name]))
        for name in ("seed", "epochs", "best_epoch", "torch")
        if name in training
    ]
    if isinstance(settings, Mapping):
        rows += [
            (str(name), _setting(value))
            for name, value in settings.items()
            if name not in ("name", "data", "licence", "intended_use", "limits", "labels")
        ]
    rows += [("SHA-256 of the file", digest), ("SHA-256 of the weights", card.weights_digest)]
    return (
        listed or "<p>Its card names no command: it was trained by way of a program or server.</p>"
    ) + f"<details><summary>Settings</summary>{_rows(rows)}</details>"


def _setting(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_setting(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    """Names and what is said of them."""
    lines = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(text)}</td></tr>'
        for name, text in rows
    )
    return f'<table class="facts">{lines}</table>'
