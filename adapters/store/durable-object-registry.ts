/**
 * The registry of one scope on Durable Objects: which experiment holds which claim, and the listing. Every experiment's
 * truth is its own object's database; this object keeps two experiments from taking one claim, and answers what no
 * single experiment can.
 *
 * Taking a claim crosses two objects, and either may die in between:
 *
 *     reserve (here, durable) → commit (in the experiment's object) → report (here: what it holds)
 *
 * An experiment commits a claim only while its reservation stands here, and a reservation goes only when it is known
 * that its commit cannot happen any more, or that it has happened and is reported. So no claim is held twice. A
 * reservation or a holding in somebody's way is never believed: the object that has it is asked. So none is lost, however
 * long ago its owner died.
 *
 * The listing is not told of every commit. An experiment that is about to change leaves a mark, once; whoever lists asks
 * those that are marked for their state, and takes the marks away. So a list has every commit that was answered before
 * it, and an experiment that changes often costs the registry nothing. `docs/stores.md` has the argument in full.
 */
import * as v from "valibot";
import { ProvisoError } from "../../src/errors.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";
import { storableListQuery } from "../../src/governance/storable-query.ts";
import type { ListPage, ListQuery } from "../../src/governance/store.ts";
import { checkSchema, type ObjectSchema, type ObjectStorage, runIn } from "./object-storage.ts";
import { ClaimRow, firstOf, listQuery, type Query, rowsOf } from "./sqlite.ts";
import { answerCharactersMax, listPage } from "./sqlite-reads.ts";

/** One attempt at a commit that takes claims. */
export interface Reservation {
  readonly ref: ExperimentRef;
  /** Names this attempt and no other: a second attempt at the same commit has another. */
  readonly attempt: string;
  /** The place in the history that the commit is for: once the history has got there, the attempt is decided. */
  readonly seq: number;
  /** In the order in which they were asked for. */
  readonly claims: readonly string[];
}

export type Reserved = { readonly ok: true } | { readonly ok: false; readonly claim: string; readonly holder: string };

/** What an experiment's object says of itself. */
export interface Report {
  readonly ref: ExperimentRef;
  /** Its head. */
  readonly seq: number;
  /** The commit that last changed what it holds. */
  readonly claimsSeq: number;
  /** Everything it holds; null when it has been reported as of `claimsSeq` already. */
  readonly claims: readonly string[] | null;
  /** Its state; null when it has been reported already. */
  readonly snapshot: ReportedSnapshot | null;
  /** The mark that this report settles; null when there is none. */
  readonly mark: string | null;
}

/** Asks a marked experiment for its report, and tells it that this mark will be gone. */
export interface StandingQuestion {
  readonly ref: ExperimentRef;
  readonly mark: string;
}

export interface ReportedSnapshot {
  readonly lifecycle: string;
  readonly revision: number;
  readonly revisionHash: string;
  /** Canonical JSON. */
  readonly state: string;
}

/** What somebody else wants, asked of the experiment that seems to hold it. */
export interface HoldingQuestion {
  readonly ref: ExperimentRef;
  readonly claims: readonly string[];
  /** Its reservations of them. The answer waits until each is decided. */
  readonly attempts: readonly string[];
}

export interface Holding {
  readonly claimsSeq: number;
  /** Those of the claims that it does hold. */
  readonly held: readonly string[];
}

/** What an experiment's object asks of its registry. */
export interface Registry {
  /** All of the claims or none. */
  reserve(reservation: Reservation): Promise<Reserved>;
  /** The attempt is over, and its commit did not happen. */
  cancel(reservation: Pick<Reservation, "ref" | "attempt">): Promise<void>;
  /**
   * From here on lists ask the experiment. `mark` is one of its own that it never used before.
   *
   * @returns false when too many are marked: it must report instead
   */
  mark(question: StandingQuestion): Promise<boolean>;
  /** @returns whether the claims are now known here as reported */
  report(report: Report): Promise<boolean>;
  list(scope: Scope, query?: ListQuery): Promise<ListPage>;
}

