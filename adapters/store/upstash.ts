/**
 * A store on Upstash Redis, over its REST client, which the host builds and hands in. Every operation is a Lua script
 * of `upstash-scripts.ts`, and one round trip; filtered histories and lists take two.
 *
 * Scripts that may write run on the primary, reading ones wherever a replica is near. A decision must not be made on
 * a replica that is behind, and another isolate has another sync token, so everything here is sent as the kind that
 * may write: whoever reads after a write sees it, in every isolate.
 */
import * as v from "valibot";
import { canonicalJson } from "../../src/canonical.ts";
import { byCodePoint } from "../../src/code-points.ts";
import { ProvisoError } from "../../src/errors.ts";
import { eventTypes, type PersonalRef } from "../../src/governance/events.ts";
import {
  readReceipt,
  storableCommit,
  type StorableCommit,
  type StorableReceipt,
  storableReceipts,
} from "../../src/governance/storable-commit.ts";
import {
  checkCheckpoint,
  checkPosition,
  storableHistoryQuery,
  type StorableHistoryQuery,
  storableListQuery,
  storableLoad,
  storablePageQuery,
  storablePersonalQuery,
  storableReceiptsQuery,
  storableRefs,
} from "../../src/governance/storable-query.ts";
import { checkRef, parseTime } from "../../src/governance/store-door.ts";
import type { CommitResult, GovernanceStore, HistoryPage, PersonalValue } from "../../src/governance/store.ts";
import { surfaceClaim } from "../../src/governance/store.ts";
import { readEvent, readState } from "../../src/governance/stored.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";
import * as scripts from "./upstash-scripts.ts";

/** The part of `Redis` of `@upstash/redis` that the store uses. */
export interface UpstashClientLike {
  eval(script: string, keys: string[], args: string[]): Promise<unknown>;
  evalsha(sha1: string, keys: string[], args: string[]): Promise<unknown>;
}

export interface UpstashStoreOptions {
  readonly client: UpstashClientLike;
  /** Ahead of every key, so that one database can serve several deployments. Default: `proviso`. */
  readonly prefix?: string;
  /** For health reports. Default: `upstash`. */
  readonly name?: string;
}

/** A commit without an answer is called again; the client itself has tried five times by then. */
const attemptsMax = 2;

/** What one answer may hold: Upstash sends at most 10 MB, and sends it in base64. */
const answerBytesMax = 6_000_000;

/** Receipts live at least this long, whatever the clocks of their writer and of Redis say. */
const lifetimeMsMin = 60_000;

const seqDigits = 16;
const paddedSeq = (seq: number): string => String(seq).padStart(seqDigits, "0");

/** A message of the client ends with the whole command, and with it personal values; of a bad body it shows a part. */
const withoutContent = (error: unknown): Error => {
  if (!(error instanceof Error)) return new Error("the client failed");
  if (error.name === "UpstashJSONParseError") return new Error("what answered does not speak Upstash's protocol");
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return new Error(`${error.message.split(", command was:")[0]}${cause}`);
};

const isMissingScript = (error: unknown): boolean => error instanceof Error && error.message.includes("NOSCRIPT");

/** Redis or Upstash looked at the request and does not take it, now or later. Nothing was written. */
const isTooLarge = (error: Error): boolean => /\bmax (request|single record|key) size exceeded\b/i.test(error.message);

const unavailable = (what: string, cause: Error): ProvisoError =>
  new ProvisoError("store-unavailable", `the store could not ${what}`, {}, { cause });

const tooLarge = (cause: Error): ProvisoError => {
  const message = "more than Upstash takes in one request or keeps under one key";
  const details = { errors: [{ path: "", message }] };
  return new ProvisoError("invalid-request", `the store refuses the commit: ${message}`, details, { cause });
};

