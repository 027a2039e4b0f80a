/**
 * An exported history into a store, in bounded commits. The head of the target says how far it has come: asked again
 * with the same file, it goes on from there. A target with another history is left as it is.
 */
import * as v from "valibot";
import { byteLength } from "../../canonical.ts";
import { ProvisoError } from "../../errors.ts";
import { ConfigurationSchema } from "../../experiment.ts";
import { limits } from "../../limits.ts";
import { ExperimentNameSchema, type ExperimentRef, NameSchema } from "../../scope.ts";
import type { EventRecord } from "../events.ts";
import { evolve } from "../evolve.ts";
import type { ExperimentState } from "../state.ts";
import type { GovernanceStore, Head, PersonalValue, RuleSet } from "../store.ts";
import type { Header } from "./format.ts";
import { createHistoryReader, type Flaw, type ReaderOptions } from "./reader.ts";

export interface ImportOptions extends ReaderOptions {
  /** Called once the header is read, and before anything is written; throws what keeps the caller out. */
  readonly allow?: (ref: ExperimentRef) => void | Promise<void>;
  /** After every commit, and at the beginning. */
  readonly onProgress?: (progress: { readonly done: number; readonly of: number }) => void;
}

export interface Imported {
  readonly ref: ExperimentRef;
  readonly head: { readonly seq: number; readonly hash: string };
  /** Events that this call has written; the target had the others already. */
  readonly written: number;
}

/** Events on their way, with what they are the first to name. */
interface Chunk {
  readonly events: readonly EventRecord[];
  readonly personal: readonly PersonalValue[];
  readonly rules: readonly RuleSet[];
  readonly bytes: number;
}

const nothing: Chunk = { events: [], personal: [], rules: [], bytes: 0 };

const joined = (left: Chunk, right: Chunk): Chunk => ({
  events: [...left.events, ...right.events],
  personal: [...left.personal, ...right.personal],
  rules: [...left.rules, ...right.rules],
  bytes: left.bytes + right.bytes,
});

/** The target as it stands. */
interface Standing {
  readonly head: Head;
  readonly state: ExperimentState;
  readonly revision: number;
}

const chunkBytesMax = 1_000_000;

const located = ({ line, seq, reason }: Flaw): ProvisoError =>
  new ProvisoError("invalid-request", `line ${line}: ${reason}`, {
    line,
    ...(seq === null ? {} : { seq }),
    errors: [{ path: `line ${line}`, message: reason }],
  });

const refuse = (reason: string): ProvisoError => located({ line: 1, seq: null, reason });

const differs = (ref: ExperimentRef, seq: number): ProvisoError =>
  new ProvisoError(
    "experiment-exists",
    `${ref.experiment} exists with another history: at event ${seq} it is not what the file says. Nothing was changed.`,
    { seq },
  );

const RefSchema = v.object({ tenant: NameSchema, environment: NameSchema, experiment: ExperimentNameSchema });

/** What serving would trip over is not stored, however well it is hashed. */
const checkContent = (event: EventRecord): string | null => {
  if (event.type !== "VersionWritten") return null;
  return v.is(ConfigurationSchema, event.data.configuration)
    ? null
    : "its configuration is not one of this version of Proviso";
};

/** The state that events lead to, and the last of them that changed it. */
const follow = (
  from: ExperimentState | null,
  events: readonly EventRecord[],
): { readonly state: ExperimentState | null; readonly changedBy: EventRecord | null } => {
  let state = from;
  let changedBy: EventRecord | null = null;
  for (const event of events) {
    const next = evolve(state, event);
    if (next !== state) changedBy = event;
    state = next;
  }
  return { state, changedBy };
};

const standingOf = async (store: GovernanceStore, ref: ExperimentRef): Promise<Standing | null> => {
  const loaded = await store.load(ref);
  return loaded === null
    ? null
    : { head: loaded.head, state: loaded.snapshot.state, revision: loaded.snapshot.revision };
};

/** Refuses what could not go on from what the target has. */
const checkStart = async (store: GovernanceStore, header: Header, target: Standing | null): Promise<void> => {
  const { ref, after, head } = header;
  if (target === null && after > 0)
    throw refuse(`the file begins behind event ${after}: import the archive of what is before it first`);
  if (target !== null && target.head.seq < after)
    throw refuse(`the file begins behind event ${after}, and the target ends at ${target.head.seq}`);
  if (target === null || target.head.seq <= head.seq) return;
  const [event] = (await store.history(ref, { after: head.seq - 1, limit: 1 })).events;
  if (event?.hash !== head.hash) throw differs(ref, head.seq);
};

