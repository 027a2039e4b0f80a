/** What the ledger keeps of one subject, and how one event changes it. Every rule here is blind to the order of events. */
import type { MetricKind } from "../experiment.ts";
import { limits } from "../limits.ts";
import type { ExposureRow, OutcomeRow } from "./batch.ts";
import { addDecimals, type Decimal, decimalOf, maxDecimal, quotientDecimal } from "./decimal.ts";
import type { MetricSpec } from "./metric-spec.ts";

/** The earliest exposure to one variant. */
export interface VariantSeen {
  readonly variant: string;
  /** Event time, ms since 1970. */
  readonly time: number;
  readonly id: string;
}

/** The smallest (event time, event id, variant, epoch): it decides the subject's arm and epoch for good. */
export interface FirstExposure extends VariantSeen {
  readonly epoch: number;
  /** Values of the declared dimensions at that exposure, each `name=value`. */
  readonly dimensions: readonly string[];
}

/** What is kept of a subject's values of one metric: enough to go on from, whatever the aggregate is. */
export interface MetricState {
  /** Any (1 or 0), sum, maximum or last value. */
  readonly value: Decimal;
  /** How many values; of means only. */
  readonly count?: number;
  /** Of the last value: event time and id. */
  readonly at?: readonly [time: number, id: string];
}

export interface SubjectState {
  /** null while only outcomes have arrived: they wait without an arm. */
  readonly first: FirstExposure | null;
  /**
   * The first of the exposures that server keys sent, where that is another than {@link first}: browsers send exposures
   * too, and anybody can write a browser's. null: there is none. Left out: it is the same.
   */
  readonly trusted?: FirstExposure | null;
  /**
   * Of a crossover only: the earliest exposure to each variant, earliest first, so the first of them is the subject's
   * own. At most {@link variantsMax}: the earliest ones, because "the k smallest" is a function of the set too.
   */
  readonly variants: readonly VariantSeen[] | null;
  /** By {@link metricKey}: values inside the metric's window. While there is no exposure, all that have come. */
  readonly totals: ReadonlyMap<string, MetricState>;
}

export const newSubject: SubjectState = { first: null, variants: null, totals: new Map() };

const variantsMax = limits.variants;

/**
 * A metric is counted apart for each kind it arrives with: the sum of a yes and a 3.5 means nothing, and letting the
 * first kind win would make totals depend on the order. Names have no `:`, so the key is unambiguous.
 */
export const metricKey = (metric: string, kind: MetricKind): string => {
  const known = madeKeys[kind];
  let key = known.get(metric);
  if (key === undefined) {
    // Names are the senders' to invent.
    if (known.size >= madeKeysMax) known.clear();
    key = `${kind}:${metric}`;
    known.set(metric, key);
  }
  return key;
};

/** Keys that were made: every outcome asks for its key several times, and a text that is made anew is hashed anew. */
const madeKeys: Readonly<Record<MetricKind, Map<string, string>>> = {
  binary: new Map(),
  count: new Map(),
  continuous: new Map(),
  duration: new Map(),
};
const madeKeysMax = 1_000;

/** Under one event id two senders may say different things, so the variant decides too. */
const isBefore = (a: VariantSeen, b: VariantSeen): boolean =>
  a.time !== b.time ? a.time < b.time : a.id !== b.id ? a.id < b.id : a.variant < b.variant;

const isFirst = (a: FirstExposure, b: FirstExposure): boolean =>
  isBefore(a, b) || (a.epoch < b.epoch && !isBefore(b, a));

const withVariant = (variants: readonly VariantSeen[], seen: VariantSeen): readonly VariantSeen[] => {
  const known = variants.find(({ variant }) => variant === seen.variant);
  if (known !== undefined && !isBefore(seen, known)) return variants;
  const last = variants.at(-1);
  if (known === undefined && variants.length === variantsMax && last !== undefined && isBefore(last, seen)) {
    return variants;
  }
  return [...variants.filter((one) => one !== known), seen]
    .toSorted((a, b) => (isBefore(a, b) ? -1 : 1))
    .slice(0, variantsMax);
};

