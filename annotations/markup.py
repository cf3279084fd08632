"""Hostile XML, read as a stream: no DTDs, no entities, no depth, and a cap on vertices."""

from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

import numpy as np
from defusedxml import DefusedXmlException, sax

from annotations.notes import Notes
from annotations.shapes import Ring

MAX_VERTICES = 2_000_000
"""In one file; a million are read in a few seconds."""

_MAX_DEPTH = 64
_LEAST_VERTICES = 10  # what a shape counts for at least, so that empty ones cannot fill memory


class Reader(ContentHandler):
    """Base of the formats' readers: `start` and `end` are called with the element's name.

    `path`: the names of the open elements, outermost first. `add_point` gathers the coordinates
    of the shape being read, as text; `take_ring` hands them over as numbers.
    """

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes
        self.path: list[str] = []
        self._points: list[tuple[str | None, str | None]] = []
        self._count = 0

    def start(self, name: str, attributes: "AttributesImpl[str]") -> None:
        """An element begins; it is the last of `path`."""

    def end(self, name: str) -> None:
        """An element ends; it is still the last of `path`."""

    def startElement(self, name: str, attrs: "AttributesImpl[str]") -> None:  # noqa: N802
        self.path.append(name)
        if len(self.path) > _MAX_DEPTH:
            raise self.notes.error(
                f"elements are nested more than {_MAX_DEPTH} deep: no annotation program writes "
                "such a file; export it again"
            )
        self.start(name, attrs)

    def endElement(self, name: str) -> None:  # noqa: N802
        self.end(name)
        self.path.pop()

    def add_point(self, x: str | None, y: str | None) -> None:
        self.count(1)
        self._points.append((x, y))

    def count(self, vertices: int) -> None:
        """Count what costs memory against MAX_VERTICES."""
        self._count += vertices
        check_vertex_count(self._count, self.notes)

    def take_ring(self, shape: str) -> Ring:
        """float64 [n, 2] of the points added since the last call; decimal commas are read."""
        self.count(max(0, _LEAST_VERTICES - len(self._points)))
        ring = np.empty((len(self._points), 2))
        for axis in (0, 1):
            ring[:, axis] = [self.number(point[axis], shape) for point in self._points]
        self._points.clear()
        return ring

    def number(self, text: str | None, shape: str) -> float:
        """A number as programs write it, with a point or a comma."""
        try:
            return float(text or "")
        except ValueError:
            pass
        try:
            return float((text or "").replace(",", "."))
        except ValueError:
            raise self.notes.error(
                f"{shape} has a coordinate{self.notes.quoted(text or '')} that is no number: "
                "export it again"
            ) from None


def check_vertex_count(count: int, notes: Notes) -> None:
    """Raises OutlineError above MAX_VERTICES."""
    if count > MAX_VERTICES:
        raise notes.error(
            f"more than {MAX_VERTICES:,} vertices: simplify the outlines in the program that "
            "drew them, or split the file"
        )


def read_xml(data: bytes, reader: Reader) -> None:
    """Feed the document to `reader`. Raises OutlineError on anything that is not plain XML."""
    notes = reader.notes
    try:
        sax.parseString(data, reader, forbid_dtd=True)
    except DefusedXmlException as error:
        raise notes.error(
            "it holds a DTD or entities, which Extent does not read from a file: "
            "export it again from the program that drew it"
        ) from error
    except SAXParseException as error:
        raise notes.error(
            f"it is not well-formed XML (line {error.getLineNumber()}: {error.getMessage()}): "
            "it may be cut short; export it again"
        ) from error
    except (SAXException, ValueError, LookupError) as error:  # such as an unknown encoding
        raise notes.error(
            f"it cannot be read as XML{notes.quoted(str(error))}: export it again"
        ) from error
