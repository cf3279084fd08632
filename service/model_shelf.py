"""The models that a server offers: shipped ones, those of a folder, and what trainings made."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from annotations.errors import CheckpointError
from model.card_file import count_weights, read_card
from model.shipped import SHIPPED

from .http.principals import Principal
from .http.problems import Problem, not_found
from .model_page import ModelSheet
from .records.audit import audit
from .records.database import Records, now
from .records.tables import TrainedModel
from .settings import Settings

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PRIVATE = ("patients", "patient_salt")  # hashes that guesses can be tried on
Source = Literal["shipped", "folder", "trained"]


@dataclass(frozen=True)
class ModelEntry:
    """A model by name. `card` is its card without what may tell of patients.

    `reason` says why it cannot be used; then `digest` and `card` are empty. `published`: every
    group sees it.
    """

    name: str
    path: Path
    digest: str
    card: dict[str, Any]
    source: Source
    published: bool = True
    reason: str | None = None


@dataclass(frozen=True)
class _Looked:
    """What a file held when it had this stamp."""

    stamp: tuple[int, ...]
    digest: str = ""
    card: str = "{}"
    reason: str | None = None


class ModelShelf:
    """Looks at the files at every call and reads what changed. For any number of threads."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings, self._records = settings, records
        self._lock = threading.Lock()
        self._known: dict[Path, _Looked] = {}

    def visible(self, principal: Principal) -> list[ModelEntry]:
        """All that a principal may use, and files that cannot be used, in order of name."""
        found: dict[str, ModelEntry] = {}
        for entry in self._entries(principal):
            found.setdefault(entry.name, entry)
        return [found[name] for name in sorted(found)]

    def entry(self, principal: Principal, name: str) -> ModelEntry:
        """A model, usable or not.

        Raises:
            Problem: 404.
        """
        for entry in self._entries(principal):
            if entry.name == name:
                return entry
        raise not_found("model")

    def find(self, principal: Principal, name: str) -> ModelEntry:
        """A model to work with.

        Raises:
            Problem: 404, there is none; 422, its file cannot be used.
        """
        entry = self.entry(principal, name)
        if entry.reason is not None:
            raise Problem(422, f"This model cannot be used: {entry.reason}")
        return entry

    def sheet(self, principal: Principal, name: str) -> ModelSheet:
        """What a model's page shows, but for drawn slides: servers do not try any.

        Raises:
            Problem: 404, there is none; 422, its file cannot be used.
        """
        entry = self.find(principal, name)
        try:
            return ModelSheet(read_card(entry.path), entry.digest, count_weights(entry.path))
        except CheckpointError:
            raise Problem(422, "This model's file has changed; ask again.") from None

    def taken(self, name: str) -> bool:
        """Whether any model, of any group, has the name."""
        with self._records.read() as session:
            if session.get(TrainedModel, name) is not None:
                return True
        return any(path.stem == name for _, path in self._files())

    def publish(self, principal: Principal, name: str) -> ModelEntry:
        """Show a trained model to every group; twice is once.

        Raises:
            Problem: 404; 409, it is none that was trained here.
        """
        with self._records.begin() as session:
            model = session.get(TrainedModel, name, with_for_update=True)
            if model is not None and model.group == principal.group:
                if model.published_at is None:
                    model.published_at = now()
                    audit(session, principal, "model publish", model=name, outcome="published")
            elif self.entry(principal, name):
                raise Problem(409, "Only what was trained here by your group can be published.")
        return self.entry(principal, name)

    def _entries(self, principal: Principal) -> Iterator[ModelEntry]:
        """Shipped models first: nothing takes their names."""
        names = set()
        for source, path in self._files():
            entry = self._entry(path.stem, path, source)
            if entry.name in names:
                continue
            names.add(entry.name)
            yield entry
        visible = sa.or_(
            TrainedModel.group == principal.group, TrainedModel.published_at.is_not(None)
        )
        with self._records.read() as session:
            trained = list(session.scalars(sa.select(TrainedModel).where(visible)))
        for model in trained:
            path = self._settings.trained / f"{model.name}.safetensors"
            yield self._entry(model.name, path, "trained", model.published_at is not None)

    def _files(self) -> Iterator[tuple[Source, Path]]:
        folders: tuple[tuple[Source, Path | None], ...] = (
            ("shipped", SHIPPED),
            ("folder", self._settings.models),
        )
        for source, folder in folders:
            if folder is not None:
                for path in sorted(folder.glob("*.safetensors")):
                    yield source, path

    def _entry(self, name: str, path: Path, source: Source, published: bool = True) -> ModelEntry:
        looked = self._looked(path)
        reason = looked.reason
        if not SAFE_NAME.fullmatch(name):
            reason = "its name may have Latin letters, digits, dots, dashes and underscores only"
        usable = reason is None
        return ModelEntry(
            name=name,
            path=path,
            digest=looked.digest if usable else "",
            card=json.loads(looked.card) if usable else {},
            source=source,
            published=published,
            reason=reason,
        )

    def _looked(self, path: Path) -> _Looked:
        try:
            status = path.stat()
        except OSError:
            return _Looked((), reason="its file is not there any more")
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        with self._lock:
            known = self._known.get(path)
            if known is None or known.stamp != stamp:
                known = self._known[path] = _look(path, stamp)
            return known


def _look(path: Path, stamp: tuple[int, ...]) -> _Looked:
    try:
        card = json.loads(read_card(path).to_json())
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except (CheckpointError, OSError) as error:
        said = str(error) if isinstance(error, CheckpointError) else "it cannot be read"
        reason = said.replace(str(path), "the file").replace(path.name, "the file")
        return _Looked(stamp, reason=reason)
    public = {name: value for name, value in card.items() if name not in PRIVATE}
    return _Looked(stamp, digest, json.dumps(public))
