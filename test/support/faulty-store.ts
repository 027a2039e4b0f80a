/** A store that misbehaves once, at one of its calls: what stands between every `await` of the code above it. */
import { ProvisoError } from "../../src/errors.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";

/**
 * `fail`: nothing was done. `lose`: it was done, and the answer is lost. `delay`: it is done only after something else
 * has happened.
 */
export type StoreFault = "fail" | "lose" | "delay";

export interface FaultyStore extends GovernanceStore {
  /** Calls so far, by the names of their methods. */
  readonly calls: readonly string[];
}

export interface FaultPlan {
  /** Which call, counted from 1; none without it. */
  readonly call?: number;
  readonly fault?: StoreFault;
  /** What happens during a delay. */
  readonly meanwhile?: () => Promise<void>;
}

const unavailable = (method: string): ProvisoError =>
  new ProvisoError("store-unavailable", `a fault of the test in ${method}`);

export const faultyStore = (store: GovernanceStore, plan: FaultPlan = {}): FaultyStore => {
  const calls: string[] = [];
  const at = async <Result>(method: string, work: () => Promise<Result>): Promise<Result> => {
    calls.push(method);
    if (calls.length !== plan.call) return work();
    switch (plan.fault) {
      case "fail":
        throw unavailable(method);
      case "lose":
        await work();
        throw unavailable(method);
      case "delay":
        await plan.meanwhile?.();
        return work();
      case undefined:
        return work();
      default:
        return plan.fault satisfies never;
    }
  };
  return {
    calls,
    name: store.name,
    load: (ref, options) => at("load", () => store.load(ref, options)),
    commit: (ref, commit) => at("commit", () => store.commit(ref, commit)),
    history: (ref, query) => at("history", () => store.history(ref, query)),
    list: (scope, query) => at("list", () => store.list(scope, query)),
    rules: (ref, query) => at("rules", () => store.rules(ref, query)),
    personal: (ref, query) => at("personal", () => store.personal(ref, query)),
    erase: (ref, refs) => at("erase", () => store.erase(ref, refs)),
    archive: (ref, checkpoint) => at("archive", () => store.archive(ref, checkpoint)),
    checkpoint: (ref) => at("checkpoint", () => store.checkpoint(ref)),
    receipts: (ref, query) => at("receipts", () => store.receipts(ref, query)),
    keepReceipts: (ref, receipts) => at("keepReceipts", () => store.keepReceipts(ref, receipts)),
    sweep: (ref, now) => at("sweep", () => store.sweep(ref, now)),
    positions: (ref) => at("positions", () => store.positions(ref)),
    advance: (ref, subscriber, seq) => at("advance", () => store.advance(ref, subscriber, seq)),
    check: () => at("check", () => store.check()),
  };
};
