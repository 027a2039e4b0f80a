import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { Watch } from "../../src/ledger/watch.ts";
import { openLedger } from "../../worker/ledger.ts";
import { ledgerTelemetry } from "../../worker/ledger-telemetry.ts";
import { purchases } from "../ledger/purchases.ts";
import { scenario } from "../support/scenario.ts";
import { idOf, measured, newRef, noon, shown, stubOf, withLedger } from "./ledger-support.ts";

const watch: Watch = {
  epoch: 1,
  since: noon,
  metrics: [
    { metric: "error", kind: "binary" },
    { metric: "spend", kind: "count", cap: 5 },
  ],
};

const armsOf = (counts: {
  arms: readonly { variant: string; subjects: number; totals: readonly { sum: string }[] }[];
}) => counts.arms.map(({ variant, subjects, totals }) => [variant, subjects, ...totals.map(({ sum }) => sum)]);

describe("what guardrails look at", () => {
  test("a ledger that has counted nothing has nothing, and stores nothing by being asked", () =>
    withLedger(newRef(), (ledger, _clock, { storage }) => {
      expect(ledger.watched(watch)).toEqual({ arms: [] });
      expect(storage.sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = 'watches'").one()).toEqual({
        n: 0,
      });
    }));

  test("counted from all subjects the first time, and with every batch from then on", () => {
    const ref = newRef();
    return withLedger(ref, (ledger) => {
      const record = (
        exposures: Parameters<typeof ledger.record>[0]["exposures"],
        outcomes: Parameters<typeof ledger.record>[0]["outcomes"] = [],
      ) => ledger.record({ ref, exposures, outcomes, assignments: [] });
      record(
        [
          shown(1, "a", "control", noon),
          shown(2, "b", "treatment", noon - 1),
          shown(3, "c", "treatment", noon + 1),
          shown(4, "d", "treatment", noon + 1, 2),
          [idOf(5), "e", "treatment", 1, noon + 2, true],
        ],
        [measured(11, "c", "error", 1, "binary"), measured(12, "b", "error", 1, "binary")],
      );
      expect(armsOf(ledger.watched(watch))).toEqual([
        ["control", 1, "0", "0"],
        ["treatment", 1, "1", "0"],
      ]);
      const again = [shown(6, "f", "treatment", noon + 3), shown(7, "e", "treatment", noon + 4)];
      const spent = [
        measured(13, "f", "spend", 9),
        measured(14, "a", "spend", 1.5),
        measured(15, "e", "error", 1, "binary"),
      ];
      record(again, spent);
      record(again, spent);
      // An earlier exposure, to another variant, moves the subject and what it did.
      record([shown(8, "c", "control", noon)]);
      const counts = ledger.watched(watch);
      expect(armsOf(counts)).toEqual([
        ["control", 2, "1", "1.5"],
        ["treatment", 2, "1", "5"],
      ]);
      // From all subjects, under another key, the same.
      expect(ledger.watched({ ...watch, since: noon - 0.5 })).toEqual(counts);
    });
  });

  test("survives the object, and is one of a few", () => {
    const ref = newRef();
    return withLedger(ref, (ledger, clock, { storage }) => {
      ledger.record({ ref, exposures: [shown(1, "a", "control", noon + 100)], outcomes: [], assignments: [] });
      const keys = () => storage.sql.exec("SELECT key FROM watches").toArray().length;
      for (let start = 0; start < 10; start += 1) {
        clock.now += 1;
        ledger.watched({ ...watch, since: noon + start });
      }
      expect(keys()).toBe(4);
      const reopened = openLedger(storage, () => clock.now);
      reopened.record({ ref, exposures: [shown(2, "b", "control", noon + 100)], outcomes: [], assignments: [] });
      expect(armsOf(reopened.watched({ ...watch, since: noon + 9 }))).toEqual([["control", 2, "0", "0"]]);
      // Asked for nothing in a day, they are dropped with the next new one.
      clock.now += 25 * 3_600_000;
      reopened.watched({ ...watch, since: noon + 50 });
      expect(keys()).toBe(1);
    });
  });

  test("over the object's own interface", async () => {
    const ref = newRef();
    const stub = stubOf(ref);
    await stub.record({ ref, exposures: [shown(1, "a", "control", noon)], outcomes: [], assignments: [] });
    expect(armsOf(await stub.watched(watch))).toEqual([["control", 1, "0", "0"]]);
  });
});

test("a sample ratio that cannot be tested carries no verdict on rare events", async () => {
  const guardrails = [{ metric: "error", relative: true, maximumIncrease: 0.5 }];
  const scene = scenario().writes({ guardrails }).moves("PendingApproval").moves("Approved").moves("Running");
  const rare = (variant: string, n: number) => {
    const total = { observed: n, sum: String(n), sumOfSquares: String(n), cut: 0 };
    return { variant, subjects: 100_000, totals: [total] };
  };
  const verdictWith = async (more: Parameters<typeof purchases>[1]) => {
    const ledger = () => ({
      counts: async () => purchases({ control: [100_000, 0], treatment: [100_000, 0] }, more),
      watched: async () => ({ arms: [rare("control", 2), rare("treatment", 40)] }),
    });
    const telemetry = ledgerTelemetry({ store: memoryStore(), ledger, now: () => noon });
    const readings = await telemetry.guardrails?.(newRef(), scene.state());
    return readings?.map(({ verdict }) => verdict);
  };
  expect(await verdictWith({})).toEqual(["violated"]);
  expect(await verdictWith({ unnamed: { epochs: [0], outcomes: false } })).toEqual(["inconclusive"]);
  expect(await verdictWith({ unnamed: { epochs: [7], outcomes: true } })).toEqual(["violated"]);
});
