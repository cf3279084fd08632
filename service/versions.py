"""Which versions computed something."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "tumour-extent"
_NAMED = ("numpy", "scipy", "shapely", "tifffile", "imagecodecs", "openslide-bin")


def extent_version() -> str:
    """Extent's own version; it has none where it runs from a checkout without being installed."""
    return _version(DISTRIBUTION)


def library_versions() -> dict[str, str]:
    """The versions of Extent and of the libraries whose work can be seen in a result."""
    return {"extent": extent_version()} | {name: _version(name) for name in _NAMED}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
