/** Looking at a mirror from outside: what a primary and a follower both say, and followers that fail as told. */
import { expect } from "vitest";
import type { GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";
import { observe } from "../conformance/store/under-test.ts";

/** Everything: what can be read of an experiment, the answers that are kept, and how far its subscribers have been served. */
export const expectSame = async (
  primary: GovernanceStore,
  follower: GovernanceStore,
  ...refs: readonly ExperimentRef[]
): Promise<void> => {
  for (const ref of refs) {
    expect(await observe(follower, ref)).toEqual(await observe(primary, ref));
    expect(await follower.receipts(ref)).toEqual(await primary.receipts(ref));
    expect(await follower.positions(ref)).toEqual(await primary.positions(ref));
  }
};

/** Both list the same, also by surface. */
export const expectSameLists = async (
  primary: GovernanceStore,
  follower: GovernanceStore,
  scope: Scope,
  surfaces: readonly string[] = [],
): Promise<void> => {
  expect(await follower.list(scope)).toEqual(await primary.list(scope));
  for (const surface of surfaces)
    expect(await follower.list(scope, { surface })).toEqual(await primary.list(scope, { surface }));
};

/** What an operation of a follower does instead of, before or after what it should do. */
export type Meet = <Answer>(work: () => Promise<Answer>) => Promise<Answer>;

export const works: Meet = (work) => work();
export const isAway: Meet = () => Promise.reject(new Error("the follower is away"));
export const losesAnswer: Meet = async (work) => {
  await work();
  throw new Error("the answer is lost");
};

/** A store whose every operation is met as `switched.meet` says at that moment. */
export const switchable = (store: GovernanceStore) => {
  const switched = { meet: works, asked: 0 };
  const met = <Answer>(work: () => Promise<Answer>): Promise<Answer> => {
    switched.asked += 1;
    return switched.meet(work);
  };
  const wrapped: GovernanceStore = {
    name: store.name,
    load: (...asked) => met(() => store.load(...asked)),
    commit: (...asked) => met(() => store.commit(...asked)),
    history: (...asked) => met(() => store.history(...asked)),
    list: (...asked) => met(() => store.list(...asked)),
    rules: (...asked) => met(() => store.rules(...asked)),
    personal: (...asked) => met(() => store.personal(...asked)),
    erase: (...asked) => met(() => store.erase(...asked)),
    archive: (...asked) => met(() => store.archive(...asked)),
    checkpoint: (...asked) => met(() => store.checkpoint(...asked)),
    receipts: (...asked) => met(() => store.receipts(...asked)),
    keepReceipts: (...asked) => met(() => store.keepReceipts(...asked)),
    sweep: (...asked) => met(() => store.sweep(...asked)),
    positions: (...asked) => met(() => store.positions(...asked)),
    advance: (...asked) => met(() => store.advance(...asked)),
    check: () => met(() => store.check()),
  };
  return { store: wrapped, switched };
};
