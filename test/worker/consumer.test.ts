import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeMessages } from "../../src/events/message.ts";
import { refKey } from "../../src/scope.ts";
import { consume, type QueueMessage } from "../../worker/consumer.ts";
import { deadLetterReasons } from "../../worker/dead-letters.ts";
import type { RecordBatch, RecordReport } from "../../worker/ledger.ts";
import type { LedgerPlan } from "../../src/ledger/plan.ts";
import { createPlanCache, planAgeMaxMs, type PlanCache } from "../../worker/plans.ts";
import { idOf } from "./ledger-support.ts";

const now = Date.parse("2026-11-21T12:00:00Z");

const exposure = (n: number, experimentName = "checkout"): EnvelopeInput => ({
  eventId: idOf(n),
  timestamp: "2026-11-21T11:59:00.000Z",
  eventType: "Exposure",
  payload: { experimentName, variantKey: "control", subjectId: `user-${n}`, epoch: 1 },
});

const LetterSchema = v.strictObject({
  v: v.literal(1),
  reason: v.picklist(deadLetterReasons),
  problems: v.array(v.strictObject({ path: v.string(), message: v.string() })),
  messageId: v.string(),
  sentAt: v.pipe(v.string(), v.isoTimestamp()),
  content: v.string(),
  part: v.optional(v.number()),
  of: v.optional(v.number()),
});
type Letter = v.InferOutput<typeof LetterSchema>;

type Fate = "ack" | { readonly retry: number | undefined };

const message = (body: unknown, { ageMs = 1_000, attempts = 1 } = {}) => {
  const fates: Fate[] = [];
  const queued: QueueMessage = {
    id: "m1",
    timestamp: new Date(now - ageMs),
    body,
    attempts,
    ack: () => fates.push("ack"),
    retry: (options) => fates.push({ retry: options?.delaySeconds }),
  };
  return { queued, fates };
};

const textOf = (...events: readonly unknown[]): string => JSON.stringify({ v: 1, events });

const nothing: RecordReport = { crossovers: 0, refused: [] };

/** Consumes these messages with ledgers that do as told, and says what became of everything. */
const run = async (
  messages: readonly { readonly queued: QueueMessage }[],
  options: {
    readonly record?: (batch: RecordBatch) => RecordReport;
    readonly deadLettersFail?: boolean;
    readonly plans?: PlanCache;
    readonly at?: number;
  } = {},
) => {
  const batches: RecordBatch[] = [];
  const letters: Letter[] = [];
  const calls: number[] = [];
  const reported: unknown[] = [];
  await consume(
    { messages: messages.map(({ queued }) => queued) },
    {
      ledger: () => ({
        record: async (batch) => {
          batches.push(batch);
          return options.record?.(batch) ?? nothing;
        },
      }),
      deadLetters: {
        sendBatch: async (bodies) => {
          if (options.deadLettersFail === true) throw new Error("no dead-letter queue today");
          const sent = [...bodies];
          calls.push(sent.length);
          letters.push(...sent.map(({ body }) => v.parse(LetterSchema, JSON.parse(body))));
        },
      },
      ...(options.plans === undefined ? {} : { plans: options.plans }),
      now: () => options.at ?? now,
      report: (error) => reported.push(error),
    },
  );
  return { batches, letters, calls, reported };
};