/** Values as the scripts send them. Anything else is not from a script: a client that was aborted makes up an answer. */
const Reply = v.array(
  v.union([
    v.pipe(
      v.string(),
      v.startsWith("="),
      v.transform((text) => text.slice(1)),
    ),
    v.pipe(
      v.literal("-"),
      v.transform(() => null),
    ),
  ]),
);
type Reply = v.InferOutput<typeof Reply>;

const ReceiptRow = v.object({ fingerprint: v.string(), answer: v.string(), expiresAt: v.number() });
const CheckpointRow = v.object({
  seq: v.number(),
  hash: v.string(),
  text: v.string(),
  signature: v.object({ keyId: v.string(), value: v.string() }),
});
const PersonalRow = v.object({ kind: v.picklist(["actor", "text"]), salt: v.string(), value: v.string() });

const inPairs = (values: Reply): readonly (readonly [string, string])[] => {
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < values.length; index += 2) {
    const [key, value] = [values[index], values[index + 1]];
    if (key != null && value != null) pairs.push([key, value]);
  }
  return pairs;
};

const peopleIn = (values: Reply): ReadonlyMap<PersonalRef, string> =>
  new Map(inPairs(values).map(([ref, row]) => [ref, v.parse(PersonalRow, JSON.parse(row)).value]));

const rowOf = ({ kind, salt, value }: PersonalValue): string => canonicalJson({ kind, salt, value });

const receiptRow = ({ fingerprint, answer, expiresAt }: StorableReceipt): string =>
  canonicalJson({ fingerprint, answer, expiresAt });

const readSnapshot = (state: string, revision: string | null | undefined, revisionHash: string | null | undefined) => ({
  state: readState(state),
  revision: Number(revision),
  revisionHash: revisionHash ?? "",
});

const flag = (value: boolean): string => (value ? "1" : "0");

/** Where a range by name begins: behind a name, or at the very beginning. */
const startAfter = (name: string): string => (name === "" ? "-" : `(${name}`);

const segmentOf = (seq: number): number => Math.floor((seq - 1) / scripts.segmentEvents);

const keysIn = (prefix: string) => {
  // Percent-encoded names have neither the separator nor braces, so no name reaches into another one's keys, and the
  // hash tag ends where it should.
  const scopeTag = ({ tenant, environment }: Scope): string =>
    `${encodeURIComponent(prefix)}:{${encodeURIComponent(tenant)}:${encodeURIComponent(environment)}}`;
  return {
    ofScope: (scope: Scope) => {
      const tag = scopeTag(scope);
      return { list: `${tag}:list`, claims: `${tag}:claims` };
    },
    ofExperiment: (ref: ExperimentRef) => {
      const tag = `${scopeTag(ref)}:experiment:${encodeURIComponent(ref.experiment)}`;
      return {
        experiment: tag,
        types: `${tag}:types`,
        versions: `${tag}:versions`,
        personal: `${tag}:personal`,
        refs: `${tag}:refs`,
        actors: `${tag}:actors`,
        receipts: `${tag}:receipts`,
        expiries: `${tag}:expiries`,
        rules: `${tag}:rules`,
        digests: `${tag}:digests`,
        positions: `${tag}:positions`,
        segment: (seq: number): string => `${tag}:events:${segmentOf(seq)}`,
        segments: (from: number, before: number): readonly string[] =>
          Array.from({ length: Math.max(0, before - from) }, (_, index) => `${tag}:events:${from + index}`),
      };
    },
  };
};

/** Keys by their places, each once. */
const placesOf = (
  keys: readonly string[],
  before: number,
): { readonly keys: readonly string[]; place(key: string): string } => {
  const distinct = [...new Set(keys)];
  const places = new Map(distinct.map((key, index) => [key, String(before + index + 1)]));
  return { keys: distinct, place: (key) => places.get(key) ?? "" };
};

type Keys = ReturnType<typeof keysIn>;

