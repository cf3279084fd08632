"""A result on one sheet of paper: HTML that prints to a single A4 page, without scripts."""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model.area_interval import AreaInterval

from .printable_doubts import how_sure, skipped, unlike
from .printable_style import STYLE
from .wording import ends, number

REGIONS_SHOWN = 10
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of a sheet: its own style and picture, nothing else."""

QUALITY_WORDS = {
    "out_of_focus_mm2": "Out of focus",
    "pen_mm2": "Under pen",
    "folds_mm2": "Folded",
}
MEASURE_WORDS = {
    "dice": "Overlap with experts (Dice)",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "auc": "Area under the ROC curve",
}


@dataclass(frozen=True)
class Sheet:
    """What a sheet shows.

    `summary` is what summary.json holds; `card` the model's, None where it is no longer there;
    `region_level0` (x, y, width, height) is None where the whole slide was looked at.
    """

    job_id: str
    slide_name: str
    finished_at: float  # seconds since 1970
    summary: Mapping[str, Any]
    overlay_png: bytes
    card: Mapping[str, Any] | None
    region_level0: Sequence[float] | None = None


def printable(sheet: Sheet) -> str:
    """The sheet as an HTML page that needs nothing beside it. All words are escaped."""
    title = html.escape(f"Tumour extent: {sheet.slide_name}")
    parts = (
        _head(sheet),
        _figures(sheet.summary),
        unlike(sheet.summary),
        _picture(sheet.overlay_png),
        f'<div class="columns"><div>{_regions(sheet.summary["regions"])}</div>'
        f"<div>{_quality(sheet.summary)}{_model(sheet)}</div></div>",
        how_sure(sheet.summary),
        skipped(sheet.summary),
        _limits(sheet.card),
        _provenance(sheet),
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f'<body><main class="sheet">{"".join(parts)}</main></body></html>\n'
    )


def _head(sheet: Sheet) -> str:
    when = datetime.fromtimestamp(sheet.finished_at, UTC)
    return (
        "<header><div><h1>Tumour extent</h1>"
        f'<p class="slide">{html.escape(sheet.slide_name)}</p>'
        f'<p class="quiet">{when:%d %B %Y, %H:%M} UTC · job {html.escape(sheet.job_id)}</p></div>'
        '<p class="notice"><b>Research use only.</b><br>Not for diagnosis.</p></header>'
    )


def _figures(summary: Mapping[str, Any]) -> str:
    regions = len(summary["regions"])
    interval = AreaInterval.from_summary(summary)
    within = f"<dd><small>{ends(interval)} mm²</small></dd>" if interval else ""
    figures = (
        ("Tumour", number(summary["tumour_area_mm2"]), "mm²", within),
        ("Tissue", number(summary["tissue_area_mm2"]), "mm²", ""),
        ("Of the tissue", f"{summary['tumour_fraction']:.1%}".removesuffix("%"), "%", ""),
        ("Largest diameter", number(summary["max_diameter_mm"]), "mm", ""),
        ("Regions", f"{regions:,}", "", ""),
    )
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small> {unit}</small></dd>{more}</div>"
        for name, value, unit, more in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def _picture(png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" '
        'alt="The slide with the tumour regions outlined, a scale bar and the colours of '
        'probability"></figure>'
    )


def _regions(regions: Sequence[Mapping[str, Any]]) -> str:
    """The largest regions; summary.json lists them in this order."""
    if not regions:
        return "<h2>Regions</h2><p>No place is above the threshold.</p>"
    rows = (
        (
            str(place),
            number(region["area_mm2"]),
            number(region["max_diameter_mm"]),
            f"{region['mean_probability']:.2f}",
            ", ".join(f"{value:,.0f}" for value in region["centroid_level0"]),
        )
        for place, region in enumerate(regions[:REGIONS_SHOWN], 1)
    )
    heads = ("", "Area, mm²", "Diameter, mm", "Probability", "Centre, level-0 px")
    more = len(regions) - REGIONS_SHOWN
    rest = sum(region["area_mm2"] for region in regions[REGIONS_SHOWN:])
    note = (
        f'<p class="quiet">and {more:,} smaller, {number(rest)} mm² together</p>'
        if more > 0
        else ""
    )
    return f'<h2>Regions</h2><table class="regions">{_rows(rows, heads)}</table>{note}'


def _quality(summary: Mapping[str, Any]) -> str:
    quality, tissue = summary["quality"], summary["tissue_area_mm2"]
    found = [
        (words, f"{number(quality[name])} mm²", f"{quality[name] / tissue:.1%} of the tissue")
        for name, words in QUALITY_WORDS.items()
        if quality.get(name) and tissue
    ]
    if not found:
        return "<h2>Quality of the slide</h2><p>No blur, pen or fold was found.</p>"
    return f"<h2>Quality of the slide</h2><table>{_rows(found)}</table>"


def _model(sheet: Sheet) -> str:
    name = html.escape(str(sheet.summary["model"]))
    if sheet.card is None:
        return f"<h2>Model {name}</h2><p>Its card is no longer on this server.</p>"
    return f"<h2>Model {name}</h2>{_measures(sheet.card.get('measures') or {})}"


def _limits(card: Mapping[str, Any] | None) -> str:
    """What the model is for and what it has seen, in its card's own words."""
    words = [str(card[key]) for key in ("intended_use", "data") if card.get(key)] if card else []
    if not words:
        return ""
    return f'<p class="limits"><b>Limits.</b> {html.escape(" Learned from: ".join(words))}</p>'


