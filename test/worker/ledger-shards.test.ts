import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ExposureRow, LedgerBatch } from "../../src/ledger/batch.ts";
import { addShards, countsFrom, isWhole } from "../../src/ledger/count-rows.ts";
import type { CrossoverPage } from "../../src/ledger/crossover.ts";
import { metricSpecs } from "../../src/ledger/metric-spec.ts";
import { shardHash, shardName, shardOf } from "../../src/ledger/shard.ts";
import { looksAtEverySubject, sequentialLook, sequentialStart } from "../../src/science/sequential-srm.ts";
import { type ExperimentRef, refKey } from "../../src/scope.ts";
import type { LedgerStub } from "../../worker/env.ts";
import type { Parcel } from "../../worker/hand-over.ts";
import { openLedger } from "../../worker/ledger.ts";
import { createRouter } from "../../worker/ledger-router.ts";
import { createCoordinator } from "../../worker/ledger-shards.ts";
import {
  deliveriesOf,
  referenceCounts,
  referenceCrossings,
  type Rows,
  rowsArbitrary,
  type SetCounts,
} from "../ledger/reference.ts";
import { seeded } from "../science/random.ts";
import { ledgers, measured, newRef, noon, shown } from "./ledger-support.ts";

const setCounts = ({ arms, exposures, repeats, crossovers, outcomes, metrics }: SetCounts): SetCounts => ({
  arms,
  exposures,
  repeats,
  crossovers,
  outcomes,
  metrics,
});

const batchOf = (ref: ExperimentRef, rows: Partial<Rows>): LedgerBatch => ({
  ref,
  exposures: [],
  outcomes: [],
  assignments: [],
  ...rows,
});

const router = (shards: number) => createRouter({ ledger: (name) => ledgers.getByName(name), shards });
const shardsOf = (ref: ExperimentRef, count: number): readonly LedgerStub[] =>
  Array.from({ length: count }, (_, shard) => ledgers.getByName(shardName(refKey(ref), shard)));
/** The same objects, as the test tools want them. */
const objectOf = (ref: ExperimentRef, shard: number) => env.LEDGERS.getByName(shardName(refKey(ref), shard));

/** One that does not run cannot be evicted. */
const evict = async (ref: ExperimentRef, shard: number): Promise<void> => {
  await ledgers.getByName(shardName(refKey(ref), shard)).rows({});
  await evictDurableObject(objectOf(ref, shard));
};

/** Lets the first shard's alarm ring until nothing moves any more; how often. */
const settle = async (ref: ExperimentRef): Promise<number> => {
  const root = ledgers.getByName(refKey(ref));
  for (let rings = 0; rings < 1_000; rings += 1) {
    const { shards, target } = await root.routing(ref, 1);
    if (shards === target) return rings;
    await runDurableObjectAlarm(objectOf(ref, 0));
  }
  throw new Error("the shards never come to rest");
};

const rowsOf = (deliveries: readonly Rows[]): Rows => ({
  exposures: deliveries.flatMap(({ exposures }) => exposures),
  outcomes: deliveries.flatMap(({ outcomes }) => outcomes),
});

const allCrossings = async (ref: ExperimentRef): Promise<readonly string[]> => {
  const found: string[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page: CrossoverPage = await ledgers.getByName(refKey(ref)).crossovers({ after, limit: 2 });
    for (const { payload } of page.events)
      found.push(
        JSON.stringify([
          payload.subjectId,
          payload.previousVariantKey,
          payload.newVariantKey,
          Date.parse(payload.timestamp),
        ]),
      );
    after = page.next;
  }
  return found.toSorted((a, b) => (a < b ? -1 : 1));
};

