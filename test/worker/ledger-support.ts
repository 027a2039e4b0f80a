/** A ledger in a Durable Object of its own, with a clock that the test holds. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { type ExperimentRef, refKey } from "../../src/scope.ts";
import type { CountsOptions } from "../../src/http/dependencies.ts";
import { emptyCounts, type LedgerCounts } from "../../src/ledger/counts.ts";
import type { LedgerEnv } from "../../worker/env.ts";
import { type Ledger, openLedger } from "../../worker/ledger.ts";
import { type Coordinator, createCoordinator, mergedCounts } from "../../worker/ledger-shards.ts";

export const noon = Date.parse("2026-11-21T12:00:00Z");

let made = 0;

export const newRef = (): ExperimentRef => {
  made += 1;
  return { tenant: "default", environment: "default", experiment: `experiment-${made}` };
};

/** Without what the generated types make of its answers. */
export const ledgers: LedgerEnv["LEDGERS"] = env.LEDGERS;

export const stubOf = (ref: ExperimentRef) => env.LEDGERS.getByName(refKey(ref));

/** Runs `work` on a ledger over the object's real storage. */
export const withLedger = <Result>(
  ref: ExperimentRef,
  work: (ledger: Ledger, clock: { now: number }, state: DurableObjectState) => Result | Promise<Result>,
): Promise<Result> =>
  runInDurableObject(stubOf(ref), (_object, state) => {
    const clock = { now: noon };
    return work(
      openLedger(state.storage, () => clock.now),
      clock,
      state,
    );
  });

/** What the one shard of a ledger counts, without waiting; no look is taken. */
export const countsOf = (ledger: Ledger, options: CountsOptions = {}, at = noon): LedgerCounts => {
  const rows = ledger.rows(options);
  return rows === null ? emptyCounts : mergedCounts(ledger, [rows], 1, options, at);
};

/** The first shard of a ledger that has no other. */
export const coordinated = (ledger: Ledger, clock: { readonly now: number }): Coordinator =>
  createCoordinator({
    ledger,
    ref: () => null,
    other: (shard) => {
      throw new RangeError(`there is no shard ${shard}`);
    },
    handOver: () => Promise.resolve(true),
    now: () => clock.now,
  });

/** Does what the alarm does. */
export const rings = async (ledger: Ledger, clock: { readonly now: number }): Promise<number | null> => {
  const next = ledger.tick();
  await coordinated(ledger, clock).look();
  return next;
};

/** A UUIDv7-like id; ids of one kind that differ in `n` differ. */
export const idOf = (n: number): string => `019aa5b6-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;

export const shown = (n: number, subject: string, variant: string, time = noon, epoch = 1): ExposureRow => [
  idOf(n),
  subject,
  variant,
  epoch,
  time,
];

export const measured = (
  n: number,
  subject: string,
  metric: string,
  value: number,
  kind: OutcomeRow[3] = "count",
  time = noon,
): OutcomeRow => [idOf(n), subject, metric, kind, time, value];
