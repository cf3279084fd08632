"""How figures are written for people."""

from model.area_interval import AreaInterval


def number(value: float) -> str:
    """Three digits that mean something, without powers of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 0.001 else "< 0.001"


def ends(interval: AreaInterval) -> str:
    """As in "6.02 to 11.2"."""
    return f"{number(interval.low)} to {number(interval.high)}"


def interval_words(interval: AreaInterval) -> str:
    """As in "80% interval 6.02 to 11.2 mm², approximate"."""
    return f"{interval.level:.0%} interval {ends(interval)} mm², {interval.kind}"


def sentence(reason: str) -> str:
    """A reason with a capital and a full stop."""
    return f"{reason[:1].upper()}{reason[1:]}."
