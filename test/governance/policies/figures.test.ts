/** Policies that look at sample and time: minimumSample, sampleRatio, maxDuration, and what a ramp step asks of trafficLimit. */
import { describe, expect, test } from "vitest";
import { startOfTime } from "../../support/scenario.ts";
import { available, context, hour, judge, unavailable } from "./context.ts";

const concluding = { from: "Running", to: "Archived", servedTraffic: 40, trafficAfter: 0 } as const;
const lopsided = { ...available, subjects: { control: 999, treatment: 1 } };

describe("minimumSample", () => {
  test.each([
    [{ minSubjects: 1_000 }, available, true],
    [{ minSubjects: 1_001 }, available, false],
    [{ minSubjects: 500, perVariant: true }, available, true],
    [{ minSubjects: 501, perVariant: true }, available, false],
    [{ minSubjects: 2 }, lopsided, true],
    [{ minSubjects: 2, perVariant: true }, lopsided, false],
    [{ minSubjects: 1, perVariant: true }, { ...available, subjects: { control: 1_000 } }, false],
    [{ minSubjects: 1 }, { ...available, exposed: 0, subjects: {} }, false],
  ])("%o: %#", (members, telemetry, compliant) => {
    expect(judge({ type: "minimumSample", ...members }, context({ ...concluding, telemetry }))).toMatchObject({
      compliant,
    });
  });

  test("an arm that nobody is to be in needs nobody, and an arm may be called constructor", () => {
    const variants = [
      { key: "constructor", control: true, weight: 1 },
      { key: "off", weight: 0 },
    ];
    const configuration = { ...context().configuration, variants };
    const policy = { type: "minimumSample", minSubjects: 1, perVariant: true } as const;
    const given = (subjects: Record<string, number>) =>
      context({ ...concluding, configuration, telemetry: { ...available, subjects } });
    expect(judge(policy, given({ constructor: 1 }))).toMatchObject({ compliant: true });
    expect(judge(policy, given({}))).toMatchObject({ compliant: false });
  });

  test("asks nothing of what concludes nothing", () => {
    const policy = { type: "minimumSample", minSubjects: 5_000 } as const;
    for (const from of ["Draft", "Approved", "Rejected"] as const)
      expect(judge(policy, context({ ...concluding, from }))).toMatchObject({ compliant: true });
    for (const from of ["Running", "Ramping", "Paused", "RolledBack"] as const)
      expect(judge(policy, context({ ...concluding, from }))).toMatchObject({ compliant: false });
    const outcome = (said: "ship" | "revert" | "inconclusive") =>
      judge(policy, context({ ...concluding, parameters: { outcome: said } })).compliant;
    expect([outcome("ship"), outcome("revert"), outcome("inconclusive")]).toEqual([false, false, true]);
    expect(judge(policy, context({ from: "Ramping", to: "Running" }))).toMatchObject({ compliant: false });
  });
});

describe("sampleRatio", () => {
  const reading = (mismatch: boolean) => ({ ...available, sampleRatio: { mismatch, pValue: mismatch ? 1e-9 : 0.3 } });
  test("no mismatch, and none shown yet", () => {
    expect(judge({ type: "sampleRatio" }, context({ telemetry: reading(false) }))).toMatchObject({ compliant: true });
    expect(judge({ type: "sampleRatio" }, context({ telemetry: reading(true) }))).toMatchObject({
      compliant: false,
      evidence: { pValue: { source: "ledger", value: 1e-9 } },
    });
    expect(judge({ type: "sampleRatio" }, context())).toMatchObject({
      compliant: true,
      reason: "the sample ratio has not been tested yet",
    });
  });
  test("ships nothing on a mismatch, and lets it end as inconclusive", () => {
    const telemetry = reading(true);
    const ends = (outcome: "ship" | "inconclusive") =>
      judge({ type: "sampleRatio" }, context({ ...concluding, telemetry, parameters: { outcome } })).compliant;
    expect([ends("ship"), ends("inconclusive")]).toEqual([false, true]);
  });
});

describe.each(["minimumSample", "sampleRatio"] as const)("%s without telemetry", (type) => {
  test.each([
    [undefined, context({ from: "Ramping", telemetry: unavailable }), null],
    [undefined, context({ ...concluding, telemetry: unavailable }), true],
    ["hold", context({ ...concluding, telemetry: unavailable }), null],
    ["deny", context({ ...concluding, telemetry: unavailable }), false],
    ["allow", context({ from: "Ramping", telemetry: unavailable }), true],
  ] as const)("onMissing %s: %#", (onMissing, given, compliant) => {
    const chosen = onMissing === undefined ? {} : { onMissing };
    const result =
      type === "minimumSample" ? judge({ type, minSubjects: 1, ...chosen }, given) : judge({ type, ...chosen }, given);
    expect(result).toMatchObject({ compliant, evidence: { telemetry: { source: "ledger", value: null } } });
    expect(result.reason).toContain(
      `telemetry is missing (no answer); onMissing: ${{ true: "allow", false: "deny", null: "hold" }[`${compliant}`]}`,
    );
  });
});

describe("maxDuration", () => {
  test.each([
    [null, true],
    [startOfTime, true],
    [startOfTime - 24 * hour, true],
    [startOfTime - 24 * hour - 1, false],
  ])("serving since %s: %s", (servingSince, compliant) => {
    expect(judge({ type: "maxDuration", maxDuration: "1d" }, context({ servingSince }))).toMatchObject({ compliant });
  });
});

test("a ramp step is judged by the traffic it would serve, not by the traffic of the configuration", () => {
  const limit = { type: "trafficLimit", maxTrafficPercentage: 25 } as const;
  expect(judge(limit, context({ kind: "rampStep", trafficAfter: 25 }))).toMatchObject({ compliant: true });
  expect(judge(limit, context({ kind: "rampStep", trafficAfter: 25.01 }))).toMatchObject({ compliant: false });
});