describe("a ledger of several shards", () => {
  test("a subject is always in the same one, and doubling moves it to one other at most", () => {
    for (let n = 0; n < 1_000; n += 1) {
      const hash = shardHash(`user-${n}`);
      for (let shards = 1; shards < 256; shards *= 2)
        expect([shardOf(hash, shards), shardOf(hash, shards) + shards]).toContain(shardOf(hash, 2 * shards));
    }
  });

  test("counts what one counts: any order, repetition and split, with 1, 4 and 16 shards", async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsArbitrary.chain((rows) => fc.tuple(fc.constant(rows), deliveriesOf(rows))),
        fc.constantFrom(1, 4, 16),
        async ([rows, deliveries], shards) => {
          const ref = newRef();
          const ledger = router(shards)(ref);
          for (const batch of deliveries) await ledger.record(batchOf(ref, batch));
          const counts = await ledgers.getByName(refKey(ref)).counts();
          expect(setCounts(counts)).toEqual(referenceCounts(rows));
          expect(counts.shards).toBe(deliveries.length === 0 ? 1 : shards);
          expect(await allCrossings(ref)).toEqual(referenceCrossings(rows));
        },
      ),
      { numRuns: 12 },
    );
  }, 60_000);

  test.for([1, 4])("%s of them know which events came behind a placeholder, whoever is told twice", async (shards) => {
    const ref = newRef();
    const ledger = router(shards)(ref);
    const named = batchOf(ref, { exposures: [shown(1, "a", "control"), shown(2, "b", "treatment")] });
    await ledger.record(named);
    expect(await ledgers.getByName(refKey(ref)).counts()).not.toHaveProperty("unnamed");
    for (let time = 0; time < 2; time += 1) {
      await ledger.record({ ...batchOf(ref, {}), unnamed: { epochs: [2], outcomes: false, events: 3 } });
      await ledger.record({ ...named, unnamed: { epochs: [1, 2], outcomes: true, events: 5 } });
    }
    const { unnamed, received, ...counts } = await ledgers.getByName(refKey(ref)).counts();
    expect(unnamed).toEqual({ epochs: [1, 2], outcomes: true });
    expect(received).toBe(3 * 2 + 2 * (3 + 5));
    expect(counts).toMatchObject({ exposures: 2, outcomes: 0, arms: [{ subjects: 1 }, { subjects: 1 }] });
  });

  test("grows while events arrive, from senders that know of it and others that do not: nobody is lost or counted twice", async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsArbitrary.chain((rows) => fc.tuple(fc.constant(rows), deliveriesOf(rows))),
        fc.array(fc.constantFrom("grow", "ring", "old", "evict"), { maxLength: 12 }),
        async ([rows, deliveries], steps) => {
          const ref = newRef();
          const root = ledgers.getByName(refKey(ref));
          let shards = 1;
          /** Has seen nothing since the beginning. */
          const old = router(1)(ref);
          let present = router(1)(ref);
          for (const [place, batch] of deliveries.entries()) {
            const step = steps[place];
            if (step === "grow" && shards < 16) {
              shards *= 4;
              present = router(shards)(ref);
            }
            if (step === "ring") await runDurableObjectAlarm(objectOf(ref, 0));
            if (step === "evict") await evict(ref, 0);
            await (step === "old" ? old : present).record(batchOf(ref, batch));
            expect(setCounts(await root.counts())).toEqual(referenceCounts(rowsOf(deliveries.slice(0, place + 1))));
          }
          await settle(ref);
          // Everything again, by way of whoever knows least.
          for (const batch of deliveries) await old.record(batchOf(ref, batch));
          expect(setCounts(await root.counts())).toEqual(referenceCounts(rows));
        },
      ),
      { numRuns: 15 },
    );
  }, 60_000);

  test("thousands of subjects move in parcels; each ends in its own shard, with its outcomes and exposure ids", async () => {
    const ref = newRef();
    const exposures = Array.from({ length: 3_000 }, (_, n) =>
      shown(n, `s${n % 2_000}`, n % 3 === 0 ? "a" : "b", noon + n),
    );
    const outcomes = Array.from({ length: 4_000 }, (_, n) =>
      measured(n, `s${n % 2_500}`, `m${n % 3}`, n / 8, "continuous"),
    );
    await router(1)(ref).record(batchOf(ref, { exposures, outcomes }));
    const reference = referenceCounts({ exposures, outcomes });
    const ledger = router(8)(ref);
    await ledger.record(batchOf(ref, { exposures: exposures.slice(0, 1) }));
    await settle(ref);
    for (let shard = 0; shard < 8; shard += 1) {
      const [subjects, ids] = await runInDurableObject(objectOf(ref, shard), (_object, { storage }) => [
        Array.from(storage.sql.exec("SELECT subject FROM subjects").raw<[string]>(), ([subject]) => subject),
        Array.from(
          storage.sql.exec("SELECT hash FROM exposure_ids_0 UNION ALL SELECT hash FROM exposure_ids_1").raw<[number]>(),
          ([hash]) => hash,
        ),
      ]);
      expect(subjects.length).toBeGreaterThan(200);
      expect(new Set(subjects.map((subject) => shardOf(shardHash(subject), 8)))).toEqual(new Set([shard]));
      expect(new Set(ids.map((hash) => shardOf(hash, 8)))).toEqual(new Set([shard]));
    }
    const root = ledgers.getByName(refKey(ref));
    expect(setCounts(await root.counts())).toEqual(reference);
    // Exposure ids have moved too: what comes again is known where it is now.
    await ledger.record(batchOf(ref, { exposures, outcomes }));
    expect(setCounts(await root.counts())).toEqual(reference);
  }, 60_000);

  test("a subject with more outcomes than a row can hold moves in several parcels, and is counted whole", async () => {
    const ref = newRef();
    const subject = `${"x".repeat(500)}1`;
    expect(shardOf(shardHash(subject), 2)).toBe(1);
    const exposures = [shown(1, subject, "a"), shown(2, "s1", "b")];
    const outcomes = Array.from({ length: 2_000 }, (_, n) => measured(n, subject, "m", n, "continuous"));
    await router(1)(ref).record(batchOf(ref, { exposures, outcomes }));
    const lengths = await runInDurableObject(objectOf(ref, 0), (_object, { storage }) => {
      const ledger = openLedger(storage, () => noon);
      ledger.split(ref, { shard: 0, shards: 1 }, 2);
      ledger.nextParcel();
      return Array.from(storage.sql.exec("SELECT length(content) FROM outbox").raw<[number]>(), ([length]) => length);
    });
    expect(lengths.length).toBeGreaterThan(1);
    expect(Math.max(...lengths)).toBeLessThan(600_000);
    const ledger = router(2)(ref);
    await ledger.record(batchOf(ref, {}));
    await settle(ref);
    const root = ledgers.getByName(refKey(ref));
    expect(setCounts(await root.counts())).toEqual(referenceCounts({ exposures, outcomes }));
    await ledger.record(batchOf(ref, { exposures, outcomes }));
    expect(setCounts(await root.counts())).toEqual(referenceCounts({ exposures, outcomes }));
  });

  test("more shards asked for while they are being raised are raised next, also if no event comes any more", async () => {
    const ref = newRef();
    const exposures = Array.from({ length: 50 }, (_, n) => shown(n, `s${n}`, "a"));
    await router(1)(ref).record(batchOf(ref, { exposures }));
    const root = ledgers.getByName(refKey(ref));
    expect(await root.routing(ref, 4)).toMatchObject({ shards: 1, target: 4 });
    expect(await root.routing(ref, 16)).toMatchObject({ shards: 1, target: 4 });
    expect(await root.routing(ref, 2)).toMatchObject({ target: 4 });
    await settle(ref);
    expect(await root.routing(ref, 1)).toMatchObject({ shards: 16, target: 16 });
    expect(await root.counts()).toMatchObject({ shards: 16, arms: [{ subjects: 50 }] });
  });

  test("moving begins at once, and events that arrive do not put it off", async () => {
    const ref = newRef();
    const ledger = router(4)(ref);
    await router(1)(ref).record(batchOf(ref, { exposures: [shown(1, "a", "x")] }));
    const root = ledgers.getByName(refKey(ref));
    // Nobody rings here but the object's own alarm.
    for (let n = 2; n < 200 && (await root.routing(ref, 1)).shards < 4; n += 1) {
      await ledger.record(batchOf(ref, { exposures: [shown(n, `s${n}`, "x")] }));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await root.routing(ref, 1)).toMatchObject({ shards: 4, target: 4 });
  });

  test("a look at every subject goes through all shards in order of first exposure", async () => {
    const ref = newRef();
    const exposures = Array.from({ length: 700 }, (_, n) =>
      shown(700 - n, `s${n}`, (n * n) % 7 < 3 ? "a" : "b", noon + Math.floor(n / 4)),
    );
    await router(4)(ref).record(batchOf(ref, { exposures: exposures.toReversed() }));
    const planned = [
      { variant: "a", share: 0.5 },
      { variant: "b", share: 0.5 },
    ];
    const fold = looksAtEverySubject(planned);
    for (const [, , variant] of exposures.toSorted((a, b) => a[4] - b[4] || (a[0] < b[0] ? -1 : 1)))
      fold.observe(variant);
    const { subjectLooks } = await ledgers.getByName(refKey(ref)).counts({
      looks: "subject",
      plans: [{ epoch: 1, arms: planned }],
    });
    expect(subjectLooks).toEqual(fold.result());
  });

  test("p values are equal for equal checkpoints: over 1, 4 and 16 shards, every event three times and in any order", async () => {
    const [parts, size] = [8, 140];
    const hour = Date.now() - 3_600_000;
    const planned = [
      { variant: "a", share: 0.5 },
      { variant: "b", share: 0.5 },
    ];
    /** 41 in a hundred are in the one arm, so that the p value falls; some come again in the other, some again in another epoch. */
    const exposures = Array.from({ length: parts * size }, (_, n): readonly ExposureRow[] => {
      const [variant, other] = (n * 37) % 100 < 41 ? ["a", "b"] : ["b", "a"];
      const first = shown(n, `s${n}`, variant, hour + n, n % 10 === 0 ? 2 : 1);
      return n % 13 === 0 ? [first, shown(10_000 + n, `s${n}`, other, hour + n + 500)] : [first];
    });
    const part = (place: number) => exposures.slice(place * size, (place + 1) * size).flat();
    const expected = [1, 2].map((epoch) => {
      const counts = [0, 0];
      const looks: number[] = [];
      let state = sequentialStart([0.5, 0.5]);
      for (let place = 0; place < parts; place += 1) {
        for (const [first] of exposures.slice(place * size, (place + 1) * size))
          if (first?.[3] === epoch) counts[first[2] === "a" ? 0 : 1] = (counts[first[2] === "a" ? 0 : 1] ?? 0) + 1;
        state = sequentialLook(state, counts);
        looks.push(state.pValue);
      }
      return { epoch, looks: parts, logBayesFactor: state.logBayesFactor, pValue: state.pValue, each: looks };
    });
    expect(expected[0]?.pValue).toBeLessThan(0.001);
    const random = seeded(8);
    for (const shards of [1, 4, 16]) {
      const ref = newRef();
      const ledger = router(shards)(ref);
      const root = ledgers.getByName(refKey(ref));
      const deliver = async (rows: readonly ExposureRow[]): Promise<void> => {
        const order = rows
          .map((row) => ({ row, at: random.next() }))
          .toSorted((one, other) => one.at - other.at)
          .map(({ row }) => row);
        for (let start = 0; start < order.length; start += 400)
          await ledger.record(batchOf(ref, { exposures: order.slice(start, start + 400) }));
      };
      const start = Date.now();
      for (let place = 0; place < parts; place += 1) {
        await deliver([...part(place), ...part(place), ...(place === 0 ? [] : part(place - 1))]);
        // The first shard looks, as if so many minutes had gone by.
        await runInDurableObject(objectOf(ref, 0), (_object, { storage }) => {
          const coordinator = createCoordinator({
            ledger: openLedger(storage, Date.now),
            ref: () => ref,
            other: (shard) => ledgers.getByName(shardName(refKey(ref), shard)),
            handOver: () => Promise.resolve(true),
            now: () => start + place * 60_000,
          });
          return coordinator.look();
        });
      }
      const looked = () => root.counts({ plans: [1, 2].map((epoch) => ({ epoch, arms: planned })), parts: true });
      const { checkpointLooks } = await looked();
      expect(
        checkpointLooks.map(({ series = [], ...looks }) => ({ ...looks, each: series.map(([, p]) => p) })),
      ).toEqual(expected);
      // And everything once more, after which the next look finds nothing new.
      await deliver(exposures.flat());
      expect((await looked()).checkpointLooks).toEqual(checkpointLooks);
    }
  });

  test("checkpoints are of all shards together, whichever had the events", async () => {
    const ref = newRef();
    const hour = Date.now() - 3_600_000;
    const exposures = Array.from({ length: 64 }, (_, n) => shown(n, `s${n}`, n % 2 === 0 ? "a" : "b", hour));
    await router(8)(ref).record(batchOf(ref, { exposures }));
    const [root, other] = [objectOf(ref, 0), objectOf(ref, 3)];
    // A shard wakes the first one, which looks.
    expect(await runDurableObjectAlarm(other)).toBe(true);
    expect(await runDurableObjectAlarm(root)).toBe(true);
    const found = await runInDurableObject(root, (_object, { storage }) =>
      storage.sql.exec("SELECT arms FROM checkpoints").toArray(),
    );
    expect(found).toEqual([{ arms: '[[1,"a",32],[1,"b",32]]' }]);
  });
});

