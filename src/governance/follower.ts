/**
 * One follower of a mirror. How far it has come is said by nothing but its own head, so there is no position that could be
 * wrong: whatever failed, it goes on from there through the primary's history, event by event and without a gap.
 */
import { byteLength, canonicalJson } from "../canonical.ts";
import { ProvisoError } from "../errors.ts";
import { withCurrentShape } from "./current-shape.ts";
import { referencesIn, rulesIn } from "./event-references.ts";
import type { EventRecord, PersonalRef } from "./events.ts";
import { evolve } from "./evolve.ts";
import { createLocks } from "./locks.ts";
import { type ExperimentState, peopleOf } from "./state.ts";
import type {
  Checkpoint,
  Commit,
  GovernanceStore,
  Head,
  Loaded,
  PersonalPage,
  PersonalValue,
  Receipt,
  ReceiptsPage,
  RulesPage,
  RuleSet,
  Snapshot,
} from "./store.ts";
import { limits } from "../limits.ts";
import { messageOf } from "../message-of.ts";
import { type ExperimentRef, refKey, scopeKey } from "../scope.ts";

/** `behind`: it goes on from its head at the next opportunity. `refused`: it cannot, and is left alone. */
export interface FollowerTrouble {
  readonly follower: string;
  readonly ref: ExperimentRef;
  readonly standing: "behind" | "refused";
  readonly error: string;
}

export interface Follower {
  readonly store: GovernanceStore;
  /** What the primary has just taken. Rejects when the follower does not have it. */
  apply(ref: ExperimentRef, commit: Commit): Promise<void>;
  /** Rejects when the follower is not where the primary is. */
  catchUp(ref: ExperimentRef): Promise<void>;
  erase(ref: ExperimentRef, refs: readonly PersonalRef[]): Promise<void>;
  /** Up to where a subscriber of the primary has been served; never further than the follower's own head. */
  advance(ref: ExperimentRef, subscriber: string, seq: number): Promise<void>;
  /**
   * True when this process has seen the follower take the event with this hash, and knows that it has the receipts of all
   * that came before.
   */
  has(ref: ExperimentRef, hash: string): boolean;
  /** As far as this process knows. */
  standing(ref: ExperimentRef): "inStep" | FollowerTrouble["standing"];
  troubles(): readonly FollowerTrouble[];
}

/** Receipts that the follower lacks, and where the primary stood before they were read. */
interface ReadReceipts {
  readonly head: string;
  readonly receipts: readonly Receipt[];
}

const chunkBytesMax = 1_000_000;
/** How often receipts are read anew because the primary has moved on. Then events are in step, and receipts may not be. */
const receiptRoundsMax = 3;
/** Experiments that wait for each other's names: a longer row is not made by any history. */
const holdersMax = 100;
const overtakenMax = 20;
/** Experiments that one process remembers something of. */
const knownMax = 10_000;

/** The time of the last event. */
const atOf = ({ head, snapshot }: Loaded): string => head.at ?? snapshot.state.updatedAt;

/** Nothing that time heals: somebody must look. */
const refusal = (message: string): ProvisoError => new ProvisoError("internal", message, { refused: true });
const isRefusal = (error: unknown): boolean => error instanceof ProvisoError && error.details["refused"] === true;

/** As many as are wanted at once, and no more bytes than every store takes at once; but one in any case. */
const chunkOf = <Item>(items: readonly Item[], countMax: number): readonly Item[] => {
  let bytes = 0;
  const end = items.findIndex((item, index) => {
    bytes += byteLength(canonicalJson(item));
    return index >= countMax || (index > 0 && bytes > chunkBytesMax);
  });
  return end === -1 ? items : items.slice(0, end);
};

/** The snapshot after some events behind what the follower has; null where they do not change it. */
const snapshotAfter = (loaded: Loaded | null, events: readonly EventRecord[], revisionMax: number): Snapshot | null => {
  let state: ExperimentState | null = loaded?.snapshot.state ?? null;
  let changedBy: EventRecord | null = null;
  for (const event of events) {
    const next = evolve(state, event);
    if (next !== state) changedBy = event;
    state = next;
  }
  if (state === null || changedBy === null) return null;
  // A commit of the primary may be cut in two here, so there is no revision of its own for what is between.
  const revision = Math.min((loaded?.snapshot.revision ?? 0) + 1, revisionMax);
  return { state, revision, revisionHash: changedBy.hash };
};

