import * as kit from "../../../src/store-kit.ts";

/** A bucket with conditional writes, as object storage has them. */
export interface Bucket {
  get(key: string): Promise<{ readonly text: string; readonly tag: string } | null>;
  /** Writes only where the object still has this tag (null: where there is none), and says whether it did. */
  put(key: string, text: string, ifTag: string | null): Promise<boolean>;
}

interface Kept {
  events: readonly kit.StorableEvent[];
  snapshot: kit.StorableSnapshot;
  personal: readonly kit.PersonalValue[];
  receipts: readonly kit.StorableReceipt[];
  rules: readonly kit.RuleSet[];
  positions: readonly (readonly [subscriber: string, seq: number])[];
  checkpoint: kit.Checkpoint | null;
}

/** A scope is one document: pairs and not objects, because a name may be `__proto__`. */
interface Document {
  experiments: readonly (readonly [name: string, kept: Kept])[];
  claims: readonly (readonly [claim: string, experiment: string])[];
}

const isDocument = (value: unknown): value is Document =>
  typeof value === "object" && value !== null && "experiments" in value && "claims" in value;
const parse = (text: string): Document => {
  const value: unknown = JSON.parse(text);
  if (isDocument(value)) return value;
  throw new kit.ProvisoError("internal", "the bucket holds something else");
};
const keptOf = ({ experiments }: Document, { experiment }: kit.ExperimentRef): Kept | undefined =>
  experiments.find(([name]) => name === experiment)?.[1];
const withKept = (document: Document, { experiment }: kit.ExperimentRef, kept: Kept): Document => ({
  ...document,
  experiments: [...document.experiments.filter(([name]) => name !== experiment), [experiment, kept]],
});
const snapshotOf = ({ text, revision, revisionHash }: kit.StorableSnapshot): kit.Snapshot => ({
  state: kit.readState(text),
  revision,
  revisionHash,
});
const peopleOf = ({ personal }: Kept, refs: readonly string[]): ReadonlyMap<string, string> =>
  new Map(personal.flatMap(({ ref, value }) => (refs.includes(ref) ? [[ref, value] as const] : [])));
const byRef = (left: { ref: string }, right: { ref: string }): number => kit.byCodePoint(left.ref, right.ref);
const byDigest = (left: kit.RuleSet, right: kit.RuleSet): number => kit.byCodePoint(left.digest, right.digest);

/** What stands in a commit's way, or the document with it. Pure: the bucket decides whether it is still true. */
const decide = (
  document: Document,
  ref: kit.ExperimentRef,
  commit: kit.StorableCommit,
): kit.CommitResult | Document => {
  const kept = keptOf(document, ref);
  const { head, expect, receipt, now } = commit;
  // The very same events are in place: this commit was made already, and its answer was lost.
  if (kept?.events.some(({ seq, hash }) => seq === head.seq && hash === head.hash)) return { ok: true };
  const alive = kept?.receipts.filter(({ expiresAt }) => expiresAt > now) ?? [];
  if (alive.some(({ key }) => key === receipt?.key)) return { ok: false, conflict: "receipt" };
  const last = kept?.events.at(-1);
  if ((last?.seq ?? 0) !== expect.seq || (last !== undefined && last.hash !== expect.hash))
    return { ok: false, conflict: commit.isNew ? "exists" : "stale" };
  for (const claim of commit.take) {
    const holder = document.claims.find(([name]) => name === claim)?.[1] ?? ref.experiment;
    if (holder !== ref.experiment) return { ok: false, conflict: "claimed", claim, holder };
  }
  const personal = [...(kept?.personal ?? [])];
  for (const row of commit.personal) {
    const known = personal.find(
      ({ ref: other, kind, value }) =>
        other === row.ref || (row.kind === "actor" && kind === "actor" && value === row.value),
    );
    if (known === undefined) personal.push(row);
    else if (known.ref !== row.ref || known.kind !== row.kind || known.salt !== row.salt || known.value !== row.value)
      throw new kit.ProvisoError("internal", "the store refused the commit");
  }
  const snapshot = commit.snapshot ?? kept?.snapshot;
  if (snapshot === undefined) throw new kit.ProvisoError("internal", "an experiment without a snapshot");
  const rules = kept?.rules ?? [];
  const goes = (claim: string): boolean => commit.release.includes(claim) || commit.take.includes(claim);
  return withKept(
    {
      ...document,
      claims: [
        ...document.claims.filter(([claim, experiment]) => experiment !== ref.experiment || !goes(claim)),
        ...commit.take.map((claim) => [claim, ref.experiment] as const),
      ],
    },
    ref,
    {
      events: [...(kept?.events ?? []), ...commit.events],
      snapshot,
      personal: personal.toSorted(byRef),
      receipts: receipt === null ? (kept?.receipts ?? []) : [...alive, receipt],
      rules: [...rules, ...commit.rules.filter(({ digest }) => rules.every((rule) => rule.digest !== digest))].toSorted(
        byDigest,
      ),
      positions: kept?.positions ?? [],
      checkpoint: kept?.checkpoint ?? null,
    },
  );
};

