/**
 * The plans of the experiments that this isolate has seen events of. A plan is read when an experiment is new here, when
 * an event names what the remembered plan does not know, and when it has grown old; never for an event that it knows.
 */
import { type LedgerPlan, type PlanCheck, planCheck } from "../src/ledger/plan.ts";
import { type ExperimentRef, refKey } from "../src/scope.ts";

/** Asks the authority. null: there is no such experiment. */
export type ReadPlan = (ref: ExperimentRef) => Promise<LedgerPlan | null>;

export interface KnownPlan extends PlanCheck {
  readonly plan: LedgerPlan;
}

export interface PlanCache {
  /** What is remembered, however old. */
  known(ref: ExperimentRef): KnownPlan | undefined;
  /** True for one that should be read again when there is an occasion: definitions of metrics change without a new name. */
  isOld(ref: ExperimentRef, now: number): boolean;
  /** Reads anew, and remembers. Nothing is shared with another caller: what another request waits for may never come. */
  refresh(ref: ExperimentRef): Promise<KnownPlan | null>;
}

export const planAgeMaxMs = 60_000;
const rememberedMax = 1_000;

/**
 * @param now ms since 1970
 * @example const plans = createPlanCache(async (ref) => planOf((await store.load(ref))?.snapshot), Date.now);
 */
export const createPlanCache = (read: ReadPlan, now: () => number): PlanCache => {
  const remembered = new Map<string, { readonly plan: KnownPlan; readonly readAt: number }>();
  return {
    known: (ref) => remembered.get(refKey(ref))?.plan,
    isOld: (ref, at) => at - (remembered.get(refKey(ref))?.readAt ?? -Infinity) > planAgeMaxMs,
    async refresh(ref) {
      const readAt = now();
      const plan = await read(ref);
      const key = refKey(ref);
      // Deleted and set, so that the order of the map is that of the last reading: the oldest is forgotten first.
      const before = remembered.get(key);
      remembered.delete(key);
      if (plan === null) return null;
      // Two readings may come back in the other order.
      const newest =
        before !== undefined && before.plan.plan.revision > plan.revision ? before.plan : { plan, ...planCheck(plan) };
      remembered.set(key, { plan: newest, readAt });
      const [oldest] = remembered.keys();
      if (remembered.size > rememberedMax && oldest !== undefined) remembered.delete(oldest);
      return newest;
    },
  };
};
