import { describe, expect, test } from "vitest";
import { type Answer, Unreachable } from "../../cli/replay/client.ts";
import type { EncodedRow, RejectedRow } from "../../cli/replay/encode.ts";
import { feed, type FeedInput, type FeedProgress } from "../../cli/replay/feed.ts";
import type { Received } from "../../cli/replay/results.ts";
import type { Row } from "../../cli/replay/rows.ts";

interface Event {
  readonly id: string;
  readonly kind: "exposure" | "outcome";
}

const isEvent = (value: unknown): value is Event =>
  typeof value === "object" && value !== null && "id" in value && "kind" in value;

const answer = (status: number, body: unknown, retryAfterSeconds = 0): Answer => ({
  status,
  etag: null,
  retryAfterSeconds,
  body,
});

const eventsIn = (body: string): readonly Event[] => {
  const parsed: unknown = JSON.parse(body);
  const events: unknown = typeof parsed === "object" && parsed !== null && "events" in parsed ? parsed.events : [];
  return Array.isArray(events) ? events.filter(isEvent) : [];
};

/** An ingest and a ledger that counts an id once, `perLook` events between two looks at it. */
const server = (
  perLook = Infinity,
  intercept: (body: string, call: number) => Answer | undefined = () => undefined,
) => {
  const waiting: Event[] = [];
  const exposures = new Set<string>();
  const outcomes = new Set<string>();
  const batches: number[] = [];
  let received = 0;
  let calls = 0;
  let inFlight = 0;
  let mostInFlight = 0;
  let mostWaiting = 0;
  return {
    batches,
    most: () => ({ inFlight: mostInFlight, waiting: mostWaiting }),
    client: {
      async ingest(body: string): Promise<Answer> {
        calls += 1;
        inFlight += 1;
        mostInFlight = Math.max(mostInFlight, inFlight);
        await new Promise((resolve) => setImmediate(resolve));
        inFlight -= 1;
        const intercepted = intercept(body, calls);
        if (intercepted !== undefined) return intercepted;
        const events = eventsIn(body);
        batches.push(events.length);
        waiting.push(...events);
        mostWaiting = Math.max(mostWaiting, waiting.length);
        return answer(202, { accepted: events.length, rejected: [] });
      },
    },
    received: (): Promise<Received> => {
      for (const { id, kind } of waiting.splice(0, perLook)) {
        received += 1;
        (kind === "exposure" ? exposures : outcomes).add(id);
      }
      return Promise.resolve({ received, exposures: exposures.size, outcomeEvents: outcomes.size });
    },
  };
};

let run = 0;
const rowsOf = (count: number, outcomes = 1) => {
  run += 1;
  const own = run;
  const rows = async function* (): AsyncGenerator<Row> {
    for (let number = 1; number <= count; number += 1) {
      // Lets a request that is under way be answered, as reading a file does.
      if (number % 500 === 0) await Promise.resolve();
      yield { number, cells: [] };
    }
  };
  const encode = ({ number }: Row): EncodedRow => ({
    row: number,
    events: [
      JSON.stringify({ id: `e-${own}-${number}`, kind: "exposure" }),
      ...Array.from({ length: outcomes }, (_, metric) =>
        JSON.stringify({ id: `o-${number}-${metric}`, kind: "outcome" }),
      ),
    ],
  });
  return { rows: rows(), encode };
};

const quick = { pollMs: 1, settleMs: 20, stallMs: 200 };

const start = (input: Partial<FeedInput> & Pick<FeedInput, "client" | "received" | "rows" | "encode">) => {
  const rejected: RejectedRow[] = [];
  const progress: FeedProgress[] = [];
  return {
    rejected,
    progress,
    result: feed({
      onProgress: (state) => progress.push(state),
      onRejected: (row) => rejected.push(row),
      signal: new AbortController().signal,
      settings: quick,
      ...input,
    }),
  };
};

