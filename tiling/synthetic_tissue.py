"""Stains laid on a drawn slide, rectangle by rectangle: eosin, haematoxylin, ink."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.ndimage import gaussian_filter

from . import synthetic_nuclei as nuclei
from .frame import Box
from .synthetic_layout import Kind, Layout
from .synthetic_noise import Floats, soft_step
from .synthetic_place import Place
from .synthetic_textures import TILE


class Room(IntEnum):
    """What a pixel is part of, which says what nuclei may lie there."""

    GLASS = 0
    STROMA = 1
    INFILTRATE = 2
    EMPTY = 3  # fat, lumen
    BENIGN = 4
    TUMOUR = 5
    IN_SITU = 6
    LYMPHOID = 7
    NECROSIS = 8


# the chance that a lattice place in a room holds a nucleus of that sort
_POPULATION = {
    nuclei.SPINDLE: {Room.STROMA: 0.6, Room.INFILTRATE: 0.5},
    nuclei.LYMPHOCYTE: {
        Room.STROMA: 0.015,
        Room.INFILTRATE: 0.22,
        Room.LYMPHOID: 0.9,
        Room.TUMOUR: 0.02,
    },
    nuclei.BENIGN: {Room.BENIGN: 0.95},
    nuclei.IN_SITU: {Room.IN_SITU: 0.97},
    nuclei.TUMOUR: {Room.TUMOUR: 0.95, Room.STROMA: 0.0},
    nuclei.DEBRIS: {Room.NECROSIS: 0.35},
}


@dataclass(frozen=True)
class Stains:
    """Amounts of stain, float32 [h, w] each; 1 is full stain."""

    eosin: Floats
    haematoxylin: Floats
    ink: Floats
    grain: Floats  # the scanner's noise, deviation 1


class _Sheet:
    """What has been painted so far."""

    def __init__(self, eosin: Floats) -> None:
        self.eosin = eosin
        self.haematoxylin = np.full_like(eosin, 0.06)
        self.room = np.full(eosin.shape, Room.STROMA, np.uint8)
        self.darkness = np.ones_like(eosin)

    def paint(
        self,
        mask: Floats,
        room: Room,
        eosin: Floats | float,
        haematoxylin: float,
        darkness: Floats | None = None,
    ) -> None:
        """Cover what was there where `mask` (0-1) is; from one half on it is that room."""
        self.eosin += (eosin - self.eosin) * mask
        self.haematoxylin += (np.float32(haematoxylin) - self.haematoxylin) * mask
        covered = mask > 0.5
        self.room[covered] = room
        if darkness is not None:
            self.darkness[covered] = darkness[covered]


def margin(mpp: float, blur_um: float) -> int:
    """Pixels around a rectangle that can change it: nuclei that reach in, and blur."""
    stamp = int(np.ceil(nuclei.largest_reach() / mpp))
    # twice: a stamp that sticks out is left out, and may reach in as far again
    return 2 * stamp + _blur_radius(blur_um / mpp) + 1


def stains(seed: int, layout: Layout, mpp: float, blur_um: float, box: Box) -> Stains:
    """The stains in `box` (pixels of `mpp` µm); the same whatever rectangle they are part of."""
    around = margin(mpp, blur_um)
    place = Place(seed, mpp, box.padded(around))
    sheet = _stroma(place)
    _epithelium(place, layout, sheet)
    _ducts(place, layout, sheet)
    _reactions(place, layout, sheet)
    tissue = _cut(place, layout, sheet)
    _populate(place, sheet)
    fold = 1 + 0.8 * soft_step(place.strokes(layout.folds) + 12 * place.noise(30, 60), 8) * tissue
    inner = (slice(around, -around), slice(around, -around))
    eosin, haematoxylin = (
        gaussian_filter(
            channel * fold, blur_um / mpp, radius=_blur_radius(blur_um / mpp), mode="nearest"
        )[inner]
        for channel in (sheet.eosin, sheet.haematoxylin)
    )
    ink = soft_step(place.strokes(layout.pen) + 15 * place.noise(31, 90), 30)
    grain = place.textures.grain[np.ix_(place.rows % TILE, place.columns % TILE)]
    return Stains(eosin, haematoxylin, ink[inner], grain[inner])


def _blur_radius(sigma: float) -> int:
    return max(1, int(np.ceil(2.5 * sigma)))


def _stroma(place: Place) -> _Sheet:
    """Collagen in bundles, loose and dense, with clefts between them."""
    fibre, bundle = place.wild(place.textures.fibre), place.wild(place.textures.bundle)
    loose = place.noise(5, 220)
    eosin = np.float32(0.5) + 0.12 * fibre + 0.10 * bundle + 0.14 * loose
    cleft = soft_step(-bundle - 1.5 + 0.5 * loose, 0.8)
    sheet = _Sheet(np.clip(eosin, 0.08, 1.2))
    sheet.room[place.noise(6, 130) > 0.5] = Room.INFILTRATE
    sheet.paint(cleft, Room.EMPTY, 0.04, 0.01)
    return sheet


def _epithelium(place: Place, layout: Layout, sheet: _Sheet) -> None:
    """Scars, fat, lobules; nests of benign and of tumour cells, alike but for their nuclei."""
    ragged = place.mild(place.textures.ragged)
    if found := place.depth(layout, Kind.SCAR):
        sheet.eosin += 0.22 * soft_step(found[0] + 20 * ragged, 60)
    if found := place.depth(layout, Kind.FAT):
        inside = soft_step(found[0] + 22 * ragged, 10)
        membrane = soft_step(2 - place.mild(place.textures.fat), 4)
        sheet.paint(inside, Room.EMPTY, 0.45 * membrane + 0.01, 0.01)
    if found := place.depth(layout, Kind.LOBULE):
        inside = soft_step(found[0] + 14 * ragged, 30)
        acinus = place.mild(place.textures.acinus)
        sheet.paint(inside * 0.8, Room.STROMA, 0.36, 0.08)
        sheet.paint(inside * soft_step(acinus, 4), Room.BENIGN, 0.42, 0.16, found[1])
        sheet.paint(inside * soft_step(acinus - 22, 3), Room.EMPTY, 0.05, 0.02)
    for kind, room in ((Kind.ADENOSIS, Room.BENIGN), (Kind.TUMOUR, Room.TUMOUR)):
        if found := place.depth(layout, kind):
            nests = place.mild(place.textures.nests) + 0.35
            edge = np.minimum(found[0] / 20, 0)
            cytoplasm = 0.42 + 0.05 * place.noise(11, 25)
            sheet.paint(soft_step(nests + edge, 0.5), room, cytoplasm, 0.16, found[1])


def _ducts(place: Place, layout: Layout, sheet: _Sheet) -> None:
    """Rings around a lumen, and ducts filled with large cells; both within a sharp membrane."""
    for kind, room in ((Kind.DUCT, Room.BENIGN), (Kind.IN_SITU, Room.IN_SITU)):
        if not (found := place.depth(layout, kind)):
            continue
        depth, darkness = found
        sheet.paint(soft_step(depth + 22, 8) * 0.85, Room.STROMA, 0.62, 0.05)
        sheet.paint(soft_step(depth, 3), room, 0.42, 0.16, darkness)
        if kind is Kind.DUCT:
            secretion = np.float32(0.04) + np.float32(0.2) * soft_step(
                place.noise(12, 80) - 0.3, 0.4
            )
            sheet.paint(soft_step(depth - 16, 4), Room.EMPTY, secretion, 0.01)
        else:
            comedo = soft_step(depth - 75 + 15 * place.noise(13, 40), 10)
            sheet.paint(comedo * (darkness > 1).astype(np.float32), Room.NECROSIS, 0.62, 0.16)
        sheet.eosin += 0.35 * np.clip(1 - np.abs(depth) / 2.5, 0, 1)


def _reactions(place: Place, layout: Layout, sheet: _Sheet) -> None:
    """Necrosis and lymphocytes, anywhere."""
    ragged = place.mild(place.textures.ragged)
    if found := place.depth(layout, Kind.NECROSIS):
        inside = soft_step(found[0] + 16 * ragged, 25)
        sheet.paint(inside, Room.NECROSIS, 0.62 + 0.12 * place.noise(15, 12), 0.14)
    if found := place.depth(layout, Kind.LYMPHOID):
        inside = soft_step(found[0] / 50 + 0.45 * ragged, 0.5)
        sheet.paint(inside * 0.9, Room.LYMPHOID, 0.32, 0.18, found[1])


def _cut(place: Place, layout: Layout, sheet: _Sheet) -> Floats:
    """Take away what is beyond the tissue's ragged border; returns 0-1, 1 = tissue."""
    depth = (
        place.tissue(layout) + 90 * place.noise(17, 260) + 12 * place.mild(place.textures.ragged)
    )
    depth += 5 * place.wild(place.textures.bundle)
    tissue = soft_step(depth, 6)
    sheet.eosin *= tissue
    sheet.haematoxylin *= tissue
    sheet.room[tissue < 0.5] = Room.GLASS
    return tissue


