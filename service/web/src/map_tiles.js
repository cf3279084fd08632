// The probability map's tiles: fetched when asked for, kept as stored values, painted at need.

const MOST_AT_ONCE = 4;
const MOST_KEPT = 300;

export class MapTiles {
  /** `changed` is called when a tile arrived. */
  constructor(url, changed) {
    this.url = url;
    this.changed = changed;
    this.revision = 0;
    this.kept = new Map(); // "level/column_row" -> tile, the least lately asked for first
    this.wanted = [];
    this.underWay = new Map();
    this.scratch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  }

  /** From now on tiles of an earlier revision are fetched again; they stay until the new come. */
  renew(revision) {
    this.revision = revision;
  }

  /** The tile as kept, perhaps of an earlier revision, or undefined. */
  at(name) {
    const tile = this.kept.get(name);
    if (tile) {
      this.kept.delete(name);
      this.kept.set(name, tile);
    }
    return tile;
  }

  /** Fetch these, in this order, where they are missing or old; earlier wishes are forgotten. */
  want(names) {
    this.wanted = names.filter(
      (name) =>
        this.kept.get(name)?.revision !== this.revision &&
        this.underWay.get(name)?.revision !== this.revision,
    );
    this.#next();
  }

  stop() {
    this.wanted = [];
    this.changed = () => {};
    for (const { abort } of this.underWay.values()) abort.abort();
  }

  #next() {
    while (this.underWay.size < MOST_AT_ONCE && this.wanted.length) {
      const name = this.wanted.shift();
      if (!this.underWay.has(name)) this.#fetch(name);
    }
  }

  async #fetch(name) {
    const job = { revision: this.revision, abort: new AbortController() };
    this.underWay.set(name, job);
    try {
      const response = await fetch(`${this.url}/${name}.png`, {
        cache: "no-cache", // asks whether it changed: 304 if not
        signal: job.abort.signal,
      });
      const tag = response.headers.get("ETag");
      const before = this.kept.get(name);
      if (response.ok && tag && tag === before?.tag) {
        before.revision = job.revision; // as it was: nothing to decode, nor to paint
        await response.body.cancel();
      } else if (response.ok) {
        const decoded = await this.#decode(await response.blob());
        this.#keep(name, { ...decoded, tag }, job.revision);
      } else this.#keep(name, null, job.revision);
    } catch {
      if (job.abort.signal.aborted) return;
      this.#keep(name, null, job.revision); // asked for again at the next revision
    } finally {
      this.underWay.delete(name);
      this.#next();
    }
  }

  async #decode(blob) {
    const picture = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    const { width, height } = picture;
    Object.assign(this.scratch.canvas, { width, height });
    this.scratch.drawImage(picture, 0, 0);
    picture.close();
    const rgba = this.scratch.getImageData(0, 0, width, height).data;
    const values = new Uint8Array(width * height);
    for (let place = 0; place < values.length; place += 1) values[place] = rgba[place * 4];
    return { width, height, values };
  }

  #keep(name, decoded, revision) {
    const before = this.kept.get(name);
    const tile = decoded ? { ...decoded, canvas: before?.canvas } : (before ?? {});
    if (decoded) tile.table = null;
    tile.revision = revision;
    this.kept.delete(name);
    this.kept.set(name, tile);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MOST_KEPT) break;
      this.kept.delete(oldest);
    }
    this.changed();
  }
}

/** The tile's canvas in the colours of `table`, painted only when these changed. */
export function painted(tile, table) {
  if (!tile?.values) return null;
  if (tile.table === table) return tile.canvas;
  const { width, height, values } = tile;
  tile.canvas ??= document.createElement("canvas");
  if (tile.canvas.width !== width || tile.canvas.height !== height) {
    Object.assign(tile.canvas, { width, height });
  }
  const picture = new ImageData(width, height);
  const rgba = new Uint32Array(picture.data.buffer);
  for (let place = 0; place < values.length; place += 1) rgba[place] = table[values[place]];
  tile.canvas.getContext("2d").putImageData(picture, 0, 0);
  tile.table = table;
  return tile.canvas;
}
