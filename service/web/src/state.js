// What is open, who is signed in, and word of it for whoever listens.

const heard = new EventTarget();

export const state = {
  /** Who asks: {name, group, scope, via}. */
  session: null,
  /** The open slide with its facts, or null. */
  slide: null,
  /** The job whose result is shown, or null. */
  job: null,
  /** The probability above which the map counts as tumour, as the slider has it. */
  threshold: 0.5,
  /** Which layers are shown. */
  layers: { map: true, contours: true, predicted: true, expert: true },
};

export function emit(name, detail) {
  heard.dispatchEvent(new CustomEvent(name, { detail }));
}

export function on(name, listener) {
  heard.addEventListener(name, ({ detail }) => listener(detail));
}

export const mayWrite = () => state.session !== null && state.session.scope !== "read";

/** Whether two answers to who asks are of one and the same. */
export const isSame = (one, other) => one.name === other.name && one.group === other.group && one.scope === other.scope;

/** What the address says is open: {slide, job, tab}. */
export function address() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** Keep what is open in the address, so that a reload finds it again. */
export function remember(changes) {
  const kept = Object.entries({ ...address(), ...changes }).filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}

export function show(layer, shown) {
  state.layers[layer] = shown;
  emit("layers");
}