/** The keys and arguments of {@link scripts.commitScript}, in the order in which it names them. */
const commitRequest = (keys: Keys, ref: ExperimentRef, commit: StorableCommit) => {
  const of = keys.ofExperiment(ref);
  const { list, claims } = keys.ofScope(ref);
  const { snapshot, receipt, expect, events, personal, rules, release, take, now } = commit;
  const fixed = [
    of.experiment,
    of.types,
    of.versions,
    of.personal,
    of.refs,
    of.actors,
    of.receipts,
    of.expiries,
    of.rules,
    of.digests,
    list,
    claims,
    of.segment(Math.max(1, expect.seq)),
  ];
  const segments = placesOf(
    events.map(({ seq }) => of.segment(seq)),
    fixed.length,
  );
  const args = [
    ref.experiment,
    String(expect.seq),
    expect.hash,
    String(now),
    flag(snapshot !== null),
    snapshot?.lifecycle ?? "",
    String(snapshot?.revision ?? ""),
    snapshot?.revisionHash ?? "",
    snapshot === null ? "" : JSON.stringify(snapshot.people),
    snapshot?.text ?? "",
    flag(receipt !== null),
    receipt?.key ?? "",
    receipt === null ? "" : receiptRow(receipt),
    String(receipt?.expiresAt ?? ""),
    String(receipt === null ? 0 : Math.max(lifetimeMsMin, receipt.expiresAt - now)),
    String(events.length),
    String(personal.length),
    String(rules.length),
    String(release.length),
    String(take.length),
    ...events.flatMap((event) => [
      segments.place(of.segment(event.seq)),
      String(event.seq),
      paddedSeq(event.seq),
      event.type,
      event.at,
      event.version === null ? "" : String(event.version),
      event.prevHash,
      event.hash,
      JSON.stringify(event.people),
      event.text,
    ]),
    ...personal.flatMap((value) => [value.ref, flag(value.kind === "actor"), value.value, rowOf(value)]),
    ...rules.flatMap(({ digest, text }) => [digest, text]),
    ...release,
    ...take,
  ];
  return { scriptKeys: [...fixed, ...segments.keys], args };
};

/** What {@link scripts.commitScript} answered. */
const resultOf = ([answer, ...rest]: Reply, commit: StorableCommit): CommitResult => {
  switch (answer) {
    case "ok":
      return { ok: true };
    case "receipt":
      return { ok: false, conflict: "receipt" };
    case "stale":
      return { ok: false, conflict: commit.isNew ? "exists" : "stale" };
    case "claimed":
      return { ok: false, conflict: "claimed", claim: rest[0] ?? "", holder: rest[1] ?? "" };
    case "failed": {
      const cause = new Error(rest[0] ?? "a command failed");
      throw isTooLarge(cause) ? tooLarge(cause) : unavailable("write the commit, and wrote nothing of it", cause);
    }
    case "torn":
      throw new ProvisoError("internal", "the stored history does not end where its head says: somebody changed it");
    case null:
    case undefined:
    default:
      throw new ProvisoError("internal", "the store refused the commit", {}, { cause: new Error(String(answer)) });
  }
};

/**
 * A {@link GovernanceStore} on Upstash Redis.
 *
 * @example const store = upstashStore({ client: new Redis({ url: env.UPSTASH_URL, token: env.UPSTASH_TOKEN }) });
 */
