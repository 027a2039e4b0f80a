/** What the benchmarks of an application's side have in common: one experiment, the ids of subjects, and a sink. */
import type { ExperimentRule, RuleSet } from "../src/evaluation/rule-set.ts";
import type { EventSink } from "../src/events/sink.ts";

/** For everybody. */
export const openRule: ExperimentRule = {
  name: "checkout-redesign",
  state: "Running",
  version: 3,
  digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  epoch: 1,
  hashVersion: 1,
  salt: "checkout-redesign-v1",
  subject: "user",
  variants: [
    { key: "control", buckets: 5_000, control: true },
    { key: "treatment", buckets: 5_000, control: false },
  ],
  trafficBuckets: 10_000,
  assignmentPolicy: "bestEffort",
};

/** For those with {@link attributes}. */
export const targetedRule: ExperimentRule = {
  ...openRule,
  targeting: {
    all: [
      { attribute: "country", in: ["US", "CA"] },
      { attribute: "plan", equals: "pro" },
    ],
  },
};
export const attributes = { country: "US", plan: "pro", device: "phone" };

export const ruleSetOf = (rule: ExperimentRule): RuleSet => ({
  ruleSetVersion: 1,
  tenant: "default",
  environment: "default",
  experiments: [rule],
});

/** As ids are in life: 36 characters, and not one of them twice in a row. */
export const idOf = (index: number): string =>
  `550e8400-e29b-41d4-a716-${(446_655_440_000 + index * 7_919).toString().padStart(12, "0")}`;

/** Takes events for nothing: what is measured is the application's side. */
export const nowhere: EventSink = {
  name: "nowhere",
  send: (events) => Promise.resolve({ accepted: events.length, rejected: [] }),
  health: () => ({ status: "healthy", description: "" }),
};
