import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type Envelope, EnvelopeSchema } from "../../src/events/envelope.ts";
import { earlierPlansOf, livePlan, planCheck, planOf } from "../../src/ledger/plan.ts";
import { type Scenario, scenario } from "../support/scenario.ts";

const running = (): Scenario => scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");

const publishing = (scene: Scenario, version: number): Scenario => scene.given({ type: "Publish", version });

const reweighted = {
  variants: [
    { key: "control", control: true },
    { key: "treatment", weight: 3 },
  ],
};

const exposure = (payload: Readonly<Record<string, unknown>>): Envelope =>
  v.parse(EnvelopeSchema, {
    eventId: "019aa5b6-0000-7000-8000-000000000001",
    timestamp: "2026-11-21T12:00:00Z",
    eventType: "Exposure",
    payload: { experimentName: "checkout", subjectId: "u", variantKey: "control", epoch: 0, ...payload },
  });

const problemOf = (scene: Scenario, payload: Readonly<Record<string, unknown>> = {}): string | undefined =>
  planCheck(planOf({ revision: 1, state: scene.state() })).problemOf(exposure(payload));

describe("plan of an experiment", () => {
  test("before the first start nothing is an exposure", () => {
    expect(problemOf(scenario().writes())).toBe("the experiment has never started");
  });

  test("the live epoch, its variants, its digest and version", () => {
    const scene = running();
    const { digest } = scene.state().latest;
    expect(problemOf(scene)).toBeUndefined();
    expect(problemOf(scene, { digest, version: 1 })).toBeUndefined();
    expect(problemOf(scene, { epoch: 1 })).toMatch(/^epoch 1 is no epoch/);
    expect(problemOf(scene, { variantKey: "treatmant" })).toBe('"treatmant" is no variant of epoch 0');
    expect(problemOf(scene, { digest: "f".repeat(200) })).toBe(
      `no content of this experiment has the digest "${"f".repeat(80)}…"`,
    );
    expect(problemOf(scene, { version: 2 })).toBe("there is no version 2");
    expect(problemOf(scene, { version: 0 })).toBe("there is no version 0");
  });

  test("names that objects have anyway are no variants", () => {
    for (const variantKey of ["constructor", "toString", "hasOwnProperty"])
      expect(problemOf(running(), { variantKey })).toBe(`"${variantKey}" is no variant of epoch 0`);
  });

  test("an older known epoch counts there, with the variants that it had", () => {
    const scene = running();
    const { digest } = scene.state().latest;
    publishing(scene.writes({ variants: [{ key: "control", control: true }, { key: "b" }] }), 2);
    expect(problemOf(scene, { epoch: 0, variantKey: "treatment", digest, version: 1 })).toBeUndefined();
    expect(problemOf(scene, { epoch: 1, variantKey: "b" })).toBeUndefined();
    expect(problemOf(scene, { epoch: 0, variantKey: "b" })).toBe('"b" is no variant of epoch 0');
    expect(problemOf(scene, { epoch: 1, variantKey: "treatment" })).toBe('"treatment" is no variant of epoch 1');
  });

  test("shares are those of the buckets, by epoch; a killed variant is planned at nothing", () => {
    const scene = publishing(running().writes(reweighted), 2).given({ type: "Kill", variant: "treatment" });
    expect(earlierPlansOf(scene.state())).toEqual([
      {
        epoch: 0,
        arms: [
          { variant: "control", share: 0.5 },
          { variant: "treatment", share: 0.5 },
        ],
      },
      {
        epoch: 1,
        arms: [
          { variant: "control", share: 0.25 },
          { variant: "treatment", share: 0.75 },
        ],
      },
    ]);
    expect(livePlan(scene.state())).toEqual({
      epoch: 2,
      arms: [
        { variant: "control", share: 1 },
        { variant: "treatment", share: 0 },
      ],
    });
  });

  test("content that was pulled has served all the same: what it exposed may still be on its way", () => {
    const scene = running();
    const { digest } = scene.state().latest;
    publishing(scene.writes(reweighted), 2).given({
      type: "RollBack",
      targetVersion: 1,
    });
    expect(problemOf(scene, { digest: scene.state().written[1]?.digest ?? "", epoch: 1 })).toBeUndefined();
    expect(problemOf(scene, { digest })).toBeUndefined();
  });
});
