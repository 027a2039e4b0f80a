/**
 * The analysis plan, fixed when an experiment starts: what it is to find and how it will be judged. Whatever is declared
 * or changed afterwards may have been chosen by somebody who had seen data, so it is shown and marked, and no more.
 */
import { canonicalJson, digestOf } from "../canonical.ts";
import type { AnalysisPlan, Configuration } from "../experiment.ts";
import { guardrailName } from "./guardrails.ts";
import type { ExperimentState, VersionState } from "./state.ts";

/** What was fixed, and when. It stays through pauses, rollbacks and further starts; reopening alone makes room for another. */
export interface FrozenPlan {
  /** ISO 8601; the first start. */
  readonly at: string;
  /** The version that started. */
  readonly version: number;
  /** The epoch that began then: whoever was counted in an earlier one belongs to another run. */
  readonly epoch: number;
  /** {@link planDigest}; null where there was no plan. */
  readonly digest: string | null;
  readonly plan: AnalysisPlan | null;
  /** What was declared at the start, as it was declared. */
  readonly metrics: NonNullable<Configuration["metrics"]>;
  readonly dimensions: NonNullable<Configuration["dimensions"]>;
  readonly guardrails: NonNullable<Configuration["guardrails"]>;
}

/** SHA-256, hex, of a plan's canonical JSON, its hypothesis included; null for no plan. */
export const planDigest = (plan: AnalysisPlan | undefined): string | null =>
  plan === undefined ? null : digestOf(plan);

export const frozenAt = (
  { version, configuration }: Pick<VersionState, "version" | "configuration">,
  at: string,
  epoch: number,
  digest: string | null = planDigest(configuration.plan),
): FrozenPlan => ({
  at,
  version,
  epoch,
  digest,
  plan: configuration.plan ?? null,
  metrics: configuration.metrics ?? [],
  dimensions: configuration.dimensions ?? [],
  guardrails: configuration.guardrails ?? [],
});

/** The plan that results are judged by: the frozen one, or before the start that of the newest version. */
export const planInForce = ({ frozen, latest }: Pick<ExperimentState, "frozen" | "latest">): AnalysisPlan | undefined =>
  frozen === null ? latest.configuration.plan : (frozen.plan ?? undefined);

/** How something that is declared stands to what was declared at the start. */
export const changesAfterStart = ["added", "changed", "removed"] as const;
export type ChangeAfterStart = (typeof changesAfterStart)[number];

/** By name: a metric, a dimension's attribute, or a guardrail's {@link guardrailName}, bound included. */
export interface AfterStart {
  readonly metrics: ReadonlyMap<string, ChangeAfterStart>;
  readonly dimensions: ReadonlyMap<string, ChangeAfterStart>;
  readonly guardrails: ReadonlyMap<string, ChangeAfterStart>;
}

const compare = <Declared>(
  before: readonly Declared[],
  now: readonly Declared[],
  nameOf: (one: Declared) => string,
): ReadonlyMap<string, ChangeAfterStart> => {
  const then = new Map(before.map((one) => [nameOf(one), one]));
  const kept = new Set(now.map(nameOf));
  const changed = now.flatMap((one): readonly (readonly [string, ChangeAfterStart])[] => {
    const name = nameOf(one);
    const old = then.get(name);
    if (old === undefined) return [[name, "added"]];
    return canonicalJson(old) === canonicalJson(one) ? [] : [[name, "changed"]];
  });
  const removed = [...then.keys()].filter((name) => !kept.has(name));
  return new Map([...changed, ...removed.map((name) => [name, "removed"] as const)]);
};

/**
 * What the content in force declares otherwise than at the start. Empty before the start.
 *
 * @example afterStart(state).metrics.get("basket") // "changed": its cap was raised after people had been exposed
 */
export const afterStart = ({
  frozen,
  live,
  latest,
}: Pick<ExperimentState, "frozen" | "live" | "latest">): AfterStart => {
  if (frozen === null) return { metrics: new Map(), dimensions: new Map(), guardrails: new Map() };
  const { metrics = [], dimensions = [], guardrails = [] } = (live ?? latest).configuration;
  return {
    metrics: compare(frozen.metrics, metrics, ({ name }) => name),
    dimensions: compare(frozen.dimensions, dimensions, ({ attribute }) => attribute),
    guardrails: compare(frozen.guardrails, guardrails, guardrailName),
  };
};

/** Why a version with this plan may not be written now; null when it may. */
export const planProblem = (
  { frozen }: Pick<ExperimentState, "frozen">,
  plan: AnalysisPlan | undefined,
): string | null => {
  if (frozen === null || planDigest(plan) === frozen.digest) return null;
  const was = frozen.digest === null ? "without one" : `as version ${frozen.version} has it`;
  return `the plan was frozen ${was} when the experiment started at ${frozen.at}; another one takes a new run: conclude this one, and write a version to reopen it`;
};
