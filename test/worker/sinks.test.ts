/** The sinks that a DSL names, on the platform's own bindings and in front of far sides that take nothing but their schema. */
import { env } from "cloudflare:workers";
import { parquetReadObjects } from "hyparquet";
import { afterEach, describe, expect, test, vi } from "vitest";
import { loadDsl } from "../../src/config/index.ts";
import { readMessage } from "../../src/events/message.ts";
import { parseEvent } from "../../src/events/validate.ts";
import { refKey } from "../../src/scope.ts";
import { consume, type ConsumerDependencies, type QueueMessage } from "../../worker/consumer.ts";
import { sinkWatch } from "../../worker/sink-watch.ts";
import { eventSinksOf, type FedSink, type FeedReport, type SinkDeployment } from "../../worker/sinks.ts";
import { everyType, exposures } from "../events/fixtures.ts";
import { kafkaProxy } from "../support/kafka-proxy.ts";
import { otlpCollector } from "../support/otlp-collector.ts";
import { ledgers, newRef, stubOf } from "./ledger-support.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const lines: string[] = [];
const deployment: SinkDeployment = {
  secret: (name) => `Bearer ${name}`,
  queue: () => env.EXPORT,
  bucket: () => env.ARCHIVE,
  dataset: () => env.EXPERIMENT_EVENTS,
  development: false,
  writeLine: (line) => void lines.push(line),
};

const sinksOf = (text: string): readonly FedSink[] => {
  const loaded = loadDsl(`dataPlane: { sinks: [${text}] }`, { file: "proviso.yaml" });
  if (!loaded.ok) throw new Error(loaded.errors.map(({ message }) => message).join("; "));
  return eventSinksOf(loaded.value, deployment);
};

/** Consumes events of one experiment with a real ledger. */
const consumed = async (
  sinks: readonly FedSink[],
  events: readonly object[],
  { attempts = 1, ...more }: { readonly attempts?: number } & Partial<ConsumerDependencies> = {},
) => {
  const fates: string[] = [];
  const letters: unknown[] = [];
  const reports: FeedReport[] = [];
  const message: QueueMessage = {
    id: "m1",
    timestamp: new Date(),
    body: JSON.stringify({ v: 1, events }),
    attempts,
    ack: () => fates.push("ack"),
    retry: () => fates.push("retry"),
  };
  await consume(
    { messages: [message] },
    {
      ledger: (ref) => ledgers.getByName(refKey(ref)),
      deadLetters: { sendBatch: async (bodies) => void letters.push(...Array.from(bodies, ({ body }) => body)) },
      sinks,
      onFed: (report) => reports.push(report),
      now: Date.now,
      report: (error) => {
        throw new Error("the consumer reported an error", { cause: error });
      },
      ...more,
    },
  );
  return { fates, letters, reports };
};

const about = (experimentName: string) =>
  everyType().map((event) => ({ ...event, payload: { ...event.payload, experimentName } }));
const idsOf = (events: readonly { readonly eventId: string }[]): readonly string[] =>
  events.map(({ eventId }) => eventId);
const keysUnder = async (prefix: string): Promise<readonly string[]> =>
  (await env.ARCHIVE.list({ prefix })).objects.map(({ key }) => key);