describe("feed", () => {
  test("sends everything in order, whole rows at a time, one request in flight, at most 1,000 events each", async () => {
    const far = server();
    const { result, progress } = start({ ...far, ...rowsOf(2_000, 2) });
    await expect(result).resolves.toMatchObject({ events: 6_000 });
    expect(far.batches).toEqual([999, 999, 999, 999, 999, 999, 6]);
    expect(far.most().inFlight).toBe(1);
    expect(progress.at(-1)).toEqual({ stage: "waiting", rows: 2_000, sent: 6_000, arrived: 6_000 });
  });

  test("never has more on its way than the lag allows, however long the file is", async () => {
    const far = server(700);
    const { result } = start({ ...far, ...rowsOf(5_000), settings: { ...quick, lagMax: 3_000 } });
    await expect(result).resolves.toMatchObject({ events: 10_000 });
    // The lag, the batch that is sent when it is just not reached, and the one under way.
    expect(far.most().waiting).toBeLessThanOrEqual(3_000 + 2 * 1_000);
  });

  test("a second run ends although its outcomes count no more", async () => {
    const far = server(500);
    await start({ ...far, ...rowsOf(1_000) }).result;
    const before = await far.received();
    await expect(start({ ...far, ...rowsOf(1_000) }).result).resolves.toMatchObject({ events: 2_000 });
    const after = await far.received();
    expect(after.exposures - before.exposures).toBe(1_000);
    expect(after.outcomeEvents).toBe(before.outcomeEvents);
  });

  test("counts rows that the encoder or the server refuses, a row once", async () => {
    const refusing = server(Infinity, (body, call) =>
      call === 1
        ? answer(202, {
            accepted: eventsIn(body).length - 3,
            rejected: [
              { index: 0, path: "/payload/subjectId", message: "too odd" },
              { index: 1, message: "too odd" },
              { index: 3, message: "no value" },
            ],
          })
        : undefined,
    );
    // What the server took of the refused batch never arrives here, so nothing is waited for but what it says.
    const { rows, encode } = rowsOf(3);
    const { result, rejected } = start({
      client: refusing.client,
      received: (() => {
        let looks = 0;
        return () => {
          looks += 1;
          return Promise.resolve(
            looks === 1
              ? { received: 5, exposures: 5, outcomeEvents: 0 }
              : { received: 6, exposures: 6, outcomeEvents: 0 },
          );
        };
      })(),
      rows,
      encode: (row) =>
        row.number === 3 ? { row: 3, rejected: { row: 3, column: "n", value: "x", reason: "not count" } } : encode(row),
    });
    await expect(result).resolves.toMatchObject({ events: 1 });
    expect(rejected).toEqual([
      { row: 3, column: "n", value: "x", reason: "not count" },
      { row: 1, column: null, value: "", reason: "the server refuses it: /payload/subjectId: too odd" },
      { row: 2, column: null, value: "", reason: "the server refuses it: no value" },
    ]);
  });

  test("sends a batch again when the server is busy or its answer is lost", async () => {
    const far = server(Infinity, (_body, call) => {
      if (call === 1) return answer(503, { code: "store-unavailable", detail: "later" });
      if (call === 2) throw new Unreachable("gone");
      return undefined;
    });
    await expect(
      start({ ...far, ...rowsOf(10), settings: { ...quick, stallMs: 5_000 } }).result,
    ).resolves.toMatchObject({
      events: 20,
    });
    expect(far.batches).toEqual([20]);
  });

  test("gives up with the server's words when it refuses for good, or stays away", async () => {
    const refusing = server(Infinity, () => answer(413, { code: "payload-too-large", detail: "at most 5 bytes" }));
    await expect(start({ ...refusing, ...rowsOf(10) }).result).rejects.toThrow(
      "the server does not take the events: at most 5 bytes [payload-too-large]",
    );
    const gone = server(Infinity, () => {
      throw new Unreachable("http://127.0.0.1:1 does not answer");
    });
    await expect(start({ ...gone, ...rowsOf(10) }).result).rejects.toThrow("does not answer");
    const busy = server(Infinity, () => answer(503, { code: "store-unavailable", detail: "no queue" }));
    await expect(start({ ...busy, ...rowsOf(10) }).result).rejects.toThrow("no queue [store-unavailable]");
  });

  test("fails when the ledger stops seeing events, and says how far it got", async () => {
    const far = server();
    let looks = 0;
    const stuck = async (): Promise<Received> => {
      looks += 1;
      return looks < 2 ? far.received() : { received: 7, exposures: 3, outcomeEvents: 3 };
    };
    await expect(start({ client: far.client, received: stuck, ...rowsOf(10) }).result).rejects.toThrow(
      /the ledger has seen 7 of 20 events, and nothing more for 0 seconds/,
    );
  });

  test("stops at once when it is told to", async () => {
    const far = server(0);
    const controller = new AbortController();
    const { result } = start({
      ...far,
      ...rowsOf(10),
      signal: controller.signal,
      settings: { ...quick, stallMs: 60_000 },
    });
    setTimeout(() => controller.abort(), 20);
    await expect(result).rejects.toThrow(/abort/i);
  });

  test("a file without a readable row sends nothing", async () => {
    const far = server();
    const rejected = { row: 1, column: "n", value: "x", reason: "not count" };
    await expect(
      start({ ...far, rows: rowsOf(3).rows, encode: () => ({ row: 1, rejected }) }).result,
    ).resolves.toMatchObject({ events: 0 });
    expect(far.batches).toEqual([]);
  });
});