describe("consumer", () => {
  test("one call to each experiment's ledger for a whole batch", async () => {
    const messages = [
      message(textOf(exposure(1), exposure(2, "other"))),
      message(textOf(exposure(3), { ...exposure(4), payload: { ...exposure(4).payload, tenantId: "acme" } })),
    ];
    const { batches } = await run(messages);
    expect(batches.map(({ ref, exposures }) => [refKey(ref), exposures.map(([id]) => id)])).toEqual([
      ['["default","default","checkout"]', [idOf(1), idOf(3)]],
      ['["default","default","other"]', [idOf(2)]],
      ['["acme","default","checkout"]', [idOf(4)]],
    ]);
    expect(messages.map(({ fates }) => fates)).toEqual([["ack"], ["ack"]]);
  });

  test("rows: exposure, outcome, Error as a binary outcome, Assignment; the payload's own time before the envelope's", async () => {
    const base = { timestamp: "2026-11-21T11:00:00Z" };
    const addressed = { experimentName: "checkout", subjectId: "u" };
    const time = Date.parse(base.timestamp);
    const assignment = {
      ...base,
      eventId: idOf(4),
      eventType: "Assignment",
      payload: { ...addressed, previousVariantKey: "a", newVariantKey: "b", changeReason: "sticky" },
    };
    const { batches } = await run([
      message(
        textOf(
          {
            ...base,
            eventId: idOf(1).toUpperCase(),
            eventType: "Exposure",
            payload: { ...addressed, variantKey: "a", timestamp: "2017-01-01T00:00:00.5+01:00" },
          },
          {
            ...base,
            eventId: idOf(2),
            eventType: "Outcome",
            payload: { ...addressed, metric: "m", kind: "binary", value: true },
          },
          {
            ...base,
            eventId: idOf(3),
            eventType: "Error",
            payload: { ...addressed, variantKey: "b", errorName: "TypeError" },
          },
          assignment,
        ),
      ),
    ]);
    expect(batches).toEqual([
      {
        ref: { tenant: "default", environment: "default", experiment: "checkout" },
        exposures: [[idOf(1), "u", "a", 0, Date.parse("2016-12-31T23:00:00.500Z")]],
        outcomes: [
          [idOf(2), "u", "m", "binary", time, 1],
          [idOf(3), "u", "error", "binary", time, 1],
        ],
        assignments: [[idOf(4), expect.stringContaining('"changeReason":"sticky"')]],
      },
    ]);
  });

  test.each([
    ["no JSON", "{", /not JSON/],
    ["no message", '{"events":[]}', /expected \{"v":1/],
    ["another message version", '{"v":2,"events":[]}', /version 1/],
    ["no text", { v: 1, events: [] }, /expected text/],
    ["nothing", undefined, /expected text/],
    ["a number that JSON cannot say", 10n, /expected text/],
    ["too many events", textOf(...Array.from({ length: 1_001 }, () => 0)), /at most 1000/],
  ])("%s goes to the dead letters and is done", async (_what, body, problem) => {
    const bad = message(body);
    const good = message(textOf(exposure(1)));
    const { batches, letters } = await run([bad, good]);
    expect([bad.fates, good.fates]).toEqual([["ack"], ["ack"]]);
    expect(batches).toHaveLength(1);
    expect(letters).toMatchObject([{ v: 1, reason: "unreadable-message", messageId: "m1" }]);
    expect(letters[0]?.problems[0]?.message).toMatch(problem);
  });

  test("a bad event spoils no other of its message", async () => {
    const newer = { ...exposure(2), schemaVersion: "2.0.0" };
    const mixed = message(textOf(exposure(1), newer, null, exposure(3)));
    const { batches, letters } = await run([mixed]);
    expect(batches[0]?.exposures.map(([id]) => id)).toEqual([idOf(1), idOf(3)]);
    expect(letters.map(({ reason, problems, content }) => [reason, problems[0]?.path, content])).toEqual([
      ["invalid-event", "/schemaVersion", JSON.stringify(newer)],
      ["invalid-event", "", "null"],
    ]);
    expect(mixed.fates).toEqual(["ack"]);
  });

  test("messages older than the horizon are refused as late", async () => {
    const days = 24 * 60 * 60_000;
    const late = message(textOf(exposure(1), exposure(2)), { ageMs: 14 * days + 1 });
    const timely = message(textOf(exposure(3)), { ageMs: 14 * days });
    const { batches, letters } = await run([late, timely]);
    expect(batches.flatMap(({ exposures }) => exposures.map(([id]) => id))).toEqual([idOf(3)]);
    expect(letters.map(({ reason }) => reason)).toEqual(["late", "late"]);
    expect([late.fates, timely.fates]).toEqual([["ack"], ["ack"]]);
  });

  test("only messages with events for the ledger that failed come again, later each time", async () => {
    const hit = message(textOf(exposure(1), exposure(2, "broken")), { attempts: 3 });
    const spared = message(textOf(exposure(3)));
    const unreadable = message("?");
    const { reported } = await run([hit, spared, unreadable], {
      record: ({ ref }) => {
        if (ref.experiment === "broken") throw new Error("overloaded");
        return nothing;
      },
    });
    expect([hit.fates, spared.fates, unreadable.fates]).toEqual([[{ retry: 8 }], ["ack"], ["ack"]]);
    expect(reported).toHaveLength(1);
  });

  test("a message whose dead letter could not be sent comes again; its good events were counted", async () => {
    const mixed = message(textOf(exposure(1), null));
    const good = message(textOf(exposure(2)));
    const { batches } = await run([mixed, good], { deadLettersFail: true });
    expect([mixed.fates, good.fates]).toEqual([[{ retry: 2 }], ["ack"]]);
    expect(batches[0]?.exposures).toHaveLength(2);
  });

  test("what a ledger refuses goes to the dead letters", async () => {
    const mixed = message(textOf(exposure(1), exposure(2), exposure(2, "other")));
    const { letters } = await run([mixed], {
      record: ({ ref }) =>
        ref.experiment === "other"
          ? nothing
          : { crossovers: 0, refused: [{ eventId: idOf(2), reason: "too many arms" }] },
    });
    expect(letters).toMatchObject([{ reason: "refused", problems: [{ message: "too many arms" }] }]);
    expect(letters[0]?.content).toBe(JSON.stringify(exposure(2)));
    expect(mixed.fates).toEqual(["ack"]);
  });

  test("a large batch goes to its ledger in parts", async () => {
    const events = Array.from({ length: 20_001 }, (_, n) => exposure(n));
    const messages = Array.from(encodeMessages(events), (body) => message(body));
    const { batches } = await run(messages);
    expect(batches.map(({ exposures }) => exposures.length)).toEqual([10_000, 10_000, 1]);
    expect(new Set(batches.flatMap(({ exposures }) => exposures.map(([id]) => id))).size).toBe(20_001);
  });

  test("many experiments are all reached", async () => {
    const { batches } = await run([message(textOf(...Array.from({ length: 200 }, (_, n) => exposure(n, `e${n}`))))]);
    expect(new Set(batches.map(({ ref }) => ref.experiment)).size).toBe(200);
  });

  test("dead letters are bounded, each and by the call", async () => {
    const text = `"${"☃\u0001💡".repeat(30_000)}`;
    const many = message(textOf(...Array.from({ length: 950 }, () => ({ ...exposure(1), eventId: "x".repeat(400) }))));
    const { letters, calls } = await run([message(text), many]);
    const parts = letters.filter(({ reason }) => reason === "unreadable-message");
    expect(parts.map(({ content }) => content).join("")).toBe(text);
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.map(({ part, of }) => [part, of])).toEqual(parts.map((_, index) => [index + 1, parts.length]));
    for (const letter of parts) {
      expect(new TextEncoder().encode(JSON.stringify(letter)).length).toBeLessThan(128_000);
    }
    expect(letters).toHaveLength(950 + parts.length);
    expect(Math.max(...calls)).toBeLessThanOrEqual(100);
  });

  test("letters of a message that comes again wait for it, until its last attempt", async () => {
    const down = (): RecordReport => {
      throw new Error("down");
    };
    const early = message(textOf(exposure(1), null), { attempts: 10 });
    expect((await run([early], { record: down })).letters).toEqual([]);
    const last = message(textOf(exposure(1), null), { attempts: 11 });
    expect((await run([last], { record: down })).letters).toHaveLength(1);
    expect([early.fates, last.fates]).toEqual([[{ retry: 300 }], [{ retry: 300 }]]);
  });
});

