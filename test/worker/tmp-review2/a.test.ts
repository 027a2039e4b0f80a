import { runInDurableObject } from "cloudflare:test";
import { test } from "vitest";
import { results } from "../../../src/ledger/results.ts";
import { newRef, stubOf, shown, noon, idOf } from "../ledger-support.ts";

test("checkpoints", async () => {
  for (const [arms, list] of [
    [2, [260_000]],
    [10, [80_000, 100_000]],
    [100, [2_880, 5_000, 7_000, 10_000]],
  ] as const) {
    const ref = newRef();
    const stub = stubOf(ref);
    await stub.record({
      ref,
      exposures: Array.from({ length: arms }, (_, k) => shown(k, `u${k}`, `variant-${k}`)),
      outcomes: [],
      assignments: [],
    });
    for (const n of list) {
      await runInDurableObject(stub, (_o, state) => {
        state.storage.transactionSync(() => {
          state.storage.sql.exec("DELETE FROM checkpoints");
          for (let i = 0; i < n; i += 1)
            state.storage.sql.exec(
              "INSERT INTO checkpoints VALUES (?,?,?)",
              1000 + i,
              noon + i * 60000,
              JSON.stringify(Array.from({ length: arms }, (_, k) => [1, `variant-${k}`, 1000 + i])),
            );
        });
      });
      const t = Date.now();
      try {
        const c = await stub.counts();
        const t2 = Date.now();
        const planned = Array.from({ length: arms }, (_, k) => ({ variant: `variant-${k}`, share: 1 / arms }));
        results({ counts: c, planned, control: "variant-0", epoch: 1 });
        console.log(arms, n, "ok", c.checkpoints.length, t2 - t, "ms; results", Date.now() - t2, "ms");
      } catch (e) {
        console.log(arms, n, "FAILED", String(e).slice(0, 200), Date.now() - t, "ms");
      }
    }
  }
}, 180_000);

test("id reuse order", async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const ref = newRef();
    const stub = stubOf(ref);
    const rows = [shown(1, "u", "a"), shown(1, "u", "b"), shown(1, "w", "b")];
    const two = order.map((i) => rows[i]!);
    await stub.record({ ref, exposures: [...two, rows[2]!], outcomes: [], assignments: [] });
    const c = await stub.counts();
    console.log("same id", order, JSON.stringify(c.arms), "exp", c.exposures, "rep", c.repeats, "cross", c.crossovers);
  }
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const ref = newRef();
    const stub = stubOf(ref);
    const rows = [
      [idOf(5), "u", "m", "count", noon, 3],
      [idOf(5), "u", "m", "count", noon, 7],
    ] as const;
    await stub.record({ ref, exposures: [shown(1, "u", "a")], outcomes: order.map((i) => rows[i]!), assignments: [] });
    const c = await stub.counts();
    console.log("same outcome id", order, c.metrics[0]?.arms[0]?.sum);
  }
});

test("million subjects looks", async () => {
  const ref = newRef();
  const stub = stubOf(ref);
  await stub.record({ ref, exposures: [shown(1, "u", "a")], outcomes: [], assignments: [] });
  await runInDurableObject(stub, (_o, state) => {
    state.storage.sql.exec(
      "WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n+1 FROM c WHERE n < 2000000) INSERT INTO subjects SELECT n, 'user-' || n, CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END, 1, 1790000000000 + (n * 7919) % 1000000, '019aa5b6-0000-7000-8000-' || printf('%012x', n), NULL, NULL FROM c",
    );
    state.storage.sql.exec("UPDATE arms SET subjects = 2000000");
    try {
      console.log("opts", JSON.stringify(state.storage.sql.exec("PRAGMA compile_options").toArray()));
    } catch (e) {
      console.log("pragma", String(e));
    }
    try {
      console.log(
        "temp",
        JSON.stringify(
          state.storage.sql
            .exec(
              "SELECT sqlite_compileoption_used('TEMP_STORE=3') AS t3, sqlite_compileoption_used('TEMP_STORE=1') AS t1, sqlite_compileoption_used('TEMP_STORE=2') AS t2",
            )
            .toArray(),
        ),
      );
    } catch (e) {
      console.log("opt", String(e));
    }
  });
  const t = Date.now();
  try {
    const c = await stub.counts({
      looks: "subject",
      planned: [
        { variant: "a", share: 1 },
        { variant: "b", share: 1 },
      ],
    });
    console.log("looks", c.subjectLooks, Date.now() - t, "ms");
  } catch (e) {
    console.log("looks FAILED", String(e).slice(0, 200));
  }
}, 180_000);
