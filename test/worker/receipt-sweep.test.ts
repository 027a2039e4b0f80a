/** When an experiment's object looks for expired receipts, by its own alarm, and that they are gone from the database then. */
import { expect, test } from "vitest";
import { d1Store } from "../../adapters/store/d1.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { type AlarmStorage, createAlarms } from "../../worker/alarms.ts";
import { createReceiptSweep, receiptLifetimeMs, type ReceiptSweepOptions } from "../../worker/receipt-sweep.ts";
import { migratedDatabase } from "./d1.ts";

const hour = 3_600_000;
const ref: ExperimentRef = { tenant: "default", environment: "default", experiment: "swept" };

/** An object's alarm, with a clock that the test holds. */
const object = (sweep: ReceiptSweepOptions["sweep"]) => {
  const kept = new Map<string, unknown>();
  let time = Date.parse("2026-11-21T12:00:00Z");
  let rings: number | null = null;
  let writes = 0;
  const reported: unknown[] = [];
  const storage: AlarmStorage = {
    list: ({ prefix }) => Promise.resolve(new Map([...kept].filter(([key]) => key.startsWith(prefix)))),
    put: async (key, value) => {
      writes += 1;
      kept.set(key, value);
    },
    delete: (key) => Promise.resolve(kept.delete(key)),
    setAlarm: (at) => Promise.resolve(void (rings = at)),
  };
  const now = () => time;
  const report = (error: unknown) => void reported.push(error);
  const receipts = createReceiptSweep({ sweep, wake: (of, at) => alarms.wake(of, at), now, report });
  const alarms = createAlarms({ storage, now, report, tick: (of) => receipts.look(of) });
  return {
    receipts,
    now,
    reported,
    writes: () => writes,
    rings: () => rings,
    waits: (ms: number) => void (time += ms),
    /** Rings whatever is due within so many ms, at its time. */
    async passes(ms: number) {
      const end = time + ms;
      while (kept.size > 0 && rings !== null && rings <= end) {
        time = Math.max(time, rings);
        rings = null;
        await alarms.ring();
      }
      time = end;
    },
  };
};

test("the last receipts of an experiment that nobody touches any more leave the database within two hours of expiring", async () => {
  const database = await migratedDatabase();
  const store = d1Store({ database });
  const count = async (): Promise<number> =>
    (await database
      .prepare("SELECT count(*) AS n FROM receipts WHERE experiment = ?")
      .bind("swept")
      .first<number>("n")) ?? 0;
  const it = object((of, now) => store.sweep(of, now));
  const governance = createGovernance({ store, now: it.now });
  const author = { actor: { id: "ada", kind: "human" as const, roles: ["editor"] } };
  const variants = [{ key: "control", control: true }, { key: "treatment" }];
  await governance.define(ref, { variants }, { ...author, idempotencyKey: "one" });
  await it.receipts.noted(ref);
  it.waits(hour / 2);
  await governance.transition(ref, "PendingApproval", {}, { ...author, idempotencyKey: "two" });
  await it.receipts.noted(ref);
  expect(await count()).toBe(2);
  await it.passes(receiptLifetimeMs - hour);
  expect(await count()).toBe(2);
  await it.passes(2 * hour);
  expect([await count(), it.reported]).toEqual([0, []]);
  expect(it.rings()).toBeNull();
});

test("many commands are one write an hour, and many rings one sweep an hour", async () => {
  let sweeps = 0;
  const it = object(async () => void (sweeps += 1));
  for (let n = 0; n < 100; n += 1) {
    await it.receipts.noted(ref);
    await it.receipts.look(ref);
    it.waits(60_000);
  }
  expect([it.writes(), sweeps]).toEqual([2, 2]);
});

test("a ring that comes soon after a sweep is not the last: what has expired in between is swept, too", async () => {
  const sweptAt: number[] = [];
  const it = object(async () => void sweptAt.push(it.now()));
  const begin = it.now();
  await it.receipts.noted(ref);
  await it.passes(receiptLifetimeMs + hour / 2);
  await it.receipts.look(ref);
  await it.passes(3 * hour);
  expect(sweptAt.map((at) => (at - begin - receiptLifetimeMs) / hour)).toEqual([0.5, 1.5]);
  expect(it.rings()).toBeNull();
});

test("a store that is away is asked again an hour later", async () => {
  let failures = 2;
  let sweeps = 0;
  const it = object(async () => {
    sweeps += 1;
    failures -= 1;
    if (failures >= 0) throw new Error("away");
  });
  await it.receipts.noted(ref);
  await it.passes(receiptLifetimeMs + 2 * hour);
  expect([sweeps, it.reported.length]).toEqual([2, 2]);
  await it.passes(hour);
  expect(sweeps).toBe(3);
  await it.passes(100 * hour);
  expect(sweeps).toBe(3);
});
