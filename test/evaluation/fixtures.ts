/** Rules for the tests of evaluation. */
import type { ExperimentRule, RuleSet } from "../../src/evaluation/rule-set.ts";

export const rule = (change: Partial<ExperimentRule> = {}): ExperimentRule => ({
  name: "checkout",
  state: "Running",
  version: 3,
  digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  epoch: 1,
  hashVersion: 1,
  salt: "checkout-salt",
  subject: "user",
  variants: [
    { key: "control", buckets: 5_000, control: true },
    { key: "treatment", buckets: 5_000, control: false, payload: { layout: "one-page" } },
  ],
  trafficBuckets: 10_000,
  assignmentPolicy: "bestEffort",
  ...change,
});

export const ruleSet = (...experiments: readonly ExperimentRule[]): RuleSet => ({
  ruleSetVersion: 1,
  tenant: "acme",
  environment: "production",
  experiments,
});

/** The first id of `user-0`, `user-1` … for which the condition holds. */
export const subjectFor = (holds: (subjectId: string) => boolean): string => {
  for (let index = 0; index < 10_000; index += 1) if (holds(`user-${index}`)) return `user-${index}`;
  throw new Error("no such subject among 10,000");
};
