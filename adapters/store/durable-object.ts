/**
 * A store in Durable Objects: the history of an experiment is in the SQLite database of its own object, where a commit is
 * one synchronous transaction; what a scope has in common, claims and the listing, is in its registry
 * ({@link file://./durable-object-registry.ts}). Three parts, one for each place:
 *
 * - {@link durableObjectStore}: for the rest of the Worker; asks the objects.
 * - {@link openHistory}: inside an experiment's object.
 * - `openRegistry`: inside a scope's registry.
 */
import * as v from "valibot";
import { type ErrorCode, ProvisoError } from "../../src/errors.ts";
import { storableCommit, type StorableCommit } from "../../src/governance/storable-commit.ts";
import { checkRef } from "../../src/governance/store-door.ts";
import { storableListQuery } from "../../src/governance/storable-query.ts";
import type { CommitResult, GovernanceStore } from "../../src/governance/store.ts";
import { defaultScope, type ExperimentRef, refKey, type Scope } from "../../src/scope.ts";
import {
  type Holding,
  type HoldingQuestion,
  type Registry,
  registryUnavailable,
  type Report,
  type StandingQuestion,
} from "./durable-object-registry.ts";
import { checkSchema, type ObjectSchema, type ObjectStorage, runIn } from "./object-storage.ts";
import * as sqlite from "./sqlite.ts";
import { sqliteMigrations } from "./sqlite-migrations.ts";
import { answerCharactersMax, readBackResult, sqliteReads } from "./sqlite-reads.ts";

/** What an experiment's object does for the rest of the Worker, and its registry. */
export interface History extends GovernanceStore {
  /** What it holds of these claims, once every attempt that is asked about is decided. */
  holding(question: HoldingQuestion): Promise<Holding>;
  /** Everything the registry may want to know; the mark that it asks about is gone for both. */
  standing(question: StandingQuestion): Promise<Report>;
  /** Tells the registry what it does not know yet: after a crash, or while the registry was away. */
  catchUp(ref: ExperimentRef): Promise<void>;
}

export interface HistoryOptions {
  /** `ctx.storage` of the object. */
  readonly storage: ObjectStorage;
  readonly registry: (scope: Scope) => Registry;
  /** Names attempts; no two may ever have the same. */
  readonly id: () => string;
  /**
   * Makes sure that `catchUp` is called within a minute or so. Called before a commit that the registry must learn of:
   * should the object die between the two, this is what brings it back.
   */
  readonly wake: (ref: ExperimentRef) => Promise<void>;
  /** Gets what went wrong on the way to the registry after the commit had been made. */
  readonly report?: (error: unknown) => void;
  /** For health reports. Default: `durable-object`. */
  readonly name?: string;
}

const defaultName = "durable-object";

/** What the registry must be told, and what it has been told. A row with a difference is the outbox. */
const standingTable = `
CREATE TABLE standing (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  revision INTEGER NOT NULL,
  -- The commit that last changed what the experiment holds.
  claims_seq INTEGER NOT NULL,
  told_revision INTEGER NOT NULL,
  told_claims_seq INTEGER NOT NULL,
  PRIMARY KEY (tenant, environment, experiment)
) STRICT, WITHOUT ROWID;
`;

/** The schema of D1, and beside it what only objects have. */
const historySchema: ObjectSchema = { governance: sqliteMigrations.map(({ sql }) => sql), standing: [standingTable] };

const here = "tenant = ?1 AND environment = ?2 AND experiment = ?3";
const placeOf = ({ tenant, environment, experiment }: ExperimentRef) => [tenant, environment, experiment] as const;

interface Standing {
  readonly revision: number;
  readonly claimsSeq: number;
  readonly toldRevision: number;
  readonly toldClaimsSeq: number;
}
const StandingRow = v.pipe(
  v.object({ revision: v.number(), claims_seq: v.number(), told_revision: v.number(), told_claims_seq: v.number() }),
  v.transform((row): Standing => ({
    revision: row.revision,
    claimsSeq: row.claims_seq,
    toldRevision: row.told_revision,
    toldClaimsSeq: row.told_claims_seq,
  })),
);
const unheardOf: Standing = { revision: 0, claimsSeq: 0, toldRevision: 0, toldClaimsSeq: 0 };

