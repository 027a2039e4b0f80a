/** The answer of `GET /{name}/results`, as far as people are shown it: read from a server or from a file that was kept. */
import * as v from "valibot";
import { isObject } from "../evaluation/guards.ts";
import { declaredKinds } from "../experiment.ts";
import { changesAfterStart } from "../governance/frozen-plan.ts";
import { lifecycleStates } from "../lifecycle.ts";

/** By name. Not a record: valibot drops `constructor` and `prototype` from those, and a variant may be called so. */
const dictionary = <Value>(schema: v.GenericSchema<unknown, Value>) =>
  v.pipe(
    v.custom<Readonly<Record<string, unknown>>>(isObject, "an object"),
    v.rawTransform(({ dataset, addIssue, NEVER }): ReadonlyMap<string, Value> => {
      const values = new Map<string, Value>();
      for (const [name, entry] of Object.entries(dataset.value)) {
        const result = v.safeParse(schema, entry);
        if (!result.success) {
          addIssue({ message: `${name}: ${result.issues[0].message}` });
          return NEVER;
        }
        values.set(name, result.output);
      }
      return values;
    }),
  );

const finite = v.number();
const nullable = v.nullable(finite);
const reason = v.exactOptional(v.string());

const ChiSquareSchema = v.object({ statistic: nullable, degreesOfFreedom: nullable, pValue: nullable, reason });
const SequentialSchema = v.object({
  logBayesFactor: nullable,
  pValue: nullable,
  looks: finite,
  lookAt: v.picklist(["subject", "checkpoint"]),
  level: finite,
  mismatch: v.boolean(),
  reason,
});
const interval = v.nullable(v.tuple([finite, finite]));
const day = v.pipe(v.string(), v.isoDate("a day such as 2026-11-25"));
const change = v.picklist(changesAfterStart);

const ContrastSchema = v.object({
  variant: v.string(),
  control: v.string(),
  difference: nullable,
  statistic: nullable,
  pValue: nullable,
  interval,
  /** Of the t distribution; left out where it is the normal one. */
  degreesOfFreedom: v.exactOptional(finite),
  reason,
  adjustedPValue: v.exactOptional(nullable),
  relativeDifference: v.exactOptional(v.object({ value: nullable, interval, reason })),
  sequential: v.exactOptional(v.object({ difference: nullable, interval, pValue: nullable, reason })),
  adjusted: v.exactOptional(
    v.object({
      covariate: v.string(),
      difference: nullable,
      pValue: nullable,
      interval,
      reason,
      varianceReduction: nullable,
    }),
  ),
  series: v.exactOptional(v.array(v.object({ day, subjects: finite, difference: nullable, interval }))),
});
const OutcomeSchema = v.object({
  kind: v.picklist(declaredKinds),
  primary: v.exactOptional(v.boolean()),
  afterStart: v.exactOptional(change),
  arms: dictionary(
    v.object({
      subjects: finite,
      sum: finite,
      exactSum: v.exactOptional(v.string()),
      mean: nullable,
      variance: nullable,
    }),
  ),
  contrasts: v.array(ContrastSchema),
});

const ResultsSchema = v.object({
  experimentName: v.string(),
  state: v.picklist(lifecycleStates),
  version: finite,
  digest: v.string(),
  epoch: finite,
  received: finite,
  exposures: finite,
  outcomeEvents: finite,
  subjects: dictionary(finite),
  repeats: finite,
  crossovers: finite,
  sampleRatio: v.object({
    planned: dictionary(finite),
    chiSquare: ChiSquareSchema,
    sequential: SequentialSchema,
    byEpoch: v.exactOptional(v.array(v.object({ epoch: finite, sequential: SequentialSchema }))),
  }),
  trustworthy: v.boolean(),
  withheld: v.exactOptional(v.nullable(v.string())),
  fixedHorizon: v.exactOptional(v.object({ status: v.picklist(["early", "final"]), fraction: nullable })),
  plan: v.exactOptional(
    v.nullable(
      v.object({
        frozenAt: v.string(),
        version: finite,
        digest: v.nullable(v.string()),
        plan: v.nullable(v.looseObject({ hypothesis: v.exactOptional(v.string()), alpha: v.exactOptional(finite) })),
      }),
    ),
  ),
  afterStart: v.exactOptional(
    v.object({ metrics: dictionary(change), dimensions: dictionary(change), guardrails: dictionary(change) }),
  ),
  days: v.exactOptional(v.array(v.object({ day, subjects: dictionary(finite) }))),
  sampleRatioSeries: v.exactOptional(v.array(v.object({ epoch: finite, looks: v.array(v.tuple([finite, finite])) }))),
  outcomes: dictionary(OutcomeSchema),
  signals: v.array(v.looseObject({ signalType: v.string(), severity: v.string(), message: v.string() })),
});

export type ResultsDocument = v.InferOutput<typeof ResultsSchema>;
export type OutcomeDocument = v.InferOutput<typeof OutcomeSchema>;
export type ContrastDocument = OutcomeDocument["contrasts"][number];

export type ReadResults =
  | { readonly ok: true; readonly results: ResultsDocument }
  /** Where the document is another one than results, and what was wanted there. */
  | { readonly ok: false; readonly problem: string };

/**
 * @example readResultsDocument(await response.json()) // { ok: true, results: { experimentName: "checkout", … } }
 */
export const readResultsDocument = (document: unknown): ReadResults => {
  const result = v.safeParse(ResultsSchema, document);
  if (result.success) return { ok: true, results: result.output };
  const [issue] = result.issues;
  return { ok: false, problem: `${v.getDotPath(issue) ?? "whole"}: ${issue.message}` };
};
