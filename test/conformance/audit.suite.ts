/**
 * What every audit sink must do. An adapter's test calls {@link auditSuite} with a way to make the sink and to look at
 * its far side; `audit-complete.test.ts` fails for an adapter whose test does not.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { auditRecord, type AuditRecord } from "../../src/audit/record.ts";
import { type AuditSink, auditTrail } from "../../src/audit/sink.ts";
import { verifyChain } from "../../src/governance/chain.ts";
import { createOutbox } from "../../src/delivery/outbox.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import { limits } from "../../src/limits.ts";
import { freshRef } from "../support/governance.ts";
import { logOf } from "../delivery/support.ts";
import { fullHistory, ref } from "../notices/history.ts";

export interface AuditUnderTest {
  readonly sink: AuditSink;
  /** What the far side has, parsed, in order of arrival, one entry for each arrival. */
  readonly received: () => readonly unknown[];
  /** Makes the far side fail the next so many times that it is asked. A sink without one has to say so. */
  readonly failNext: ((times: number) => void) | "there is no far side";
  readonly close?: () => Promise<void>;
}

const eventOf = (record: unknown): Readonly<Record<string, unknown>> => {
  const event: unknown = typeof record === "object" && record !== null ? Reflect.get(record, "event") : undefined;
  if (typeof event !== "object" || event === null) throw new TypeError(`no event in ${JSON.stringify(record)}`);
  return { ...event };
};

const seqsOf = (records: readonly unknown[]): readonly unknown[] => records.map((record) => eventOf(record)["seq"]);
const upTo = (last: number): readonly number[] => Array.from({ length: last }, (_, index) => index + 1);

/** The event with any text in it. */
const saying = ({ v, seq, id, at, actor, prevHash, hash }: EventRecord, text: string): AuditRecord => {
  const event = {
    v,
    seq,
    id,
    at,
    actor,
    prevHash,
    hash,
    type: "ProposalCommented",
    data: { proposal: "p", text },
  } as const;
  return auditRecord(ref, event, new Map(), "none");
};

export const auditSuite = (name: string, start: () => AuditUnderTest | Promise<AuditUnderTest>): void => {
  describe(`audit sink: ${name}`, () => {
    let history: Awaited<ReturnType<typeof fullHistory>>;
    beforeAll(async () => {
      history = await fullHistory();
    });

    const using = async (work: (under: AuditUnderTest) => Promise<void>): Promise<void> => {
      const under = await start();
      try {
        await work(under);
      } finally {
        await under.close?.();
      }
    };

    const records = (): readonly AuditRecord[] =>
      history.events.map((event) => auditRecord(ref, event, history.people, "none"));

    test("has a short name", () =>
      using(async ({ sink }) => {
        expect(sink.name).toMatch(/^[a-z][a-z-]{0,31}$/);
      }));

    test("takes every kind of event, in order and unchanged: what arrives verifies like the history", () =>
      using(async ({ sink, received }) => {
        const before = structuredClone(records());
        await sink.write(records());
        expect(received()).toEqual(before);
        const { events } = history;
        expect(verifyChain(received().map(eventOf))).toMatchObject({ valid: true, length: events.length });
      }));

    test("carries any text that a history can hold", () =>
      using(async ({ sink, received }) => {
        const [first] = history.events;
        if (first === undefined) throw new Error("no event");
        const texts = [
          "日本語 😀",
          "\u2028\u2029\u0085",
          '"\\\n\r\t',
          "<script>",
          "\u001b[31m",
          "'; DROP TABLE events",
        ];
        const hostile = texts.map((text, index) => saying({ ...first, id: `id-${index}` }, text));
        await sink.write(hostile);
        expect(received()).toEqual(hostile);
      }));

    test("tells of an event that is too large for it, with its place, its hash and what was left out", () =>
      using(async ({ sink, received }) => {
        const [first] = history.events;
        if (first === undefined) throw new Error("no event");
        const large = saying(first, "é".repeat(limits.storedTextBytes / 2 - 2_000));
        await sink.write([large, ...records().slice(1)]);
        expect(received()).toHaveLength(records().length);
        const { data, ...event } = eventOf(received()[0]);
        expect(event).toEqual({ ...large.event, data: undefined });
        const isWhole = JSON.stringify(data) === JSON.stringify(large.event.data);
        const isOmitted = /^\{"omitted":\{"bytes":1\d{6},"sha256":"[0-9a-f]{64}"\}\}$/.test(JSON.stringify(data));
        expect(isWhole || isOmitted).toBe(true);
      }));

    test("takes a thousand large events", () =>
      using(async ({ sink, received }) => {
        const [first] = history.events;
        if (first === undefined) throw new Error("no event");
        const many = upTo(1_000).map((seq) => saying({ ...first, seq, id: `id-${seq}` }, "x".repeat(9_000)));
        await sink.write(many);
        expect(seqsOf(received())).toEqual(upTo(1_000));
      }));

    test("behind the outbox: everything, from the first event on, once where nothing fails", () =>
      using(async ({ sink, received }) => {
        const log = await logOf(70);
        const outbox = createOutbox({
          store: log.store,
          subscribers: [auditTrail({ sink })],
          now: Date.now,
          random: Math.random,
        });
        await outbox.drain(log.ref);
        expect(seqsOf(received())).toEqual(upTo(70));
        expect([...(await log.store.positions(log.ref)).keys()]).toEqual([`audit:${sink.name}`]);
      }));

    test("keeps experiments apart", () =>
      using(async ({ sink, received }) => {
        const [first] = history.events;
        if (first === undefined) throw new Error("no event");
        const refs = [freshRef("a"), freshRef("b")];
        for (const of of refs) await sink.write([auditRecord(of, { ...first, id: of.tenant }, new Map(), "none")]);
        expect(received()).toMatchObject(refs);
      }));

    test("rejects when the far side fails; the same comes again, and nothing is lost", () =>
      using(async ({ sink, received, failNext }) => {
        const log = await logOf(70);
        let time = 0;
        const failures: unknown[] = [];
        const outbox = createOutbox({
          store: log.store,
          subscribers: [auditTrail({ sink })],
          now: () => time,
          random: () => 1,
          report: (error) => failures.push(error),
        });
        const times = typeof failNext === "string" ? 0 : 3;
        if (typeof failNext !== "string") failNext(times);
        for (let round = 0; round < 4; round += 1) {
          await outbox.drain(log.ref);
          time += 60_000;
        }
        expect(failures).toHaveLength(times);
        expect([...new Set(seqsOf(received()))]).toEqual(upTo(70));
      }));
  });
};