/** @returns the target as it then stands */
const commitChunk = async (
  store: GovernanceStore,
  header: Header,
  target: Standing | null,
  { events, personal, rules }: Chunk,
  isLast: boolean,
): Promise<Standing> => {
  const { ref, revision: revisionMax = Infinity, revisionHash } = header;
  const { state, changedBy } = follow(target?.state ?? null, events);
  const last = events.at(-1);
  if (last === undefined || state === null)
    throw new TypeError("import: a chunk without an event, or without a version");
  const final = isLast && revisionHash !== undefined;
  // A commit of the source may have been cut in two here, so there is no revision of its own for what is between.
  const between = Math.min((target?.revision ?? 0) + 1, revisionMax);
  const snapshot = final
    ? { state, revision: revisionMax, revisionHash }
    : { state, revision: between, revisionHash: (changedBy ?? last).hash };
  const writes = final || changedBy !== null;
  const result = await store.commit(ref, {
    expect: target?.head ?? "new",
    events,
    ...(writes ? { snapshot } : {}),
    personal,
    rules,
    // Only at the end: what was held meanwhile may be somebody else's by now.
    claims: { take: isLast ? state.claims : [], release: [] },
    receipt: null,
  });
  if (result.ok) {
    const head = { seq: last.seq, hash: last.hash, at: last.at };
    return { head, state, revision: writes ? snapshot.revision : (target?.revision ?? between) };
  }
  if (result.conflict === "claimed")
    throw new ProvisoError(
      "surface-claimed",
      `${result.holder} holds ${result.claim}, which ${ref.experiment} holds too`,
      {
        claim: result.claim,
        holder: result.holder,
      },
    );
  throw new ProvisoError(
    "experiment-exists",
    `${ref.experiment} was changed while it was imported: look, and try again`,
  );
};

/**
 * Imports one experiment. The last events are committed only when the trailer has been checked: a history of up to 100
 * events is there as a whole or not at all, and a longer one shows, while it comes in, as it stood then.
 *
 * @param lines without their line ends
 * @throws ProvisoError `invalid-request` with the line that is wrong; `experiment-exists` for a target with another
 *   history; `surface-claimed` when another experiment holds what this one needs
 * @example await importExperiment(store, splitLines(file))
 */
export const importExperiment = async (
  store: GovernanceStore,
  lines: AsyncIterable<string> | Iterable<string>,
  { allow, onProgress, ...options }: ImportOptions = {},
): Promise<Imported> => {
  const reader = createHistoryReader(options);
  /** What the reader has let pass and no commit holds yet; and, of it, what stands ahead of an event to come. */
  let chunk = nothing;
  let ahead = nothing;
  let target: Standing | null = null;
  let written = 0;
  let number = 0;

  const flush = async (header: Header, isLast: boolean): Promise<void> => {
    if (chunk.events.length === 0) return;
    target = await commitChunk(store, header, target, chunk, isLast);
    written += chunk.events.length;
    chunk = nothing;
    onProgress?.({ done: target.head.seq, of: header.head.seq });
  };

  const begin = async (header: Header): Promise<void> => {
    if (!v.is(RefSchema, header.ref)) throw refuse("the header names no experiment that there could be");
    await allow?.(header.ref);
    target = await standingOf(store, header.ref);
    await checkStart(store, header, target);
    onProgress?.({ done: Math.min(target?.head.seq ?? 0, header.head.seq), of: header.head.seq });
  };

  const take = async (header: Header, event: EventRecord, bytes: number): Promise<void> => {
    const wrong = checkContent(event);
    if (wrong !== null) throw located({ line: number, seq: event.seq, reason: wrong });
    const next = joined(ahead, { ...nothing, events: [event], bytes });
    ahead = nothing;
    if (chunk.events.length >= limits.commitEvents || chunk.bytes + next.bytes > chunkBytesMax)
      await flush(header, false);
    chunk = joined(chunk, next);
  };

  for await (const text of lines) {
    number += 1;
    const checked = await reader.push(text);
    if (!checked.ok) throw located(checked.flaw);
    const { line, event } = checked;
    const { header } = reader;
    if (header === null) throw new TypeError("import: a line ahead of the header");
    if (line.line === "header") await begin(line);
    // What belongs to events that the target has came with them, and may have been erased there since.
    const had: number = standingSeq(target);
    const isNew = reader.head === null ? header.after === 0 && had === 0 : reader.head.seq >= had;
    const bytes = byteLength(text);
    if (line.line === "personal" && isNew) {
      const { kind, ref, salt, value } = line;
      ahead = joined(ahead, { ...nothing, personal: [{ kind, ref, salt, value }], bytes });
    }
    if (line.line === "rules" && isNew)
      ahead = joined(ahead, { ...nothing, rules: [{ digest: line.digest, text: line.text }], bytes });
    const place = line.line === "checkpoint" ? line : event;
    if (place !== null && place.seq === had && place.hash !== standingHash(target))
      throw differs(header.ref, place.seq);
    if (event !== null && event.seq > had) await take(header, event, bytes);
  }
  const flaw = reader.end();
  if (flaw !== null) throw located(flaw);
  const { header, head } = reader;
  if (header === null || head === null) throw new TypeError("import: a file without events passed the reader");
  await flush(header, true);
  return { ref: header.ref, head: { seq: head.seq, hash: head.hash }, written };
};

// `target` is assigned in closures, which the compiler does not follow.
const standingSeq = (target: Standing | null): number => target?.head.seq ?? 0;
const standingHash = (target: Standing | null): string | null => target?.head.hash ?? null;
