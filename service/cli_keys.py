"""`extent keys create|list|revoke`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from annotations.errors import UsageError

from .cli_options import complain

if TYPE_CHECKING:
    from .http.keys import KeyStore

State = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        envvar="EXTENT_SERVE_STATE",
        help="Where Extent keeps its database, uploads and results.",
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="EXTENT_SERVE_DATABASE",
        show_envvar=True,
        help="sqlite:///PATH or postgresql://…, instead of a file in --state.",
    ),
]
DEFAULT_STATE = Path("extent-state")

keys = typer.Typer(
    name="keys", help="Make, list and revoke the keys of a server.", no_args_is_help=True
)


@keys.command()
def create(
    scope: Annotated[
        Literal["read", "write", "admin"],
        typer.Option(help="read: look; write: also upload, draw, run; admin: everything."),
    ],
    name: Annotated[
        str, typer.Option(help="Whose it is; the author of what it saves.")
    ] = "unnamed",
    group: Annotated[
        str,
        typer.Option(
            help="Keys of a group share uploads, outlines and jobs. `local` also shares those of "
            "a server on loopback that asked for no key."
        ),
    ] = "local",
    days: Annotated[float | None, typer.Option(help="Good for so long [for ever].")] = None,
    state: State = DEFAULT_STATE,
    database: Database = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from .http.principals import Scope

    store = _store(state, database)
    typer.echo(store.create(name, Scope[scope.upper()], group, days))
    complain("this key is shown only once; it is sent as `Authorization: Bearer …`")


@keys.command(name="list")
def list_keys(state: State = DEFAULT_STATE, database: Database = None) -> None:
    """List the keys: what each may do, and until when."""
    entries = _known_store(state, database).entries()
    if not entries:
        complain("there are no keys; make one with `extent keys create --scope write`")
    for entry in entries:
        until = "for ever" if entry.expires_at is None else f"until {_day(entry.expires_at)}"
        typer.echo(
            f"{entry.id}  {entry.state:<7}  {entry.scope.word:<5}  made {_day(entry.created_at)}  "
            f"{until:<16}  group {entry.group}  {entry.name}"
        )


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="A key's id, or the key itself.")],
    state: State = DEFAULT_STATE,
    database: Database = None,
) -> None:
    """End a key, and every browser session it opened, within two seconds."""
    entry = _known_store(state, database).revoke(key.removeprefix("extent_").partition("_")[0])
    typer.echo(f"revoked {entry.id}  {entry.name}")


def _store(state: Path, database: str | None) -> "KeyStore":
    """The keys of the server that keeps its state there."""
    from .http.keys import KeyStore
    from .records.database import Records
    from .settings import Settings

    records = Records(Settings(data=state, state=state, database=database).database_url)
    records.migrate()
    return KeyStore(records)


def _known_store(state: Path, database: str | None) -> "KeyStore":
    """The same, for what makes no sense where no server ever was.

    Raises:
        UsageError: there is no such folder.
    """
    if database is None and not state.is_dir():
        raise UsageError(f"{state}: there is no such folder; --state takes the server's")
    return _store(state, database)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
