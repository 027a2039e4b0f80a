/** How a subject's outcomes of one metric become the one value that is counted, as far as the ledger must know it. */
import * as v from "valibot";
import { parseDuration } from "../duration.ts";
import type { DeclaredMetric, MetricKind } from "../experiment.ts";
import { metricKey } from "./subject.ts";

/** `any`: 1 if any value is. */
export const aggregates = ["any", "sum", "mean", "last", "max"] as const;
export type Aggregate = (typeof aggregates)[number];

export interface MetricSpec {
  readonly aggregate: Aggregate;
  /** The window opens so many ms after the first exposure; negative: before it. */
  readonly from: number;
  /** It closes so many ms after the first exposure; null: never. */
  readonly to: number | null;
  /** Larger values of a subject count as this. */
  readonly cap: number | null;
}

/** Clocks of different machines differ: an outcome this long before the exposure may well have come after it. */
export const clockSkewMs = 5 * 60_000;
export const defaultWindowMs = 7 * 24 * 60 * 60_000;

/** Of a metric that nobody declared. */
export const defaultSpec = (kind: MetricKind): MetricSpec => ({
  aggregate: kind === "binary" ? "any" : "sum",
  from: -clockSkewMs,
  to: defaultWindowMs,
  cap: null,
});

/** Two metrics whose product is summed beside them: what the variance of their ratio needs. */
export interface Product {
  readonly key: string;
  readonly left: string;
  readonly right: string;
}

/** What a configuration says of its metrics, for counting. Plain data: it travels with every batch. */
export interface MetricSpecs {
  /** Of the plan it is from; of two the one with the higher revision is in force. */
  readonly revision: number;
  /** By metric key, sorted, so that equal ones have equal texts. */
  readonly specs: readonly (readonly [key: string, spec: MetricSpec])[];
  readonly products: readonly Product[];
}

export const noSpecs: MetricSpecs = { revision: 0, specs: [], products: [] };

const specOf = (metric: DeclaredMetric): MetricSpec => {
  const { kind, window, aggregate, cap } = metric;
  if (window?.before !== undefined)
    return {
      aggregate: kind === "binary" ? "any" : (aggregate ?? "sum"),
      from: -(parseDuration(window.before) ?? 0),
      // Clocks differ here too: but what came after the exposure must not explain what came after the exposure.
      to: 0,
      cap: cap ?? null,
    };
  const from = window?.from === undefined ? 0 : (parseDuration(window.from) ?? 0);
  return {
    aggregate: kind === "binary" ? "any" : (aggregate ?? "sum"),
    from: from === 0 ? -clockSkewMs : from,
    to: window?.open === true ? null : window?.to === undefined ? defaultWindowMs : (parseDuration(window.to) ?? 0),
    cap: cap ?? null,
  };
};

/** The key of the sums of products of two metrics. No metric key holds a `*`. */
export const productKey = (left: string, right: string): string => `${left}*${right}`;

/**
 * Stands for a metric as 1 for each subject that has a value of it: with it as a factor, a product sums the other one over
 * those subjects. No metric key begins with `?`.
 */
export const presenceKey = (key: string): string => `?${key}`;

/** The metric that a {@link presenceKey} is about; null for any other key. */
export const presentIn = (key: string): string | null => (key.startsWith("?") ? key.slice(1) : null);

/**
 * @example metricSpecs(3, [{ name: "spend", kind: "continuous", cap: 100 }]).specs[0]; // ["continuous:spend", { aggregate: "sum", …, cap: 100 }]
 */
export const metricSpecs = (revision: number, metrics: readonly DeclaredMetric[]): MetricSpecs => {
  const keys = new Map<string, string>();
  const specs: (readonly [string, MetricSpec])[] = [];
  for (const metric of metrics) {
    if (metric.kind === "ratio") continue;
    const key = metricKey(metric.name, metric.kind);
    keys.set(metric.name, key);
    specs.push([key, specOf(metric)]);
  }
  const products = metrics.flatMap(({ kind, numerator, denominator }): readonly Product[] => {
    const left = keys.get(numerator ?? "");
    const right = keys.get(denominator ?? "");
    return kind !== "ratio" || left === undefined || right === undefined
      ? []
      : [{ key: productKey(left, right), left, right }];
  });
  const adjusted = metrics.flatMap(({ name, covariate }): readonly Product[] => {
    const [outcome, known] = [keys.get(name), keys.get(covariate ?? "")];
    if (outcome === undefined || known === undefined) return [];
    return [known, presenceKey(known)].map((left) => ({ key: productKey(left, outcome), left, right: outcome }));
  });
  return {
    revision,
    specs: specs.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    products: [...products, ...adjusted]
      .filter(({ key }, index, all) => all.findIndex((other) => other.key === key) === index)
      .toSorted((a, b) => (a.key < b.key ? -1 : 1)),
  };
};

/** True when counting by one is counting by the other. */
export const sameSpecs = (a: MetricSpecs, b: MetricSpecs): boolean =>
  JSON.stringify([a.specs, a.products]) === JSON.stringify([b.specs, b.products]);

/** The spec of each metric key: the declared one, or that of its kind. */
export const specLookUp = ({ specs }: MetricSpecs): ((key: string) => MetricSpec) => {
  const declared = new Map(specs);
  const byKind = new Map<string, MetricSpec>();
  return (key) => {
    const found = declared.get(key) ?? byKind.get(key);
    if (found !== undefined) return found;
    const spec = key.startsWith("binary:") ? defaultSpec("binary") : defaultSpec("count");
    byKind.set(key, spec);
    return spec;
  };
};

const SpecsSchema = v.object({
  revision: v.number(),
  specs: v.array(
    v.tuple([
      v.string(),
      v.object({
        aggregate: v.picklist(aggregates),
        from: v.number(),
        to: v.nullable(v.number()),
        cap: v.nullable(v.number()),
      }),
    ]),
  ),
  products: v.array(v.object({ key: v.string(), left: v.string(), right: v.string() })),
});

/**
 * Specs as a ledger stores them, as JSON text.
 *
 * @throws ValiError for anything else
 */
export const parseSpecs = (text: string | null): MetricSpecs =>
  text === null ? noSpecs : v.parse(SpecsSchema, JSON.parse(text));
