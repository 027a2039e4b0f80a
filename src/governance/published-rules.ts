/**
 * The published rules of one scope: what its experiments last said, merged, and written to where applications read them.
 * They have a place of their own (a Durable Object, in the Worker), so that two publications cannot overtake each other.
 *
 * What it is told is kept before it answers. Writing follows from an alarm: a crash at any moment ends in a write, and a
 * burst of changes in one. Never more than one write is under way, so a slow one cannot end after its successor.
 */
import * as v from "valibot";
import { backoffMs } from "../delivery/backoff.ts";
import { isObject } from "../evaluation/guards.ts";
import type { DataPlaneSettings, ExperimentRule, RuleSet } from "../evaluation/rule-set.ts";
import { messageOf } from "../message-of.ts";
import { type Scope, scopeKey } from "../scope.ts";
import { type Publication, rulesETag, ruleSetOf } from "./publish.ts";

/** As much of a Durable Object's storage as is used. Several entries in one `put` are written together or not at all. */
export interface RulesStorage {
  list(options: { prefix: string }): Promise<Map<string, unknown>>;
  put(entries: Record<string, unknown>): Promise<void>;
  setAlarm(time: number): Promise<void>;
}

export interface PublishedRulesOptions {
  readonly storage: RulesStorage;
  /** Everything that the scope publishes, from the store that decides: for the beginning, and against all that can go wrong. */
  readonly list: (scope: Scope) => Promise<readonly Publication[]>;
  /** Puts the rules where applications read them, e.g. into KV. Left out: they are only read from here. */
  readonly write?: ((scope: Scope, text: string) => Promise<void>) | undefined;
  readonly dataPlane?: DataPlaneSettings | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: () => number;
  readonly report: (error: unknown) => void;
  /** Hears how writing goes: failures in a row, 0 after a success that follows on them. */
  readonly onTrouble?: (scope: Scope, failures: number, error: string, nextAt: number) => void;
}

export interface PublishedRules {
  /** Resolves when it is kept: it is read from here at once, and will be written. */
  publish(scope: Scope, publication: Publication): Promise<void>;
  /**
   * @param known ETags that the reader has: for one of them there is no text
   * @throws whatever listing the store throws, while nothing is known yet
   */
  read(scope: Scope, known?: readonly string[]): Promise<{ readonly etag: string; readonly text: string | null }>;
  /** The alarm has rung. Never rejects. */
  ring(): Promise<void>;
}

/** KV takes one write a second for a key. */
const writeGapMs = 1_000;
/** A write that nobody knows the end of may still come through: it is covered by another one after this long. */
const coverMs = 60_000;
/** What no event told of (an import, a restored database) is found by listing. */
const relistMs = 3_600_000;
/** Entries that one `put` of a Durable Object takes, with room for the state beside them. */
const putEntries = 100;

const rulePrefix = "rule:";
const stateKey = "state";

const EntrySchema = v.object({
  revision: v.number(),
  // Written by this code, and read again by whoever evaluates it.
  rule: v.nullable(v.custom<ExperimentRule>(isObject)),
});
type Entry = v.InferOutput<typeof EntrySchema>;

const StateSchema = v.object({
  tenant: v.string(),
  environment: v.string(),
  /** When all was listed last; 0: never. */
  listedAt: v.number(),
  /** Of what was written last, and when that ended. */
  writtenETag: v.nullable(v.string()),
  writtenAt: v.number(),
  /** Rises with every write, also when this place begins anew: readers tell old from new by it. */
  sequence: v.number(),
  /** A write has begun, and its end is not known. */
  writing: v.boolean(),
  coverAt: v.nullable(v.number()),
  failures: v.number(),
});
type State = v.InferOutput<typeof StateSchema>;

interface Content {
  readonly entries: Map<string, Entry>;
  state: State;
  /** Undefined until it is asked for after a change. */
  rendered: { readonly etag: string; readonly text: string } | undefined;
}

const newState = ({ tenant, environment }: Scope): State => ({
  tenant,
  environment,
  listedAt: 0,
  writtenETag: null,
  writtenAt: 0,
  sequence: 0,
  writing: false,
  coverAt: null,
  failures: 0,
});

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : one > other ? 1 : 0;

