/** From states to published rules. */
import { allocateBuckets } from "../evaluation/allocation.ts";
import { bucketCount, type ExperimentRule, type RuleSet, ruleSetVersion } from "../evaluation/rule-set.ts";
import { limits } from "../limits.ts";
import type { Scope } from "../scope.ts";
import { slotsIn } from "./exclusion.ts";
import { effectiveTraffic } from "./serving.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore } from "./store.ts";

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
    ...(staysIn ? ({ mode: "stopEnrolment" } as const) : {}),
    ...(killed.experiment ? { killed: true } : {}),
    ...(killed.variants.length === 0 ? {} : { killedVariants: killed.variants }),
    ...(shipped === undefined ? {} : { shipped }),
  };
};

/** What has never started is nothing an application could serve; of what was put away, only what was shipped. */
const published = ["Running", "Ramping", "Paused", "RolledBack", "Archived"] as const;

/** All rules of a scope, by name. */
export const publishRules = async (store: GovernanceStore, scope: Scope): Promise<RuleSet> => {
  const experiments: ExperimentRule[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(scope, {
      states: published,
      limit: limits.heavyPageRows,
      ...(cursor === null ? {} : { cursor }),
    });
    experiments.push(...page.items.map((item) => ruleOf(item.snapshot.state)).filter((rule) => rule !== null));
    cursor = page.next;
  } while (cursor !== null);
  return { ruleSetVersion, tenant: scope.tenant, environment: scope.environment, experiments };
};
