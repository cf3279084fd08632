"""Which versions computed something."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "tumour-extent"
_NAMED = ("numpy", "scipy", "shapely", "tifffile", "imagecodecs", "openslide-bin")


def extent_version() -> str:
    """Extent's own version; it has none where it runs from a checkout without being installed."""
    return version_of(DISTRIBUTION)


def library_versions() -> dict[str, str]:
    """The versions of Extent and of the libraries whose work can be seen in a result."""
    return {"extent": extent_version()} | {name: version_of(name) for name in _NAMED}


def version_of(distribution: str) -> str:
    """The version of an installed distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
