"""The parts that an evaluation's report is put together from, as HTML."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiling.rawplanes import disk_errors

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 62rem;
  padding: 1.5rem 1rem 3rem; color: #14202b; background: #fff; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; } h1 { margin-top: 0; } p { max-width: 46rem; }
h2 { margin: 2.5rem 0 .5rem; padding-top: .6rem; border-top: 2px solid #14202b; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
a { color: #00527f; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem;
  margin: 1.5rem 0; }
dl div { background: #f1f5f8; border-radius: .5rem; padding: .7rem 1rem; }
dt { color: #45525e; font-size: .9rem; } dd { margin: 0; }
dd b { display: block; font-size: 1.6rem; line-height: 1.3; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem .35rem 0; text-align: right; border-bottom: 1px solid #d5dbe1;
  vertical-align: top; }
thead th { font-size: .85rem; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; font-weight: normal; }
.facts th { white-space: nowrap; padding-right: 1.5rem; } .facts td { text-align: left; }
code { background: #f1f5f8; padding: .15rem .4rem; } summary { cursor: pointer; }
.wide { overflow-x: auto; } .wide td, .words td { white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr));
  gap: 1rem 2rem; }
figure { margin: .5rem 0; } img { max-width: 100%; height: auto; }
figcaption, small { color: #45525e; font-size: .9rem; }
.warning { background: #fff3cd; border-left: 5px solid #b58100; padding: .6rem 1rem; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .words td { white-space: normal; min-width: 7.5rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; }
  figure, tr, dl div { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; } img { max-height: 20cm; }
  .wide { overflow: visible; } .wide table { font-size: 7pt; }
  .wide td, .wide th { font-size: inherit; padding-right: .4rem; }
  dl { grid-template-columns: 1fr 1fr 1fr; }
  dl div { border: 1px solid #d5dbe1; } @page { margin: 1.5cm; } }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """One file that needs no other; `sections`: id, heading and HTML of each."""
    links = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text, _ in sections)
    body = "\n".join(
        f'<section id="{name}"><h2>{text}</h2>\n{inner}</section>' for name, text, inner in sections
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{lead}\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n{body}\n</body></html>\n'
    )


def interval(row: Mapping[str, Any], digits: int = 3) -> str:
    """A figure of metrics.json in words: value, and in brackets its interval."""
    if row["value"] is None:
        return "not defined"
    seen = " *" if row.get("includes_seen") else ""
    value = f"{row['value']:.{digits}f}{seen}"
    if row["low"] is None:
        return value
    return f"{value} ({row['low']:.{digits}f}{_TO}{row['high']:.{digits}f})"


_TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"  # brackets stay on one line


def cards(figures: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The few figures to remember: words and a figure each."""
    items = []
    for words, row in figures:
        value, _, rest = interval(row).partition(" (")
        more = f"({rest}" if rest else ""
        items.append(f"<div><dt>{words}</dt><dd><b>{value}</b>{more}</dd></div>")
    return f"<dl>{''.join(items)}</dl>"


def figures(rows: Mapping[str, Any], words: Mapping[str, str], digits: int = 3) -> str:
    """A table of figures: what each is, and its value with interval."""
    lines = "".join(
        f'<tr><th scope="row">{text}</th><td>{interval(rows[name], digits)}</td></tr>'
        for name, text in words.items()
    )
    return f'<table class="words">{lines}</table>'


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A table of values; `columns`: their keys and headings."""
    head = "".join(f'<th scope="col">{title}</th>' for title in columns.values())
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in columns) + "</tr>"
        for row in rows
    )
    inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{inner}</table></div>'


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return " to ".join(_cell(part) for part in value)
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return html.escape(str(value))


def pictures(*shown: str) -> str:
    """Pictures side by side where there is room."""
    return f'<div class="pictures">{"".join(shown)}</div>'


def picture(path: Path, caption: str) -> str:
    """A PNG file within the page; the caption says how to read it."""
    return embedded(path.read_bytes(), "image/png", caption)


def embedded(picture: bytes, media_type: str, caption: str) -> str:
    """The bytes of a picture's file within the page, over its caption."""
    data, words = base64.b64encode(picture).decode("ascii"), html.escape(caption)
    return (
        f'<figure><img src="data:{media_type};base64,{data}" alt="{words}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def write_page(path: Path, text: str) -> None:
    """Write a page, there whole or not at all.

    Raises:
        ResultError: not writable, or the disk is full.
    """
    with disk_errors(path):
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