export interface RegistryOptions {
  readonly storage: ObjectStorage;
  /** Asks the object of an experiment; rejects when it does not answer. */
  readonly holding: (question: HoldingQuestion) => Promise<Holding>;
  /** Like `holding`. */
  readonly standing: (question: StandingQuestion) => Promise<Report>;
}

const schema = `
CREATE TABLE snapshots (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  lifecycle TEXT NOT NULL,
  revision INTEGER NOT NULL,
  revision_hash TEXT NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, experiment)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX snapshots_by_lifecycle ON snapshots (tenant, environment, lifecycle, experiment);
--> statement-breakpoint
-- What experiments have reported to hold.
CREATE TABLE claims (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  claim TEXT NOT NULL,
  experiment TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, claim)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX claims_by_holder ON claims (tenant, environment, experiment);
--> statement-breakpoint
-- What attempts that may still commit have reserved. Two attempts of one experiment may want the same.
CREATE TABLE reservations (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  claim TEXT NOT NULL,
  attempt TEXT NOT NULL,
  experiment TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (tenant, environment, claim, attempt)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX reservations_by_holder ON reservations (tenant, environment, experiment, seq);
--> statement-breakpoint
CREATE INDEX reservations_by_attempt ON reservations (attempt);
--> statement-breakpoint
-- No report of what an experiment holds that is older than this counts any more.
CREATE TABLE holders (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  claims_seq INTEGER NOT NULL,
  PRIMARY KEY (tenant, environment, experiment)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TRIGGER claims_are_exclusive BEFORE INSERT ON claims
WHEN EXISTS (
  SELECT 1 FROM claims
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND claim = NEW.claim AND experiment <> NEW.experiment
  UNION ALL
  SELECT 1 FROM reservations
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND claim = NEW.claim AND experiment <> NEW.experiment
)
BEGIN
  SELECT RAISE(ABORT, 'proviso:claimed: another experiment holds this claim');
END;
--> statement-breakpoint
CREATE TRIGGER reservations_are_exclusive BEFORE INSERT ON reservations
WHEN EXISTS (
  SELECT 1 FROM claims
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND claim = NEW.claim AND experiment <> NEW.experiment
  UNION ALL
  SELECT 1 FROM reservations
  WHERE tenant = NEW.tenant AND environment = NEW.environment AND claim = NEW.claim AND experiment <> NEW.experiment
)
BEGIN
  SELECT RAISE(ABORT, 'proviso:claimed: another experiment holds this claim');
END;
`;

/** Experiments that may have changed since they last reported. */
const marks = `
CREATE TABLE marks (
  tenant TEXT NOT NULL,
  environment TEXT NOT NULL,
  experiment TEXT NOT NULL,
  mark TEXT NOT NULL,
  PRIMARY KEY (tenant, environment, experiment)
) STRICT, WITHOUT ROWID;
`;

const registrySchema: ObjectSchema = { registry: [schema, marks] };

/** A list asks every marked experiment, and a request may ask so many objects only. */
const marksMax = 100;

/** Holders that one reservation asks before it takes their word that they are faster. */
const roundsMax = 100;

const inScope = "tenant = ?1 AND environment = ?2";
const here = `${inScope} AND experiment = ?3`;
const placeOf = ({ tenant, environment, experiment }: ExperimentRef) => [tenant, environment, experiment] as const;

const obstacleQuery = ({ ref, claims }: Reservation): Query => [
  `SELECT claim, holder FROM (
    SELECT wanted.key, held.claim, held.experiment AS holder FROM json_each(?4) AS wanted CROSS JOIN claims AS held
    WHERE ${inScope} AND held.claim = wanted.value AND held.experiment <> ?3
    UNION ALL
    SELECT wanted.key, held.claim, held.experiment AS holder FROM json_each(?4) AS wanted CROSS JOIN reservations AS held
    WHERE ${inScope} AND held.claim = wanted.value AND held.experiment <> ?3
  ) ORDER BY key LIMIT 1`,
  ...placeOf(ref),
  JSON.stringify(claims),
];

const reserveQuery = ({ ref, attempt, seq, claims }: Reservation): Query => [
  `INSERT INTO reservations (tenant, environment, experiment, claim, attempt, seq)
  SELECT ?1, ?2, ?3, wanted.value, ?5, ?6 FROM json_each(?4) AS wanted`,
  ...placeOf(ref),
  JSON.stringify(claims),
  attempt,
  seq,
];

