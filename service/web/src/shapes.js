// Areas of outlines.

import { labelOf, polygonsOf } from "./outline_layer.js";

/** Twice the signed area of a ring of [x, y]. */
function doubled(ring) {
  let sum = 0;
  for (let at = 0; at < ring.length; at += 1) {
    const [x0, y0] = ring[at];
    const [x1, y1] = ring[(at + 1) % ring.length];
    sum += x0 * y1 - x1 * y0;
  }
  return sum;
}

const size = ([outer, ...holes]) =>
  (Math.abs(doubled(outer)) - holes.reduce((sum, hole) => sum + Math.abs(doubled(hole)), 0)) / 2;

/** {label: mm²}, each feature by itself; null where the slide's µm per pixel [x, y] is unknown. */
export function areasByLabel(features, mpp) {
  const areas = {};
  for (const feature of features) {
    const label = labelOf(feature);
    const pixels = polygonsOf(feature.geometry).reduce((sum, rings) => sum + size(rings), 0);
    areas[label] = mpp ? (areas[label] ?? 0) + (pixels * mpp[0] * mpp[1]) / 1e6 : null;
  }
  return areas;
}
