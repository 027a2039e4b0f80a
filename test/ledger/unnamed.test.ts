/** Subjects behind a placeholder: they are nobody's, and what cannot be known of them is said to be off. */
import { describe, expect, test } from "vitest";
import type { Envelope, EnvelopeInput } from "../../src/events/envelope.ts";
import { parseEvent } from "../../src/events/validate.ts";
import { createRedactor, type IdRedaction } from "../../src/exposure/redact.ts";
import { batchBuilder } from "../../src/ledger/batch.ts";
import { emptyCounts, type LedgerCounts } from "../../src/ledger/counts.ts";
import { results } from "../../src/ledger/results.ts";
import { isUnnamed, mergeUnnamed, sampleRatioOff, type Unnamed } from "../../src/ledger/unnamed.ts";
import { limits } from "../../src/limits.ts";
import { exposure } from "../events/fixtures.ts";

const ref = { tenant: "default", environment: "default", experiment: "checkout" };
const head = { eventId: "0197a3c4-7d1e-7c3a-9f0b-000000000000", timestamp: "2026-11-21T10:00:00.000Z" };
const about = { experimentName: "checkout", subjectId: "ada" };
const outcome: EnvelopeInput = {
  ...head,
  eventType: "Outcome",
  payload: { ...about, metric: "purchase", kind: "binary", value: true },
};
const failure: EnvelopeInput = {
  ...head,
  eventType: "Error",
  payload: { ...about, variantKey: "control", errorName: "TypeError" },
};

const parsed = (event: EnvelopeInput): Envelope => {
  const found = parseEvent(event);
  if (!found.ok) throw new TypeError(JSON.stringify(found.problems));
  return found.event;
};
const hidden = (event: EnvelopeInput, subject: IdRedaction): Envelope => parsed(createRedactor({ subject })(event));
const placeholder = { placeholder: "somebody" };

describe("an event behind a placeholder", () => {
  test("is told by its metadata; a keyed digest and a hidden tenant are none", () => {
    const hmac = { hmac: "a key of sixteen bytes or more" };
    expect(isUnnamed(hidden(exposure(1), placeholder))).toBe(true);
    expect(isUnnamed(hidden(exposure(1), hmac))).toBe(false);
    expect(isUnnamed(parsed(createRedactor({ tenant: placeholder })(exposure(1))))).toBe(false);
    expect(isUnnamed(parsed(exposure(1)))).toBe(false);
    expect(isUnnamed(parsed({ ...exposure(1), metadata: { redaction: "placeholder" } }))).toBe(false);
  });

  test("is counted as no subject's, once for its epoch, and as received", () => {
    const builder = batchBuilder(ref);
    for (const epoch of [2, 1, 2]) builder.add(hidden(exposure(1, { epoch }), placeholder));
    builder.add(parsed(exposure(4)));
    expect(builder.events).toBe(4);
    const { exposures, unnamed } = builder.build();
    expect(exposures.map(([, subject]) => subject)).toEqual([exposure(4).payload.subjectId]);
    expect(unnamed).toEqual({ epochs: [2, 1], outcomes: false, events: 3 });
  });

  test.for([
    ["an outcome", outcome],
    ["an error", failure],
  ] as const)("%s has no epoch", ([, event]) => {
    const builder = batchBuilder(ref);
    builder.add(hidden(event, placeholder));
    expect(builder.build()).toMatchObject({ outcomes: [], unnamed: { epochs: [], outcomes: true, events: 1 } });
  });

  test("is an ordinary one from a browser, whose key anybody has: nobody turns results off by it", () => {
    const builder = batchBuilder(ref);
    builder.add(hidden(exposure(1), placeholder), "browser");
    expect(builder.build()).toMatchObject({ exposures: [{ 1: "somebody", 5: true }] });
    expect(builder.build()).not.toHaveProperty("unnamed");
  });

  test("of an epoch that is too high goes to the ledger, which refuses it", () => {
    const builder = batchBuilder(ref);
    builder.add(hidden(exposure(1, { epoch: limits.ledgerEpoch + 1 }), placeholder));
    expect(builder.build().exposures).toHaveLength(1);
    expect(builder.build()).not.toHaveProperty("unnamed");
  });
});

