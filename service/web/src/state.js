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
  layers: { map: true, predicted: true, expert: true },
};

export function emit(name, detail) {
  heard.dispatchEvent(new CustomEvent(name, { detail }));
}

export function on(name, listener) {
  heard.addEventListener(name, ({ detail }) => listener(detail));
}

export const mayWrite = () => state.session !== null && state.session.scope !== "read";

/** What the address says is open: {slide, job, tab}. */
export function address() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** Keep what is open in the address, so that a reload finds it again. */
export function remember(changes) {
  const kept = new URLSearchParams({ ...address(), ...changes });
  for (const [name, value] of [...kept]) if (!value) kept.delete(name);
  history.replaceState(null, "", `#${kept}`);
}

export function show(layer, shown) {
  state.layers[layer] = shown;
  emit("layers");
}
