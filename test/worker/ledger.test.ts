import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { parseEvent } from "../../src/events/validate.ts";
import { emptyCounts } from "../../src/ledger/counts.ts";
import { groundOf, subjectsIn } from "../../src/ledger/ground.ts";
import { metricSpecs } from "../../src/ledger/metric-spec.ts";
import { sampleRatioOf } from "../../src/ledger/sample-ratio.ts";
import { looksAtEverySubject, sequentialLook, sequentialStart } from "../../src/science/sequential-srm.ts";
import { epochAlpha } from "../../src/science/srm-verdict.ts";
import { utf8Length } from "../../src/utf8.ts";
import { horizonMs, type Ledger, openLedger } from "../../worker/ledger.ts";
import {
  deliveriesOf,
  referenceCounts,
  referenceCrossings,
  rowsArbitrary,
  type Rows,
  type SetCounts,
} from "../ledger/reference.ts";
import {
  coordinated,
  countsOf,
  idOf,
  measured,
  newRef,
  noon,
  rings,
  shown,
  stubOf,
  withLedger,
} from "./ledger-support.ts";

const minute = 60_000;

const setCounts = ({ arms, exposures, repeats, crossovers, outcomes, metrics }: SetCounts): SetCounts => ({
  arms,
  exposures,
  repeats,
  crossovers,
  outcomes,
  metrics,
});

const batchOf = (ref: ReturnType<typeof newRef>, rows: Partial<Rows>) => ({
  ref,
  exposures: [],
  outcomes: [],
  assignments: [],
  ...rows,
});

const allCrossovers = (ledger: Ledger, limit: number): readonly string[] => {
  const found: string[] = [];
  let after: number | null = 0;
  while (after !== null) {
    const page = ledger.crossovers({ after, limit });
    for (const { payload } of page.events) {
      const { subjectId, previousVariantKey, newVariantKey, timestamp } = payload;
      found.push(JSON.stringify([subjectId, previousVariantKey, newVariantKey, Date.parse(timestamp ?? "")]));
    }
    after = page.next;
  }
  return found.toSorted((a, b) => (a < b ? -1 : 1));
};

