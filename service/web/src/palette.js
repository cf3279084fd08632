// The colours of probability: even steps in OKLab from indigo over teal to pale yellow, so that
// equal differences look equal, also to those who cannot tell red from green.

const STOPS = [
  [0.36, 0.045, -0.15], // lightness, green-red, blue-yellow
  [0.55, -0.045, -0.1],
  [0.72, -0.12, 0.01],
  [0.86, -0.1, 0.13],
  [0.97, -0.02, 0.16],
];

function linear(lightness, a, b) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function stored(light) {
  const value = Math.min(1, Math.max(0, light));
  return Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
}

function colour(share) {
  const place = share * (STOPS.length - 1);
  const from = Math.min(STOPS.length - 2, Math.floor(place));
  const part = place - from;
  const mixed = STOPS[from].map((value, axis) => value + (STOPS[from + 1][axis] - value) * part);
  return linear(...mixed).map(stored);
}

/** [red, green, blue] of each stored value 0-255. */
export const COLOURS = Array.from({ length: 256 }, (_, value) => colour(value / 255));

/** Whether a stored value counts as tumour: the one rule that map, area and outline share. */
export const isAbove = (value, threshold) => value / 255 > threshold;

/** What each stored value is painted as, as RGBA in memory: clear unless above the threshold. */
export function paint(threshold) {
  const table = new Uint8ClampedArray(256 * 4);
  COLOURS.forEach((rgb, value) => {
    if (isAbove(value, threshold)) table.set([...rgb, 255], value * 4);
  });
  return new Uint32Array(table.buffer);
}
