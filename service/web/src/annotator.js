// Annotorious, which draws and corrects shapes, spoken to in GeoJSON. Loaded when first needed.

import { createOSDAnnotator } from "@annotorious/openseadragon";
import { labelOf, polygonsOf } from "./outline_layer.js";

/** A ring as GeoJSON has it: closed, no corner twice running (a double click makes such). */
function closed(points) {
  const [first] = points;
  const apart = points.filter(([x, y], at) => {
    const [beforeX, beforeY] = points.at(at - 1);
    return x !== beforeX || y !== beforeY;
  });
  return apart.length ? [...apart, apart[0]] : [first];
}

function boundsOf(points) {
  let [minX, minY, maxX, maxY] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    [minX, minY] = [Math.min(minX, x), Math.min(minY, y)];
    [maxX, maxY] = [Math.max(maxX, x), Math.max(maxY, y)];
  }
  return { minX, minY, maxX, maxY };
}

/** A feature as Annotorious has it. A plain polygon stays one: its corners are then easiest. */
function annotationOf(feature, id) {
  const polygons = polygonsOf(feature.geometry).map((rings) => {
    const open = rings.map((ring) => ({ points: ring.slice(0, -1).map(([x, y]) => [x, y]) }));
    return { rings: open, bounds: boundsOf(open[0].points) };
  });
  const bounds = boundsOf(polygons.flatMap(({ rings }) => rings[0].points));
  const plain = polygons.length === 1 && polygons[0].rings.length === 1;
  const selector = plain
    ? { type: "POLYGON", geometry: { points: polygons[0].rings[0].points, bounds } }
    : { type: "MULTIPOLYGON", geometry: { polygons, bounds } };
  return { id, bodies: [labelBody(id, labelOf(feature))], target: { annotation: id, selector } };
}

const labelBody = (annotation, value) => ({
  id: `${annotation}-label`,
  annotation,
  purpose: "tagging",
  value,
});

function geometryOf({ type, geometry }) {
  if (type === "POLYGON") return { type: "Polygon", coordinates: [closed(geometry.points)] };
  const coordinates = geometry.polygons.map(({ rings }) => rings.map(({ points }) => closed(points)));
  return { type: "MultiPolygon", coordinates };
}

/**
 * Fingers tap without moving there first, but Annotorious sets a corner where the pointer moved to
 * last: it is told of a move to the place of each tap.
 */
function moveThere(event) {
  if (event.pointerType === "touch") event.target.dispatchEvent(new PointerEvent("pointermove", event));
}

export class Annotator {
  /**
   * Take over the drawing on a viewer. `colour`: label -> CSS; `newLabel()`: what a new shape is;
   * `drawn()`: a shape was finished; `changed()`: some shape is another now; `chosen(label or
   * null)`: a shape was chosen, or none.
   */
  constructor(viewer, features, { colour, newLabel, drawn, changed, chosen }) {
    this.born = new Map(); // id -> label of each shape drawn here; to draw one is one thing to undo
    this.newLabel = newLabel;
    this.kept = new Map(features.map((feature, place) => [`outline-${place}`, feature]));
    this.tool = createOSDAnnotator(viewer, {
      drawingEnabled: false,
      drawingMode: "click",
      polygonSimplificationTolerance: 1,
      style: (annotation, { selected } = {}) => {
        if (selected) return undefined; // would be an inline style; the style sheet has this one
        const own = colour(this.#label(annotation));
        return { fill: own, fillOpacity: 0.18, stroke: own, strokeWidth: 2 };
      },
    });
    this.element = viewer.element;
    viewer.forceRedraw(); // only then does it learn where the slide lies
    this.tool.setDrawingTool("polygon");
    this.tool.setAnnotations([...this.kept].map(([id, feature]) => annotationOf(feature, id)));
    this.tool.on("createAnnotation", (made) => {
      this.born.set(made.id, newLabel());
      drawn();
    });
    this.tool.state.store.observe(changed); // its event updateAnnotation comes late
    this.tool.on("selectionChanged", ([first]) => chosen(first ? this.#label(first) : null));
  }

  #label({ id, bodies }) {
    const said = bodies.find(({ purpose }) => purpose === "tagging")?.value;
    return said ?? this.born.get(id) ?? this.newLabel();
  }

  draw(now) {
    if (now) this.element.addEventListener("pointerup", moveThere, true);
    else this.element.removeEventListener("pointerup", moveThere, true);
    if (now) this.tool.cancelSelected();
    else this.tool.cancelDrawing();
    this.tool.setDrawingEnabled(now);
  }

  relabel(id, label) {
    const annotation = this.tool.getAnnotationById(id);
    if (!annotation || this.#label(annotation) === label) return;
    this.tool.state.store.updateAnnotation({
      ...annotation,
      bodies: [...annotation.bodies.filter(({ purpose }) => purpose !== "tagging"), labelBody(id, label)],
    });
  }

  get chosen() {
    return this.tool.getSelected().map(({ id }) => id);
  }

  deleteChosen() {
    for (const id of this.chosen) this.tool.removeAnnotation(id);
  }

  undo() {
    this.tool.undo();
  }

  redo() {
    this.tool.redo();
  }

  /** All shapes as GeoJSON features, with what else was known of those that were there before. */
  get features() {
    const { store } = this.tool.state;
    return store.all().map((annotation) => {
      const before = this.kept.get(annotation.id);
      const label = this.#label(annotation);
      const same = before && labelOf(before) === label;
      const properties = same ? before.properties : { objectType: "annotation", classification: { name: label } };
      return { ...before, type: "Feature", geometry: geometryOf(annotation.target.selector), properties };
    });
  }

  close() {
    this.tool.destroy();
  }
}
