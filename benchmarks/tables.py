"""Tables for a terminal and, as markdown, for sections of a file that other sections share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """Rows under columns; `notes` say below what the reader has to know."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left", title_style="bold")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for note in self.notes:
            console.print(note, markup=False, highlight=False)

    def markdown(self) -> str:
        """A heading of the third level, the table, the notes as a paragraph each."""
        lines = [_row(self.columns), "|---" + "|---:" * (len(self.columns) - 1) + "|"]
        lines += [_row(row) for row in self.rows]
        return "\n\n".join([f"### {self.title}", "\n".join(lines), *self.notes])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def put_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between the comments `name` and `/name`; without them, append both.

    The rest of the file stays as it is.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    section = f"{begin}\n\n{text}\n\n{end}"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found, rest = old.partition(begin)
    if found:
        _, closed, after = rest.partition(end)
        if not closed:
            raise SystemExit(f"{path}: {begin} has no {end}")
        new = before + section + after
    else:
        new = f"{old.rstrip()}\n\n{section}\n".lstrip()
    path.write_text(new, encoding="utf-8")