def _populate(place: Place, sheet: _Sheet) -> None:
    """Set nuclei into the rooms, and add them to the haematoxylin."""
    canvas = np.zeros_like(sheet.eosin)
    present = np.bincount(sheet.room.reshape(-1), minlength=len(Room)) > 0
    for sort, rooms in _POPULATION.items():
        if not any(present[room] for room in rooms):
            continue
        chance = np.zeros(len(Room), np.float32)
        for room, value in rooms.items():
            chance[room] = value
        at = nuclei.places(place.seed, sort, place.mpp, (place.box.x, place.box.y), canvas.shape)
        at = at.chosen(at.chance < chance[sheet.room[at.row, at.column]])
        if sort is nuclei.SPINDLE:
            at = _along_fibres(place, at)
        nuclei.stamp(canvas, sort, place.mpp, at, sheet.darkness[at.row, at.column])
    sheet.eosin *= 1 - 0.5 * np.minimum(canvas, 1)
    sheet.haematoxylin += canvas


def _along_fibres(place: Place, at: nuclei.Places) -> nuclei.Places:
    """Turn nuclei to lie along the warped fibres, give or take."""
    inner_row = np.clip(at.row, 1, place.box.height - 2)
    inner_column = np.clip(at.column, 1, place.box.width - 2)
    across = place.wave[inner_row, inner_column + 1] - place.wave[inner_row, inner_column - 1]
    down = place.wave[inner_row + 1, inner_column] - place.wave[inner_row - 1, inner_column]
    direction = np.arctan2(-across / 2, 1 + down / 2) / np.pi + 0.25 * (at.turn - 0.5)
    return nuclei.Places(at.row, at.column, at.chance, (direction % 1).astype(np.float32) % 1)
