/** Arms as they were planned: keys, weights and which one is control. */
import * as v from "valibot";
import { nearest } from "../../src/config/nearest.ts";
import { allocateBuckets } from "../../src/evaluation/allocation.ts";
import { VariantKeySchema } from "../../src/experiment.ts";
import { limits } from "../../src/limits.ts";
import { usageFailure } from "../failure.ts";

export interface PlannedVariant {
  readonly key: string;
  readonly weight: number;
  readonly control?: true;
}

export type Weights = readonly (readonly [key: string, weight: number])[];

const decimal = /^(?:\d+\.?\d*|\.\d+)$/;

/** Why this text is no variant key, or undefined when it is one. */
export const variantProblem = (key: string): string | undefined => {
  const result = v.safeParse(VariantKeySchema, key);
  return result.success ? undefined : `a variant key is ${result.issues[0].message}`;
};

/**
 * Reads `gate_30=1,gate_40=1`. A key may hold `=`: the weight stands behind the last one.
 *
 * @throws CliFailure (exit code 2) for anything else
 */
export const parsePlanned = (text: string): Weights => {
  const weights = text.split(",").map((part): readonly [string, number] => {
    const split = part.lastIndexOf("=");
    const [key, weight] = [part.slice(0, split).trim(), part.slice(split + 1).trim()];
    if (split < 1 || !decimal.test(weight)) {
      throw usageFailure(`--planned: ${JSON.stringify(part)} is not KEY=WEIGHT; write --planned control=1,treatment=1`);
    }
    const problem = variantProblem(key);
    if (problem !== undefined) throw usageFailure(`--planned: ${JSON.stringify(key)}: ${problem}`);
    return [key, Number(weight)];
  });
  const keys = weights.map(([key]) => key);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) throw usageFailure(`--planned names ${twice} twice`);
  if (keys.length < 2) throw usageFailure("--planned names one variant; an experiment has at least two");
  if (weights.every(([, weight]) => weight === 0)) throw usageFailure("--planned gives every variant the weight 0");
  return weights;
};

/** Equal weights, in the order in which the file shows the variants. */
export const equalWeights = (found: readonly string[]): Weights => {
  if (found.length < 2) {
    const what = found.length === 0 ? "no variant" : `one variant (${found.join()})`;
    throw usageFailure(`the file shows ${what}; say what was planned with --planned KEY=WEIGHT,…`);
  }
  if (found.length > limits.variants) {
    throw usageFailure(
      `the variant column has ${found.length} different values or more; at most ${limits.variants} variants are possible: is it the right column?`,
    );
  }
  return found.map((key) => [key, 1]);
};

/** The arms of the experiment; control is the one that was named, else the first. */
export const planVariants = (weights: Weights, control: string | undefined): readonly PlannedVariant[] => {
  const keys = weights.map(([key]) => key);
  const chosen = control ?? keys[0] ?? "";
  if (!keys.includes(chosen)) {
    const meant = nearest(chosen, keys);
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    throw usageFailure(`--control ${chosen} is none of the variants ${keys.join(", ")}${hint}`);
  }
  return weights.map(([key, weight]) => ({ key, weight, ...(key === chosen ? { control: true } : {}) }));
};

/** What makes two plans one: keys in order, the buckets that follow from their weights, and control. */
const fingerprint = (variants: readonly PlannedVariant[]): string => {
  const buckets = allocateBuckets(variants.map(({ weight }) => weight));
  const arms = variants.map(({ key, control }, index) => [key, buckets[index], control === true]);
  return JSON.stringify(arms.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)));
};

export const samePlan = (a: readonly PlannedVariant[], b: readonly PlannedVariant[]): boolean =>
  fingerprint(a) === fingerprint(b);

/** @example describePlan(variants) // "gate_30=1 (control), gate_40=1" */
export const describePlan = (variants: readonly PlannedVariant[]): string =>
  variants.map(({ key, weight, control }) => `${key}=${weight}${control === true ? " (control)" : ""}`).join(", ");

/**
 * Compares what was planned with what the file shows, before anything is created.
 *
 * @returns warnings
 * @throws CliFailure (exit code 2) when a planned key is plainly a misspelling of one in the file
 */
export const comparePlan = (planned: readonly string[], found: ReadonlyMap<string, number>): readonly string[] => {
  const unplanned = [...found.keys()].filter((key) => !planned.includes(key));
  const unseen = planned.filter((key) => !found.has(key));
  for (const key of unseen) {
    const meant = nearest(key, unplanned);
    if (meant !== undefined) throw usageFailure(`no row has the variant ${key}; did you mean ${meant}?`);
  }
  return [
    ...unseen.map((key) => `no row has the variant ${key}`),
    ...unplanned.map(
      (key) => `${found.get(key)} rows have the variant ${key}, which is not planned: a sample ratio mismatch at once`,
    ),
  ];
};