const NameRow = v.object({ claim: v.string() });
const ReportedRow = v.pipe(
  v.object({ lifecycle: v.string(), revision: v.number(), revision_hash: v.string(), state: v.string() }),
  v.transform(({ revision_hash: revisionHash, ...row }) => ({ ...row, revisionHash })),
);

const isTold = ({ revision, claimsSeq, toldRevision, toldClaimsSeq }: Standing): boolean =>
  revision === toldRevision && claimsSeq === toldClaimsSeq;

const standingQuery = (ref: ExperimentRef): sqlite.Query => [
  `SELECT revision, claims_seq, told_revision, told_claims_seq FROM standing WHERE ${here}`,
  ...placeOf(ref),
];

const writeStanding = (ref: ExperimentRef, standing: Standing): sqlite.Query => [
  `INSERT INTO standing (tenant, environment, experiment, revision, claims_seq, told_revision, told_claims_seq)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
  ON CONFLICT (tenant, environment, experiment) DO UPDATE SET
    revision = excluded.revision, claims_seq = excluded.claims_seq,
    told_revision = excluded.told_revision, told_claims_seq = excluded.told_claims_seq`,
  ...placeOf(ref),
  standing.revision,
  standing.claimsSeq,
  standing.toldRevision,
  standing.toldClaimsSeq,
];

const heldQuery = (ref: ExperimentRef, claims: readonly string[]): sqlite.Query => [
  `SELECT claim FROM json_each(?4) AS asked CROSS JOIN claims WHERE ${here} AND claim = asked.value`,
  ...placeOf(ref),
  JSON.stringify(claims),
];

