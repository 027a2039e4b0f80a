/** A ledger in a Durable Object of its own, with a clock that the test holds. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { type ExperimentRef, refKey } from "../../src/scope.ts";
import { type Ledger, openLedger } from "../../worker/ledger.ts";

export const noon = Date.parse("2026-11-21T12:00:00Z");

let made = 0;

export const newRef = (): ExperimentRef => {
  made += 1;
  return { tenant: "default", environment: "default", experiment: `experiment-${made}` };
};

export const stubOf = (ref: ExperimentRef) => env.LEDGERS.getByName(refKey(ref));

/** Runs `work` on a ledger over the object's real storage. */
export const withLedger = <Result>(
  ref: ExperimentRef,
  work: (ledger: Ledger, clock: { now: number }, state: DurableObjectState) => Result,
): Promise<Result> =>
  runInDurableObject(stubOf(ref), (_object, state) => {
    const clock = { now: noon };
    return work(
      openLedger(state.storage, () => clock.now),
      clock,
      state,
    );
  });

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
