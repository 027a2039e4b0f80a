/** What the server says of an experiment's ledger, as far as a replay uses it. */
import * as v from "valibot";
import { lifecycleStates } from "../../src/lifecycle.ts";
import { metricKinds } from "../../src/experiment.ts";
import { CliFailure } from "../failure.ts";
import { author, type Client, describeProblem } from "./client.ts";

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

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
const ContrastSchema = v.object({
  variant: v.string(),
  control: v.string(),
  difference: nullable,
  statistic: nullable,
  pValue: nullable,
  interval: v.nullable(v.tuple([finite, finite])),
  reason,
});
const OutcomeSchema = v.object({
  kind: v.picklist(metricKinds),
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
  }),
  trustworthy: v.boolean(),
  outcomes: dictionary(OutcomeSchema),
  signals: v.array(v.looseObject({ signalType: v.string(), severity: v.string(), message: v.string() })),
});

export type Results = v.InferOutput<typeof ResultsSchema>;
export type OutcomeResults = v.InferOutput<typeof OutcomeSchema>;
export type Contrast = OutcomeResults["contrasts"][number];

/** How much has arrived. */
export type Received = Pick<Results, "received" | "exposures" | "outcomeEvents">;

/** @throws CliFailure with the server's reason; `null` stands for looks at every subject that were refused */
export const readResults = async (client: Client, looks: "subject" | "checkpoint"): Promise<Results | null> => {
  const answer = await client.experiment(author, "GET", "/results", { query: `looks=${looks}` });
  if (answer.status === 400 && looks === "subject") return null;
  if (answer.status !== 200) throw new CliFailure(`the results cannot be read: ${describeProblem(answer)}`);
  const result = v.safeParse(ResultsSchema, answer.body);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new CliFailure(
    `the server gives results of another form (${v.getDotPath(issue) ?? "whole"}: ${issue.message})`,
  );
};