/** The history of one experiment, inside its object. Nothing else may write to the object's database. */
export const openHistory = (options: HistoryOptions): History => {
  const { storage, id, wake, report = () => undefined, name = defaultName } = options;
  const run = runIn(storage);
  const schemaOf = checkSchema(storage, historySchema);
  const reads = sqliteReads(async (_what, queries) => {
    // Before the first commit there is nothing to read, and nothing to erase or to deliver.
    if (!schemaOf("read")) return queries.map(() => ({ results: [] }));
    return storage.transactionSync(() => queries.map(run));
  }, answerCharactersMax);

  /** Attempts whose commit may still happen. Gone with the object's memory, as they are then. */
  const underway = new Map<string, Promise<void>>();
  /** As in the table, with what has been told since; read once. */
  const standings = new Map<string, Standing>();
  const telling = new Map<string, Promise<void>>();
  /** Marks that have been sent, with what became of them. While one is there the registry asks before it lists. */
  const marks = new Map<string, { readonly mark: string; readonly sent: Promise<boolean> }>();

  const standingOf = (ref: ExperimentRef): Standing => {
    const key = refKey(ref);
    const known = standings.get(key);
    if (known !== undefined) return known;
    const read = schemaOf("read") ? (sqlite.firstOf(StandingRow, run(standingQuery(ref))) ?? unheardOf) : unheardOf;
    standings.set(key, read);
    return read;
  };

  const headSeqOf = (ref: ExperimentRef): number =>
    sqlite.firstOf(sqlite.HeadRow, run(sqlite.headQuery(ref)))?.seq ?? 0;

  const heldAmong = (ref: ExperimentRef, claims: readonly string[]): readonly string[] =>
    sqlite.rowsOf(NameRow, run(heldQuery(ref, claims))).map(({ claim }) => claim);

  const reportOf = (ref: ExperimentRef, standing: Standing, mark: string | null): Report => {
    const [snapshot] = sqlite.rowsOf(
      ReportedRow,
      run([`SELECT lifecycle, revision, revision_hash, state FROM snapshots WHERE ${here}`, ...placeOf(ref)]),
    );
    const claims = sqlite.rowsOf(NameRow, run([`SELECT claim FROM claims WHERE ${here}`, ...placeOf(ref)]));
    return {
      ref,
      seq: headSeqOf(ref),
      claimsSeq: standing.claimsSeq,
      claims: standing.claimsSeq === standing.toldClaimsSeq ? null : claims.map(({ claim }) => claim),
      snapshot: standing.revision === standing.toldRevision ? null : (snapshot ?? null),
      mark,
    };
  };

  const tellOnce = async (ref: ExperimentRef): Promise<void> => {
    const told = standingOf(ref);
    const mark = marks.get(refKey(ref))?.mark ?? null;
    const reported = reportOf(ref, told, mark);
    // The report takes the mark away: whatever is committed from here on needs another.
    marks.delete(refKey(ref));
    const applied = await options.registry(ref).report(reported);
    const now = standingOf(ref);
    if (!applied && now.claimsSeq === told.claimsSeq)
      throw new TypeError(
        "the registry knows more of this experiment than its own object: was it restored from a copy?",
      );
    standings.set(refKey(ref), {
      ...now,
      toldRevision: told.revision,
      ...(applied ? { toldClaimsSeq: told.claimsSeq } : {}),
    });
  };

  /** One report at a time, and one for all commits that came while the last was under way. */
  const tell = async (ref: ExperimentRef): Promise<void> => {
    const key = refKey(ref);
    while (!isTold(standingOf(ref))) {
      let turn = telling.get(key);
      if (turn === undefined) {
        turn = tellOnce(ref).finally(() => telling.delete(key));
        telling.set(key, turn);
      }
      await turn;
    }
  };

  /**
   * Leaves a mark in the registry, unless there is one: it is sent before the commit is written, and the commit is not
   * answered before it has arrived.
   *
   * @returns false when the registry wants a report instead
   */
  const leaveMark = (ref: ExperimentRef): Promise<boolean> => {
    const key = refKey(ref);
    const known = marks.get(key);
    if (known !== undefined) return known.sent;
    const mark = id();
    const forget = (): void => {
      if (marks.get(key)?.mark === mark) marks.delete(key);
    };
    const sent = options
      .registry(ref)
      .mark({ ref, mark })
      .then((isMarked) => {
        if (!isMarked) forget();
        return isMarked;
      });
    sent.catch(forget);
    marks.set(key, { mark, sent });
    return sent;
  };

  /**
   * Before anything of the experiment is shown, so that nobody who has seen a commit finds a list without it. When the
   * registry is away the experiment is shown all the same: nothing can be listed then either.
   */
  const cover = async (ref: ExperimentRef): Promise<void> => {
    if (isTold(standingOf(ref))) return;
    try {
      if (!(await leaveMark(ref))) await tell(ref);
    } catch (error) {
      report(error);
    }
  };

  /** Why a commit cannot be made, or that it has been made already; null when nothing is in its way. */
  const judge = (ref: ExperimentRef, commit: StorableCommit): CommitResult | null =>
    readBackResult(commit, sqlite.readBackQueries(ref, commit).map(run));

  const write = (ref: ExperimentRef, commit: StorableCommit): CommitResult => {
    const standing = standingOf(ref);
    const after: Standing = {
      ...standing,
      revision: commit.snapshot?.revision ?? standing.revision,
      claimsSeq: commit.take.length + commit.release.length > 0 ? commit.head.seq : standing.claimsSeq,
    };
    try {
      storage.transactionSync(() => {
        for (const query of sqlite.commitQueries(ref, commit)) run(query);
        if (!isTold(after)) run(writeStanding(ref, after));
      });
    } catch (cause) {
      const result = judge(ref, commit);
      if (result !== null) return result;
      throw new ProvisoError("internal", "the store refused the commit", {}, { cause });
    }
    standings.set(refKey(ref), after);
    return { ok: true };
  };

  /** What must be under way before a commit that the registry must learn of. `cover` waits for the mark to arrive. */
  const announce = async (ref: ExperimentRef): Promise<void> => {
    await wake(ref);
    leaveMark(ref).catch(() => undefined);
  };

  /** Reserves what the experiment does not hold, commits, and gives back what it reserved in vain. */
  const writeWithClaims = async (
    ref: ExperimentRef,
    commit: StorableCommit,
    missing: readonly string[],
  ): Promise<CommitResult> => {
    const attempt = id();
    const registry = options.registry(ref);
    const decided = Promise.withResolvers<void>();
    underway.set(attempt, decided.promise);
    let made = false;
    try {
      const reserved = await registry
        .reserve({ ref, attempt, seq: commit.expect.seq + 1, claims: missing })
        .catch((cause: unknown) => {
          throw registryUnavailable(cause);
        });
      if (!reserved.ok)
        return judge(ref, commit) ?? { ok: false, conflict: "claimed", claim: reserved.claim, holder: reserved.holder };
      await announce(ref);
      const result = write(ref, commit);
      made = result.ok;
      return result;
    } finally {
      underway.delete(attempt);
      decided.resolve();
      // Should this get lost, whoever wants one of the claims asks, and learns that they are free.
      if (!made) await registry.cancel({ ref, attempt }).catch(report);
    }
  };

  const commitTo = async (ref: ExperimentRef, commit: StorableCommit): Promise<CommitResult> => {
    if (commit.take.length > 0) {
      const result = judge(ref, commit);
      if (result !== null) return result;
      const held = new Set(heldAmong(ref, commit.take));
      const missing = commit.take.filter((claim) => !held.has(claim));
      if (missing.length > 0) return writeWithClaims(ref, commit, missing);
    }
    if (commit.snapshot !== null || commit.take.length + commit.release.length > 0) await announce(ref);
    return write(ref, commit);
  };

  return {
    ...reads,
    name,
    async load(ref, query) {
      const loaded = await reads.load(ref, query);
      await cover(ref);
      return loaded;
    },
    async history(ref, query) {
      const page = await reads.history(ref, query);
      await cover(ref);
      return page;
    },
    list: (scope, query) => options.registry(scope).list(scope, query),

    async commit(ref, wanted) {
      const commit = storableCommit(ref, wanted);
      schemaOf("write");
      const result = await commitTo(ref, commit);
      if (result.ok) await cover(ref);
      return result;
    },

    async check() {
      schemaOf("read");
      await options.registry(defaultScope).list(defaultScope, { limit: 1 });
    },

    async holding({ ref, claims, attempts }) {
      for (const attempt of attempts) await underway.get(attempt);
      if (!schemaOf("read")) return { claimsSeq: 0, held: [] };
      return { claimsSeq: standingOf(ref).claimsSeq, held: heldAmong(ref, claims) };
    },

    async standing({ ref, mark }) {
      const key = refKey(ref);
      if (marks.get(key)?.mark === mark) marks.delete(key);
      // Whether this arrives is not known here: it holds everything, and the alarm reports once more.
      return reportOf(ref, { ...standingOf(ref), toldRevision: 0, toldClaimsSeq: 0 }, mark);
    },

    async catchUp(ref) {
      await tell(ref);
      const standing = standingOf(ref);
      if (standing !== unheardOf) run(writeStanding(ref, standing));
    },
  };
};

