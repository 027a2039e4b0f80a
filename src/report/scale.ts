/** From values to places on paper, and the values that an axis names. */

export interface Scale {
  /** Where on the axis a value is, 0 to 1; what lies outside is put at the edge. */
  place(value: number): number;
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
}

const within = (share: number): number => Math.min(1, Math.max(0, share));

/** 1, 2 or 5 times a power of ten. */
const niceStep = (rough: number): number => {
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = rough / power;
  return (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10) * power;
};

const plain = (value: number, step: number): string => {
  const decimals = Math.max(0, Math.min(12, -Math.floor(Math.log10(step) + 1e-9)));
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? "0" : Math.abs(value) >= 1_000 ? Number(text).toLocaleString("en-US") : text;
};

/**
 * Linear, over whole steps.
 *
 * @param values at least one finite number
 */
export const linearScale = (values: readonly number[], format: (tick: string) => string = (tick) => tick): Scale => {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  // Where nothing varies there is still something to show it against.
  if (low === high) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  const step = niceStep((high - low) / 5);
  const [from, to] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  return {
    place: (value) => within((value / step - from) / (to - from)),
    ticks: Array.from({ length: to - from + 1 }, (_, index) => {
      const value = (from + index) * step;
      return { value, label: format(plain(value, step)) };
    }),
  };
};

/** What is this small is drawn as this. */
export const probabilityFloor = 1e-12;

/** Probabilities, logarithmic from 1 down to the power of ten below the least. */
export const probabilityScale = (values: readonly number[]): Scale => {
  const least = Math.max(probabilityFloor, Math.min(0.01, ...values));
  const decades = Math.ceil(-Math.log10(least) - 1e-9);
  const every = decades > 6 ? 2 : 1;
  return {
    place: (value) => within(1 + Math.log10(Math.max(value, probabilityFloor)) / decades),
    ticks: Array.from({ length: Math.floor(decades / every) + 1 }, (_, index) => {
      const value = 10 ** -(index * every);
      return { value, label: value >= 0.001 ? String(Number(value.toPrecision(1))) : `1e-${index * every}` };
    }),
  };
};

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const timeSteps = [
  minute,
  5 * minute,
  15 * minute,
  hour,
  3 * hour,
  6 * hour,
  12 * hour,
  day,
  2 * day,
  7 * day,
  14 * day,
  28 * day,
  91 * day,
  364 * day,
] as const;

/** ISO 8601 as far as the step needs it, in UTC. */
const timeLabel = (time: number, step: number): string => {
  const text = new Date(time).toISOString();
  return step >= day ? text.slice(0, 10) : `${text.slice(5, 10)} ${text.slice(11, 16)}`;
};

/** Times in ms since 1970, UTC. A lone one is in the middle of its day. */
export const timeScale = (times: readonly number[]): Scale => {
  let [low, high] = [Math.min(...times), Math.max(...times)];
  if (low === high) [low, high] = [low - day / 2, high + day / 2];
  const step =
    timeSteps.find((one) => (high - low) / one <= 6) ?? Math.ceil((high - low) / 6 / (364 * day)) * 364 * day;
  const first = Math.ceil(low / step);
  const count = Math.max(0, Math.floor(high / step) - first + 1);
  return {
    place: (time) => within((time - low) / (high - low)),
    ticks: Array.from({ length: count }, (_, index) => {
      const value = (first + index) * step;
      return { value, label: timeLabel(value, step) };
    }),
  };
};
