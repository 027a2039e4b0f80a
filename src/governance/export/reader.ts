/**
 * Reads an exported history line by line and finds the first that is not as it was written. Verifying and importing are
 * this reader with something done to the lines that hold.
 */
import * as v from "valibot";
import { canonicalJson, findUnstorable, sha256Hex } from "../../canonical.ts";
import { limits } from "../../limits.ts";
import { messageOf } from "../../message-of.ts";
import type { ExperimentRef } from "../../scope.ts";
import { createVerifier } from "../chain.ts";
import type { EventRecord } from "../events.ts";
import { evolve } from "../evolve.ts";
import { personalRef } from "../personal.ts";
import { headStatement, type Verifying } from "../signing.ts";
import type { ExperimentState } from "../state.ts";
import type { Head, Signature } from "../store.ts";
import { isEventRecord, isExperimentState } from "../stored.ts";
import { checkpointState, exportStatement } from "./statements.ts";
import { type Named, namedBy, namedByState, namedKey } from "./named.ts";
import { createLinesDigest, type Header, type HistoryLine, LineSchema, type Trailer } from "./format.ts";

/** Where a file is wrong, and how. */
export interface Flaw {
  /** Counted from 1; one more than there are when something is missing at the end. */
  readonly line: number;
  /** The event that the line is about; null where it is about none. */
  readonly seq: number | null;
  readonly reason: string;
}

export type Checked =
  | { readonly ok: true; readonly line: HistoryLine; readonly event: EventRecord | null }
  | { readonly ok: false; readonly flaw: Flaw };

export interface ReaderOptions {
  /** A head that was kept elsewhere: the file must contain it. */
  readonly head?: { readonly seq: number; readonly hash: string };
  /** The head, and the file as a whole, must be signed by this key. */
  readonly key?: Verifying;
}

export interface HistoryReader {
  /** The next line, without its `\n`. After a flaw there is no next line. */
  push(text: string): Promise<Checked>;
  /** Call behind the last line; null when the file was whole. */
  end(): Flaw | null;
  readonly header: Header | null;
  /** The last event that holds; null before the first, and before a checkpoint's. */
  readonly head: Head | null;
  readonly state: ExperimentState | null;
  /** Key ids in the signatures of the file, in the order they came; with {@link ReaderOptions.key} they are checked. */
  readonly signedBy: readonly string[];
}

/** Thrown and caught in this file: a check that fails ends the reading of its line. */
class Wrong extends Error {
  readonly line: number | undefined;
  constructor(reason: string, line?: number) {
    super(reason);
    this.line = line;
  }
}

/** A line that stands ahead of what names it. */
interface Waiting extends Named {
  readonly line: number;
  readonly absent: boolean;
}

/** A line and an event put a few levels around what a request may hold. */
const lineDepth = 17;

const parse = (text: string): HistoryLine => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Wrong("not JSON");
  }
  // Before anything walks into it, or makes text of it.
  const unstorable = findUnstorable(value, limits.jsonDepth + lineDepth);
  if (unstorable !== undefined) throw new Wrong(`${unstorable.path}: expected ${unstorable.message}`);
  const result = v.safeParse(LineSchema, value);
  if (!result.success) {
    const [issue] = result.issues;
    const path = (issue.path ?? []).map(({ key }) => `/${String(key)}`).join("");
    throw new Wrong(`${path === "" ? "the line" : path}: expected ${issue.expected ?? issue.message}`);
  }
  if (canonicalJson(value) !== text) throw new Wrong("not in canonical form: a line is written in one way only");
  return result.output;
};

