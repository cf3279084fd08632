"""Which files a slide is made of, what it is called, and its digest."""

import glob
import hashlib
from pathlib import Path

from annotations.errors import SlideError

COMPANIONS_BESIDE = {".vms", ".vmu"}  # an index beside the files that hold the pixels
SEVERAL_FILES = COMPANIONS_BESIDE | {".mrxs", ".dcm"}
_SINGLE_FILE_HEADS = (  # formats that never name another file
    b"II*\0",  # TIFF
    b"MM\0*",
    b"II+\0",  # BigTIFF
    b"MM\0+",
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG",
    b"ZISRAWFILE",  # Zeiss CZI
    b"SQLite format 3\0",  # Sakura
)


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files right in a folder, by name."""
    return sorted(f for f in folder.iterdir() if _is_dicom(f) and f.is_file())


def _is_dicom(path: Path) -> bool:
    return path.suffix.lower() == ".dcm"


def slide_file(path: Path) -> Path:
    """The file to open for a path: itself, or a DICOM folder's largest file.

    Raises:
        SlideError: missing, empty, or a folder that is no slide.
    """
    try:
        if path.is_dir():
            files = dicom_files(path)
            if not files:
                raise SlideError(f"{path.name}: a folder without DICOM files (*.dcm) is no slide")
            return max(files, key=lambda file: file.stat().st_size)
        if not path.exists():
            raise SlideError(f"{path}: no such file")
        if not path.is_file():
            raise SlideError(f"{path.name}: not a regular file")
        if path.stat().st_size == 0:
            raise SlideError(f"{path.name}: the file is empty")
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise SlideError(f"{path}: cannot be opened: {error}") from error
    return path


def slide_name(path: Path) -> str:
    """The name results go by: the file's without its extension; for DICOM the folder's."""
    whole = path.absolute()
    if path.is_dir():
        return whole.resolve().name
    return whole.parent.resolve().name if _is_dicom(path) else path.stem


def slide_files(path: Path) -> list[Path]:
    """All files that hold a slide's pixels, by name: several for DICOM, MIRAX and Hamamatsu VMS."""
    if path.is_dir() or _is_dicom(path):
        return dicom_files(path if path.is_dir() else path.parent)
    files = [path]
    if path.suffix.lower() == ".mrxs" and path.with_suffix("").is_dir():
        files += sorted(f for f in path.with_suffix("").iterdir() if f.is_file())
    if path.suffix.lower() in COMPANIONS_BESIDE:
        beside = (f for f in path.parent.glob(f"{glob.escape(path.stem)}*") if f.is_file())
        files += sorted(f for f in beside if f != path)
    return files


def slide_digest(path: Path) -> str:
    """SHA-256 over all bytes of all files of a slide."""
    digest = hashlib.sha256()
    for file in slide_files(path):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def may_name_other_files(path: Path) -> bool:
    """Whether a slide is of a format whose index can name other files, wherever they lie.

    Libraries go by a file's content more than by its name, so this looks at both.

    Raises:
        SlideError: it cannot be opened.
    """
    if path.is_dir() or path.suffix.lower() in SEVERAL_FILES:
        return True
    try:
        with path.open("rb") as stream:
            return not stream.read(16).startswith(_SINGLE_FILE_HEADS)
    except OSError as error:
        raise SlideError(f"{path.name}: cannot be opened: {error}") from error
