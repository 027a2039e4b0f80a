/** From states to published rules. */
import { digestOf } from "../canonical.ts";
import { allocateBuckets } from "../evaluation/allocation.ts";
import { bucketCount, type ExperimentRule, type RuleSet, ruleSetVersion } from "../evaluation/rule-set.ts";
import { limits } from "../limits.ts";
import type { Scope } from "../scope.ts";
import { slotsIn } from "./exclusion.ts";
import { effectiveTraffic } from "./serving.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore, Snapshot } from "./store.ts";

/** The rule of one experiment; null while there is nothing that may be served: never started, or archived. */
export const ruleOf = (state: ExperimentState): ExperimentRule | null => {
  const { conclusion, killed } = state;
  const shipped = conclusion?.outcome === "ship" ? conclusion.variant : undefined;
  if (state.live === null || (state.lifecycle === "Archived" && shipped === undefined)) return null;
  const { version, digest, configuration } = state.live;
  const staysIn = state.lifecycle === "Paused" && state.paused === "stopEnrolment";
  // Whoever is in came in under the step that the ramp stood at.
  const ramp = state.lifecycle === "Ramping" || staysIn ? state.ramp : null;
  const buckets = allocateBuckets(configuration.variants.map((variant) => variant.weight));
  return {
    name: state.name,
    state: state.lifecycle,
    version,
    digest,
    epoch: state.epoch,
    hashVersion: 1,
    salt: configuration.salt,
    subject: configuration.subject,
    variants: configuration.variants.map(({ key, control, payload }, index) => ({
      key,
      buckets: buckets[index] ?? 0,
      control: control === true,
      ...(payload === undefined ? {} : { payload }),
    })),
    trafficBuckets: Math.round((effectiveTraffic(configuration, ramp) / 100) * bucketCount),
    ...(configuration.targeting === undefined ? {} : { targeting: configuration.targeting }),
    ...(configuration.exclusion === undefined
      ? {}
      : {
          exclusion: {
            group: configuration.exclusion.group,
            slots: slotsIn(state.claims, configuration.exclusion.group),
          },
        }),
    assignmentPolicy: configuration.assignmentPolicy,
    ...(configuration.dimensions === undefined || configuration.dimensions.length === 0
      ? {}
      : { dimensions: configuration.dimensions.map(({ attribute }) => attribute) }),
    ...(staysIn ? ({ mode: "stopEnrolment" } as const) : {}),
    ...(killed.experiment ? { killed: true } : {}),
    ...(killed.variants.length === 0 ? {} : { killedVariants: killed.variants }),
    ...(shipped === undefined ? {} : { shipped }),
  };
};

/** What has never started is nothing an application could serve; of what was put away, only what was shipped. */
const published = ["Running", "Ramping", "Paused", "RolledBack", "Archived"] as const;

/** What an experiment publishes at one revision. */
export interface Publication {
  readonly experiment: string;
  /** Of the snapshot: a lower one than is known is old news. */
  readonly revision: number;
  /** Null: there is nothing to serve (any more). */
  readonly rule: ExperimentRule | null;
}

export const publicationOf = ({ state, revision }: Snapshot): Publication => ({
  experiment: state.name,
  revision,
  rule: published.some((lifecycle) => lifecycle === state.lifecycle) ? ruleOf(state) : null,
});

/** What every experiment of a scope publishes that has ever started, by name. */
export const listPublications = async (store: Pick<GovernanceStore, "list">, scope: Scope): Promise<Publication[]> => {
  const publications: Publication[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(scope, {
      states: published,
      limit: limits.heavyPageRows,
      ...(cursor === null ? {} : { cursor }),
    });
    publications.push(...page.items.map(({ snapshot }) => publicationOf(snapshot)));
    cursor = page.next;
  } while (cursor !== null);
  return publications;
};

/** The rules of a scope, in the order in which they are given. */
export const ruleSetOf = ({ tenant, environment }: Scope, publications: readonly Publication[]): RuleSet => ({
  ruleSetVersion,
  tenant,
  environment,
  experiments: publications.map(({ rule }) => rule).filter((rule) => rule !== null),
});

/** All rules of a scope, by name. */
export const publishRules = async (store: Pick<GovernanceStore, "list">, scope: Scope): Promise<RuleSet> =>
  ruleSetOf(scope, await listPublications(store, scope));

/** Names a rule set by its content, wherever it was put together. */
export const rulesETag = (rules: RuleSet): string => `"${digestOf(rules).slice(0, 32)}"`;
