"""The reliability diagram of a model's card, drawn as SVG: no picture library is loaded for it."""

from collections.abc import Mapping, Sequence

LEFT, TOP, SIDE = 52.0, 14.0, 260.0  # of the square within the drawing
BLUE, GREY, INK = "#0072b2", "#8a949d", "#14202b"
Curve = Mapping[str, Sequence[float | None]]
Known = tuple[float, float, float, float]  # at, value, low, high


def reliability(curve: Curve, mapped: str) -> str:
    """An SVG element: the share that is `mapped` over stated probability, honest on the diagonal.

    `curve`: at, value, low and high, numbers from 0 to 1 or None, beside one another; `mapped`: the
    name of what is mapped, as HTML.
    """
    columns = (curve[part] for part in ("at", "value", "low", "high"))
    known = [row for row in map(_known, zip(*columns, strict=True)) if row is not None]
    there = [(at, low) for at, _, low, _ in known]
    back = [(at, high) for at, _, _, high in reversed(known)]
    middle = [(at, value) for at, value, _, _ in known]
    width, height = LEFT + SIDE + 18, TOP + SIDE + 46
    words = f"Share of the tissue that is {mapped}, over the probability that the map gives it"
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{words}" font-size="12" fill="{INK}">{_axes(mapped)}'
        f'<polygon points="{_points(there + back)}" fill="{BLUE}" opacity="0.18"/>'
        f'<polyline points="{_points(middle)}" fill="none" stroke="{BLUE}" stroke-width="2"/>'
        f"{''.join(_dot(x, y) for x, y in middle)}</svg>"
    )


def _known(row: tuple[float | None, ...]) -> Known | None:
    """A row without gaps, every number within the square; a value without interval is its own."""
    at, value, low, high = row
    if at is None or value is None:
        return None
    within = (at, value, value if low is None else low, value if high is None else high)
    clipped = [min(1.0, max(0.0, float(number))) for number in within]
    return clipped[0], clipped[1], clipped[2], clipped[3]


def _axes(mapped: str) -> str:
    parts = [
        f'<rect x="{LEFT:g}" y="{TOP:g}" width="{SIDE:g}" height="{SIDE:g}" fill="none" '
        f'stroke="{GREY}"/>',
        f'<polyline points="{_points([(0, 0), (1, 1)])}" stroke="{GREY}" stroke-dasharray="3 4"/>',
    ]
    for tick in (0.0, 0.5, 1.0):
        x, y = _place(tick, tick)
        parts.append(
            f'<text x="{x:g}" y="{TOP + SIDE + 17:g}" text-anchor="middle">{tick:g}</text>'
        )
        parts.append(f'<text x="{LEFT - 8:g}" y="{y + 4:g}" text-anchor="end">{tick:g}</text>')
    middle = TOP + SIDE / 2
    parts.append(
        f'<text x="{LEFT + SIDE / 2:g}" y="{TOP + SIDE + 38:g}" text-anchor="middle">'
        "probability on the map</text>"
        f'<text x="14" y="{middle:g}" text-anchor="middle" transform="rotate(-90 14 {middle:g})">'
        f"share that is {mapped}</text>"
    )
    return "".join(parts)


def _dot(at: float, value: float) -> str:
    x, y = _place(at, value)
    return f'<circle cx="{x:g}" cy="{y:g}" r="3.2" fill="{BLUE}"/>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    places = (_place(*point) for point in points)
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def _place(x: float, y: float) -> tuple[float, float]:
    return round(LEFT + x * SIDE, 1), round(TOP + (1 - y) * SIDE, 1)