test("what several shards have had is a set", () => {
  const parts: readonly (Unnamed | undefined)[] = [
    { epochs: [3, 1], outcomes: false },
    undefined,
    { epochs: [3], outcomes: true },
  ];
  expect(mergeUnnamed(parts)).toEqual({ epochs: [1, 3], outcomes: true });
  expect(mergeUnnamed(parts.toReversed())).toEqual({ epochs: [1, 3], outcomes: true });
  expect(mergeUnnamed([undefined, { epochs: [], outcomes: false }])).toBeUndefined();
});

describe("results", () => {
  const planned = [
    { variant: "control", share: 0.5 },
    { variant: "treatment", share: 0.5 },
  ];
  const arms = (["control", "treatment"] as const).flatMap((variant) =>
    [1, 2].map((epoch) => ({ variant, epoch, subjects: variant === "control" ? 400 : 700 })),
  );
  const counts: LedgerCounts = {
    ...emptyCounts,
    arms,
    metrics: [
      {
        metric: "purchase",
        kind: "binary",
        unexposed: 0,
        arms: arms.map(({ subjects, ...arm }) => ({ ...arm, observed: subjects, sum: "40", sumOfSquares: "40" })),
      },
    ],
    // As a look at this imbalance would have left them.
    checkpointLooks: [1, 2].map((epoch) => ({ epoch, looks: 1, logBayesFactor: 30, pValue: 1e-13 })),
  };
  const judge = (unnamed?: Unnamed) =>
    results({
      counts: unnamed === undefined ? counts : { ...counts, unnamed },
      planned,
      control: "control",
      epoch: 2,
      earlier: [{ epoch: 1, arms: planned }],
      showUntrusted: true,
    });

  test("say that the sample ratio of such an epoch is off, and test that of the others", () => {
    const { sampleRatio, signals } = judge({ epochs: [2], outcomes: false });
    const off = "exposures of epoch 2 came with a placeholder for the subject: who was exposed cannot be counted";
    expect(sampleRatio).toMatchObject({
      planned: { control: 0.5, treatment: 0.5 },
      chiSquare: { pValue: null, statistic: null, reason: off },
      sequential: { pValue: null, logBayesFactor: null, mismatch: false, reason: off },
    });
    expect(sampleRatio.byEpoch?.[0]).toMatchObject({ epoch: 1, sequential: { mismatch: true } });
    expect(signals.map(({ signalType, data }) => [signalType, data["epoch"]])).toEqual([["SampleRatioMismatch", 1]]);
    expect(sampleRatioOff({ unnamed: { epochs: [2], outcomes: true } }, 1)).toBeUndefined();
  });

  test("say that outcomes are off, and nobody can ask for them", () => {
    expect(judge().outcomes["purchase"]?.contrasts[0]?.pValue).toBeLessThan(1);
    for (const [unnamed, words] of [
      [{ epochs: [1], outcomes: false }, "exposures came with a placeholder"],
      [{ epochs: [], outcomes: true }, "outcomes came with a placeholder"],
      [{ epochs: [1], outcomes: true }, "exposures and outcomes came with a placeholder"],
    ] as const) {
      const { withheld, outcomes } = judge(unnamed);
      expect(withheld).toContain(words);
      expect(outcomes["purchase"]?.contrasts[0]).toMatchObject({
        difference: null,
        pValue: null,
        interval: null,
        adjustedPValue: null,
        reason: withheld,
      });
    }
  });

  test("tell a mismatch where outcomes alone were hidden", () => {
    expect(judge({ epochs: [], outcomes: true }).sampleRatio.sequential.mismatch).toBe(true);
  });
});