export const bucketStore = (bucket: Bucket): kit.GovernanceStore => {
  const read = async (scope: kit.Scope): Promise<{ document: Document; tag: string | null }> => {
    const found = await bucket.get(kit.scopeKey(scope));
    return found === null
      ? { document: { experiments: [], claims: [] }, tag: null }
      : { document: parse(found.text), tag: found.tag };
  };

  /** Looks, decides and writes, and begins again when somebody else has written: a compare-and-set in a loop. */
  const change = async <Answer>(
    ref: kit.ExperimentRef,
    decideOn: (document: Document) => { readonly next: Document | null; readonly answer: Answer },
  ): Promise<Answer> => {
    for (let attempt = 0; attempt < 50; attempt += 1) {
      const { document, tag } = await read(ref);
      const { next, answer } = decideOn(document);
      if (next === null || (await bucket.put(kit.scopeKey(ref), JSON.stringify(next), tag))) return answer;
    }
    throw new kit.ProvisoError("store-unavailable", "too many write to this scope at one moment");
  };
  const changeKept = (ref: kit.ExperimentRef, changed: (kept: Kept) => Kept): Promise<void> =>
    change(ref, (document) => {
      const kept = keptOf(document, ref);
      return { next: kept === undefined ? null : withKept(document, ref, changed(kept)), answer: undefined };
    });

  return {
    name: "bucket",

    async load(ref, options) {
      const { receipt, actor, now } = kit.storableLoad(ref, options);
      const kept = keptOf((await read(ref)).document, ref);
      const head = kept?.events.at(-1);
      if (kept === undefined || head === undefined) return null;
      const found = kept.receipts.find(({ key, expiresAt }) => key === receipt && expiresAt > now);
      return {
        snapshot: snapshotOf(kept.snapshot),
        head: { seq: head.seq, hash: head.hash, at: head.at },
        receipt: found === undefined ? null : kit.readReceipt(found),
        actor: kept.personal.find(({ kind, value }) => kind === "actor" && value === actor)?.ref ?? null,
        people: peopleOf(kept, kept.snapshot.people),
      };
    },

    async commit(ref, commit) {
      const storable = kit.storableCommit(ref, commit);
      return change(ref, (document): { next: Document | null; answer: kit.CommitResult } => {
        const decided = decide(document, ref, storable);
        return "ok" in decided ? { next: null, answer: decided } : { next: decided, answer: { ok: true } };
      });
    },

    async history(ref, query) {
      const { after, limit, types, version } = kit.storableHistoryQuery(ref, query);
      const kept = keptOf((await read(ref)).document, ref);
      if (kept === undefined) return { events: [], next: null, people: new Map() };
      const found = kept.events.filter(
        (event) =>
          event.seq > after && (types?.includes(event.type) ?? true) && (version === null || event.version === version),
      );
      const page = found.slice(0, limit);
      return {
        events: page.map(({ text }) => kit.readEvent(text)),
        next: found.length > limit ? (page.at(-1)?.seq ?? null) : null,
        people: peopleOf(
          kept,
          page.flatMap(({ people }) => people),
        ),
      };
    },

    async list(scope, query) {
      const { after, limit, states, surface } = kit.storableListQuery(scope, query);
      const { document } = await read(scope);
      const claim = surface === null ? null : kit.surfaceClaim(surface);
      const holder = document.claims.find(([name]) => name === claim)?.[1];
      const found = document.experiments
        .filter(
          ([name, { snapshot }]) =>
            kit.byCodePoint(name, after) > 0 &&
            (claim === null || name === holder) &&
            (states?.includes(snapshot.lifecycle) ?? true),
        )
        .toSorted(([left], [right]) => kit.byCodePoint(left, right));
      const page = found.slice(0, limit);
      const { tenant, environment } = scope;
      return {
        items: page.map(([experiment, { snapshot }]) => ({
          ref: { tenant, environment, experiment },
          snapshot: snapshotOf(snapshot),
        })),
        next: found.length > limit ? (page.at(-1)?.[0] ?? null) : null,
      };
    },

    async rules(ref, query) {
      const { after, limit } = kit.storablePageQuery(ref, query);
      const rules = keptOf((await read(ref)).document, ref)?.rules ?? [];
      const found = rules.filter(({ digest }) => kit.byCodePoint(digest, after) > 0);
      const page = found.slice(0, limit);
      return { rules: page, next: found.length > limit ? (page.at(-1)?.digest ?? null) : null };
    },

    async personal(ref, query) {
      const { after, limit, refs } = kit.storablePersonalQuery(ref, query);
      const personal = keptOf((await read(ref)).document, ref)?.personal ?? [];
      const found = personal.filter((row) => kit.byCodePoint(row.ref, after) > 0 && (refs?.includes(row.ref) ?? true));
      const page = found.slice(0, limit);
      return { values: page, next: found.length > limit ? (page.at(-1)?.ref ?? null) : null };
    },

    async erase(ref, refs) {
      const gone = kit.storableRefs(ref, refs);
      await changeKept(ref, (kept) => ({
        ...kept,
        personal: kept.personal.filter((row) => !gone.includes(row.ref)),
        receipts: [],
      }));
    },

    async archive(ref, checkpoint) {
      kit.checkCheckpoint(ref, checkpoint);
      return change(ref, (document): { next: Document | null; answer: boolean } => {
        const kept = keptOf(document, ref);
        const { seq, hash } = checkpoint;
        if (kept?.checkpoint?.seq === seq && kept.checkpoint.hash === hash) return { next: null, answer: true };
        const isThere = kept?.events.some((event) => event.seq === seq && event.hash === hash) ?? false;
        if (kept === undefined || !isThere || (kept.checkpoint?.seq ?? 0) >= seq) return { next: null, answer: false };
        const events = kept.events.filter((event) => event.seq >= seq);
        return { next: withKept(document, ref, { ...kept, events, checkpoint }), answer: true };
      });
    },

    async checkpoint(ref) {
      kit.checkRef(ref);
      return keptOf((await read(ref)).document, ref)?.checkpoint ?? null;
    },

    async receipts(ref, query) {
      const { after, limit, now } = kit.storableReceiptsQuery(ref, query);
      const found = (keptOf((await read(ref)).document, ref)?.receipts ?? [])
        .filter(({ key, expiresAt }) => kit.byCodePoint(key, after) > 0 && expiresAt > now)
        .toSorted((left, right) => kit.byCodePoint(left.key, right.key));
      const page = found.slice(0, limit);
      return { receipts: page.map(kit.readReceipt), next: found.length > limit ? (page.at(-1)?.key ?? null) : null };
    },

    async keepReceipts(ref, receipts) {
      const more = kit.storableReceipts(ref, receipts);
      await changeKept(ref, (kept) => {
        const byKey = new Map(kept.receipts.map((receipt) => [receipt.key, receipt]));
        for (const one of more) if (one.expiresAt > (byKey.get(one.key)?.expiresAt ?? 0)) byKey.set(one.key, one);
        return { ...kept, receipts: [...byKey.values()] };
      });
    },

    async sweep(ref, now) {
      kit.checkRef(ref);
      const ms = kit.parseTime("/now", now);
      await changeKept(ref, (kept) => ({ ...kept, receipts: kept.receipts.filter(({ expiresAt }) => expiresAt > ms) }));
    },

    async positions(ref) {
      kit.checkRef(ref);
      return new Map(keptOf((await read(ref)).document, ref)?.positions);
    },

    async advance(ref, subscriber, seq) {
      kit.checkPosition(ref, subscriber, seq);
      await changeKept(ref, (kept) => {
        const known = new Map(kept.positions);
        known.set(subscriber, Math.max(seq, known.get(subscriber) ?? 0));
        return { ...kept, positions: [...known] };
      });
    },

    async check() {
      await bucket.get("health");
    },
  };
};
