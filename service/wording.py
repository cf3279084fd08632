"""How figures are written for people."""


def number(value: float) -> str:
    """Three digits that mean something, without powers of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 0.001 else "< 0.001"