/** Where guardrails count the subject; null: nowhere, because only browsers have said that it was exposed. */
export const trustedFirst = ({ first, trusted }: SubjectState): FirstExposure | null =>
  trusted === undefined ? first : trusted;

const earlier = (known: FirstExposure | null, exposure: FirstExposure): FirstExposure =>
  known === null || isFirst(exposure, known) ? exposure : known;

const same = (a: FirstExposure | null, b: FirstExposure | null): boolean =>
  a === b || (a !== null && b !== null && !isFirst(a, b) && !isFirst(b, a));

/** `trusted` is left out where it is `first`: nearly always, and so every state has one shape. */
const withTrusted = (
  first: FirstExposure | null,
  variants: SubjectState["variants"],
  totals: SubjectState["totals"],
  trusted: FirstExposure | null,
): SubjectState => (same(trusted, first) ? { first, variants, totals } : { first, trusted, variants, totals });

const noDimensions: readonly string[] = [];

/** The subject after one exposure; the same object when nothing changes, as with every ordinary repeat. */
export const expose = (
  state: SubjectState,
  [id, , variant, epoch, time, fromBrowser, dimensions = noDimensions]: ExposureRow,
): SubjectState => {
  const exposure = { variant, time, id, epoch, dimensions };
  const before = trustedFirst(state);
  const trusted = fromBrowser === true ? before : earlier(before, exposure);
  const first = earlier(state.first, exposure);
  if (state.first === null) return withTrusted(first, state.variants, state.totals, trusted);
  const own = { variant: state.first.variant, time: state.first.time, id: state.first.id };
  const variants =
    state.variants === null && variant === state.first.variant
      ? null
      : withVariant(state.variants ?? [own], { variant, time, id });
  if (first === state.first && variants === state.variants && trusted === before) return state;
  return withTrusted(first, variants, state.totals, trusted);
};

/** Inside the window of a subject that was first exposed at this time. */
export const isInWindow = ({ from, to }: MetricSpec, exposed: number, time: number): boolean =>
  time >= exposed + from && (to === null || time < exposed + to);

/** A subject's values of one metric after one more. */
export const addValue = (
  state: MetricState | undefined,
  { aggregate }: MetricSpec,
  [id, , , , time, number]: OutcomeRow,
): MetricState => {
  const value = decimalOf(number);
  switch (aggregate) {
    case "any":
      return state?.value === 1 || number !== 0 ? yes : no;
    case "sum":
      return { value: addDecimals(state?.value ?? 0, value) };
    case "max":
      return { value: state === undefined ? value : maxDecimal(state.value, value) };
    case "mean":
      return { value: addDecimals(state?.value ?? 0, value), count: (state?.count ?? 0) + 1 };
    case "last": {
      const [at, by] = state?.at ?? [-Infinity, ""];
      return state === undefined || time > at || (time === at && id > by) ? { value, at: [time, id] } : state;
    }
    default:
      return aggregate satisfies never;
  }
};

const yes: MetricState = { value: 1 };
const no: MetricState = { value: 0 };

/** Decimals of a subject's mean: it has to have an end, and rounding one exact quotient is blind to the order. */
const meanDecimals = 12;

/** The one value that a subject has, whatever the cap. A mean alone has a count. */
export const wholeValue = ({ value, count }: MetricState): Decimal =>
  count === undefined ? value : quotientDecimal(value, count, meanDecimals);

/** The one value that a subject has. */
export const valueOf = (state: MetricState, { cap }: MetricSpec): Decimal => {
  const whole = wholeValue(state);
  if (cap === null) return whole;
  const most = decimalOf(cap);
  return maxDecimal(whole, most) === most ? whole : most;
};

/** Exposures to variants other than the first one's: each is one crossing. */
export const crossingsOf = ({ first, variants }: SubjectState): readonly VariantSeen[] =>
  first === null || variants === null ? [] : variants.filter(({ variant }) => variant !== first.variant);
