/** Policies that the host wrote: what it registers, and how their answers are judged. They are asked in `evidence.ts`. */
import * as v from "valibot";
import { byteLength, findUnstorable } from "../../canonical.ts";
import { limits } from "../../limits.ts";
import type { ExperimentRef } from "../../scope.ts";

import {
  type ChangeContext,
  type CustomAnswer,
  type PolicyContext,
  PolicyFailure,
  type PolicyVerdict,
} from "./policy.ts";
import type { CustomPolicySchema, Policy } from "./schema.ts";

type Custom = v.InferOutput<typeof CustomPolicySchema>;

/** What a policy of the host is told. */
export interface CustomPolicyContext {
  readonly ref: ExperimentRef;
  readonly change: ChangeContext;
  /** What the configuration of the policy says under `parameters`. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Aborts when the time limit is over: nobody waits for the answer any longer. */
  readonly signal: AbortSignal;
}

/**
 * A policy as code. It may take time and look at the world; what it says is recorded, so its reason names no secrets and
 * no people. Whatever it throws counts as a Critical violation, and its message is not recorded.
 *
 * @example
 * const budget: CustomPolicy = {
 *   version: "1",
 *   judge: async ({ change }) => ({ compliant: change.trafficAfter <= 50, reason: "at most half", evidence: {} }),
 * };
 */
export interface CustomPolicy {
  /** Rises when the rule changes: approvals given under another version no longer count. */
  readonly version: string;
  judge(context: CustomPolicyContext): Promise<PolicyVerdict> | PolicyVerdict;
}

/** By the name that configurations use. */
export type CustomPolicies = Readonly<Record<string, CustomPolicy>>;

const storable = (most: number) =>
  v.pipe(
    v.string(),
    v.check((text) => byteLength(text) <= most && findUnstorable(text) === undefined),
  );

/** The record is kept for ever and hashed: what a function hands over is checked like anything else from outside. */
const VerdictSchema = v.object({
  compliant: v.nullable(v.boolean()),
  reason: storable(limits.reasonBytes),
  evidence: v.pipe(
    v.record(
      v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)),
      v.object({
        source: storable(256),
        at: storable(64),
        value: v.nullable(v.union([storable(limits.reasonBytes), v.pipe(v.number(), v.finite()), v.boolean()])),
      }),
    ),
    v.maxEntries(32),
  ),
});

/** What a function returned, as far as it is a verdict that can be recorded. */
export const readVerdict = (returned: unknown): CustomAnswer => {
  const result = v.safeParse(VerdictSchema, returned);
  return result.success ? result.output : { failed: "it returned no verdict that can be recorded" };
};

/** The registered function, unless it is another version than the one that was approved. */
export const registeredPolicy = (
  policy: Custom,
  registered: CustomPolicies,
): CustomPolicy | { readonly problem: string } => {
  const found = Object.hasOwn(registered, policy.function) ? registered[policy.function] : undefined;
  if (found === undefined) return { problem: `no policy is registered as ${policy.function}` };
  if (policy.version !== undefined && policy.version !== found.version)
    return { problem: `${policy.function} is registered in another version than ${policy.version}` };
  return found;
};

/** A custom policy of a configuration that the host's code does not answer. */
export interface UnregisteredPolicy {
  readonly policy: string;
  readonly function: string;
  readonly problem: string;
}

/**
 * What a configuration asks of the host that it does not have: an error when the parts are put together.
 *
 * @example unregisteredPolicies(dsl.governance.policies, { budget }) // []
 */
export const unregisteredPolicies = (
  policies: readonly Policy[],
  registered: CustomPolicies,
): readonly UnregisteredPolicy[] =>
  policies.flatMap((policy) => {
    if (policy.type !== "custom") return [];
    const found = registeredPolicy(policy, registered);
    return "problem" in found
      ? [{ policy: policy.name ?? policy.type, function: policy.function, problem: found.problem }]
      : [];
  });

/** Writes the registered version into policies that name none, so that approvals are bound to the code that judged. */
export const withRegisteredVersions = (policies: readonly Policy[], registered: CustomPolicies): readonly Policy[] =>
  policies.map((policy) => {
    if (policy.type !== "custom" || policy.version !== undefined) return policy;
    const found = registeredPolicy(policy, registered);
    return "problem" in found ? policy : { ...policy, version: found.version };
  });

/** Reads the answer that was given before the decision. None is a violation: it may not pass by accident. */
export const judgeCustom = (name: string, { evidence }: PolicyContext): PolicyVerdict => {
  const answer = Object.hasOwn(evidence.custom, name) ? evidence.custom[name] : undefined;
  if (answer === undefined) throw new PolicyFailure("it was not asked");
  if ("failed" in answer) throw new PolicyFailure(answer.failed);
  return answer;
};
