"""The viewer: a page, and the files that it loads. The data come from the API."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Response

from ..deps import Known
from ..http.preconditions import etag, names
from ..http.problems import not_found

router = APIRouter(include_in_schema=False)

BUNDLE = Path(__file__).resolve().parent.parent / "web" / "dist"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
FOR_EVER = "public, max-age=31536000, immutable"  # their names change with what they hold
NOT_BUILT = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Extent</title></head>
<body>
<h1>Extent</h1>
<p>This server has no viewer: it was installed without. Its API is all there; the OpenAPI document
is at <a href="/v1/openapi.json">/v1/openapi.json</a>.</p>
<p>In a checkout, <code>make viewer</code> builds the viewer, then reload this page. A wheel has
it unless it was built with EXTENT_WITHOUT_VIEWER=1.</p>
</body>
</html>
"""


@router.get("/")
def show_viewer(known: Known = None) -> Response:
    """The page; without a bundle, one that says how to build it."""
    content = page_of(BUNDLE)
    digest = hashlib.sha256(content).hexdigest()[:16]
    headers = {"ETag": etag(digest), "Cache-Control": "no-cache"}
    if names(known, digest):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/assets/{name:path}")
def get_asset(name: str, known: Known = None) -> Response:
    """A script or a style sheet of the page.

    Raises:
        Problem: 404.
    """
    path = _assets().get(name)
    if path is None:
        raise not_found("file of the viewer")
    headers = {"ETag": etag(name), "Cache-Control": FOR_EVER}
    if names(known, name):
        return Response(status_code=304, headers=headers)
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=headers)


def page_of(bundle: Path) -> bytes:
    """The page of a bundle, or of none."""
    page = bundle / "index.html"
    return page.read_bytes() if page.is_file() else NOT_BUILT.encode()


def _assets() -> dict[str, Path]:
    """The bundle's few files by name: the disk is never asked for a name that a client sent."""
    folder = BUNDLE / "assets"
    found = folder.iterdir() if folder.is_dir() else ()
    return {path.name: path for path in found if path.suffix in TYPES}
