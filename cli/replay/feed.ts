/** Sends encoded rows, one request at a time, no faster than the ledger takes them, and waits until it has them all. */
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { limits } from "../../src/limits.ts";
import { CliFailure } from "../failure.ts";
import { type Answer, type Client, describeProblem, Unreachable } from "./client.ts";
import type { EncodedRow, RejectedRow } from "./encode.ts";
import type { Received } from "./results.ts";
import type { Row } from "./rows.ts";

export interface FeedInput {
  readonly client: Pick<Client, "ingest">;
  readonly rows: AsyncIterable<Row>;
  readonly encode: (row: Row) => EncodedRow;
  /** How much has arrived at the ledger, now. */
  readonly received: () => Promise<Received>;
  readonly onProgress: (progress: FeedProgress) => void;
  readonly onRejected: (row: RejectedRow) => void;
  readonly signal: AbortSignal;
  /** ms of a clock that is never set back. */
  readonly now?: () => number;
  readonly settings?: Partial<FeedSettings>;
}

export interface FeedSettings {
  /** Events that may be on their way: more of them would only fill the memory of the queue. */
  readonly lagMax: number;
  /** ms between two looks at the ledger while it catches up. */
  readonly pollMs: number;
  /** ms without anything new at the ledger, or without a server that takes a batch, after which the run has failed. */
  readonly stallMs: number;
  /** ms without a change after which a count that may stay as it is (outcomes sent before) is taken as final. */
  readonly settleMs: number;
}

export interface FeedProgress {
  readonly stage: "sending" | "waiting";
  /** Rows read so far. */
  readonly rows: number;
  /** Events that the server has taken, and of them those that the ledger has seen. */
  readonly sent: number;
  readonly arrived: number;
}

export interface FeedResult {
  /** Events that the server has taken. */
  readonly events: number;
  /** From the first request until the ledger had everything. */
  readonly seconds: number;
}

export const feedSettings: FeedSettings = { lagMax: 20_000, pollMs: 100, stallMs: 60_000, settleMs: 1_000 };

const ReceiptSchema = v.object({
  accepted: v.number(),
  rejected: v.array(v.object({ index: v.number(), message: v.string(), path: v.optional(v.string()) })),
});

interface Batch {
  readonly texts: string[];
  /** Row of each event. */
  readonly rows: number[];
  /** Places of the exposures among the events. */
  readonly exposures: Set<number>;
}

const newBatch = (): Batch => ({ texts: [], rows: [], exposures: new Set() });

const isTemporary = ({ status }: Answer): boolean =>
  status === 429 || status === 502 || status === 503 || status === 504;

const retryDelayMsMax = 5_000;

export const feed = async (input: FeedInput): Promise<FeedResult> => {
  const { client, signal, onProgress, onRejected, now = () => performance.now() } = input;
  const settings = { ...feedSettings, ...input.settings };
  const baseline = await input.received();
  const started = now();
  let seen = baseline;
  let rows = 0;
  let sent = 0;
  let sentExposures = 0;
  let lastArrival = started;

  const arrived = (): number => Math.min(sent, seen.received - baseline.received);
  const report = (stage: FeedProgress["stage"]): void => onProgress({ stage, rows, sent, arrived: arrived() });

  /** @throws CliFailure when nothing has arrived for too long */
  const look = async (): Promise<void> => {
    const before = seen;
    seen = await input.received();
    const changed = seen.received !== before.received || seen.exposures !== before.exposures;
    if (changed) lastArrival = now();
    else if (now() - lastArrival > settings.stallMs) {
      throw new CliFailure(
        `the ledger has seen ${arrived()} of ${sent} events, and nothing more for ${Math.round(settings.stallMs / 1000)} seconds: are the queue and its consumer at work? What they could not use is in the dead-letter queue`,
      );
    }
  };

  const post = async (body: string): Promise<Answer> => {
    const begun = now();
    for (let delay = 200; ; delay = Math.min(delay * 2, retryDelayMsMax)) {
      let wait = delay;
      try {
        const answer = await client.ingest(body);
        if (!isTemporary(answer)) return answer;
        wait = Math.max(delay, answer.retryAfterSeconds * 1_000);
        if (now() - begun + wait > settings.stallMs) return answer;
      } catch (error) {
        // An event counts once by its id, so a batch whose answer was lost may be sent again.
        if (!(error instanceof Unreachable) || now() - begun + wait > settings.stallMs) throw error;
      }
      await sleep(wait, undefined, { signal });
    }
  };

  const send = async ({ texts, rows: rowOf, exposures }: Batch): Promise<void> => {
    const answer = await post(`{"events":[${texts.join(",")}]}`);
    const receipt = v.safeParse(ReceiptSchema, answer.body);
    if (answer.status >= 300 || !receipt.success) {
      throw new CliFailure(`the server does not take the events: ${describeProblem(answer)}`);
    }
    const { accepted, rejected } = receipt.output;
    // A row has several events, and counts once.
    const refused = new Set<number>();
    for (const { index, message, path = "" } of rejected) {
      exposures.delete(index);
      const row = rowOf[index] ?? 0;
      const reason = `the server refuses it: ${path === "" ? "" : `${path}: `}${message}`;
      if (!refused.has(row)) onRejected({ row, column: null, value: "", reason });
      refused.add(row);
    }
    sent += accepted;
    sentExposures += exposures.size;
  };

  let inFlight: Promise<void> = Promise.resolve();
  let failure: { readonly error: unknown } | undefined;
  /** Starts the request once the one before is answered; the next batch is put together meanwhile. */
  const dispatch = async (batch: Batch): Promise<void> => {
    await inFlight;
    if (failure !== undefined) throw failure.error;
    if (sent - arrived() > settings.lagMax) lastArrival = now();
    while (sent - arrived() > settings.lagMax) {
      await look();
      report("sending");
      if (sent - arrived() > settings.lagMax) await sleep(settings.pollMs, undefined, { signal });
    }
    report("sending");
    inFlight = send(batch).catch((error: unknown) => {
      failure = { error };
    });
  };

  let batch = newBatch();
  for await (const read of input.rows) {
    signal.throwIfAborted();
    rows = read.number;
    const row = input.encode(read);
    if (row.rejected !== undefined) {
      onRejected(row.rejected);
      continue;
    }
    if (batch.texts.length + row.events.length > limits.batchEvents) {
      await dispatch(batch);
      batch = newBatch();
    }
    batch.exposures.add(batch.texts.length);
    for (const text of row.events) {
      batch.texts.push(text);
      batch.rows.push(row.row);
    }
  }
  if (batch.texts.length > 0) await dispatch(batch);
  await inFlight;
  if (failure !== undefined) throw failure.error;

  // Exposures are new in every run, so their number is exact. Outcomes of an earlier run do not count again, so theirs
  // is whatever it comes to rest at.
  let steadySince = now();
  let outcomes = seen.outcomeEvents;
  lastArrival = steadySince;
  for (;;) {
    await look();
    report("waiting");
    if (seen.outcomeEvents !== outcomes) steadySince = now();
    outcomes = seen.outcomeEvents;
    const complete = seen.exposures - baseline.exposures >= sentExposures && seen.received - baseline.received >= sent;
    const allNew = outcomes - baseline.outcomeEvents >= sent - sentExposures;
    if (complete && allNew) return { events: sent, seconds: (now() - started) / 1_000 };
    const steadyUntil = Math.max(steadySince, lastArrival);
    if (complete && now() - steadyUntil >= settings.settleMs) {
      return { events: sent, seconds: (steadyUntil - started) / 1_000 };
    }
    await sleep(settings.pollMs, undefined, { signal });
  }
};
