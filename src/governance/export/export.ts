/** A history as lines of text, page by page: a long one needs no more memory than a short one. */
import { canonicalJson } from "../../canonical.ts";
import { ProvisoError } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { ExperimentRef } from "../../scope.ts";
import type { EventRecord } from "../events.ts";
import { signHead, type Signer } from "../signing.ts";
import type {
  Checkpoint,
  GovernanceStore,
  Head,
  HistoryPage,
  PersonalPage,
  PersonalValue,
  RulesPage,
} from "../store.ts";
import { createLinesDigest, formatName, formatVersion, type HistoryLine } from "./format.ts";
import { type Named, namedBy, namedByState, namedKey } from "./named.ts";
import { checkpointState, exportStatement } from "./statements.ts";

export interface ExportOptions {
  /** Signs the head and the file. */
  readonly signer?: Signer;
}

export interface ExportedPart extends ExportOptions {
  /** The events end here, which is not where the history ends. */
  readonly until?: Head;
}

/** Personal values by reference. */
const valuesOf = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  refs: readonly string[],
): Promise<ReadonlyMap<string, PersonalValue>> => {
  const found = new Map<string, PersonalValue>();
  for (let from = 0; from < refs.length; from += limits.pageRows) {
    for (let after: string | null = ""; after !== null;) {
      const query = { refs: refs.slice(from, from + limits.pageRows), limit: limits.heavyPageRows };
      const page: PersonalPage = await store.personal(ref, { ...query, after });
      for (const value of page.values) found.set(value.ref, value);
      after = page.next;
    }
  }
  return found;
};

/** An experiment has a few definitions: they are read at once. One of many, or of large ones, is read when it is named. */
const rulesAtOnce = 20;

const rulesReader = (store: GovernanceStore, ref: ExperimentRef): ((digest: string) => Promise<string | null>) => {
  let first: Promise<RulesPage> | undefined;
  return async (digest) => {
    first ??= store.rules(ref, { limit: rulesAtOnce });
    const page = await first;
    const known = page.rules.find((rules) => rules.digest === digest);
    if (known !== undefined || page.next === null || digest <= page.next) return known?.text ?? null;
    // A digest is the first one behind its own beginning.
    const [found] = (await store.rules(ref, { after: digest.slice(0, -1), limit: 1 })).rules;
    return found?.digest === digest ? found.text : null;
  };
};

/** The history of one experiment, from its beginning or its checkpoint up to `until` or its head. */
async function* linesOf(
  store: GovernanceStore,
  ref: ExperimentRef,
  checkpoint: Checkpoint | null,
  until: Required<Head>,
): AsyncGenerator<HistoryLine> {
  const seen = new Set<string>();
  const rulesOf = rulesReader(store, ref);
  const fresh = (names: readonly Named[]): readonly Named[] => {
    const found = names.filter((name) => !seen.has(namedKey(name)));
    for (const name of found) seen.add(namedKey(name));
    return found;
  };
  const bring = async function* (groups: readonly (readonly Named[])[]): AsyncGenerator<readonly HistoryLine[]> {
    const refs = groups.flat().flatMap(({ what, ref: one }) => (what === "personal" ? [one] : []));
    const values = await valuesOf(store, ref, refs);
    for (const group of groups) {
      const lines: HistoryLine[] = [];
      for (const { what, ref: one } of group) {
        const value = what === "personal" ? values.get(one) : undefined;
        const text = what === "rules" ? await rulesOf(one) : null;
        if (value !== undefined) lines.push({ line: "personal", ...value });
        else if (text !== null) lines.push({ line: "rules", digest: one, text });
        else lines.push({ line: "absent", what, ref: one });
      }
      yield lines;
    }
  };

  let last = 0;
  if (checkpoint !== null) {
    const found = checkpointState(ref, checkpoint);
    if (found === null)
      throw new ProvisoError("internal", `the checkpoint of ${ref.experiment} is not one of this version of Proviso`);
    for await (const lines of bring([fresh(namedByState(found.state))])) yield* lines;
    const { seq, hash, text, signature } = checkpoint;
    yield { line: "checkpoint", seq, hash, text, signature };
    last = seq;
  }
  for (let after: number | null = last; after !== null && last < until.seq;) {
    const page: HistoryPage = await store.history(ref, { after, limit: limits.heavyPageRows });
    const events = page.events.filter(({ seq }) => seq <= until.seq);
    let index = 0;
    for await (const lines of bring(events.map((event) => fresh(namedBy(event))))) {
      const event: EventRecord | undefined = events[index];
      index += 1;
      if (event === undefined || event.seq !== last + 1) break;
      yield* lines;
      yield { line: "event", event: { ...event } };
      last = event.seq;
    }
    after = page.next;
  }
  if (last !== until.seq)
    throw new ProvisoError("store-unavailable", "events were archived while they were exported: ask again", {
      retryAfterSeconds: 1,
    });
}

/**
 * One experiment as NDJSON: every line with its `\n`. Without a signer the same history always gives the same bytes,
 * whichever store it is in.
 *
 * @throws ProvisoError `experiment-not-found`
 * @example for await (const line of exportExperiment(store, ref)) process.stdout.write(line);
 */
export async function* exportExperiment(
  store: GovernanceStore,
  ref: ExperimentRef,
  { signer, until }: ExportedPart = {},
): AsyncGenerator<string> {
  const [loaded, checkpoint] = await Promise.all([store.load(ref), store.checkpoint(ref)]);
  if (loaded === null) throw new ProvisoError("experiment-not-found", `there is no experiment ${ref.experiment}`);
  const { revision, revisionHash } = loaded.snapshot;
  const { seq, hash, at = "" } = until ?? loaded.head;
  const { tenant, environment, experiment } = ref;
  const digest = createLinesDigest();
  let header = "";
  const counts = { lines: 0, events: 0, personal: 0, rules: 0, absent: 0 };
  const write = (line: HistoryLine): string => {
    const text = canonicalJson(line);
    digest.add(text);
    if (line.line === "header") header = digest.hex();
    counts.lines += 1;
    if (line.line === "event") counts.events += 1;
    if (line.line === "personal" || line.line === "rules" || line.line === "absent") counts[line.line] += 1;
    return `${text}\n`;
  };
  yield write({
    line: "header",
    format: formatName,
    version: formatVersion,
    ref: { tenant, environment, experiment },
    after: checkpoint?.seq ?? 0,
    head: { seq, hash, at },
    // A part that goes to the end leads to the state as well.
    ...(hash === loaded.head.hash ? { revision, revisionHash } : {}),
  });
  for await (const line of linesOf(store, ref, checkpoint, { seq, hash, at })) yield write(line);
  if (signer !== undefined) yield write({ line: "head", ...(await signHead(signer, ref, { seq, hash })) });
  const end = { head: { seq, hash }, header, digest: digest.hex() };
  const signature = signer === undefined ? {} : { signature: await signer.sign(exportStatement(ref, end)) };
  yield `${canonicalJson({ line: "trailer", ...counts, ...end, ...signature })}\n`;
}