describe("ledger object", () => {
  test("over SQLite too, any order, repetition and split gives the counts of the set", async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsArbitrary.chain((rows) => fc.tuple(fc.constant(rows), deliveriesOf(rows))),
        async ([rows, deliveries]) => {
          const ref = newRef();
          const found = await withLedger(ref, (ledger) => {
            for (const batch of deliveries) ledger.record(batchOf(ref, batch));
            return { counts: setCounts(countsOf(ledger)), crossovers: allCrossovers(ledger, 2) };
          });
          expect(found.counts).toEqual(referenceCounts(rows));
          expect(found.crossovers).toEqual(referenceCrossings(rows));
        },
      ),
      { numRuns: 150 },
    );
  });

  test("a batch that comes again changes nothing but what was received", async () => {
    const ref = newRef();
    const stub = stubOf(ref);
    const batch = batchOf(ref, {
      exposures: [shown(1, "a", "control"), shown(2, "b", "treatment"), shown(3, "b", "control", noon + 1)],
      outcomes: [measured(1, "a", "m", 2), measured(2, "b", "m", 0.5), measured(3, "zzz", "m", 1)],
    });
    const first = await stub.record(batch);
    const before = await stub.counts();
    const again = await stub.record(batch);
    const after = await stub.counts();
    expect(after).toEqual({ ...before, received: 12 });
    expect(before).toMatchObject({ received: 6, exposures: 3, repeats: 1, crossovers: 1, outcomes: 3 });
    expect([first.crossovers, again.crossovers]).toEqual([1, 0]);
    // An event like any other, whose id follows from what it says.
    const { events, next } = await stub.crossovers({ after: 0, limit: 10 });
    expect(next).toBeNull();
    expect(parseEvent(events[0])).toMatchObject({ ok: true });
    expect(events[0]?.eventId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(events).toMatchObject([
      {
        eventType: "Assignment",
        payload: { subjectId: "b", previousVariantKey: "treatment", newVariantKey: "control" },
      },
    ]);
  });

  test("counts survive eviction, and an eviction between batches changes none", async () => {
    const ref = newRef();
    const stub = stubOf(ref);
    const exposures = Array.from({ length: 40 }, (_, n) => shown(n, `s${n % 15}`, n % 2 === 0 ? "a" : "b", noon + n));
    const outcomes = Array.from({ length: 40 }, (_, n) => measured(n, `s${n % 17}`, "m", n / 10, "continuous"));
    for (let start = 0; start < 40; start += 10) {
      await stub.record(batchOf(ref, { exposures: exposures.slice(start, start + 10) }));
      await evictDurableObject(stub);
      await stub.record(batchOf(ref, { outcomes: outcomes.slice(start, start + 10) }));
      await evictDurableObject(stub);
    }
    expect(setCounts(await stub.counts())).toEqual(referenceCounts({ exposures, outcomes }));
  });

  test("so many subjects that their names move into the large table: each is known, wherever its name is", async () => {
    const ref = newRef();
    const [parts, size] = [5, 9_000];
    const batches = Array.from({ length: parts }, (_, part) => {
      const numbers = Array.from({ length: size }, (_none, n) => part * size + n);
      return batchOf(ref, {
        exposures: numbers.map((n) => shown(n, `s${(n * 7_919) % (parts * size)}`, n % 2 === 0 ? "a" : "b", noon + n)),
      });
    });
    await withLedger(ref, (ledger, _clock, { storage }) => {
      for (const batch of batches) ledger.record(batch);
      const names = ["names", "new_names"].map(
        (table) => storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n,
      );
      expect(names).toEqual([36_000, 9_000]);
      const before = countsOf(ledger);
      expect(before.arms.map(({ subjects }) => subjects)).toEqual([22_500, 22_500]);
      // The other arm, later: whoever is not found would be a new subject there instead of a crossover.
      const crossed = (of: (typeof batches)[number]) => of.exposures.slice(0, 1_000);
      for (const batch of [batches[0], batches[4]]) {
        if (batch === undefined) throw new TypeError("there are five batches");
        ledger.record(
          batchOf(ref, {
            exposures: crossed(batch).map(([id, subject, variant, epoch, time]) => [
              id.replace("-7000-", "-7001-"),
              subject,
              variant === "a" ? "b" : "a",
              epoch,
              time + 1_000_000,
            ]),
          }),
        );
      }
      expect(countsOf(ledger)).toMatchObject({ arms: before.arms, crossovers: 2_000, exposures: 47_000 });
      expect(
        storage.sql.exec("SELECT 1 FROM names AS k JOIN subjects AS s USING (subject) WHERE k.n <> s.n").toArray(),
      ).toEqual([]);
    });
  });

  test("a batch that fails half-way leaves nothing", async () => {
    const ref = newRef();
    const good = batchOf(ref, { exposures: [shown(1, "a", "control")], outcomes: [measured(1, "a", "m", 1)] });
    const spoilt = batchOf(ref, {
      exposures: [shown(2, "b", "control")],
      outcomes: [measured(2, "b", "m", 1), ["not a UUID", "c", "m", "count", noon, 1]],
    });
    await withLedger(ref, (ledger, _clock, { storage }) => {
      expect(() => ledger.record(spoilt)).toThrow(/NOT NULL/);
      // Not even the tables.
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'ledger'").toArray()).toEqual([]);
      ledger.record(good);
      const before = countsOf(ledger);
      expect(() => ledger.record(spoilt)).toThrow(/NOT NULL/);
      expect(countsOf(ledger)).toEqual(before);
    });
  });

  test("a batch for another experiment is refused", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control")] }));
      const other = { ...ref, tenant: "other" };
      expect(() => ledger.record(batchOf(other, { exposures: [shown(2, "b", "control")] }))).toThrow(/"other"/);
      expect(countsOf(ledger).exposures).toBe(1);
    });
  });

  test("asking about an experiment that has no events stores nothing", async () => {
    const ref = newRef();
    const stub = stubOf(ref);
    expect(await stub.counts({ looks: "subject", plans: [{ epoch: 1, arms: [{ variant: "a", share: 1 }] }] })).toEqual(
      emptyCounts,
    );
    const tables = await runInDurableObject(stub, (_object, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
    );
    expect(tables).toEqual([]);
  });

  test("an exposure id counts once, also in the next period; it is forgotten after two", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger, clock, { storage }) => {
      const remembered = (): number =>
        [0, 1].reduce(
          (sum, turn) =>
            sum + storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM exposure_ids_${turn}`).one().n,
          0,
        );
      const batch = batchOf(ref, { exposures: [shown(1, "a", "control")] });
      ledger.record(batch);
      clock.now += horizonMs;
      ledger.record(batch);
      expect(countsOf(ledger)).toMatchObject({ exposures: 1, repeats: 0, received: 2 });
      expect(remembered()).toBe(1);
      clock.now += horizonMs;
      ledger.tick();
      expect(remembered()).toBe(0);
      // The subject is known for good.
      ledger.record(batch);
      expect(countsOf(ledger)).toMatchObject({ arms: [{ subjects: 1 }], exposures: 2, repeats: 1 });
      clock.now += 10 * horizonMs;
      expect(ledger.tick()).toBeNull();
      expect(remembered()).toBe(0);
    });
  });

  describe("outcomes that wait for an exposure", () => {
    const day = 24 * 60 * minute;
    const waits = (ledger: Ledger) => {
      const { arms, outcomes, dropped, metrics } = countsOf(ledger);
      return { arms, outcomes, dropped, unexposed: metrics.map(({ metric, unexposed }) => [metric, unexposed]) };
    };

    test("are dropped, and counted as dropped, once their window and a day have gone by; joined ones stay", async () => {
      const ref = newRef();
      await withLedger(ref, (ledger, clock, { storage }) => {
        ledger.record(
          batchOf(ref, {
            exposures: [shown(1, "joined", "control")],
            outcomes: [
              measured(1, "joined", "m", 5),
              measured(2, "never", "m", 1),
              measured(3, "never", "other", 1),
              measured(4, "later", "m", 7, "count", noon + minute),
            ],
          }),
        );
        clock.now = noon + 8 * day;
        ledger.record(batchOf(ref, { exposures: [shown(2, "later", "control")] }));
        ledger.tick();
        const arms = [{ variant: "control", epoch: 1, subjects: 2 }];
        const kept = {
          arms,
          outcomes: 4,
          dropped: 0,
          unexposed: [
            ["m", 1],
            ["other", 1],
          ],
        };
        expect(waits(ledger)).toEqual(kept);
        clock.now += 1;
        ledger.tick();
        const left = {
          arms,
          outcomes: 2,
          dropped: 2,
          unexposed: [
            ["m", 0],
            ["other", 0],
          ],
        };
        expect(waits(ledger)).toEqual(left);
        expect(countsOf(ledger).metrics[0]?.arms).toMatchObject([{ observed: 2, sum: "12" }]);
        // Nothing is left of who never came, and an exposure after all finds no outcome.
        for (const table of ["subjects", "names", "new_names"])
          expect(storage.sql.exec(`SELECT 1 FROM ${table} WHERE subject = 'never'`).toArray()).toEqual([]);
        expect(storage.sql.exec("SELECT count(*) AS n FROM outcomes").one()).toEqual({ n: 2 });
        ledger.record(batchOf(ref, { exposures: [shown(3, "never", "control")] }));
        expect(countsOf(ledger)).toMatchObject({ arms: [{ subjects: 3 }], metrics: [{ arms: [{ sum: "12" }] }, {}] });
        expect(countsOf(ledger)).toMatchObject({ dropped: 2 });
      });
    });

    test("wait as long as the longest window of a metric that is declared, and a day", async () => {
      const ref = newRef();
      await withLedger(ref, (ledger, clock) => {
        const metrics = metricSpecs(1, [{ name: "m", kind: "count", window: { to: "20d" } }]);
        ledger.record({ ...batchOf(ref, { outcomes: [measured(1, "a", "m", 1)] }), metrics });
        for (const [at, dropped] of [
          [noon + 21 * day, 0],
          [noon + 21 * day + 1, 1],
        ] as const) {
          clock.now = at;
          ledger.tick();
          expect(countsOf(ledger).dropped).toBe(dropped);
        }
      });
    });

    test("wait no longer because others of their subject keep coming: somebody who is never exposed keeps the recent ones", async () => {
      const ref = newRef();
      await withLedger(ref, (ledger, clock) => {
        for (let n = 0; n < 30; n += 1) {
          clock.now = noon + n * day;
          const metric = n < 10 ? "early" : "late";
          ledger.record(batchOf(ref, { outcomes: [measured(n, "a", metric, n, "count", clock.now)] }));
          ledger.tick();
        }
        // At day 29, those of days 21 to 29.
        expect(waits(ledger)).toEqual({
          arms: [],
          outcomes: 9,
          dropped: 21,
          unexposed: [
            ["early", 0],
            ["late", 1],
          ],
        });
        // And they are still joined.
        ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control", noon + 27 * day)] }));
        expect(countsOf(ledger).metrics).toMatchObject([
          { metric: "early", arms: [] },
          { metric: "late", unexposed: 0, arms: [{ observed: 1, sum: String(27 + 28 + 29) }] },
        ]);
      });
    });

    test("are dropped a thousand subjects at a time, one time after the other without a day between", async () => {
      const ref = newRef();
      await withLedger(ref, (ledger, clock) => {
        ledger.record(
          batchOf(ref, { outcomes: Array.from({ length: 2_500 }, (_, n) => measured(n, `s${n}`, "m", 1)) }),
        );
        clock.now = noon + 9 * day;
        expect([ledger.tick(), ledger.tick()]).toEqual([clock.now + 10, clock.now + 10]);
        expect(ledger.tick()).toBeNull();
        expect(waits(ledger)).toMatchObject({ outcomes: 0, dropped: 2_500, unexposed: [["m", 0]] });
      });
    });
  });

  test("an Assignment that a client sent is kept once", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger, _clock, { storage }) => {
      const assignments = [
        [idOf(1), '{"eventType":"Assignment"}'],
        [idOf(2), "{}"],
        [idOf(1), "{}"],
      ] as const;
      ledger.record({ ...batchOf(ref, {}), assignments });
      ledger.record({ ...batchOf(ref, {}), assignments });
      expect(storage.sql.exec("SELECT envelope FROM assignments ORDER BY id").toArray()).toEqual([
        { envelope: '{"eventType":"Assignment"}' },
        { envelope: "{}" },
      ]);
    });
  });

  test("no bound text is over the 2 MB that a deployed object takes", async () => {
    const ref = newRef();
    const subjects = Array.from({ length: 3_000 }, (_, n) => `${n}-${"☃".repeat(500)}`);
    const exposures = subjects.map((subject, n) => shown(n, subject, n % 3 === 0 ? "a" : "b"));
    const outcomes = subjects.map((subject, n) => measured(n, subject, "m", n));
    await withLedger(ref, (_ledger, _clock, { storage }) => {
      let longest = 0;
      const sql = new Proxy(storage.sql, {
        get: (target, member): unknown =>
          member === "exec"
            ? (query: string, ...bindings: readonly unknown[]) => {
                for (const value of bindings) longest = Math.max(longest, utf8Length(String(value)));
                return target.exec(query, ...bindings);
              }
            : Reflect.get(target, member),
      });
      const ledger = openLedger({ sql, transactionSync: (closure) => storage.transactionSync(closure) }, () => noon);
      ledger.record(batchOf(ref, { exposures, outcomes }));
      expect(setCounts(countsOf(ledger))).toEqual(referenceCounts({ exposures, outcomes }));
      expect(longest).toBeGreaterThan(1_000_000);
      expect(longest).toBeLessThan(2_000_000);
    });
  });

  test("arms and metrics have a bound; past it events are refused, known ones still counted", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger) => {
      const exposures = Array.from({ length: 1_000 }, (_, n) => shown(n, `s${n}`, `v${n}`));
      const outcomes = Array.from({ length: 1_001 }, (_, n) => measured(n, "s0", `m${n}`, 1));
      const { refused } = ledger.record(batchOf(ref, { exposures, outcomes }));
      expect(refused.map(({ eventId }) => eventId)).toEqual([...exposures.slice(200).map(([id]) => id), idOf(1_000)]);
      expect(refused[0]?.reason).toContain("200 variants");
      expect(ledger.record(batchOf(ref, { exposures: [shown(5_000, "new", "v7")] })).refused).toEqual([]);
      // Invented epochs, and the variants of another epoch, leave the real ones their room.
      const epochs = Array.from({ length: 1_000 }, (_, n) => shown(6_000 + n, `e${n}`, "x", noon, n + 2));
      const above = ledger.record(batchOf(ref, { exposures: epochs })).refused;
      expect(above).toHaveLength(501);
      expect(above[0]?.reason).toContain("epoch 501 is above 500");
      const real = ["control", "treatment"].map((variant, n) => shown(9_000 + n, `r${n}`, variant, noon, 2));
      expect(ledger.record(batchOf(ref, { exposures: real })).refused).toEqual([]);
      const counts = countsOf(ledger);
      expect([counts.arms.length, counts.metrics.length, counts.exposures]).toEqual([701, 1_000, 702]);
    });
  });
});

describe("checkpoints", () => {
  const halves = {
    epoch: 1,
    arms: [
      { variant: "control", share: 1 },
      { variant: "treatment", share: 1 },
    ],
  };
  const stored = ({ sql }: DurableObjectStorage): readonly unknown[] =>
    Array.from(sql.exec("SELECT arms FROM checkpoints ORDER BY minute").raw(), ([arms]) => arms);

  test("a year and more of them make an answer of a few bytes", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger, _clock, { storage }) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control"), shown(2, "b", "treatment")] }));
      storage.sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 260000)
         INSERT INTO checkpoints SELECT i, json_array(json_array(1, 'control', i), json_array(1, 'treatment', i)) FROM n`,
      );
      const counts = countsOf(ledger, { plans: [halves] });
      expect(counts.checkpointLooks).toMatchObject([{ epoch: 1, looks: 260_000 }]);
      expect(JSON.stringify(counts).length).toBeLessThan(1_000);
    });
  });

  test("hold subjects older than the watermark, at most one a minute, and only when something changed", async () => {
    const ref = newRef();
    await withLedger(ref, async (ledger, clock, { storage }) => {
      ledger.record(
        batchOf(ref, {
          exposures: [
            shown(1, "a", "control", noon - 6 * minute),
            shown(2, "b", "treatment", noon - 4 * minute),
            shown(3, "c", "treatment", noon),
          ],
        }),
      );
      expect(await rings(ledger, clock)).toBe(noon + minute);
      expect(stored(storage)).toEqual(['[[1,"control",1]]']);

      clock.now += 30_000;
      ledger.record(batchOf(ref, { exposures: [shown(4, "d", "control", noon - 60 * minute)] }));
      await rings(ledger, clock);
      expect(stored(storage)).toHaveLength(1);

      clock.now = noon + minute;
      await rings(ledger, clock);
      expect(stored(storage).slice(1)).toEqual(['[[1,"control",2]]']);

      clock.now = noon + 2 * minute;
      await rings(ledger, clock);
      clock.now = noon + 6 * minute;
      await rings(ledger, clock);
      // Only what is not as it was.
      expect(stored(storage).slice(2)).toEqual(['[[1,"treatment",1]]', '[[1,"treatment",2]]']);
      clock.now = noon + 30 * minute;
      await rings(ledger, clock);
      expect(stored(storage)).toHaveLength(4);
      const looks = [
        [1, 0],
        [2, 0],
        [2, 1],
        [2, 2],
      ].reduce(sequentialLook, sequentialStart([1, 1]));
      const { epoch, arms } = halves;
      const { checkpointLooks } = countsOf(ledger, { plans: [halves, { epoch: 2, arms }] });
      expect(checkpointLooks).toEqual([
        { epoch, looks: 4, logBayesFactor: looks.logBayesFactor, pValue: looks.pValue },
        { epoch: 2, looks: 0, logBayesFactor: 0, pValue: 1 },
      ]);
      expect(countsOf(ledger).checkpointLooks).toEqual([]);
    });
  });

  test("an arm that flushes a minute late alarms nobody; without the watermark it would", async () => {
    const ref = newRef();
    const perMinute = 60;
    const minutes = 30;
    /** First exposures of one arm in one minute. */
    const of = (variant: "control" | "treatment", at: number) =>
      Array.from({ length: perMinute }, (_, n) => {
        const number = 2 * (at * perMinute + n) + (variant === "control" ? 0 : 1);
        return shown(number, `s${number}`, variant, noon + at * minute + n * 1_000);
      });
    await withLedger(ref, async (ledger, clock) => {
      let unguarded = sequentialStart([1, 1]);
      for (let at = 0; at < minutes; at += 1) {
        clock.now = noon + (at + 1) * minute;
        ledger.record(
          batchOf(ref, { exposures: [...of("control", at), ...(at === 0 ? [] : of("treatment", at - 1))] }),
        );
        await rings(ledger, clock);
        const counts = countsOf(ledger, { plans: [halves] });
        unguarded = sequentialLook(
          unguarded,
          halves.arms.map(({ variant }) => subjectsIn(counts.arms, variant)),
        );
        const { sequential } = sampleRatioOf(groundOf(counts, halves.arms, halves.epoch), halves.epoch);
        expect(sequential.mismatch).toBe(false);
      }
      const { checkpointLooks } = countsOf(ledger, { plans: [halves] });
      expect(checkpointLooks).toMatchObject([{ epoch: 1, looks: minutes - 5, pValue: 1 }]);
      // The same arrivals, looked at as they came.
      expect(unguarded.pValue).toBeLessThan(epochAlpha(1));
    });
  });

  test("the looks themselves, thinned out: each is of a checkpoint, with the p value of all looks up to it", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control")] }));
      const looks: (readonly [number, number])[] = [];
      let state = sequentialStart([1, 1]);
      for (let at = 1; at <= 1_700; at += 1) {
        const first = Math.floor(noon / minute) + at;
        // Of every third checkpoint another epoch's arms alone have changed.
        const own = at - Math.floor(at / 3);
        const sizes = [own, own + Math.floor(own / 9)] as const;
        ledger.takeCheckpoint(first, [
          { variant: "control", epoch: 1, subjects: sizes[0] },
          { variant: "treatment", epoch: 1, subjects: sizes[1] },
          { variant: "control", epoch: 2, subjects: at },
        ]);
        if (at % 3 === 0) continue;
        state = sequentialLook(state, sizes);
        looks.push([first, state.pValue]);
      }
      const [found] = countsOf(ledger, { plans: [halves], parts: true }).checkpointLooks;
      const series = found?.series ?? [];
      expect(found).toMatchObject({ looks: looks.length, pValue: state.pValue });
      expect(series).toHaveLength(500);
      expect([series[0], series.at(-1)]).toEqual([looks[0], looks.at(-1)]);
      const places = series.map(([at]) => looks.findIndex(([time]) => time === at));
      expect(series).toEqual(places.map((place) => looks[place]));
      // Evenly: of 1,134 looks every second or third one.
      const steps = places.slice(1).map((place, index) => place - (places[index] ?? 0));
      expect(new Set(steps)).toEqual(new Set([2, 3]));
      expect(new Set(series.map(([, pValue]) => pValue)).size).toBeGreaterThan(50);
    });
  });

  test("a subject that moves leaves the next checkpoint of its old arm", async () => {
    const ref = newRef();
    await withLedger(ref, async (ledger, clock, { storage }) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control", noon - 10 * minute)] }));
      await rings(ledger, clock);
      clock.now += minute;
      ledger.record(batchOf(ref, { exposures: [shown(2, "a", "treatment", noon - 20 * minute, 0)] }));
      await rings(ledger, clock);
      expect(stored(storage)).toEqual(['[[1,"control",1]]', '[[0,"treatment",1],[1,"control",0]]']);
    });
  });

  test("asking takes the checkpoint that is due", async () => {
    const ref = newRef();
    await withLedger(ref, async (ledger, clock, { storage }) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control", Date.parse("2017-01-02T03:04:05Z"))] }));
      await coordinated(ledger, clock).counts();
      expect(stored(storage)).toHaveLength(1);
      await coordinated(ledger, clock).counts();
      expect(stored(storage)).toHaveLength(1);
    });
  });

  test("the alarm wakes the object while data arrives, and lets it sleep afterwards", async () => {
    const ref = newRef();
    const stub = stubOf(ref);
    await stub.record(batchOf(ref, { exposures: [shown(1, "a", "control", Date.now() - 60 * minute)] }));
    const alarm = await runInDurableObject(stub, (_object, { storage }) => storage.getAlarm());
    expect(alarm).toBeGreaterThan(Date.now());
    expect(alarm).toBeLessThanOrEqual(Date.now() + minute);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    const [checkpoints, next] = await runInDurableObject(stub, async (_object, { storage }) => [
      storage.sql.exec("SELECT arms FROM checkpoints").toArray(),
      await storage.getAlarm(),
    ]);
    expect(checkpoints).toEqual([{ arms: '[[1,"control",1]]' }]);
    // Nothing waits for the watermark, so the next task is to forget exposure ids.
    expect(next).toBeGreaterThan(Date.now() + minute);
    expect(Number(next) % horizonMs).toBe(0);
  });

  test("an alarm that went by is set anew", async () => {
    const ref = newRef();
    const stub = stubOf(ref);
    await stub.record(batchOf(ref, { exposures: [shown(1, "a", "control", Date.now())] }));
    const later = Date.now() + 5 * minute;
    const alarm = await runInDurableObject(stub, async (object, { storage }) => {
      await storage.deleteAlarm();
      const clock = vi.spyOn(Date, "now").mockReturnValue(later);
      try {
        await object.record(batchOf(ref, { exposures: [shown(2, "b", "control", later)] }));
      } finally {
        clock.mockRestore();
      }
      return storage.getAlarm();
    });
    expect(alarm).toBe(later + minute);
  });

  test("an exposure dated far ahead does not keep the object awake", async () => {
    const ref = newRef();
    await withLedger(ref, (ledger, clock) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "a", "control", noon + 365 * 24 * 60 * minute)] }));
      expect(ledger.tick()).toBe(noon + minute);
      clock.now += 7 * minute;
      expect(ledger.tick()).toBeGreaterThan(clock.now + 2 * minute);
    });
  });
});