describe("every sink of a DSL gets what the ledger counted", () => {
  test("log, R2 and Parquet on a real bucket, a real queue, Analytics Engine", async () => {
    const events = about(newRef().experiment);
    const { fates, letters, reports } = await consumed(
      sinksOf(
        `{ type: log }, { type: r2, bucket: A, prefix: lines, required: true }, { type: parquet, bucket: A, prefix: tables },
         { type: queue, queue: Q }, { type: analyticsEngine, dataset: D }`,
      ),
      events,
    );
    expect([fates, letters]).toEqual([["ack"], []]);
    expect(reports.map(({ missing, refused }) => [missing, refused])).toEqual(reports.map(() => [[], []]));
    expect(lines.map((line): unknown => JSON.parse(line))).toMatchObject(events);

    const [written = ""] = await keysUnder("lines/2026/11/21/10/");
    const text = (await (await env.ARCHIVE.get(written))?.text()) ?? "";
    expect(
      text
        .trimEnd()
        .split("\n")
        .map((line): unknown => JSON.parse(line)),
    ).toMatchObject(events);

    const [table = ""] = await keysUnder("tables/2026/11/21/10/");
    const file = await (await env.ARCHIVE.get(table))?.arrayBuffer();
    const rows = file === undefined ? [] : await parquetReadObjects({ file });
    expect(rows.map(({ event_id: id }): unknown => id)).toEqual(idsOf(events));

    await vi.waitFor(async () => expect(await keysUnder("export/")).toHaveLength(1), { timeout: 10_000 });
    const [sent = ""] = await keysUnder("export/");
    expect(readMessage((await (await env.ARCHIVE.get(sent))?.text()) ?? "").events).toMatchObject(events);
  });

  test("OpenTelemetry, Kafka and another Proviso, with what authorises them and without following a redirect", async () => {
    const collector = otlpCollector();
    const proxy = kafkaProxy("experiments");
    const posted: unknown[] = [];
    const asked: (RequestInit & { readonly url: string })[] = [];
    vi.stubGlobal("fetch", async (url: string, init: Parameters<typeof collector.fetch>[1]) => {
      asked.push({ ...init, url });
      const { hostname } = new URL(url);
      if (hostname === "otel.example") return collector.fetch(url, init);
      if (hostname === "kafka.example") return proxy.fetch(url, init);
      posted.push(JSON.parse(init.body ?? ""));
      return Response.json({ accepted: 5, rejected: [] }, { status: 202 });
    });
    const events = about(newRef().experiment);
    const { fates } = await consumed(
      sinksOf(
        `{ type: openTelemetry, url: "https://otel.example", service: shop, authorizationSecret: OTEL, required: true },
         { type: kafka, url: "https://kafka.example", topic: experiments, types: [Outcome, Exposure] },
         { type: http, url: "https://proviso.example", authorizationSecret: KEY }`,
      ),
      events,
    );
    expect(fates).toEqual(["ack"]);
    expect(collector.bodies()).toMatchObject(events);
    expect(collector.evaluations()).toHaveLength(1);
    expect(proxy.records.map(({ value }) => value)).toMatchObject(events.slice(0, 2));
    expect(posted).toMatchObject([{ events }]);
    expect(
      asked.map(({ url, headers, redirect }) => [
        new URL(url).hostname,
        new Headers(headers).get("authorization"),
        redirect,
      ]),
    ).toEqual([
      ["otel.example", "Bearer OTEL", "manual"],
      ["kafka.example", null, "manual"],
      ["proviso.example", "Bearer KEY", "manual"],
    ]);
  });

  test("of more than Analytics Engine takes at once, the rest is said to be lost to it", async () => {
    const { experiment } = newRef();
    const many = exposures(300).map((event) => ({
      ...event,
      payload: { ...event.payload, experimentName: experiment },
    }));
    const { fates, letters, reports } = await consumed(sinksOf("{ type: analyticsEngine, dataset: D }"), many);
    expect([fates, letters]).toEqual([["ack"], []]);
    expect(reports.map(({ refused }) => [refused.length, refused[0]?.message])).toEqual([
      [50, "it takes 250 events in one invocation"],
    ]);
    const two = "{ type: analyticsEngine, dataset: D }, { type: analyticsEngine, name: other, dataset: D }";
    const shared = await consumed(sinksOf(two), many);
    expect(shared.reports.map(({ refused }) => refused.length)).toEqual([175, 175]);
  });
});

/** A sink that does as it is told. */
const told = (name: string, required: boolean, send: FedSink["sink"]["send"], timeLimitMs = 1_000): FedSink => ({
  name,
  required,
  timeLimitMs,
  batchEvents: 1_000,
  sink: { name, send, health: () => ({ status: "healthy", description: "" }) },
});
const takes = () => {
  const taken: string[] = [];
  const sink = told("takes", true, async (events) => {
    taken.push(...idsOf(events));
    return { accepted: events.length, rejected: [] };
  });
  return { sink, taken };
};
const fails = (required: boolean): FedSink => told("fails", required, () => Promise.reject(new Error("down")));

