/** What governance asks of an experiment's ledger: its counts, judged by the plan that its state holds. */
import { ProvisoError } from "../src/errors.ts";
import type { ConclusionWarning } from "../src/governance/events.ts";
import type { Telemetry } from "../src/governance/evidence.ts";
import type { ExperimentState } from "../src/governance/state.ts";
import type { GovernanceStore } from "../src/governance/store.ts";
import { autoStopReadings } from "../src/ledger/auto-stop.ts";
import type { Signal } from "../src/ledger/crossings.ts";
import { ledgerFigures } from "../src/ledger/figures.ts";
import { groundOf } from "../src/ledger/ground.ts";
import { guardrailReadings, watchOf } from "../src/ledger/guardrail-readings.ts";
import { needsSampleRatio } from "../src/ledger/guardrails.ts";
import { publishingWarning, shippingWarning } from "../src/ledger/peeking.ts";
import { earlierPlansOf, livePlan } from "../src/ledger/plan.ts";
import { sampleRatioOf } from "../src/ledger/sample-ratio.ts";
import { signalsOf } from "../src/ledger/signal-readings.ts";
import { sampleRatioOff } from "../src/ledger/unnamed.ts";
import { noWatchCounts } from "../src/ledger/watch.ts";
import type { ExperimentRef } from "../src/scope.ts";
import type { LedgerStub } from "./env.ts";

export interface LedgerTelemetryOptions {
  readonly store: GovernanceStore;
  readonly ledger: (ref: ExperimentRef) => Pick<LedgerStub, "counts" | "watched">;
  /** ms since 1970 */
  readonly now: () => number;
}

/** As the history keeps it. */
const asWarning = (signal: Signal | null): ConclusionWarning | null => {
  if (signal === null) return null;
  const { signalType, message, data } = signal;
  return { signalType, message, data };
};

export const ledgerTelemetry = ({ store, ledger, now }: LedgerTelemetryOptions): Telemetry => {
  const countsOf = async (ref: ExperimentRef, state: ExperimentState) => {
    const { epoch, arms: planned } = livePlan(state);
    const earlier = earlierPlansOf(state);
    const counts = await ledger(ref).counts({ plans: [...earlier, { epoch, arms: planned }] });
    return { counts, epoch, planned, earlier };
  };
  return {
    async read(ref) {
      const loaded = await store.load(ref);
      if (loaded === null) throw new ProvisoError("experiment-not-found", `there is no experiment ${ref.experiment}`);
      const found = await countsOf(ref, loaded.snapshot.state);
      const off = sampleRatioOff(found.counts, found.epoch);
      return off === undefined ? ledgerFigures(found) : { missing: off };
    },
    async shippingWarning(ref, state, variant) {
      const { counts } = await countsOf(ref, state);
      return asWarning(shippingWarning(state, counts, variant, now()));
    },
    async publishingWarning(ref, state) {
      const { counts } = await countsOf(ref, state);
      return asWarning(publishingWarning(state, counts, now()));
    },
    async signals(ref, state) {
      const { counts } = await countsOf(ref, state);
      return signalsOf(state, counts);
    },
    async guardrails(ref, state) {
      const { guardrails = [], autoStop = [] } = state.live?.configuration ?? {};
      const watch = watchOf(state);
      // Counts look at every checkpoint, so they are read only where a verdict rests on them.
      const rests = autoStop.length > 0 || needsSampleRatio(guardrails);
      const [watched, counted] = await Promise.all([
        watch === null ? noWatchCounts : ledger(ref).watched(watch),
        rests ? countsOf(ref, state) : null,
      ]);
      if (counted === null) return guardrailReadings(state, watched);
      const { counts, epoch, planned, earlier } = counted;
      const sampleRatio = sampleRatioOf(groundOf(counts, planned, epoch, earlier), epoch);
      // Nobody knows that it holds where it cannot be tested.
      const holds = !sampleRatio.sequential.mismatch && sampleRatioOff(counts, epoch) === undefined;
      return [...guardrailReadings(state, watched, holds), ...autoStopReadings(state, counts, sampleRatio)];
    },
  };
};