describe("a look at every subject", () => {
  const planned = [
    { variant: "a", share: 0.5 },
    { variant: "b", share: 0.5 },
  ];
  const plans = [{ epoch: 1, arms: planned }];

  test("follows first exposures in order of time and event id, however they arrived", async () => {
    const ref = newRef();
    // Ids fall while times rise, so that only the pair gives the order.
    const exposures = Array.from({ length: 500 }, (_, n) =>
      shown(500 - n, `s${n}`, (n * n) % 7 < 3 ? "a" : "b", noon + Math.floor(n / 4)),
    );
    const inOrder = exposures.toSorted((a, b) => a[4] - b[4] || (a[0] < b[0] ? -1 : 1));
    const fold = looksAtEverySubject(planned);
    for (const [, , variant] of inOrder) fold.observe(variant);
    await withLedger(ref, async (ledger, clock) => {
      const shuffled = exposures.toSorted((a, b) => (a[1] < b[1] ? -1 : 1));
      for (let start = 0; start < 500; start += 125) {
        ledger.record(batchOf(ref, { exposures: shuffled.slice(start, start + 125) }));
      }
      expect((await coordinated(ledger, clock).counts({ looks: "subject", plans })).subjectLooks).toEqual(
        fold.result(),
      );
      expect(countsOf(ledger).subjectLooks).toBeUndefined();
    });
  });

  test("is left out with several epochs, each of which has a test of its own", async () => {
    const ref = newRef();
    await withLedger(ref, async (ledger, clock) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "x", "a", noon, 1), shown(2, "y", "a", noon, 2)] }));
      expect((await coordinated(ledger, clock).counts({ looks: "subject", plans })).subjectLooks).toBeUndefined();
    });
  });

  test("is left out when there are too many", async () => {
    const ref = newRef();
    await withLedger(ref, async (ledger, clock, { storage }) => {
      ledger.record(batchOf(ref, { exposures: [shown(1, "x", "a")] }));
      storage.sql.exec("UPDATE arms SET subjects = 2000001");
      expect((await coordinated(ledger, clock).counts({ looks: "subject", plans })).subjectLooks).toBeUndefined();
    });
  });
});
