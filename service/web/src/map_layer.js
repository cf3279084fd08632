// The probability map over the slide.

import { Layer } from "./layer.js";
import { MapTiles, painted } from "./map_tiles.js";
import { paint } from "./palette.js";

export class MapLayer extends Layer {
  constructor(stage) {
    super(stage, "map");
    this.table = paint(0.5);
    this.map = null;
    this.tiles = null;
  }

  /** Show the map at `url`: {origin_level0, downsample, size, tile_size, revision}. */
  open(url, map) {
    this.close();
    this.tiles = new MapTiles(`${url}_files`, () => this.invalidate());
    this.map = map;
    this.top = Math.ceil(Math.log2(Math.max(...map.size, 1)));
    this.renew(map);
  }

  /** The same map, further on. */
  renew({ revision }) {
    this.tiles.renew(revision);
    this.invalidate();
  }

  close() {
    this.tiles?.stop();
    this.tiles = null;
    this.map = null;
    this.invalidate();
  }

  set threshold(value) {
    this.table = paint(value);
    this.invalidate();
  }

  set opacity(value) {
    this.canvas.style.opacity = value;
  }

  set shown(shown) {
    this.canvas.hidden = !shown;
    this.invalidate();
  }

  draw(context, view) {
    if (!this.map || this.canvas.hidden) return;
    const { origin_level0: origin, downsample } = this.map;
    const place = {
      x: view.x + origin[0] * view.scale,
      y: view.y + origin[1] * view.scale,
      across: downsample[0] * view.scale, // device pixels per pixel of the map
      down: downsample[1] * view.scale,
    };
    const finest = Math.round(Math.log2(Math.max(place.across, 2 ** -this.top)));
    const level = Math.max(0, this.top + Math.min(0, finest));
    context.imageSmoothingEnabled = place.across < 4;
    const wanted = [];
    for (const tile of this.#visible(level, place, view)) {
      wanted.push(tile.name);
      this.#drawTile(context, place, tile);
    }
    this.tiles.want(wanted);
  }

  /** The tiles of a level that are on the screen. */
  *#visible(level, place, view) {
    const reduction = 2 ** (this.top - level);
    const side = this.map.tile_size * reduction; // in pixels of the whole map
    const [columns, rows] = this.map.size.map((length) => Math.ceil(length / side));
    const first = (offset, step) => Math.max(0, Math.floor(-offset / (side * step)));
    const last = (offset, step, length, count) =>
      Math.min(count - 1, Math.floor((length - offset) / (side * step)));
    const right = last(place.x, place.across, view.width, columns);
    const bottom = last(place.y, place.down, view.height, rows);
    for (let row = first(place.y, place.down); row <= bottom; row += 1) {
      for (let column = first(place.x, place.across); column <= right; column += 1) {
        yield { name: `${level}/${column}_${row}`, level, column, row, side };
      }
    }
  }

  #drawTile(context, place, { level, column, row, side, name }) {
    const box = [column * side, row * side, (column + 1) * side, (row + 1) * side];
    let picture = painted(this.tiles.at(name), this.table);
    for (let up = 1; !picture && up <= level; up += 1) {
      const coarser = `${level - up}/${column >> up}_${row >> up}`;
      picture = painted(this.tiles.at(coarser), this.table);
      if (picture) this.#copy(context, place, box, picture, level - up, column >> up, row >> up);
    }
    if (picture && this.tiles.at(name)?.values) {
      this.#copy(context, place, box, picture, level, column, row);
    }
  }

  /** Draw a part of a tile's picture: the box, in pixels of the whole map. Edges meet exactly. */
  #copy(context, place, [x0, y0, x1, y1], picture, level, column, row) {
    const reduction = 2 ** (this.top - level);
    const corner = [column, row].map((at) => at * this.map.tile_size * reduction);
    const right = Math.min(x1, this.map.size[0], corner[0] + picture.width * reduction);
    const bottom = Math.min(y1, this.map.size[1], corner[1] + picture.height * reduction);
    const left = Math.round(place.x + x0 * place.across);
    const top = Math.round(place.y + y0 * place.down);
    const width = Math.round(place.x + right * place.across) - left;
    const height = Math.round(place.y + bottom * place.down) - top;
    if (width <= 0 || height <= 0) return;
    context.drawImage(
      picture,
      (x0 - corner[0]) / reduction,
      (y0 - corner[1]) / reduction,
      Math.max((right - x0) / reduction, 1e-3),
      Math.max((bottom - y0) / reduction, 1e-3),
      left,
      top,
      width,
      height,
    );
  }
}
