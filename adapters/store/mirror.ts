/**
 * A store that others follow: SQL as the authority with Redis in front, a second region, a copy to move to.
 *
 * The primary decides. It is asked first, what it refuses is refused, and what it has taken stands, whatever becomes of
 * the followers: a commit that a follower did not take is answered `ok`, the follower is marked behind and goes on from
 * its own head as soon as it can, without a gap. A follower whose history differs is reported and never written over.
 */
import { ProvisoError } from "../../src/errors.ts";
import type { Subscriber } from "../../src/delivery/subscriber.ts";
import { startTimer } from "../../src/events/timer.ts";
import type { PersonalRef } from "../../src/governance/events.ts";
import { storableRefs } from "../../src/governance/storable-query.ts";
import type { Commit, GovernanceStore, HistoryPage, ListPage } from "../../src/governance/store.ts";
import { limits } from "../../src/limits.ts";
import { type ExperimentRef, refKey, type Scope, scopeKey } from "../../src/scope.ts";
import { createFollower, type Follower, type FollowerTrouble } from "../../src/governance/follower.ts";

export type { FollowerTrouble } from "../../src/governance/follower.ts";

export interface MirrorStoreOptions {
  readonly primary: GovernanceStore;
  /** At least one. */
  readonly followers: readonly GovernanceStore[];
  /**
   * `writeThrough`: a commit is answered when every follower has it, or has failed to take it in {@link followerTimeoutMs}.
   * `writeBehind`: it is answered when the primary has it. Default: `writeThrough`.
   */
  readonly mode?: "writeThrough" | "writeBehind";
  /**
   * Where `history` and `list` are read. `follower`: from the first that is in step as far as this process knows; its pages say so
   * in `source`. Not for a store that decisions are made on. Default: `primary`.
   */
  readonly reads?: "primary" | "follower";
  /** Default: 5,000. */
  readonly followerTimeoutMs?: number;
  /** Hears of every failure of a follower. */
  readonly report?: (error: unknown) => void;
  /** Keeps the process alive for what goes on behind an answer: a Worker's `ctx.waitUntil`. */
  readonly waitUntil?: (work: Promise<void>) => void;
  /** For health reports. Default: `mirror`. */
  readonly name?: string;
}

export interface MirrorStore extends GovernanceStore {
  /** Brings every follower to where the primary is. Rejects when one cannot be brought there. */
  catchUp(ref: ExperimentRef): Promise<void>;
  /**
   * The same for every experiment of a scope: after an outage, and for a follower that is new.
   *
   * @returns how many experiments there are, and who could not follow
   */
  catchUpAll(scope: Scope): Promise<{ readonly experiments: number; readonly troubles: readonly FollowerTrouble[] }>;
  /**
   * Makes the outbox bring the followers on (`createGovernance({ store, subscribers: [store.subscriber] })`): tried again for as long as
   * it takes, and also after this process has died between the primary and a follower.
   */
  readonly subscriber: Subscriber;
  /** Who is behind, or refused, as far as this process knows. */
  troubles(): readonly FollowerTrouble[];
}

/** True for a store that {@link mirrorStore} has made, also behind something that passes its members on. */
export const isMirror = (store: GovernanceStore): store is MirrorStore =>
  "catchUpAll" in store && "subscriber" in store;

const retriesMax = 6;
const firstRetryMs = 500;

const within = async (ms: number, work: Promise<void>): Promise<void> => {
  const { promise, reject } = Promise.withResolvers<never>();
  const cancel = startTimer(
    () => reject(new ProvisoError("store-unavailable", `the follower took longer than ${ms} ms`)),
    ms,
    true,
  );
  try {
    await Promise.race([work, promise]);
  } finally {
    cancel();
  }
};

const later = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    startTimer(resolve, ms, false);
  });

/**
 * A {@link GovernanceStore} of several.
 *
 * @example const store = mirrorStore({ primary: d1Store({ database }), followers: [upstashStore({ client })] });
 */
