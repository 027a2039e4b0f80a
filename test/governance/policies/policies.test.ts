import { describe, expect, test } from "vitest";
import { startOfTime } from "../../support/scenario.ts";
import { available, context, hour, judge, unavailable } from "./context.ts";

describe("timeWindow", () => {
  const office = {
    type: "timeWindow",
    allowedStartTime: "09:00",
    allowedEndTime: "17:00",
    days: ["Monday", "tuesday"],
  } as const;
  const night = { type: "timeWindow", allowedStartTime: "22:00", allowedEndTime: "04:00", days: ["friday"] } as const;

  test.each([
    [office, "2026-11-23T08:59:00Z", false],
    [office, "2026-11-23T09:00:00Z", true],
    [office, "2026-11-23T16:59:59Z", true],
    [office, "2026-11-23T17:00:00Z", false],
    [office, "2026-11-25T12:00:00Z", false],
    // 2026-11-20 is a Friday: the window that begins on it ends on Saturday morning.
    [night, "2026-11-20T21:59:00Z", false],
    [night, "2026-11-20T23:00:00Z", true],
    [night, "2026-11-21T03:59:00Z", true],
    [night, "2026-11-21T04:00:00Z", false],
    [night, "2026-11-20T03:00:00Z", false],
    [{ ...office, days: undefined, allowedStartTime: "00:00", allowedEndTime: "00:00" }, "2026-11-22T23:59:00Z", true],
    // Paris is an hour ahead in winter and two in summer; New York was still on summer time.
    [{ ...office, timeZone: "Europe/Paris" }, "2026-11-23T08:00:00Z", true],
    [{ ...office, timeZone: "Europe/Paris" }, "2026-06-22T07:00:00Z", true],
    [{ ...office, timeZone: "Europe/Paris" }, "2026-11-23T07:30:00Z", false],
    [{ ...office, timeZone: "America/New_York" }, "2026-10-26T13:00:00Z", true],
    [{ ...office, timeZone: "Asia/Kolkata" }, "2026-11-23T03:29:00Z", false],
    [{ ...office, timeZone: "Asia/Kolkata" }, "2026-11-23T03:30:00Z", true],
  ])("%o at %s: %s", (policy, now, compliant) => {
    const { days, ...rest } = policy;
    expect(
      judge(days === undefined ? rest : { ...rest, days: [...days] }, context({ now: Date.parse(now) })),
    ).toMatchObject({
      compliant,
      severity: "Critical",
    });
  });
});

describe("trafficLimit", () => {
  const limit = { type: "trafficLimit", maxTrafficPercentage: 25, minStableTime: "1h" } as const;

  test("under the limit", () => {
    expect(judge({ ...limit, maxTrafficPercentage: 40 }, context())).toMatchObject({ compliant: true });
  });
  test("above it: only after serving under it long enough, without a break", () => {
    const serving = { servedTraffic: 25, from: "Ramping" } as const;
    expect(judge(limit, context())).toMatchObject({ compliant: false });
    expect(judge(limit, context({ ...serving, servingSince: startOfTime - hour + 1 }))).toMatchObject({
      compliant: false,
    });
    expect(judge(limit, context({ ...serving, servingSince: startOfTime - hour }))).toMatchObject({ compliant: true });
    expect(judge(limit, context({ ...serving, servedTraffic: 26, servingSince: 0 }))).toMatchObject({
      compliant: false,
    });
  });
  test("without minStableTime never above", () => {
    expect(
      judge({ type: "trafficLimit", maxTrafficPercentage: 25 }, context({ servedTraffic: 1, servingSince: 0 })),
    ).toMatchObject({ compliant: false });
  });
});

describe("errorRate", () => {
  const policy = { type: "errorRate", maxErrorRate: 0.02 } as const;

  test("the worst arm decides, and says which", () => {
    expect(judge(policy, context())).toMatchObject({ compliant: true });
    const worse = judge(policy, context({ telemetry: { ...available, worstErrorRate: 0.021 } }));
    expect(worse).toMatchObject({ compliant: false, evidence: { errorRate: { source: "ledger", value: 0.021 } } });
    expect(worse.reason).toContain("treatment");
  });
  test("nobody exposed is no missing telemetry", () => {
    expect(
      judge(policy, context({ telemetry: { ...available, exposed: 0, worstErrorRate: 0, worstVariant: null } })),
    ).toMatchObject({ compliant: true });
  });
  test.each([
    [undefined, 0, null],
    [undefined, 40, true],
    ["allow", 0, true],
    ["hold", 40, null],
    ["deny", 40, false],
  ] as const)("missing, onMissing %s, served traffic %s: %s", (onMissing, servedTraffic, compliant) => {
    const result = judge(
      { ...policy, ...(onMissing === undefined ? {} : { onMissing }) },
      context({ telemetry: unavailable, servedTraffic }),
    );
    expect(result).toMatchObject({ compliant });
    expect(result.reason).toContain("no answer");
  });
});

test("a policy that throws is a Critical violation, whatever severity it was given", () => {
  const broken = {
    ...context(),
    get evidence(): never {
      throw new Error("boom");
    },
  };
  expect(judge({ type: "trafficLimit", maxTrafficPercentage: 100, severity: "Warning" }, broken)).toMatchObject({
    compliant: false,
    severity: "Critical",
    reason: "the policy failed (Error)",
  });
});