def _measures(measures: Mapping[str, Any]) -> str:
    """Of the first evaluation on the card: what was measured pixel by pixel."""
    for title, found in measures.items():
        pixels = found.get("pixels") if isinstance(found, Mapping) else None
        if not isinstance(pixels, Mapping):
            continue
        rows = [
            (words, _interval(pixels[name]))
            for name, words in MEASURE_WORDS.items()
            if isinstance(pixels.get(name), Mapping) and pixels[name].get("value") is not None
        ]
        said = html.escape(str(title).replace("_", " ").capitalize())
        patients = found.get("n_patients")
        of = f" on {patients:,} patients" if isinstance(patients, int) else ""
        return f"<table><caption>{said}{of}</caption>{_rows(rows)}</table>"
    return "<p>Its card holds no measures.</p>"


def _interval(row: Mapping[str, Any]) -> str:
    if row.get("low") is None:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _provenance(sheet: Sheet) -> str:
    summary, came_from = sheet.summary, sheet.summary["provenance"]
    parameters = came_from["parameters"]
    region = sheet.region_level0
    settings = {
        "threshold": f"{summary['threshold']:g}",
        "slide": " x ".join(f"{mpp:.4g}" for mpp in summary["mpp"]) + " µm/px",
        "map": f"{summary['mpp'][0] * summary['map']['downsample'][0]:.4g} µm/px",
        "region": ", ".join(f"{v:,.0f}" for v in region) if region else "whole slide",
        **{k: v for k, v in parameters.items() if k in ("precision", "window")},
        "extent": came_from["versions"].get("extent", "?"),
    }
    told = " · ".join(f"{html.escape(k)} {html.escape(str(v))}" for k, v in settings.items())
    digests = [("slide", came_from["slide"]), ("model", came_from["model"])]
    digests += [(name, came_from["outputs"][name]) for name in sorted(came_from["outputs"])]
    return (
        f'<footer><p>{told}</p><table class="digests"><caption>SHA-256</caption>'
        f"{_rows(digests)}</table></footer>"
    )


def _rows(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """Table rows; every cell is escaped."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (f"<thead><tr>{head}</tr></thead>" if head else "") + f"<tbody>{body}</tbody>"
