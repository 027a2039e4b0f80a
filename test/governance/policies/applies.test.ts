import { describe, expect, test } from "vitest";
import { changeKinds } from "../../../src/governance/events.ts";
import { appliesTo } from "../../../src/governance/policies/judge.ts";
import type { PolicyInput } from "../../../src/governance/policies/schema.ts";
import { lifecycleStates } from "../../../src/lifecycle.ts";
import { policy } from "./context.ts";

const samples = {
  trafficLimit: { type: "trafficLimit", maxTrafficPercentage: 1 },
  errorRate: { type: "errorRate", maxErrorRate: 0 },
  timeWindow: { type: "timeWindow", allowedStartTime: "09:00", allowedEndTime: "17:00" },
  conflictPrevention: { type: "conflictPrevention", conflictingExperiments: ["a"] },
  minimumSample: { type: "minimumSample", minSubjects: 1 },
  sampleRatio: { type: "sampleRatio" },
  maxDuration: { type: "maxDuration", maxDuration: "1d" },
  requireFields: { type: "requireFields", fields: ["owner"] },
  expression: { type: "expression", expression: "true" },
  custom: { type: "custom", function: "budget" },
} as const satisfies { readonly [type in PolicyInput["type"]]: PolicyInput & { readonly type: type } };

/** Serving again after a kill switch is judged as resuming is. */
const ruledKinds = changeKinds.filter((kind) => kind !== "revive");

/** Target states where a policy is asked by default, of each kind of change. */
const asked = (input: PolicyInput) =>
  Object.fromEntries(
    ruledKinds.map((kind) => [kind, lifecycleStates.filter((to) => appliesTo(policy(input), kind, to))]),
  );

const all = [...lifecycleStates];
const widening = ["Running", "Ramping"];

describe("where each policy is asked by default", () => {
  test.each([
    ["trafficLimit", { transition: widening, publish: widening, rollback: widening, rampStep: widening }],
    ["errorRate", { transition: widening, publish: widening, rollback: [], rampStep: widening }],
    ["conflictPrevention", { transition: widening, publish: [], rollback: [], rampStep: widening }],
    ["timeWindow", { transition: all, publish: all, rollback: [], rampStep: all }],
    ["minimumSample", { transition: ["Archived"], publish: [], rollback: [], rampStep: [] }],
    ["sampleRatio", { transition: [...widening, "Archived"], publish: [], rollback: [], rampStep: widening }],
    ["maxDuration", { transition: widening, publish: widening, rollback: [], rampStep: widening }],
    ["requireFields", { transition: ["PendingApproval", "Approved"], publish: all, rollback: [], rampStep: [] }],
    ["expression", { transition: all, publish: all, rollback: [], rampStep: all }],
    ["custom", { transition: all, publish: all, rollback: [], rampStep: all }],
  ] as const)("%s", (type, places) => {
    expect(asked(samples[type])).toEqual(places);
  });

  test("that is all of them", () => {
    expect(Object.keys(samples)).toHaveLength(10);
  });
});

test("on and to come first", () => {
  expect(asked({ ...samples.errorRate, on: ["rollback"] })).toEqual({
    transition: [],
    publish: [],
    rollback: all,
    rampStep: [],
  });
  expect(asked({ ...samples.errorRate, to: ["Running"] })).toEqual({
    transition: ["Running"],
    publish: ["Running"],
    rollback: [],
    rampStep: ["Running"],
  });
  expect(asked({ ...samples.minimumSample, on: ["rampStep"], to: ["Running"] })).toEqual({
    transition: [],
    publish: [],
    rollback: [],
    rampStep: ["Running"],
  });
});