export const createHistoryReader = (options: ReaderOptions = {}): HistoryReader => {
  const digest = createLinesDigest();
  const counts = { lines: 0, events: 0, personal: 0, rules: 0, absent: 0 };
  const seen = new Set<string>();
  const signedBy: string[] = [];
  let waiting: Waiting[] = [];
  let header: Header | null = null;
  let headerDigest = "";
  let chain = createVerifier();
  let last: Head | null = null;
  let state: ExperimentState | null = null;
  let phase: "header" | "checkpoint" | "body" | "head" | "done" = "header";
  /** Places of the last event that changed the state, and of the one that the header calls the latest revision. */
  let changedAt = 0;
  let revisionAt: number | null = null;
  let outsideHeadFound = false;

  const refOf = (): ExperimentRef => {
    if (header === null) throw new Wrong("a header comes first");
    return header.ref;
  };
  const nextSeq = (): number => (last?.seq ?? header?.after ?? 0) + 1;

  const checkSignature = async (what: string, statement: string, signature: Signature): Promise<void> => {
    signedBy.push(signature.keyId);
    if (options.key !== undefined && !(await options.key.verify(statement, signature)))
      throw new Wrong(`the signature of ${what} is not by the given key, or is of something else`);
  };

  /** Every reference that comes up for the first time has its line ahead, in order; and no line is there for nothing. */
  const settle = (names: readonly Named[]): void => {
    const wanted = names.filter((name) => !seen.has(namedKey(name)));
    for (const [index, name] of wanted.entries()) {
      const found = waiting[index];
      if (found === undefined) throw new Wrong(`${name.what} ${name.ref} is named here, and no line ahead brings it`);
      if (found.what !== name.what || found.ref !== name.ref)
        throw new Wrong(`expected ${name.what} ${name.ref} here, found ${found.what} ${found.ref}`, found.line);
      if (!found.absent && found.kind !== name.kind)
        throw new Wrong(`personal ${found.ref} is named as ${String(name.kind)}`, found.line);
      seen.add(namedKey(name));
    }
    const [surplus] = waiting.slice(wanted.length);
    if (surplus !== undefined)
      throw new Wrong(`${surplus.what} ${surplus.ref} is not named by what follows, or was there before`, surplus.line);
    waiting = [];
  };

  const wait = (name: Named, absent: boolean): void => {
    if (phase !== "body" && phase !== "checkpoint") throw new Wrong("out of place");
    waiting.push({ ...name, absent, line: counts.lines + 1 });
  };

  const noteHead = ({ seq, hash }: Head): void => {
    if (header?.revisionHash === hash) revisionAt = seq;
    if (options.head?.seq !== seq) return;
    if (options.head.hash !== hash) throw new Wrong("this is not the event that the head kept elsewhere names");
    outsideHeadFound = true;
  };

  const readEvent = (value: unknown): EventRecord => {
    if (phase === "checkpoint") throw new Wrong("the header goes on behind an event, and no checkpoint follows it", 1);
    if (phase !== "body") throw new Wrong("out of place");
    if (!isEventRecord(value)) throw new Wrong("not an event of this version of Proviso");
    const before = chain.result();
    chain.add([value]);
    if (!chain.result().valid) {
      if (value.seq !== before.length + 1)
        throw new Wrong(`event ${value.seq} where event ${before.length + 1} follows`);
      throw new Wrong(
        value.prevHash === (last?.hash ?? value.prevHash)
          ? "the event is not what its hash was taken of, or its time goes back"
          : "the event does not follow on from the one ahead of it",
      );
    }
    let after: ExperimentState | null;
    try {
      settle(namedBy(value));
      after = evolve(state, value);
    } catch (error) {
      if (error instanceof Wrong) throw error;
      throw new Wrong(`the event does not follow from the state: ${messageOf(error)}`);
    }
    const { experiment, tenant, environment } = refOf();
    if (value.type === "Created") {
      const made = value.data;
      if (made.experiment !== experiment || made.tenant !== tenant || made.environment !== environment)
        throw new Wrong("the event creates another experiment than the header names", 1);
    }
    if (after !== null && (after.name !== experiment || !isExperimentState(after)))
      throw new Wrong("the event leads to what is no state of this experiment");
    if (after !== state) changedAt = value.seq;
    state = after;
    last = { seq: value.seq, hash: value.hash, at: value.at };
    noteHead(last);
    return value;
  };

  const readTrailer = async (trailer: Trailer): Promise<void> => {
    if (phase !== "body" && phase !== "head") throw new Wrong("out of place");
    const at = last;
    if (at === null || header === null) throw new Wrong("a history has at least one event");
    if (trailer.header !== headerDigest)
      throw new Wrong(
        "the header is not the one that the trailer is the digest of",
        trailer.digest === digest.hex() ? undefined : 1,
      );
    const isHead = (head: { seq: number; hash: string }): boolean => head.seq === at.seq && head.hash === at.hash;
    if (!isHead(trailer.head))
      throw new Wrong(
        `the events end at ${at.seq}, and the trailer says ${trailer.head.seq}${trailer.head.seq === at.seq ? " with another hash" : ""}`,
      );
    // A trailer that came too early is what is wrong, and not what it stands behind.
    const [surplus] = waiting;
    if (surplus !== undefined) throw new Wrong(`${surplus.what} ${surplus.ref} is named by no event`, surplus.line);
    if (!isHead(header.head) || header.head.at !== at.at)
      throw new Wrong("the header names another head than the events lead to", 1);
    for (const what of ["lines", "events", "personal", "rules", "absent"] as const)
      if (trailer[what] !== counts[what])
        throw new Wrong(`${counts[what]} ${what}, and the trailer says ${trailer[what]}`);
    checkRevision(header, at.seq);
    if (trailer.digest !== digest.hex()) throw new Wrong("the lines are not those that the trailer is the digest of");
    if (trailer.signature !== undefined)
      await checkSignature("the export", exportStatement(refOf(), trailer), trailer.signature);
    else if (options.key !== undefined) throw new Wrong("the export is not signed");
    if (options.head !== undefined && !outsideHeadFound)
      throw new Wrong(
        options.head.seq > at.seq
          ? `the history ends at ${at.seq}, ahead of the head ${options.head.seq} that was kept elsewhere: its end was cut off`
          : `the file begins behind event ${options.head.seq}: whether it follows on from that cannot be told from it`,
      );
  };

  const checkRevision = ({ revision, revisionHash }: Header, seq: number): void => {
    if (revision === undefined && revisionHash === undefined) return;
    if (revision === undefined || revisionHash === undefined || revision > seq)
      throw new Wrong("the header's revision cannot be", 1);
    // Behind a checkpoint nothing may have changed any more: its revision is of an event that is archived.
    if (revisionAt === null ? changedAt !== 0 : revisionAt < changedAt)
      throw new Wrong("the header's revisionHash is not that of the event that led to the state", 1);
  };

  const read = async (line: HistoryLine): Promise<EventRecord | null> => {
    if (phase === "done") throw new Wrong("nothing comes behind the trailer");
    if (line.line !== "header" && phase === "header") throw new Wrong("a header comes first");
    switch (line.line) {
      case "header":
        if (phase !== "header") throw new Wrong("a second header");
        header = line;
        phase = line.after === 0 ? "body" : "checkpoint";
        return null;
      case "checkpoint": {
        if (phase !== "checkpoint" || header === null) throw new Wrong("out of place");
        if (line.seq !== header.after) throw new Wrong(`the header goes on behind ${header.after}`);
        const found = checkpointState(refOf(), line);
        if (found === null)
          throw new Wrong("the checkpoint does not say what its members say, or is of another experiment");
        await checkSignature("the checkpoint", line.text, line.signature);
        settle(namedByState(found.state));
        state = found.state;
        last = { seq: line.seq, hash: line.hash, at: found.at };
        chain = createVerifier(last);
        noteHead(last);
        phase = "body";
        return null;
      }
      case "personal":
        wait({ what: "personal", ref: line.ref, kind: line.kind }, false);
        if (personalRef(line.salt, line.value) !== line.ref)
          throw new Wrong("the value and its salt are not what the reference is the digest of");
        counts.personal += 1;
        return null;
      case "rules":
        wait({ what: "rules", ref: line.digest }, false);
        if (sha256Hex(line.text) !== line.digest) throw new Wrong("the rules are not what their digest was taken of");
        counts.rules += 1;
        return null;
      case "absent":
        wait({ what: line.what, ref: line.ref }, true);
        counts.absent += 1;
        return null;
      case "event": {
        const event = readEvent(line.event);
        counts.events += 1;
        return event;
      }
      case "head": {
        if (phase !== "body") throw new Wrong("out of place");
        if (last === null || line.seq !== last.seq || line.hash !== last.hash)
          throw new Wrong("the signed head is not the last event");
        phase = "head";
        await checkSignature("the head", headStatement(refOf(), line), line.signature);
        return null;
      }
      case "trailer":
        await readTrailer(line);
        phase = "done";
        return null;
      default:
        return line satisfies never;
    }
  };

  /** Which event a line is about: those ahead of an event are about that one. */
  const seqOf = (): number | null => (phase === "header" || phase === "done" ? null : nextSeq());

  return {
    async push(text) {
      const seq = seqOf();
      try {
        const line = parse(text);
        const event = await read(line);
        counts.lines += 1;
        digest.add(text);
        if (line.line === "header") headerDigest = digest.hex();
        return { ok: true, line, event };
      } catch (error) {
        if (!(error instanceof Wrong)) throw error;
        const at = error.line ?? counts.lines + 1;
        return { ok: false, flaw: { line: at, seq: at === 1 ? null : seq, reason: error.message } };
      }
    },
    end() {
      if (phase === "done") return null;
      return { line: counts.lines + 1, seq: seqOf(), reason: "the file ends without its trailer: it was cut off" };
    },
    get header() {
      return header;
    },
    get head() {
      return last;
    },
    get state() {
      return state;
    },
    signedBy,
  };
};
