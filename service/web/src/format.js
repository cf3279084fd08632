// Figures as people read them.

const number = (most, least = 0) =>
  new Intl.NumberFormat("en-GB", { maximumFractionDigits: most, minimumFractionDigits: least });
const whole = number(0);

export function area(mm2) {
  if (mm2 === null || mm2 === undefined) return "–";
  if (mm2 > 0 && mm2 < 0.0005) return `${number(mm2 < 1e-5 ? 1 : 0).format(mm2 * 1e6)} µm²`;
  const digits = mm2 >= 100 ? 1 : mm2 >= 1 ? 2 : 3;
  return `${number(digits, digits).format(mm2)} mm²`;
}

/** What an area lies within, as a server states it. */
export const interval = ({ low, high }) => `${area(low)} to ${area(high)}`;

export function micrometres(um) {
  if (um >= 1000) return `${number(um >= 10_000 ? 1 : 2).format(um / 1000)} mm`;
  return `${number(um < 10 ? 1 : 0).format(um)} µm`;
}

export const millimetres = (mm) => micrometres(mm * 1000);
export const fixed = (value, digits) => number(digits, digits).format(value);
export const resolution = (mpp) => number(4).format(mpp);
export const percent = (share) => `${number(share < 0.1 ? 1 : 0).format(share * 100)} %`;
export const pixels = ([width, height]) => `${whole.format(width)} × ${whole.format(height)} px`;

export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let size = count;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${number(unit && size < 100 ? 1 : 0).format(size)} ${units[unit]}`;
}

export function time(text) {
  return new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export function plural(count, one, many = `${one}s`) {
  return `${whole.format(count)} ${count === 1 ? one : many}`;
}
