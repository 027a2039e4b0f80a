/** A change for policies to judge, and policies as a configuration writes them. */
import * as v from "valibot";
import { judgePolicy } from "../../../src/governance/policies/judge.ts";
import type { LedgerReading, PolicyContext, PolicyResult } from "../../../src/governance/policies/policy.ts";
import { type Policy, type PolicyInput, PolicySchema } from "../../../src/governance/policies/schema.ts";
import { checkout, startOfTime } from "../../support/scenario.ts";

export const hour = 3_600_000;

export const available = {
  status: "available",
  at: "2026-11-21T12:00:00.000Z",
  exposed: 1_000,
  worstErrorRate: 0.02,
  worstVariant: "treatment",
  subjects: { control: 500, treatment: 500 },
  sampleRatio: null,
} as const satisfies LedgerReading;

export const unavailable = { status: "unavailable", at: available.at, reason: "no answer" } as const;

type Changes = Partial<Omit<PolicyContext, "evidence">> & Partial<PolicyContext["evidence"]>;

/** An Approved experiment that starts with 40 % of traffic. */
export const context = (changes: Changes = {}): PolicyContext => {
  const { now = startOfTime, telemetry = available, others = [], custom = {}, ...change } = changes;
  return {
    experiment: "checkout",
    from: "Approved",
    to: "Running",
    configuration: { ...checkout({ traffic: 40 }), salt: "pepper" },
    servingSince: null,
    servedTraffic: 0,
    trafficAfter: 40,
    kind: "transition",
    parameters: {},
    actor: { ref: "author", kind: "human", roles: ["operator"] },
    ...change,
    evidence: { now, telemetry, others, custom },
  };
};

export const policy = (input: PolicyInput): Policy => v.parse(PolicySchema, input);

export const judge = (input: PolicyInput, given: PolicyContext = context()): PolicyResult =>
  judgePolicy(policy(input), given);