/** Of the claims that are wanted, those that this experiment seems to have. */
const suspectsQuery = (holder: ExperimentRef, claims: readonly string[]): Query => [
  `SELECT held.claim, held.attempt FROM json_each(?4) AS wanted CROSS JOIN (
    SELECT tenant, environment, experiment, claim, NULL AS attempt FROM claims
    UNION ALL
    SELECT tenant, environment, experiment, claim, attempt FROM reservations
  ) AS held WHERE ${here} AND held.claim = wanted.value`,
  ...placeOf(holder),
  JSON.stringify(claims),
];

const MarkRow = v.object({ experiment: v.string(), mark: v.string() });
const SuspectRow = v.object({ claim: v.string(), attempt: v.nullable(v.string()) });
const HolderRow = v.object({ claims_seq: v.number() });

const holderQuery = (ref: ExperimentRef): Query => [`SELECT claims_seq FROM holders WHERE ${here}`, ...placeOf(ref)];

const noteHolder = (ref: ExperimentRef, claimsSeq: number): Query => [
  `INSERT INTO holders (tenant, environment, experiment, claims_seq) VALUES (?1, ?2, ?3, ?4)
  ON CONFLICT (tenant, environment, experiment) DO UPDATE SET claims_seq = excluded.claims_seq`,
  ...placeOf(ref),
  claimsSeq,
];

const snapshotQueries = (ref: ExperimentRef, snapshot: ReportedSnapshot): readonly Query[] => [
  [
    `INSERT INTO snapshots (tenant, environment, experiment, lifecycle, revision, revision_hash, state)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (tenant, environment, experiment) DO UPDATE SET
      lifecycle = excluded.lifecycle, revision = excluded.revision, revision_hash = excluded.revision_hash,
      state = excluded.state
    WHERE excluded.revision > revision`,
    ...placeOf(ref),
    snapshot.lifecycle,
    snapshot.revision,
    snapshot.revisionHash,
    snapshot.state,
  ],
];

/** What is released goes first: the rest of the claims may be new. */
const claimsQueries = (ref: ExperimentRef, claims: readonly string[]): readonly Query[] => [
  [
    `DELETE FROM claims WHERE ${here} AND claim NOT IN (SELECT value FROM json_each(?4))`,
    ...placeOf(ref),
    JSON.stringify(claims),
  ],
  [
    `INSERT INTO claims (tenant, environment, experiment, claim) SELECT ?1, ?2, ?3, held.value FROM json_each(?4) AS held
    WHERE NOT EXISTS (SELECT 1 FROM claims WHERE ${here} AND claim = held.value)`,
    ...placeOf(ref),
    JSON.stringify(claims),
  ],
];