export const createPublishedRules = (options: PublishedRulesOptions): PublishedRules => {
  const { storage, list, write, dataPlane, now, random, report, onTrouble } = options;
  let content: Content | undefined;
  /** Experiments that were published while the store was being listed: the list may be older. */
  let touched: Set<string> | undefined;
  let relisting: Promise<void> | undefined;
  let ringing = false;
  /** When the alarm rings, as far as this process has set it. */
  let armedFor: number | undefined;

  const arm = async (at: number): Promise<void> => {
    await storage.setAlarm(at);
    armedFor = at;
  };

  /** What is kept; undefined where nothing is. */
  const read = async (): Promise<Content | undefined> => {
    if (content !== undefined) return content;
    const [stored, kept] = [await storage.list({ prefix: rulePrefix }), await storage.list({ prefix: stateKey })];
    const state = kept.get(stateKey);
    if (state === undefined) return undefined;
    const entries = [...stored].map(([key, value]): [string, Entry] => [
      key.slice(rulePrefix.length),
      v.parse(EntrySchema, value),
    ]);
    // Whoever else read meanwhile has read the same, and may have added to it.
    content ??= { entries: new Map(entries), state: v.parse(StateSchema, state), rendered: undefined };
    return content;
  };

  const open = async (scope: Scope): Promise<Content> => {
    const known = (await read()) ?? (content ??= { entries: new Map(), state: newState(scope), rendered: undefined });
    if (scopeKey(known.state) !== scopeKey(scope))
      throw new TypeError(`published rules of ${scopeKey(known.state)}: a question of ${scopeKey(scope)}`);
    return known;
  };

  const render = (known: Content): { readonly etag: string; readonly text: string } => {
    if (known.rendered === undefined) {
      const publications = [...known.entries]
        .toSorted(byName)
        .map(([experiment, { revision, rule }]): Publication => ({ experiment, revision, rule }));
      const set = ruleSetOf(known.state, publications);
      const rules: RuleSet = dataPlane === undefined ? set : { ...set, dataPlane };
      known.rendered = { etag: rulesETag(rules), text: JSON.stringify(rules) };
    }
    return known.rendered;
  };

  const keep = async (known: Content, changed: ReadonlyMap<string, Entry>, state: Partial<State>): Promise<void> => {
    known.state = { ...known.state, ...state };
    if (changed.size > 0) known.rendered = undefined;
    for (const [name, entry] of changed) known.entries.set(name, entry);
    const rows = [...changed].map(([name, entry]): [string, unknown] => [`${rulePrefix}${name}`, entry]);
    do {
      // The state goes last: what it says of a listing is true once all of it is there.
      const part = rows.splice(0, putEntries);
      const more: readonly [string, unknown][] = rows.length === 0 ? [[stateKey, known.state]] : [];
      try {
        await storage.put(Object.fromEntries<unknown>([...part, ...more]));
      } catch (error) {
        // What was not written is not known either: it is told again, and must not pass for old news.
        content = undefined;
        armedFor = undefined;
        throw error;
      }
    } while (rows.length > 0);
  };

  /** The store decides: what it says counts, also where it has gone back (a restored database). */
  const listAgain = async (known: Content): Promise<void> => {
    const since = new Set<string>();
    touched = since;
    const at = now();
    const listed = new Map(
      (await list(known.state)).map(({ experiment, revision, rule }) => [experiment, { revision, rule }]),
    );
    const changed = new Map<string, Entry>();
    for (const [name, entry] of listed) {
      const before = known.entries.get(name);
      const isOld = since.has(name) && before !== undefined && before.revision >= entry.revision;
      if (!isOld && JSON.stringify(before) !== JSON.stringify(entry)) changed.set(name, entry);
    }
    for (const [name, { revision, rule }] of known.entries)
      if (rule !== null && !listed.has(name) && !since.has(name)) changed.set(name, { revision, rule: null });
    await keep(known, changed, { listedAt: at });
  };

  /** Once at a time: the older of two lists would undo what was published between them. */
  const relist = (known: Content): Promise<void> => {
    relisting ??= listAgain(known).finally(() => {
      relisting = undefined;
      touched = undefined;
    });
    return relisting;
  };

  const isListDue = ({ listedAt }: State): boolean => listedAt === 0 || now() - listedAt > relistMs;

  const nextWrite = ({ writtenAt }: State): number => Math.max(now(), writtenAt + writeGapMs);

  /** Says when to ring again; null when there is nothing to do. */
  const writeNow = async (known: Content): Promise<number | null> => {
    if (write === undefined) return null;
    const { etag, text } = render(known);
    const { writtenETag, coverAt, writing } = known.state;
    if (etag === writtenETag && !writing && (coverAt === null || coverAt > now())) return coverAt;
    const earliest = nextWrite(known.state);
    if (earliest > now()) return earliest;
    const sequence = Math.max(known.state.sequence + 1, now());
    await keep(known, new Map(), { writing: true, sequence });
    await write(known.state, `${text.slice(0, -1)},"sequence":${sequence}}`);
    const failed = known.state.failures > 0;
    await keep(known, new Map(), {
      writing: false,
      writtenETag: etag,
      writtenAt: now(),
      failures: 0,
      coverAt: writing ? now() + coverMs : null,
    });
    if (failed) onTrouble?.(known.state, 0, "", 0);
    return render(known).etag === etag ? known.state.coverAt : nextWrite(known.state);
  };

  return {
    async publish(scope, { experiment, revision, rule }) {
      const known = await open(scope);
      touched?.add(experiment);
      const before = known.entries.get(experiment);
      if (before !== undefined && before.revision >= revision) return;
      // The alarm first, and no await between: a Durable Object writes both together.
      const at = nextWrite(known.state);
      const isArmed = armedFor !== undefined && armedFor > now() && armedFor <= at;
      const hasWork = write !== undefined || isListDue(known.state);
      const alarm = isArmed || !hasWork ? undefined : arm(at);
      await Promise.all([alarm, keep(known, new Map([[experiment, { revision, rule }]]), {})]);
    },

    async read(scope, tags = []) {
      const known = await open(scope);
      if (known.state.listedAt === 0) {
        await relist(known);
        await arm(nextWrite(known.state));
      } else if (isListDue(known.state)) await arm(now());
      const { etag, text } = render(known);
      return { etag, text: tags.includes(etag) ? null : text };
    },

    async ring() {
      armedFor = undefined;
      let known: Content | undefined;
      try {
        known = await read();
        if (known === undefined) return;
        if (ringing) {
          await arm(now() + writeGapMs);
          return;
        }
        ringing = true;
        try {
          if (isListDue(known.state)) await relist(known);
          const next = await writeNow(known);
          if (next !== null) await arm(next);
        } finally {
          ringing = false;
        }
      } catch (error) {
        report(error);
        const failures = (known?.state.failures ?? 0) + 1;
        if (known !== undefined) known.state = { ...known.state, failures };
        const next = now() + Math.min(coverMs, backoffMs(failures, random()));
        if (known !== undefined) onTrouble?.(known.state, failures, messageOf(error), next);
        await arm(next);
      }
    },
  };
};