/**
 * Whatever is lost between two commits of a hand-over: an object that dies, an answer that does not arrive, a parcel
 * that is sent twice. The three commits (packed, received, acknowledged) come in every order that the code can reach.
 */
describe("handing over", () => {
  const step = fc.constantFrom("pack", "send", "send twice", "acknowledge", "record", "evict");

  test("a crash at any moment leaves every subject in one place", async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsArbitrary.chain((rows) => fc.tuple(fc.constant(rows), deliveriesOf(rows))),
        fc.array(step, { maxLength: 40 }),
        async ([rows, deliveries], steps) => {
          const ref = newRef();
          const key = refKey(ref);
          const stubs = shardsOf(ref, 2);
          const [parent, child] = stubs;
          if (parent === undefined || child === undefined) throw new RangeError("no shards");
          const place = { shard: 0, shards: 1 };
          const inParent = <Result>(work: (ledger: ReturnType<typeof openLedger>) => Result): Promise<Result> =>
            runInDurableObject(objectOf(ref, 0), (_object, { storage }) => work(openLedger(storage, () => noon)));
          const batches = deliveries.map((batch) => batchOf(ref, batch));
          const half = Math.ceil(batches.length / 2);
          for (const batch of batches.slice(0, half)) await parent.record(batch);
          await inParent((ledger) => ledger.split(ref, place, 2));
          const later = batches.slice(half);
          let known: Parcel | null = null;
          const next = () => inParent((ledger) => ledger.nextParcel());
          const send = async (): Promise<void> => {
            if (known === null) return;
            const { peer, seq, content } = known;
            await ledgers
              .getByName(shardName(key, peer))
              .receive(ref, { shard: peer, shards: 2 }, { from: 0, seq, content });
          };
          /** As the router does. */
          const record = async (batch: LedgerBatch): Promise<void> => {
            const { elsewhere } = await parent.record(batch, place);
            if (elsewhere === undefined) return;
            const { exposures, outcomes } = elsewhere;
            await child.record({ ...batch, exposures, outcomes, assignments: [] }, { shard: 1, shards: 2 });
          };
          let arrived = false;
          for (const one of steps) {
            if (one === "pack") {
              if (known === null || arrived) known = await next();
              arrived = false;
            }
            if (one === "send") await send();
            if (one === "send twice") {
              await send();
              await send();
            }
            if (one.startsWith("send") && known !== null) arrived = true;
            if (one === "acknowledge" && known !== null && arrived) {
              const parcel = known;
              await inParent((ledger) => ledger.sent(parcel));
            }
            if (one === "record") {
              const batch = later.shift();
              if (batch !== undefined) await record(batch);
            }
            if (one === "evict") await evict(ref, 0);
          }
          for (const batch of later) await record(batch);
          for (let rounds = 0; rounds < 20 && !(await parent.handOver(ref, 1, 2)); rounds += 1);
          const answers = [await parent.rows({}), await child.rows({})].filter((answer) => answer !== null);
          expect(isWhole(answers)).toBe(true);
          expect(setCounts(countsFrom(addShards(answers)))).toEqual(referenceCounts(rows));
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  test("a reading between a parcel's leaving and its arriving is known to lack it", async () => {
    const ref = newRef();
    const [parent, child] = shardsOf(ref, 2);
    if (parent === undefined || child === undefined) throw new RangeError("no shards");
    await parent.record(batchOf(ref, { exposures: Array.from({ length: 20 }, (_, n) => shown(n, `s${n}`, "a")) }));
    const parcel = await runInDurableObject(objectOf(ref, 0), (_object, { storage }) => {
      const ledger = openLedger(storage, () => noon);
      ledger.split(ref, { shard: 0, shards: 1 }, 2);
      return ledger.nextParcel();
    });
    const read = async () => [await parent.rows({}), await child.rows({})].filter((answer) => answer !== null);
    const between = await read();
    expect(addShards(between).arms[0]?.subjects).toBeLessThan(20);
    expect(isWhole(between)).toBe(false);
    if (parcel === null) throw new TypeError("nothing to hand over");
    await child.receive(ref, { shard: 1, shards: 2 }, { from: 0, seq: parcel.seq, content: parcel.content });
    const after = await read();
    expect(addShards(after).arms[0]?.subjects).toBe(20);
    expect(isWhole(after)).toBe(true);
  });

  test("what guardrails look at moves with the subjects, and whose key sent an exposure", async () => {
    const ref = newRef();
    const exposures = Array.from({ length: 60 }, (_, n): ExposureRow => {
      const [id, subject, variant, epoch, time] = shown(n, `s${n % 40}`, n % 2 === 0 ? "a" : "b", noon + n);
      return n % 3 === 0 ? [id, subject, variant, epoch, time, true] : [id, subject, variant, epoch, time];
    });
    const outcomes = Array.from({ length: 90 }, (_, n) => measured(n, `s${n % 45}`, "m", n % 7));
    const watch = { epoch: 1, since: noon, metrics: [{ metric: "m", kind: "count" as const, cap: 5 }] };
    const root = ledgers.getByName(refKey(ref));
    await router(1)(ref).record(batchOf(ref, { exposures, outcomes }));
    const before = await root.watched(watch);
    expect(before.arms.reduce((sum, { subjects }) => sum + subjects, 0)).toBeLessThan(40);
    await router(8)(ref).record(batchOf(ref, {}));
    await settle(ref);
    expect(await root.watched(watch)).toEqual(before);
    // From the beginning, not only what was followed.
    expect(await root.watched({ ...watch, since: noon - 1 })).toEqual(before);
  });

  test("definitions of metrics go with the subjects", async () => {
    const ref = newRef();
    const metrics = metricSpecs(3, [{ name: "m", kind: "continuous", aggregate: "max", cap: 5, negative: true }]);
    const exposures = Array.from({ length: 50 }, (_, n) => shown(n, `s${n}`, "a"));
    const outcomes = Array.from({ length: 100 }, (_, n) => measured(n, `s${n % 50}`, "m", n % 9, "continuous"));
    await router(1)(ref).record({ ...batchOf(ref, { exposures, outcomes }), metrics });
    await router(4)(ref).record(batchOf(ref, {}));
    const root = ledgers.getByName(refKey(ref));
    const before = setCounts(await root.counts());
    await settle(ref);
    const after = await root.counts();
    expect([setCounts(after), after.shards]).toEqual([before, 4]);
    const expected = Array.from({ length: 50 }, (_, n) => Math.min(5, Math.max(n % 9, (n + 50) % 9)));
    expect(after.metrics[0]?.arms[0]?.sum).toBe(String(expected.reduce((sum, value) => sum + value, 0)));
  });
});