describe("what the authority does not know", () => {
  const planFor = (revision: number, epochs: readonly number[]): LedgerPlan => ({
    revision,
    epochs: epochs.map((epoch) => ({
      epoch,
      arms: [
        { variant: "control", share: 0.5 },
        { variant: "treatment", share: 0.5 },
      ],
    })),
    version: 1,
    digests: ["d"],
    metrics: [],
    dimensions: [],
  });

  /** An authority that says what it is told to, and counts how often it is asked. */
  const authority = (initial: LedgerPlan | null | Error) => {
    const state = { answer: initial, reads: 0, at: now };
    const plans = createPlanCache(
      async () => {
        state.reads += 1;
        if (state.answer instanceof Error) throw state.answer;
        return state.answer;
      },
      () => state.at,
    );
    return { state, plans };
  };

  const inEpoch = (n: number, epoch: number, more: Readonly<Record<string, unknown>> = {}): EnvelopeInput => {
    const event = exposure(n);
    return event.eventType === "Exposure" ? { ...event, payload: { ...event.payload, epoch, ...more } } : event;
  };

  const idsOf = (batches: readonly RecordBatch[]) => batches.flatMap(({ exposures }) => exposures.map(([id]) => id));

  test("one reading for an experiment that is new here, none afterwards", async () => {
    const { state, plans } = authority(planFor(1, [1]));
    await run([message(textOf(exposure(1), exposure(2)))], { plans });
    const { batches } = await run([message(textOf(exposure(3)))], { plans });
    expect(state.reads).toBe(1);
    expect(idsOf(batches)).toEqual([idOf(3)]);
  });

  test("unknown epochs, variants, digests and versions go to the dead letters, after one reading for all of them", async () => {
    const { state, plans } = authority(planFor(1, [0, 1]));
    await run([message(textOf(exposure(0)))], { plans });
    const bad = message(
      textOf(
        inEpoch(1, 7),
        inEpoch(2, 1, { variantKey: "invented" }),
        inEpoch(3, 1, { digest: "x" }),
        inEpoch(4, 1, { version: 2 }),
        inEpoch(5, 0, { digest: "d", version: 1 }),
      ),
    );
    const { batches, letters } = await run([bad], { plans });
    expect(state.reads).toBe(2);
    expect(idsOf(batches)).toEqual([idOf(5)]);
    expect(letters.map(({ reason, problems }) => [reason, problems[0]?.message])).toEqual([
      ["refused", "epoch 7 is no epoch of this experiment, or one of too long ago"],
      ["refused", '"invented" is no variant of epoch 1'],
      ["refused", 'no content of this experiment has the digest "x"'],
      ["refused", "there is no version 2"],
    ]);
    expect(bad.fates).toEqual(["ack"]);
  });

  test("an epoch that began after the last reading is learned from the event that names it", async () => {
    const { state, plans } = authority(planFor(1, [1]));
    await run([message(textOf(exposure(1)))], { plans });
    state.answer = planFor(2, [1, 2]);
    const { batches, letters } = await run([message(textOf(inEpoch(2, 2), exposure(3)))], { plans });
    expect(idsOf(batches).toSorted()).toEqual([idOf(2), idOf(3)]);
    expect(letters).toEqual([]);
  });

  test("while the authority is away, what is known is counted and the rest comes again", async () => {
    const { state, plans } = authority(planFor(1, [1]));
    await run([message(textOf(exposure(1)))], { plans });
    state.answer = new Error("store is away");
    const known = message(textOf(exposure(2)));
    const doubtful = message(textOf(inEpoch(3, 2)));
    const { batches, letters, reported } = await run([known, doubtful], { plans });
    expect(idsOf(batches)).toEqual([idOf(2)]);
    expect([known.fates, doubtful.fates, letters]).toEqual([["ack"], [{ retry: 2 }], []]);
    expect(reported).toHaveLength(1);
  });

  test("events of an experiment that does not exist open no ledger", async () => {
    const { plans } = authority(null);
    const { batches, letters } = await run([message(textOf(exposure(1)))], { plans });
    expect(batches).toEqual([]);
    expect(letters[0]?.problems[0]?.message).toBe("there is no experiment checkout in default/default");
  });

  test("a plan is read again after a minute, and an answer that was overtaken changes nothing", async () => {
    const { state, plans } = authority(planFor(5, [1, 2]));
    await run([message(textOf(exposure(1)))], { plans });
    state.at += planAgeMaxMs + 1;
    state.answer = planFor(4, [1]);
    await run([message(textOf(exposure(2)))], { plans, at: state.at });
    expect(state.reads).toBe(2);
    const { letters } = await run([message(textOf(inEpoch(3, 2)))], { plans, at: state.at });
    expect([letters, state.reads]).toEqual([[], 2]);
  });

  test("one batch looks up at most 200 experiments; the events of the others come again", async () => {
    const { state, plans } = authority(null);
    const messages = Array.from({ length: 3 }, (_, part) =>
      message(textOf(...Array.from({ length: 100 }, (_unused, n) => exposure(n, `e${part}-${n}`)))),
    );
    await run(messages, { plans });
    expect(state.reads).toBe(200);
    expect(messages.map(({ fates }) => fates)).toEqual([["ack"], ["ack"], [{ retry: 2 }]]);
  });
});