/**
 * What crosses from one object to another: errors lose their code on the way, so a failure travels as a value.
 * `malformed`: the caller is wrong, and not what it was given.
 */
export type Answer<Value> =
  | { readonly ok: true; readonly value: Value }
  | {
      readonly ok: false;
      readonly code: ErrorCode | "malformed";
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/**
 * For the methods of an experiment's object.
 *
 * @param report gets what went wrong, in full; the answer has only what may be seen from outside
 */
export const answering = async <Value>(
  work: () => Promise<Value>,
  report: (error: unknown) => void,
): Promise<Answer<Value>> => {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    if (error instanceof ProvisoError && error.code === "invalid-request")
      return { ok: false, code: error.code, message: error.message, details: error.details };
    report(error);
    if (error instanceof ProvisoError)
      return { ok: false, code: error.code, message: error.message, details: error.details };
    if (error instanceof TypeError) return { ok: false, code: "malformed", message: error.message, details: {} };
    return {
      ok: false,
      code: "internal",
      message: "the experiment's object failed; it has been reported",
      details: {},
    };
  }
};

/** The methods of an experiment's object that the rest of the Worker calls. */
export type HistoryStub = {
  readonly [Name in (typeof remoteOperations)[number]]: (
    ...args: Parameters<GovernanceStore[Name]>
  ) => Promise<Answer<Awaited<ReturnType<GovernanceStore[Name]>>>>;
};
const remoteOperations = [
  "load",
  "commit",
  "history",
  "rules",
  "personal",
  "erase",
  "archive",
  "checkpoint",
  "receipts",
  "keepReceipts",
  "sweep",
  "positions",
  "advance",
] as const satisfies readonly (keyof GovernanceStore)[];