export const upstashStore = (options: UpstashStoreOptions): GovernanceStore => {
  const { client, prefix = "proviso", name = "upstash" } = options;
  const keys = keysIn(prefix);

  const send = async (script: scripts.Script, scriptKeys: readonly string[], args: readonly string[]) => {
    try {
      return await client.evalsha(await script.sha1(), [...scriptKeys], [...args]);
    } catch (error) {
      if (!isMissingScript(error)) throw error;
      return await client.eval(script.text, [...scriptKeys], [...args]);
    }
  };

  const run = async (
    script: scripts.Script,
    scriptKeys: readonly string[],
    args: readonly string[] = [],
  ): Promise<Reply> => {
    const reply = v.safeParse(Reply, await send(script, scriptKeys, args));
    if (!reply.success) throw new Error("the answer is not one of the store's scripts");
    return reply.output;
  };

  const ask = async (
    what: string,
    script: scripts.Script,
    scriptKeys: readonly string[],
    args: readonly string[] = [],
  ): Promise<Reply> => {
    try {
      return await run(script, scriptKeys, args);
    } catch (error) {
      throw unavailable(what, withoutContent(error));
    }
  };

  const readEvents = async (
    ref: ExperimentRef,
    seqs: readonly number[],
  ): Promise<{
    readonly page: Omit<HistoryPage, "next">;
    readonly head: number;
    readonly first: number;
    readonly cutAt: number | null;
  }> => {
    const of = keys.ofExperiment(ref);
    const fixed = [of.experiment, of.personal];
    const segments = placesOf(
      seqs.map((seq) => of.segment(seq)),
      fixed.length,
    );
    const [head, first, cutAt, count, ...values] = await ask(
      "read the history",
      scripts.eventsScript,
      [...fixed, ...segments.keys],
      [String(answerBytesMax), ...seqs.flatMap((seq) => [segments.place(of.segment(seq)), String(seq)])],
    );
    const events = values.slice(0, Number(count)).flatMap((text) => (text === null ? [] : [readEvent(text)]));
    return {
      page: { events, people: peopleIn(values.slice(Number(count))) },
      head: Number(head),
      first: Number(first),
      cutAt: cutAt == null ? null : Number(cutAt),
    };
  };

  const filteredSeqs = async (ref: ExperimentRef, query: StorableHistoryQuery, types: readonly string[]) => {
    const of = keys.ofExperiment(ref);
    if (types.length === 0 || (query.version !== null && !types.includes("VersionWritten"))) return [];
    const found = await ask(
      "read the history",
      scripts.seqsScript,
      [of.types, of.versions],
      [paddedSeq(query.after), String(query.limit + 1), query.version === null ? "" : String(query.version), ...types],
    );
    return found
      .map(Number)
      .filter((seq) => seq > query.after)
      .toSorted((left, right) => left - right)
      .slice(0, query.limit + 1);
  };

  const namesOf = async (scope: Scope, { after, limit, states, surface }: ReturnType<typeof storableListQuery>) => {
    const { list, claims } = keys.ofScope(scope);
    const found = await ask(
      "list experiments",
      scripts.namesScript,
      [list, claims],
      [
        after,
        String(limit + 1),
        flag(surface !== null),
        surface === null ? "" : surfaceClaim(surface),
        ...(states ?? [""]),
      ],
    );
    const names = new Set(found.filter((one) => one !== null));
    return [...names].toSorted(byCodePoint).slice(0, limit + 1);
  };

  return {
    name,

    async load(ref, query) {
      const { receipt, actor, now } = storableLoad(ref, query);
      const of = keys.ofExperiment(ref);
      const reply = await ask(
        "load the experiment",
        scripts.loadScript,
        [of.experiment, of.personal, of.actors, of.receipts],
        [flag(receipt !== null), receipt ?? "", flag(actor !== null), actor ?? ""],
      );
      const [seq, hash, at, revision, revisionHash, state, stored, actorRef, ...people] = reply;
      if (seq == null || hash == null || at == null || state == null) return null;
      const kept = stored == null ? null : v.parse(ReceiptRow, JSON.parse(stored));
      return {
        snapshot: readSnapshot(state, revision, revisionHash),
        head: { seq: Number(seq), hash, at },
        receipt: kept === null || kept.expiresAt <= now ? null : readReceipt({ key: receipt ?? "", ...kept }),
        actor: actorRef ?? null,
        people: peopleIn(people),
      };
    },

    async commit(ref, wanted) {
      const commit = storableCommit(ref, wanted);
      const { scriptKeys, args } = commitRequest(keys, ref, commit);
      let failure: Error | undefined;
      for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
        let reply: Reply;
        try {
          reply = await run(scripts.commitScript, scriptKeys, args);
        } catch (error) {
          failure = withoutContent(error);
          if (isTooLarge(failure)) throw tooLarge(failure);
          // It may have happened or not, or may be about to: the script finds out, and does it at most once.
          continue;
        }
        return resultOf(reply, commit);
      }
      throw unavailable("say what became of the commit", failure ?? new Error("no attempt was made"));
    },

    async history(ref, query) {
      const storable = storableHistoryQuery(ref, query);
      const { after, limit, types } = storable;
      if (types === null) {
        const from = (seq: number): readonly number[] => Array.from({ length: limit }, (_, index) => seq + index);
        const read = await readEvents(ref, from(after + 1));
        // What is before a checkpoint is archived: the page begins where the history does.
        const { page, head, cutAt } = read.first > after + 1 ? await readEvents(ref, from(read.first)) : read;
        return { ...page, next: cutAt !== null && head > cutAt ? cutAt : null };
      }
      const seqs = await filteredSeqs(ref, storable, types);
      if (seqs.length === 0) return { events: [], next: null, people: new Map() };
      const wanted = seqs.slice(0, limit);
      const { page, cutAt } = await readEvents(ref, wanted);
      const isCut = cutAt !== null && cutAt !== wanted.at(-1);
      return { ...page, next: seqs.length > limit || isCut ? cutAt : null };
    },

    async list(scope, query) {
      const storable = storableListQuery(scope, query);
      const { tenant, environment } = scope;
      const { limit, states } = storable;
      const names = states?.length === 0 ? [] : await namesOf(scope, storable);
      if (names.length === 0) return { items: [], next: null };
      const wanted = names.slice(0, limit);
      const reply = await ask(
        "list experiments",
        scripts.snapshotsScript,
        wanted.map((experiment) => keys.ofExperiment({ tenant, environment, experiment }).experiment),
        [String(answerBytesMax)],
      );
      const sent = wanted.slice(0, reply.length / snapshotValues);
      const items = sent.flatMap((experiment, index) => {
        const [lifecycle, revision, revisionHash, state] = reply.slice(index * snapshotValues);
        // Between the two readings it may have moved on; the list must not show it under its former state.
        if (state == null || !(states?.some((wantedState) => wantedState === lifecycle) ?? true)) return [];
        const ref = { tenant, environment, experiment };
        return [{ ref, snapshot: readSnapshot(state, revision, revisionHash) }];
      });
      return { items, next: names.length > sent.length ? (sent.at(-1) ?? null) : null };
    },

    async rules(ref, query) {
      const { after, limit } = storablePageQuery(ref, query);
      const of = keys.ofExperiment(ref);
      const reply = await ask(
        "read the rules",
        scripts.rowsScript,
        [of.rules, of.digests],
        [startAfter(after), String(limit + 1)],
      );
      const found = inPairs(reply).map(([digest, text]) => ({ digest, text }));
      const page = found.slice(0, limit);
      return { rules: page, next: found.length > limit ? (page.at(-1)?.digest ?? null) : null };
    },

    async personal(ref, query) {
      const { after, limit, refs } = storablePersonalQuery(ref, query);
      const of = keys.ofExperiment(ref);
      const enough = String(limit + 1);
      const some = refs?.filter((one) => byCodePoint(one, after) > 0).toSorted(byCodePoint);
      const reply =
        some === undefined
          ? await ask(personalWords, scripts.rowsScript, [of.personal, of.refs], [startAfter(after), enough])
          : await ask(personalWords, scripts.someRowsScript, [of.personal], [enough, ...some]);
      const found = inPairs(reply).map(([person, row]) => ({ ref: person, ...v.parse(PersonalRow, JSON.parse(row)) }));
      const page = found.slice(0, limit);
      return { values: page, next: found.length > limit ? (page.at(-1)?.ref ?? null) : null };
    },

    async erase(ref, refs) {
      const wanted = storableRefs(ref, refs);
      const of = keys.ofExperiment(ref);
      await ask(
        "erase personal values",
        scripts.eraseScript,
        [of.personal, of.refs, of.actors, of.receipts, of.expiries],
        wanted,
      );
    },

    async archive(ref, checkpoint) {
      checkCheckpoint(ref, checkpoint);
      const { seq, hash, text, signature } = checkpoint;
      const of = keys.ofExperiment(ref);
      const [first] = await ask("read the checkpoint", scripts.checkpointScript, [of.experiment]);
      const [answer] = await ask(
        "archive the history",
        scripts.archiveScript,
        [
          of.experiment,
          of.types,
          of.versions,
          of.segment(seq),
          ...of.segments(segmentOf(Number(first ?? 1)), segmentOf(seq)),
        ],
        [
          String(seq),
          paddedSeq(seq),
          hash,
          canonicalJson({ seq, hash, text, signature }),
          String(segmentOf(seq) * scripts.segmentEvents + 1),
          ...eventTypes,
        ],
      );
      return answer === "ok";
    },

    async checkpoint(ref) {
      checkRef(ref);
      const of = keys.ofExperiment(ref);
      const [, stored] = await ask("read the checkpoint", scripts.checkpointScript, [of.experiment]);
      return stored == null ? null : v.parse(CheckpointRow, JSON.parse(stored));
    },

    async receipts(ref, query) {
      const { after, limit, now } = storableReceiptsQuery(ref, query);
      const of = keys.ofExperiment(ref);
      const [more, ...rows] = await ask(
        "read receipts",
        scripts.receiptsScript,
        [of.receipts, of.expiries],
        [after, String(limit), String(now), String(answerBytesMax)],
      );
      const receipts = inPairs(rows).map(([key, row]) => readReceipt({ key, ...v.parse(ReceiptRow, JSON.parse(row)) }));
      return { receipts, next: more === "1" ? (receipts.at(-1)?.key ?? null) : null };
    },

    async keepReceipts(ref, receipts) {
      const kept = storableReceipts(ref, receipts);
      const of = keys.ofExperiment(ref);
      if (kept.length === 0) return;
      await ask(
        "keep receipts",
        scripts.keepReceiptsScript,
        [of.experiment, of.receipts, of.expiries],
        [
          String(lifetimeMsMin),
          ...kept.flatMap((receipt) => [receipt.key, String(receipt.expiresAt), receiptRow(receipt)]),
        ],
      );
    },

    async sweep(ref, now) {
      checkRef(ref);
      const time = parseTime("/now", now);
      const of = keys.ofExperiment(ref);
      await ask("sweep receipts", scripts.sweepScript, [of.receipts, of.expiries], [String(time)]);
    },

    async positions(ref) {
      checkRef(ref);
      const reply = await ask("read positions", scripts.positionsScript, [keys.ofExperiment(ref).positions]);
      return new Map(inPairs(reply).map(([subscriber, seq]) => [subscriber, Number(seq)]));
    },

    async advance(ref, subscriber, seq) {
      checkPosition(ref, subscriber, seq);
      const of = keys.ofExperiment(ref);
      await ask("note a position", scripts.advanceScript, [of.positions], [subscriber, String(seq)]);
    },

    async check() {
      const [memory] = await ask("be read", scripts.memoryScript, []);
      const policy = /^maxmemory_policy:(\S+)/m.exec(memory ?? "")?.[1];
      if (policy === undefined) return [unknownEviction];
      if (policy !== "noeviction")
        throw new ProvisoError(
          "store-unavailable",
          `the store may lose what it holds: its eviction policy is ${policy}, and it must be noeviction`,
        );
      return undefined;
    },
  };
};

const personalWords = "read personal values";
const unknownEviction = "the server does not say whether it evicts keys: see that eviction is off for this database";

/** What {@link scripts.snapshotsScript} sends of one experiment. */
const snapshotValues = 4;
