"""What was decoded, kept for a while: the last used, as much as there is room for."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows how much memory it takes."""

    @property
    def nbytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class LastUsed(Generic[K, V]):
    """Values by key, at most `most_bytes` of them; the longest unused go. For many threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def found(self, keys: Iterable[K]) -> dict[K, V]:
        """Those of the keys that are there."""
        with self._lock:
            found = {key: self._values[key] for key in keys if key in self._values}
            for key in found:
                self._values.move_to_end(key)
        return found

    def keep(self, values: Mapping[K, V]) -> None:
        """Keep these; one that is there already stays as it is."""
        with self._lock:
            for key in values.keys() - self._values.keys():
                self._values[key] = values[key]
                self._bytes += values[key].nbytes
            while self._bytes > self._most:
                self._bytes -= self._values.popitem(last=False)[1].nbytes