const valueOf = async <Value>(asked: Promise<Answer<Value>>): Promise<Value> => {
  let answer: Answer<Value>;
  try {
    answer = await asked;
  } catch (cause) {
    throw new ProvisoError(
      "store-unavailable",
      "the experiment's object did not answer: what became of the request is not known",
      { retryAfterSeconds: 1 },
      { cause },
    );
  }
  if (answer.ok) return answer.value;
  if (answer.code === "malformed") throw new TypeError(answer.message);
  throw new ProvisoError(answer.code, answer.message, answer.details);
};

export interface DurableObjectStoreOptions {
  /** The object of an experiment: a new stub each time, because a stub belongs to the request that made it. */
  readonly experiment: (ref: ExperimentRef) => HistoryStub;
  readonly registry: (scope: Scope) => Pick<Registry, "list">;
  /** For health reports. Default: `durable-object`. */
  readonly name?: string;
}

/**
 * A {@link GovernanceStore} whose histories are in Durable Objects, for the rest of the Worker.
 *
 * @example
 * const store = durableObjectStore({
 *   experiment: (ref) => env.EXPERIMENTS.getByName(refKey(ref)),
 *   registry: (scope) => env.REGISTRIES.getByName(scopeKey(scope)),
 * });
 */
export const durableObjectStore = (options: DurableObjectStoreOptions): GovernanceStore => {
  const { experiment, registry, name = defaultName } = options;
  const ask = async <Value>(
    ref: ExperimentRef,
    question: (object: HistoryStub) => Promise<Answer<Value>>,
  ): Promise<Value> => {
    // A name that no store takes must not become an object.
    checkRef(ref);
    return valueOf(question(experiment(ref)));
  };
  const list: GovernanceStore["list"] = async (scope, query) => {
    storableListQuery(scope, query);
    try {
      return await registry(scope).list(scope, query);
    } catch (cause) {
      throw new ProvisoError("store-unavailable", "the store could not list experiments", {}, { cause });
    }
  };
  return {
    name,
    load: (ref, query) => ask(ref, (object) => object.load(ref, query)),
    commit: (ref, commit) => ask(ref, (object) => object.commit(ref, commit)),
    history: (ref, query) => ask(ref, (object) => object.history(ref, query)),
    rules: (ref, query) => ask(ref, (object) => object.rules(ref, query)),
    personal: (ref, query) => ask(ref, (object) => object.personal(ref, query)),
    erase: (ref, refs) => ask(ref, (object) => object.erase(ref, refs)),
    archive: (ref, checkpoint) => ask(ref, (object) => object.archive(ref, checkpoint)),
    checkpoint: (ref) => ask(ref, (object) => object.checkpoint(ref)),
    receipts: (ref, query) => ask(ref, (object) => object.receipts(ref, query)),
    keepReceipts: (ref, receipts) => ask(ref, (object) => object.keepReceipts(ref, receipts)),
    sweep: (ref, now) => ask(ref, (object) => object.sweep(ref, now)),
    positions: (ref) => ask(ref, (object) => object.positions(ref)),
    advance: (ref, subscriber, seq) => ask(ref, (object) => object.advance(ref, subscriber, seq)),
    list,
    check: async () => {
      await list(defaultScope, { limit: 1 });
    },
  };
};
