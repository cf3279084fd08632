// Outlines over the slide: predicted or drawn by experts, each a layer of its own.

import { Layer } from "./layer.js";

/** The polygons of a GeoJSON geometry: each a list of rings, each a list of [x, y]. */
export function polygonsOf(geometry) {
  if (geometry?.type === "Polygon") return [geometry.coordinates];
  if (geometry?.type === "MultiPolygon") return geometry.coordinates;
  if (geometry?.type === "GeometryCollection") return geometry.geometries.flatMap(polygonsOf);
  return [];
}

/** What a feature says that it is. */
export function labelOf(feature) {
  const { classification, name } = feature.properties ?? {};
  const said = typeof classification === "string" ? classification : classification?.name;
  return String(said ?? name ?? "outline");
}

/** The colour that the feature carries, as CSS. */
export function colourOf(feature) {
  const colour = feature.properties?.classification?.color ?? feature.properties?.color;
  return Array.isArray(colour) ? `rgb(${colour.slice(0, 3).map(Number).join(" ")})` : "#e25555";
}

/** Whether a program found it and nobody drew it or is to correct it: a contour, not a region. */
export const isComputed = (feature) => feature.properties?.objectType === "detection";

export class OutlineLayer extends Layer {
  /** `look`: {colour: feature -> CSS, dash: CSS pixels, casing: CSS, width: CSS pixels}. */
  constructor(stage, name, look) {
    super(stage, name);
    this.look = look;
    this.paths = [];
  }

  set features(features) {
    const byColour = new Map();
    for (const feature of features) {
      const colour = this.look.colour(feature);
      if (!byColour.has(colour)) byColour.set(colour, new Path2D());
      const path = byColour.get(colour);
      for (const ring of polygonsOf(feature.geometry).flat()) {
        ring.forEach(([x, y], place) => (place ? path.lineTo(x, y) : path.moveTo(x, y)));
        path.closePath();
      }
    }
    this.paths = [...byColour];
    this.invalidate();
  }

  set shown(shown) {
    this.canvas.hidden = !shown;
    this.invalidate();
  }

  draw(context, view) {
    if (this.canvas.hidden) return;
    const pixel = view.density / view.scale; // a CSS pixel, in level-0 pixels
    context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
    context.lineJoin = "round";
    for (const [colour, path] of this.paths) {
      context.setLineDash([]);
      context.lineWidth = 2 * this.look.width * pixel;
      context.strokeStyle = this.look.casing;
      context.stroke(path);
      context.setLineDash(this.look.dash.map((length) => length * pixel));
      context.lineWidth = this.look.width * pixel;
      context.strokeStyle = colour;
      context.stroke(path);
    }
  }
}
