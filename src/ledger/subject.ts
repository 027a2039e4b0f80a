/** What the ledger keeps of one subject, and how one event changes it. Every rule here is blind to the order of events. */
import type { MetricKind } from "../experiment.ts";
import { limits } from "../limits.ts";
import type { ExposureRow, OutcomeRow } from "./batch.ts";
import { addDecimals, type Decimal, decimalOf } from "./decimal.ts";

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
  /** Exact total by {@link metricKey}: any (1 or 0) of a binary metric, the sum of the others. */
  readonly totals: ReadonlyMap<string, Decimal>;
}

export const newSubject: SubjectState = { first: null, variants: null, totals: new Map() };

const variantsMax = limits.variants;

/**
 * A metric is counted apart for each kind it arrives with: the sum of a yes and a 3.5 means nothing, and letting the
 * first kind win would make totals depend on the order. Names have no `:`, so the key is unambiguous.
 */
export const metricKey = (metric: string, kind: MetricKind): string => `${kind}:${metric}`;

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

/** The subject after one exposure; the same object when nothing changes, as with every ordinary repeat. */
export const expose = (state: SubjectState, [id, , variant, epoch, time, fromBrowser]: ExposureRow): SubjectState => {
  const exposure = { variant, time, id, epoch };
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

/** A subject's total after one more value. */
export const addValue = (total: Decimal | undefined, [, , , kind, , value]: OutcomeRow): Decimal => {
  if (kind === "binary") return total === 1 || value !== 0 ? 1 : 0;
  return addDecimals(total ?? 0, decimalOf(value));
};

/** Exposures to variants other than the first one's: each is one crossing. */
export const crossingsOf = ({ first, variants }: SubjectState): readonly VariantSeen[] =>
  first === null || variants === null ? [] : variants.filter(({ variant }) => variant !== first.variant);
