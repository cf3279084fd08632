"""What a printed sheet says of how far its figures may be trusted; HTML, all words escaped."""

import html
from collections.abc import Mapping
from typing import Any

from model.area_interval import AreaInterval
from model.familiarity import Familiarity

from .wording import ends, number, sentence


def unlike(summary: Mapping[str, Any]) -> str:
    """A warning, where the slide is unlike those that the model was measured on."""
    found = Familiarity.from_summary(summary)
    if not found or not found.is_unlike:
        return ""
    return (
        f'<p class="warning"><b>Unlike known slides.</b> {html.escape(sentence(found.reason))} '
        "What the model makes of such slides was never measured: map and figures may be wrong.</p>"
    )


def how_sure(summary: Mapping[str, Any]) -> str:
    """What the interval promises, or why there is none."""
    interval, reason = AreaInterval.from_summary(summary), str(summary.get("no_interval") or "")
    if interval is None:
        said = html.escape(sentence(reason))
        return f'<p class="limits"><b>No interval.</b> {said}</p>' if reason else ""
    look = Familiarity.from_summary(summary)
    like = "in stain and sharpness this slide is like those"
    alike = f"; {like}" if look else ", as far as this slide is like those"
    about = "" if interval.kind == "guaranteed" else "about "
    return (
        f'<p class="limits"><b>How sure.</b> With a probability of {about}{interval.level:.0%} the '
        f"experts who outlined slides of the {interval.patients:,} patients that this was measured "
        f"on would outline {ends(interval)} mm² here{alike}. Little "
        "of what they would outline lies outside the outer contour, little else within the inner "
        "one.</p>"
    )


def skipped(summary: Mapping[str, Any]) -> str:
    """What was not looked at in full, and what may have been missed there."""
    told = summary.get("adaptive")
    if not told or not told["skipped_mm2"]:
        return ""
    return (
        f'<p class="limits"><b>Skipped.</b> {number(told["skipped_mm2"])} mm² of the tissue showed '
        f"no sign of tumour at {told['coarser']} times coarser pixels and count as free of it. "
        f"{told['audited_cells']:,} cells of it, drawn at random, were looked at in full and held "
        f"none: with a certainty of {told['level']:.0%} at most "
        f"{number(told['at_most_missed_mm2'])} mm² of tumour was missed.</p>"
    )