export const mirrorStore = (options: MirrorStoreOptions): MirrorStore => {
  const { primary, mode = "writeThrough", reads = "primary", followerTimeoutMs = 5_000, name = "mirror" } = options;
  const { waitUntil = () => undefined } = options;
  /** A commit that has been made does not fail because somebody could not be told of a follower. */
  const report = (error: unknown): void => {
    try {
      options.report?.(error);
    } catch {
      // There is nobody left to tell.
    }
  };
  if (options.followers.length === 0) throw new TypeError("mirrorStore: at least one follower");
  const followers = options.followers.map((store) => createFollower(primary, store));
  /** Experiments that a follower is being brought on with, behind an answer. */
  const retrying = new Set<string>();

  /** In the background until it succeeds, is refused, or has failed several times: then the next commit begins anew. */
  const retry = async (follower: Follower, ref: ExperimentRef, key: string): Promise<void> => {
    for (let attempt = 0; attempt < retriesMax; attempt += 1) {
      try {
        await follower.catchUp(ref);
        break;
      } catch (error) {
        report(error);
        if (follower.standing(ref) === "refused") break;
        if (attempt < retriesMax - 1) await later(firstRetryMs * 2 ** attempt);
      }
    }
    retrying.delete(key);
  };

  const bringOn = (follower: Follower, ref: ExperimentRef): void => {
    const key = JSON.stringify([followers.indexOf(follower), refKey(ref)]);
    if (retrying.has(key)) return;
    retrying.add(key);
    waitUntil(retry(follower, ref, key));
  };

  const followCommit = async (follower: Follower, ref: ExperimentRef, commit: Commit): Promise<void> => {
    const applied = follower.apply(ref, commit);
    try {
      await (mode === "writeThrough" ? within(followerTimeoutMs, applied) : applied);
    } catch (error) {
      report(error);
      // What is still under way goes on; whatever comes of it, the follower is looked at again.
      bringOn(follower, ref);
    }
  };

  /** From the first follower that could know, and else from the primary. */
  const read = async <Page extends HistoryPage | ListPage>(
    isInStep: (follower: Follower) => boolean,
    ask: (store: GovernanceStore) => Promise<Page>,
  ): Promise<Page> => {
    const follower = reads === "follower" ? followers.find(isInStep) : undefined;
    if (follower === undefined) return ask(primary);
    try {
      return { ...(await ask(follower.store)), source: follower.store.name };
    } catch (error) {
      // What is asked is wrong, not who is asked.
      if (error instanceof ProvisoError && error.code === "invalid-request") throw error;
      report(error);
      return ask(primary);
    }
  };

  const everyFollower = async (work: (follower: Follower) => Promise<unknown>): Promise<readonly unknown[]> => {
    const results = await Promise.allSettled(followers.map(work));
    return results.flatMap((result): readonly unknown[] => (result.status === "rejected" ? [result.reason] : []));
  };

  const catchUp = async (ref: ExperimentRef): Promise<void> => {
    const errors = await everyFollower((follower) => follower.catchUp(ref));
    for (const error of errors) report(error);
    if (errors.length > 0) throw errors[0];
  };

  /** Who does not hear of it has it told by the next catching up, or delivers again: a position says "at least". */
  const advanceFollowers = async (ref: ExperimentRef, subscriber: string, seq: number): Promise<void> => {
    const advanced = (follower: Follower): Promise<void> =>
      within(followerTimeoutMs, follower.advance(ref, subscriber, seq));
    for (const error of await everyFollower(advanced)) report(error);
  };

  const eraseAtFollowers = async (ref: ExperimentRef, refs: readonly PersonalRef[]): Promise<void> => {
    const errors = await everyFollower((follower) => follower.erase(ref, refs));
    if (errors.length === 0) return;
    for (const error of errors) report(error);
    const cause = new AggregateError(errors, String(errors[0]));
    throw new ProvisoError("store-unavailable", "a follower has not erased the values: ask again", {}, { cause });
  };

  const troubles = (): readonly FollowerTrouble[] => followers.flatMap((follower) => follower.troubles());

  return {
    name,
    load: (ref, query) => primary.load(ref, query),

    async commit(ref, commit) {
      const result = await primary.commit(ref, commit);
      if (!result.ok) return result;
      const following = Promise.all(followers.map((follower) => followCommit(follower, ref, commit)));
      if (mode === "writeThrough") await following;
      else waitUntil(following.then(() => undefined));
      return result;
    },

    history: (ref, query) =>
      read(
        (follower) => follower.standing(ref) === "inStep",
        (store) => store.history(ref, query),
      ),
    list: (scope, query) =>
      read(
        (follower) => follower.troubles().every(({ ref }) => scopeKey(ref) !== scopeKey(scope)),
        (store) => store.list(scope, query),
      ),

    rules: (ref, query) => primary.rules(ref, query),
    personal: (ref, query) => primary.personal(ref, query),

    /**
     * Done when it is done everywhere, in either mode: a value that a follower keeps is not erased. The primary comes after
     * the followers, because it knows what is to be erased for whoever has to ask again; and then they once more, because
     * something may have been on its way to them that was read before.
     */
    async erase(ref: ExperimentRef, given: readonly PersonalRef[]) {
      const refs = storableRefs(ref, given);
      await eraseAtFollowers(ref, refs);
      await primary.erase(ref, refs);
      await eraseAtFollowers(ref, refs);
    },

    /** What is archived is gone from the primary, so every follower that can follow has it first. */
    async archive(ref, checkpoint) {
      const late = await everyFollower(async (follower) => {
        await follower.catchUp(ref).catch((error: unknown) => {
          if (follower.standing(ref) !== "refused") throw error;
        });
      });
      for (const error of late) report(error);
      if (late.length > 0) {
        const cause = new AggregateError(late, String(late[0]));
        throw new ProvisoError("store-unavailable", "a follower lacks what would be archived", {}, { cause });
      }
      if (!(await primary.archive(ref, checkpoint))) return false;
      await everyFollower(async (follower) => {
        await follower.catchUp(ref).catch((error: unknown) => {
          report(error);
          bringOn(follower, ref);
        });
      });
      return true;
    },

    checkpoint: (ref) => primary.checkpoint(ref),

    receipts: (ref, query) => primary.receipts(ref, query),

    async keepReceipts(ref, receipts) {
      await primary.keepReceipts(ref, receipts);
      for (const error of await everyFollower(({ store }) => store.keepReceipts(ref, receipts))) report(error);
    },

    async sweep(ref, now) {
      await primary.sweep(ref, now);
      // Receipts of a follower that is away expire all the same.
      for (const error of await everyFollower(({ store }) => store.sweep(ref, now))) report(error);
    },

    positions: (ref) => primary.positions(ref),
    async advance(ref, subscriber, seq) {
      await primary.advance(ref, subscriber, seq);
      const following = advanceFollowers(ref, subscriber, seq);
      if (mode === "writeThrough") await following;
      else waitUntil(following);
    },

    async check() {
      await primary.check();
      const refused = troubles().find(({ standing }) => standing === "refused");
      if (refused !== undefined) throw new ProvisoError("store-unavailable", refused.error);
    },

    catchUp,

    async catchUpAll(scope) {
      let experiments = 0;
      for (let cursor: string | null = ""; cursor !== null;) {
        const page: ListPage = await primary.list(scope, { cursor, limit: limits.heavyPageRows });
        for (const { ref } of page.items) {
          // Who cannot follow is told at the end.
          await catchUp(ref).catch(() => undefined);
          experiments += 1;
        }
        cursor = page.next;
      }
      return { experiments, troubles: troubles().filter(({ ref }) => scopeKey(ref) === scopeKey(scope)) };
    },

    subscriber: {
      name,
      async deliver({ ref, events }) {
        const last = events.at(-1)?.hash ?? "";
        if (followers.some((follower) => !follower.has(ref, last))) await catchUp(ref);
      },
    },

    troubles,
  };
};