/** The registry of one scope, over the storage of its object. */
export const openRegistry = ({ storage, holding, standing }: RegistryOptions): Registry => {
  const run = runIn(storage);
  const schemaOf = checkSchema(storage, registrySchema);

  const claimsSeqOf = (ref: ExperimentRef): number => firstOf(HolderRow, run(holderQuery(ref)))?.claims_seq ?? 0;

  /** Reserves, or says what is first in the way. */
  const tryToReserve = (reservation: Reservation): { readonly claim: string; readonly holder: string } | null =>
    storage.transactionSync(() => {
      const obstacle = firstOf(ClaimRow, run(obstacleQuery(reservation)));
      if (obstacle === null) run(reserveQuery(reservation));
      return obstacle;
    });

  /** Forgets what the holder turned out not to have. What it has stays as it is until it reports. */
  const forget = ({ ref, claims, attempts }: HoldingQuestion, { claimsSeq, held }: Holding): void =>
    storage.transactionSync(() => {
      const gone = JSON.stringify(claims.filter((claim) => !held.includes(claim)));
      run([
        `DELETE FROM reservations WHERE ${here} AND claim IN (SELECT value FROM json_each(?4))
          AND attempt IN (SELECT value FROM json_each(?5))`,
        ...placeOf(ref),
        gone,
        JSON.stringify(attempts),
      ]);
      if (claimsSeq < claimsSeqOf(ref)) return;
      run([`DELETE FROM claims WHERE ${here} AND claim IN (SELECT value FROM json_each(?4))`, ...placeOf(ref), gone]);
      // A report from before this answer may still be on its way, and would bring back what has just gone.
      run(noteHolder(ref, claimsSeq));
    });

  /** Asks the holder whether it has what stands in the way, and makes room where it has not. */
  const settle = async (reservation: Reservation, holder: string): Promise<readonly string[]> => {
    const ref = { ...reservation.ref, experiment: holder };
    const suspects = rowsOf(SuspectRow, run(suspectsQuery(ref, reservation.claims)));
    const question: HoldingQuestion = {
      ref,
      claims: [...new Set(suspects.map(({ claim }) => claim))],
      attempts: [...new Set(suspects.flatMap(({ attempt }) => attempt ?? []))],
    };
    const answer = await holding(question);
    forget(question, answer);
    return answer.held;
  };

  const take = ({ ref, seq, claimsSeq, claims, snapshot, mark }: Report): boolean =>
    storage.transactionSync(() => {
      if (mark !== null) run([`DELETE FROM marks WHERE ${here} AND mark = ?4`, ...placeOf(ref), mark]);
      if (snapshot !== null) for (const query of snapshotQueries(ref, snapshot)) run(query);
      if (claimsSeq < claimsSeqOf(ref)) return false;
      if (claims !== null) {
        for (const query of claimsQueries(ref, claims)) run(query);
        run(noteHolder(ref, claimsSeq));
      }
      // Attempts for places that the history has reached are decided, and what came of them is among the claims.
      run([`DELETE FROM reservations WHERE ${here} AND seq <= ?4`, ...placeOf(ref), seq]);
      return true;
    });

  /** One that does not answer stays marked, and is listed as it was last known: nobody can read more of it now. */
  const askTheMarked = async ({ tenant, environment }: Scope): Promise<void> => {
    const marked = rowsOf(MarkRow, run([`SELECT experiment, mark FROM marks WHERE ${inScope}`, tenant, environment]));
    await Promise.allSettled(
      marked.map(async ({ experiment, mark }) =>
        take(await standing({ ref: { tenant, environment, experiment }, mark })),
      ),
    );
  };

  return {
    async reserve(reservation) {
      schemaOf("write");
      for (let round = 0; ; round += 1) {
        const obstacle = tryToReserve(reservation);
        if (obstacle === null) return { ok: true };
        if (round === roundsMax) return { ok: false, ...obstacle };
        const held = await settle(reservation, obstacle.holder);
        if (held.includes(obstacle.claim)) return { ok: false, ...obstacle };
      }
    },

    async cancel({ attempt }) {
      if (schemaOf("read")) run(["DELETE FROM reservations WHERE attempt = ?1", attempt]);
    },

    async mark({ ref, mark }) {
      schemaOf("write");
      const written = run([
        `INSERT INTO marks (tenant, environment, experiment, mark) SELECT ?1, ?2, ?3, ?4
        WHERE EXISTS (SELECT 1 FROM marks WHERE ${here})
          OR (SELECT count(*) FROM (SELECT 1 FROM marks WHERE ${inScope} LIMIT ?5)) < ?5
        ON CONFLICT (tenant, environment, experiment) DO UPDATE SET mark = excluded.mark RETURNING mark`,
        ...placeOf(ref),
        mark,
        marksMax,
      ]);
      return written.results.length > 0;
    },

    async report(report) {
      schemaOf("write");
      return take(report);
    },

    async list(scope, query) {
      const storable = storableListQuery(scope, query);
      if (!schemaOf("read")) return { items: [], next: null };
      await askTheMarked(scope);
      return listPage(scope, storable, run(listQuery(scope, storable)), answerCharactersMax);
    },
  };
};

/** For what no caller can help. */
export const registryUnavailable = (cause: unknown): ProvisoError =>
  new ProvisoError(
    "store-unavailable",
    "the registry of the scope did not answer: nothing was written",
    { retryAfterSeconds: 1 },
    { cause },
  );