describe("a sink that fails", () => {
  test("costs the ledger nothing: events are counted, and counted once when the message comes again for it", async () => {
    const ref = newRef();
    const events = about(ref.experiment);
    const { sink, taken } = takes();
    const first = await consumed([fails(true), sink], events);
    expect([first.fates, first.letters]).toEqual([["retry"], []]);
    expect(await stubOf(ref).counts()).toMatchObject({ exposures: 1 });
    expect(taken).toEqual(idsOf(events));
    const second = await consumed([takes().sink], events, { attempts: 2 });
    expect(second.fates).toEqual(["ack"]);
    expect(await stubOf(ref).counts()).toMatchObject({ exposures: 1, repeats: 0 });
  });

  test("and is not required loses its own events: the message is done", async () => {
    const { sink, taken } = takes();
    const hangs = told("hangs", false, () => new Promise(() => {}), 50);
    const { fates, reports } = await consumed([fails(false), hangs, sink], about(newRef().experiment));
    expect(fates).toEqual(["ack"]);
    expect(taken).toHaveLength(5);
    expect(reports.map(({ missing, error }) => [missing.length, String(error)])).toEqual([
      [5, "Error: down"],
      [5, "SinkError: did not take a batch within 50 ms"],
      [0, "undefined"],
    ]);
  });

  test("until the last attempt has its events in the dead letters, with its name and the reason", async () => {
    const { fates, letters } = await consumed([fails(true)], about(newRef().experiment).slice(0, 1), { attempts: 11 });
    expect(fates).toEqual(["ack"]);
    expect(letters.map((letter): unknown => JSON.parse(String(letter)))).toMatchObject([
      { reason: "sink-failed", problems: [{ path: "", message: "fails: down" }] },
    ]);
    expect(String(letters)).toContain("Exposure");
  });

  test("what a required one refuses for good is in the dead letters at once", async () => {
    const picky = told("picky", true, async (events) => ({
      accepted: events.length - 1,
      rejected: [{ index: 1, message: "no" }],
    }));
    const { fates, letters } = await consumed([picky], about(newRef().experiment));
    expect(fates).toEqual(["ack"]);
    expect(letters.map((letter): unknown => JSON.parse(String(letter)))).toMatchObject([
      { reason: "sink-refused", problems: [{ message: "picky: no" }] },
    ]);
    expect(String(letters)).toContain("Outcome");
  });

  test("whose far side says more than a message of the queue holds keeps no dead letter back", async () => {
    const wordy = told("wordy", true, async () => ({
      accepted: 0,
      rejected: [{ index: 0, message: "no ".repeat(60_000) }],
    }));
    const { letters } = await consumed([wordy], about(newRef().experiment).slice(0, 1));
    expect(letters.map((letter) => String(letter).length < 2_000)).toEqual([true]);
    expect(String(letters)).toContain("wordy: no no no");
  });

  test("is given nothing that the ledger may not have", async () => {
    const { sink, taken } = takes();
    const { fates } = await consumed([sink], about(newRef().experiment), {
      ledger: () => ({ record: () => Promise.reject(new Error("overloaded")) }),
      report: () => {},
    });
    expect([fates, taken]).toEqual([["retry"], []]);
    const refusing = await consumed([sink], about(newRef().experiment), {
      ledger: () => ({
        record: async ({ outcomes }) => ({
          crossovers: 0,
          refused: outcomes.slice(0, 1).map(([eventId]) => ({ eventId, reason: "late" })),
        }),
      }),
    });
    expect(refusing.fates).toEqual(["ack"]);
    expect(taken).toHaveLength(4);
  });

  test("is given what was counted, also under the id of an event that another ledger refused", async () => {
    const { sink, taken } = takes();
    const [one, other] = [newRef().experiment, newRef().experiment];
    const { letters } = await consumed([sink], [...about(one).slice(0, 1), ...about(other).slice(0, 1)], {
      ledger: ({ experiment }) => ({
        record: async (batch) => ({
          crossovers: 0,
          refused: experiment === one ? batch.exposures.map(([eventId]) => ({ eventId, reason: "full" })) : [],
        }),
      }),
    });
    expect([letters.length, taken.length]).toEqual([1, 1]);
  });

  test("is not taken for well because a message has nothing for it", async () => {
    const outcomes = { ...fails(false), types: ["Outcome"] } satisfies FedSink;
    const events = about(newRef().experiment);
    expect((await consumed([outcomes], events)).reports).toMatchObject([{ missing: [{ eventType: "Outcome" }] }]);
    expect((await consumed([outcomes], events.slice(0, 1))).reports).toEqual([]);
  });

  test("is on the board of health from its third failure in a row, until it takes something again", () => {
    const notes: (readonly [string, number])[] = [];
    const reported: string[] = [];
    const watch = sinkWatch({
      note: ({ subscriber, failures }) => void notes.push([subscriber, failures]),
      report: (error) => void reported.push(String(error)),
      now: () => 0,
    });
    const parsed = parseEvent(everyType()[0]);
    if (!parsed.ok) throw new Error("this event is valid");
    const { event } = parsed;
    const failed: FeedReport = { sink: fails(false), refused: [], missing: [event], error: new Error("down") };
    const well: FeedReport = { sink: fails(false), refused: [], missing: [] };
    for (const report of [well, failed, failed, failed, well, well]) watch(report);
    expect(notes).toEqual([
      ["sink:fails", 1],
      ["sink:fails", 2],
      ["sink:fails", 3],
      ["sink:fails", 0],
    ]);
    expect(reported).toHaveLength(3);
    expect(reported[0]).toBe("SinkError: sink fails failed on 1 events, they are lost to it");
  });
});

test("types of events that are switched off are not counted, whoever put them into the queue", async () => {
  const ref = newRef();
  const { sink, taken } = takes();
  const { fates, letters } = await consumed([sink], about(ref.experiment), { off: ["Outcome", "AnalysisSignal"] });
  expect(fates).toEqual(["ack"]);
  expect(taken).toHaveLength(3);
  expect(await stubOf(ref).counts()).toMatchObject({ exposures: 1, outcomes: 1 });
  expect(letters.map((letter): unknown => JSON.parse(String(letter)))).toMatchObject([
    { reason: "refused", problems: [{ path: "/eventType", message: "Outcome events are switched off" }] },
    { reason: "refused", problems: [{ message: "AnalysisSignal events are switched off" }] },
  ]);
});

test("what a deployment does not have is said with the place in the DSL", () => {
  const loaded = loadDsl(
    "dataPlane: { sinks: [{ type: log }, { type: http, url: 'http://127.0.0.1:1', name: here }] }",
    {
      file: "proviso.yaml",
    },
  );
  if (!loaded.ok) throw new Error("this DSL is valid");
  expect(() => eventSinksOf(loaded.value, deployment)).toThrow(
    "dataPlane.sinks[1]: url: https, without a user and password",
  );
  expect(eventSinksOf(loaded.value, { ...deployment, development: true })).toHaveLength(2);
});