const without = (names: readonly string[], others: readonly string[]): readonly string[] =>
  names.filter((name) => !others.includes(name));

const isSameReceipt = (left: Receipt, right: Receipt): boolean =>
  left.fingerprint === right.fingerprint && Date.parse(left.expiresAt) === Date.parse(right.expiresAt);

async function* receiptsIn(store: GovernanceStore, ref: ExperimentRef, now: string): AsyncGenerator<Receipt> {
  for (let after: string | null = ""; after !== null;) {
    const page: ReceiptsPage = await store.receipts(ref, { after, now });
    yield* page.receipts;
    after = page.next;
  }
}

/** The newest entry stands last, so the first one is the one to forget. */
const remember = <Value>(known: Map<string, Value>, key: string, value: Value): void => {
  known.delete(key);
  known.set(key, value);
  const oldest = known.keys().next();
  if (known.size > knownMax && oldest.done !== true) known.delete(oldest.value);
};

export const createFollower = (primary: GovernanceStore, store: GovernanceStore): Follower => {
  const current = withCurrentShape(store);
  const locks = createLocks();
  const troubles = new Map<string, FollowerTrouble>();
  /** Commits on their way, which an erasure has to wait for. */
  const underWay = new Map<string, Set<Promise<void>>>();

  /** The last event that each experiment was seen to have, with the receipts of everything up to it. */
  const heads = new Map<string, Head>();

  const note = (ref: ExperimentRef, error: unknown): void => {
    const standing = isRefusal(error) ? "refused" : "behind";
    remember(troubles, refKey(ref), { follower: store.name, ref, standing, error: messageOf(error) });
  };

  /** Runs something for an experiment; what comes of it is what is known of the experiment then. */
  const noting = async (ref: ExperimentRef, work: () => Promise<void>): Promise<void> => {
    const key = refKey(ref);
    const running = work();
    const others = underWay.get(key) ?? new Set<Promise<void>>();
    underWay.set(key, others.add(running));
    try {
      await running;
      troubles.delete(key);
    } catch (error) {
      note(ref, error);
      throw error;
    } finally {
      others.delete(running);
      if (others.size === 0) underWay.delete(key);
    }
  };

  const personalOf = async (ref: ExperimentRef, refs: readonly PersonalRef[]): Promise<readonly PersonalValue[]> => {
    const found: PersonalValue[] = [];
    for (let from = 0; from < refs.length; from += limits.pageRows) {
      const query = { refs: refs.slice(from, from + limits.pageRows), limit: limits.heavyPageRows };
      for (let after: string | null = ""; after !== null;) {
        const page: PersonalPage = await primary.personal(ref, { ...query, after });
        found.push(...page.values);
        after = page.next;
      }
    }
    return found;
  };

  const rulesOf = async (ref: ExperimentRef, digests: readonly string[]): Promise<readonly RuleSet[]> => {
    const found: RuleSet[] = [];
    for (let after: string | null = ""; after !== null && found.length < digests.length;) {
      const page: RulesPage = await primary.rules(ref, { after });
      found.push(...page.rules.filter(({ digest }) => digests.includes(digest)));
      after = page.next;
    }
    return found;
  };

  /** Loud, and nothing is written: a follower that says otherwise than the primary is somebody's to look at. */
  const checkSameHistory = async (ref: ExperimentRef, mine: Loaded, theirs: Loaded | null): Promise<void> => {
    const where = `${store.name}, which follows ${primary.name}, has another history of ${ref.experiment}`;
    if (theirs === null || mine.head.seq > theirs.head.seq)
      throw refusal(`${where}: it goes on to event ${mine.head.seq}, and the primary ends at ${theirs?.head.seq ?? 0}`);
    const [event] = (await primary.history(ref, { after: mine.head.seq - 1, limit: 1 })).events;
    if (event?.seq !== mine.head.seq)
      throw refusal(`${where.replace("another history", "too little")}: the primary has archived what comes next`);
    if (event.hash !== mine.head.hash) throw refusal(`${where}: they part at event ${mine.head.seq} or before`);
  };

  const sameCheckpoint = async (ref: ExperimentRef): Promise<void> => {
    const wanted: Checkpoint | null = await primary.checkpoint(ref);
    if (wanted === null || (await store.checkpoint(ref))?.seq === wanted.seq) return;
    if (!(await store.archive(ref, wanted)))
      throw refusal(`${store.name} does not take the checkpoint of ${ref.experiment} at event ${wanted.seq}`);
  };

  /** Values that were erased while they were on their way must not stay behind. */
  const forgetErased = async (ref: ExperimentRef, brought: readonly PersonalValue[]): Promise<void> => {
    if (brought.length === 0) return;
    const refs = brought.map((value) => value.ref);
    const left = (await personalOf(ref, refs)).map((value) => value.ref);
    const erased = without(refs, left);
    if (erased.length > 0) await store.erase(ref, erased);
  };

  /**
   * What the primary keeps under idempotency keys and the follower lacks. The follower is read first, so what it alone has
   * the primary has let go of since: an erasure took it, while a process that has died brought it here.
   */
  const missingReceipts = async (ref: ExperimentRef, now: string, mayHaveMore = true): Promise<readonly Receipt[]> => {
    const known = new Map<string, Receipt>();
    for await (const one of receiptsIn(store, ref, now)) known.set(one.key, one);
    const [missing, alone]: [Receipt[], Set<string>] = [[], new Set(known.keys())];
    for await (const one of receiptsIn(primary, ref, now)) {
      const mine = known.get(one.key);
      if (mine === undefined || !isSameReceipt(mine, one)) missing.push(one);
      alone.delete(one.key);
    }
    if (alone.size === 0 || !mayHaveMore) return missing;
    await store.erase(ref, []);
    return missingReceipts(ref, now, false);
  };

  /**
   * An erasure takes all receipts with it. If there was one since these were read, none of them may stay behind.
   *
   * @returns false when there was
   */
  const keepReceipts = async (ref: ExperimentRef, receipts: readonly Receipt[], now: string): Promise<boolean> => {
    if (receipts.length === 0) return true;
    for (let rest = receipts; rest.length > 0;) {
      const chunk = chunkOf(rest, limits.heavyPageRows);
      await store.keepReceipts(ref, chunk);
      rest = rest.slice(chunk.length);
    }
    const left = new Set<string>();
    for await (const { key } of receiptsIn(primary, ref, now)) left.add(key);
    if (receipts.every(({ key }) => left.has(key))) return true;
    heads.delete(refKey(ref));
    await store.erase(ref, []);
    return false;
  };

  const samePositions = async (ref: ExperimentRef, head: Head): Promise<void> => {
    const mine = await store.positions(ref);
    for (const [subscriber, seq] of await primary.positions(ref)) {
      const reached = Math.min(seq, head.seq);
      if (reached > (mine.get(subscriber) ?? 0)) await store.advance(ref, subscriber, reached);
    }
  };

  /**
   * One commit at a time until the heads are the same. Names change hands between experiments in an order that only the
   * primary knows, so where another one still holds a name here, the commit is cut down to one event, and then that other one
   * goes on first. Whoever holds the name here has let it go later on, so no two wait for each other.
   *
   * Receipts come behind the events: no answer is here without what it says was done. So they are read when the heads are
   * the same, and kept when the heads are the same again.
   */
  const goOn = async (ref: ExperimentRef, holders: number): Promise<void> => {
    let eventsMax: number = limits.commitEvents;
    let read: ReadReceipts = { head: "", receipts: [] };
    let rounds = 0;
    for (let overtaken = 0; overtaken < overtakenMax;) {
      // First the follower, so that it is not the one that moves on meanwhile.
      const mine = await current.load(ref);
      const theirs = await primary.load(ref);
      if (mine !== null) await checkSameHistory(ref, mine, theirs);
      if (theirs === null) return;
      if (theirs.head.hash === mine?.head.hash) {
        await sameCheckpoint(ref);
        // Both heads were read after these: the follower has what they tell of.
        const isKept = await keepReceipts(ref, read.receipts, atOf(theirs));
        const isKnown = isKept && (heads.get(refKey(ref))?.hash === theirs.head.hash || read.head === theirs.head.hash);
        if (isKnown || rounds === receiptRoundsMax) {
          await samePositions(ref, theirs.head);
          if (isKnown) remember(heads, refKey(ref), theirs.head);
          return;
        }
        rounds += 1;
        read = { head: theirs.head.hash, receipts: await missingReceipts(ref, atOf(theirs)) };
        continue;
      }
      const after = mine?.head.seq ?? 0;
      const page = await primary.history(ref, { after, limit: limits.commitEvents });
      const ahead = page.events.filter(({ seq }) => seq <= theirs.head.seq);
      if (ahead[0]?.seq !== after + 1)
        throw refusal(`${store.name} lacks event ${after + 1} of ${ref.experiment}, and the primary has archived it`);
      // An experiment begins with two events: between them it has no state.
      const events = chunkOf(ahead, Math.max(eventsMax, mine === null ? 2 : 1));
      const isLast = events.at(-1)?.seq === theirs.head.seq;
      const reached = isLast ? theirs.snapshot : snapshotAfter(mine, events, theirs.snapshot.revision);
      const snapshot = reached?.revisionHash === mine?.snapshot.revisionHash ? null : reached;
      const people = snapshot === null ? [] : peopleOf(snapshot.state);
      const personal = await personalOf(ref, [...new Set([...events.flatMap(referencesIn), ...people])]);
      const [held, wanted] = [mine?.snapshot.state.claims ?? [], (snapshot ?? mine?.snapshot)?.state.claims ?? []];
      const result = await store.commit(ref, {
        expect: mine?.head ?? "new",
        events,
        ...(snapshot === null ? {} : { snapshot, people }),
        personal,
        claims: { take: without(wanted, held), release: without(held, wanted) },
        receipt: null,
        rules: await rulesOf(ref, [...new Set(events.flatMap(rulesIn))]),
      });
      if (result.ok) {
        await forgetErased(ref, personal);
        eventsMax = Math.min(limits.commitEvents, eventsMax * 2);
      } else if (result.conflict === "claimed") {
        if (events.length > (mine === null ? 2 : 1)) eventsMax = Math.floor(events.length / 2);
        else if (holders < holdersMax) await goOn({ ...ref, experiment: result.holder }, holders + 1);
        else throw refusal(`${result.holder} holds ${result.claim} in ${store.name}, and not in ${primary.name}`);
      } else overtaken += 1;
    }
    // Somebody else moves this follower on as well, or it does not read what it has written.
    throw new ProvisoError("store-unavailable", `${store.name} was overtaken ${overtakenMax} times`);
  };

  /** One at a time in a scope: experiments go on for each other. */
  const catchUp = (ref: ExperimentRef): Promise<void> => locks.run(scopeKey(ref), () => goOn(ref, 0));

  return {
    store,

    apply: (ref, commit) =>
      noting(ref, async () => {
        const known = troubles.get(refKey(ref));
        if (known?.standing === "refused") throw refusal(known.error);
        if (known === undefined && (await store.commit(ref, commit)).ok) {
          const last = commit.events.at(-1);
          // Its receipt came with it. Whether those before it are there is known to who has followed so far.
          const isKnown = commit.expect === "new" || commit.expect.hash === heads.get(refKey(ref))?.hash;
          if (last !== undefined && isKnown) remember(heads, refKey(ref), last);
          return;
        }
        // It lacks something that came before, or another experiment has not let go of a name yet.
        await catchUp(ref);
      }),

    catchUp: (ref) => noting(ref, () => catchUp(ref)),

    async erase(ref, refs) {
      await Promise.allSettled(Array.from(underWay.get(refKey(ref)) ?? []));
      await locks.run(scopeKey(ref), () => store.erase(ref, refs));
    },

    async advance(ref, subscriber, seq) {
      if (troubles.get(refKey(ref))?.standing === "refused") return;
      const known = heads.get(refKey(ref))?.seq ?? 0;
      // What it lacks it has not delivered: the position comes when the events have come.
      const reached = known >= seq ? seq : Math.min(seq, (await store.load(ref))?.head.seq ?? 0);
      if (reached > 0) await store.advance(ref, subscriber, reached);
    },

    has: (ref, hash) => heads.get(refKey(ref))?.hash === hash,
    standing: (ref) => troubles.get(refKey(ref))?.standing ?? "inStep",
    troubles: () => [...troubles.values()],
  };
};
