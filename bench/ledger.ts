/**
 * How many events a second go from HTTP through queue and consumer into a ledger, beside what the same rows cost as a
 * plain insert into a Durable Object, in the same run; where the time goes; and whether memory stays flat.
 *
 *     npx node bench/ledger.ts [--events 400000] [--batch 1000] [--in-flight 4]
 *
 * Everything runs on embedded storage in a directory that is removed at the end. One workerd thread does all of the
 * server's work; this process sends. Compare ratios, not seconds: machines are shared and noisy.
 */
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { uuidv7 } from "uuidv7";
import * as v from "valibot";
import { bundleWorker, startWorkerd } from "./workerd.ts";

const { values: flags } = parseArgs({
  options: {
    events: { type: "string", default: "400000" },
    batch: { type: "string", default: "1000" },
    "in-flight": { type: "string", default: "4" },
  },
});
const whole = (flag: "events" | "batch" | "in-flight"): number => {
  const value = Number(flags[flag]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`--${flag} is a whole number above 0, not ${flags[flag]}`);
};
const events = whole("events");
const batchSize = Math.min(whole("batch"), 1_000);
const inFlight = whole("in-flight");
/** The stages before the ledger are measured on fewer: they keep nothing. */
const stageEvents = Math.min(events, 100_000);

/** Bodies are made for so many events at a time. */
const part = 50_000;

/** Of workerd with everything in it: ingest, queue, consumer, ledger. */
const workerdCeilingMiB = 640;

/** One call's worth of the consumer: worker/consumer.ts. */
const recordRows = 10_000;

const variants = ["control", "treatment"] as const;

/** One exposure, then two outcomes of the same subject, as an application sends them: every third event a new subject. */
const eventOf = (experimentName: string, n: number) => {
  const subject = Math.floor(n / 3);
  const addressed = { experimentName, subjectId: `user-${(subject * 2_654_435_761) % 4_294_967_296}` };
  const head = { eventId: uuidv7(), timestamp: new Date().toISOString() };
  if (n % 3 === 0) {
    return {
      ...head,
      eventType: "Exposure",
      payload: {
        ...addressed,
        variantKey: variants[subject % 2] ?? "control",
        subjectType: "user",
        selectionReason: "SPLIT",
        version: 3,
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        epoch: 1,
        isRepeatExposure: false,
      },
    };
  }
  return n % 3 === 1
    ? {
        ...head,
        eventType: "Outcome",
        payload: { ...addressed, metric: "purchase", kind: "binary", value: n % 7 === 0 },
      }
    : { ...head, eventType: "Outcome", payload: { ...addressed, metric: "spend", kind: "count", value: n % 50 } };
};

/** The same rows without the product: (id, subject, variant or metric, time, value). */
const rawOf = ({ eventId, timestamp, payload }: ReturnType<typeof eventOf>): readonly unknown[] => [
  eventId,
  payload.subjectId,
  "metric" in payload ? payload.metric : payload.variantKey,
  Date.parse(timestamp),
  "value" in payload ? Number(payload.value) : null,
];

type EncodeBatch = (start: number, end: number) => string;

const envelopes =
  (experiment: string): EncodeBatch =>
  (start, end) =>
    JSON.stringify({ events: Array.from({ length: end - start }, (_, index) => eventOf(experiment, start + index)) });
const rawRows: EncodeBatch = (start, end) =>
  JSON.stringify(Array.from({ length: end - start }, (_, index) => rawOf(eventOf("raw", start + index))));

/** The same rows as the ledger counts them: as one text, like the raw ones. */
const ledgerRows: EncodeBatch = (start, end) => {
  const sent = Array.from({ length: end - start }, (_, index) => eventOf("alone", start + index));
  return JSON.stringify({
    exposures: sent.flatMap(({ eventId, timestamp, payload }) =>
      "variantKey" in payload
        ? [[eventId, payload.subjectId, payload.variantKey, payload.epoch, Date.parse(timestamp)]]
        : [],
    ),
    outcomes: sent.flatMap(({ eventId, timestamp, payload }) =>
      "metric" in payload
        ? [[eventId, payload.subjectId, payload.metric, payload.kind, Date.parse(timestamp), Number(payload.value)]]
        : [],
    ),
  });
};

/** The same rows as the ledger keeps them in its tables: subjects, exposure ids, outcomes. */
const tableRows: EncodeBatch = (start, end) => {
  const subjects: unknown[] = [];
  const ids: unknown[] = [];
  const outcomes: unknown[] = [];
  for (let n = start; n < end; n += 1) {
    const { eventId, timestamp, payload } = eventOf("tables", n);
    const subject = Math.floor(n / 3) + 1;
    const time = Date.parse(timestamp);
    if ("metric" in payload) {
      outcomes.push([subject, eventId, payload.metric === "spend" ? 2 : 1, time, Number(payload.value)]);
      continue;
    }
    subjects.push([subject, payload.subjectId, payload.variantKey, payload.epoch, time, eventId, '{"1":1,"2":12}']);
    ids.push([eventId, (n * 2_654_435_761) % 4_294_967_296]);
  }
  return JSON.stringify({
    subjects: JSON.stringify(subjects),
    ids: JSON.stringify(ids),
    outcomes: JSON.stringify(outcomes),
  });
};

const consumer = { maxBatchSize: 100, maxBatchTimeout: 0.1 };
const workerd = await startWorkerd(await bundleWorker("ledger"), {
  durableObjects: {
    LEDGERS: { className: "LedgerObject", useSQLite: true },
    RAW: { className: "RawObject", useSQLite: true },
  },
  queueProducers: {
    EVENTS: "events",
    ACKNOWLEDGED: "acknowledged",
    DECODED: "decoded",
    DEAD_LETTERS: "dead-letters",
  },
  queueConsumers: { events: consumer, acknowledged: consumer, decoded: consumer },
});

interface ProcessUse {
  /** Resident memory, MiB. */
  readonly mebibytes: number;
  /** Processor time so far, user and system, ms. */
  readonly cpuMs: number;
}

/** What the workerd processes that this process started use; null where /proc is not there. */
const workerdUse = async (): Promise<ProcessUse | null> => {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const uses: ProcessUse[] = [];
  for (const pid of pids) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    if (!status.includes(`\nPPid:\t${process.pid}\n`) || !status.startsWith("Name:\tworkerd")) continue;
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    // proc(5): fields 14 and 15, counted after the name in parentheses; a tick is 10 ms on every Linux of today.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    uses.push({
      mebibytes: Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024),
      cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
    });
  }
  if (uses.length === 0) return null;
  return {
    mebibytes: uses.reduce((sum, { mebibytes }) => sum + mebibytes, 0),
    cpuMs: uses.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
  };
};

/** Microseconds a row. */
interface Taken {
  readonly count: number;
  readonly wall: number;
  readonly cpu: number;
}

const always = async (): Promise<boolean> => true;
const rate = (microseconds: number): string => Math.round(1e6 / microseconds).toLocaleString("en");
const percent = (share: number): string => (share * 100).toFixed(0);
const say = (text: string): void => console.log(text);

const run = async (): Promise<void> => {
  const { origin } = workerd;

  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`${origin}${path}`);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };

  /**
   * Sends so many events and waits until `done`. Bodies are made beforehand, so that making them is not measured;
   * in parts, so that they do not fill this process's memory.
   */
  const measure = async (
    path: string,
    encode: EncodeBatch,
    count: number,
    done: (sent: number) => Promise<boolean>,
    concurrency = inFlight,
    size = batchSize,
  ): Promise<number> => {
    let milliseconds = 0;
    for (let start = 0; start < count; start += part) {
      const end = Math.min(start + part, count);
      const bodies: string[] = [];
      for (let from = start; from < end; from += size) bodies.push(encode(from, Math.min(from + size, end)));
      const began = performance.now();
      const waiting = bodies.values();
      const sender = async (): Promise<void> => {
        for (const body of waiting) {
          const response = await fetch(`${origin}${path}`, { method: "POST", body });
          const answer = await response.text();
          if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${answer}`);
        }
      };
      await Promise.all(Array.from({ length: concurrency }, sender));
      while (!(await done(end))) await sleep(5);
      milliseconds += performance.now() - began;
    }
    return (milliseconds * 1_000) / count;
  };

  const Progress = v.object({ messagesSent: v.number(), messagesSeen: v.number(), eventsSeen: v.number() });
  const progress = async () => v.parse(Progress, await ask("/progress"));
  const Counts = v.object({ received: v.number(), exposures: v.number(), outcomes: v.number() });
  const counts = async (experiment: string) => v.parse(Counts, await ask(`/counts?experiment=${experiment}`));
  const counted =
    (experiment: string) =>
    async (sent: number): Promise<boolean> =>
      (await counts(experiment)).received >= sent;

  say(`${events.toLocaleString("en")} events, ${batchSize} a request, ${inFlight} requests in flight`);
  const bytes = Math.round(envelopes("ledger")(0, 999).length / 999);
  say(`an event is ${bytes} bytes of JSON on average\n`);

  await measure("/ledger", envelopes("warm-up"), 20_000, counted("warm-up"));
  await measure("/raw?experiment=warm-up", rawRows, 20_000, always);

  say("where the time goes, µs an event, each line with all before it:");
  const stages = [
    ["client and HTTP body", await measure("/client", envelopes("stage"), stageEvents, always)],
    ["+ ingest (parse, check, encode)", await measure("/ingest", envelopes("stage"), stageEvents, always)],
    [
      "+ queue, in and out",
      await measure("/acknowledged", envelopes("stage"), stageEvents, async () => {
        const { messagesSent, messagesSeen } = await progress();
        return messagesSeen >= messagesSent;
      }),
    ],
    [
      "+ consumer (parse, check)",
      await measure("/decoded", envelopes("stage"), stageEvents, async (sent) => (await progress()).eventsSeen >= sent),
    ],
    ["+ ledger", await measure("/ledger", envelopes("stage"), stageEvents, counted("stage"))],
  ] as const;
  let before = 0;
  for (const [stage, microseconds] of stages) {
    const added = microseconds - before;
    say(`  ${stage.padEnd(34)} ${microseconds.toFixed(1).padStart(6)}   (+${added.toFixed(1)})`);
    before = microseconds;
  }

  say(`\nmemory of workerd while the ledger counts, MiB (ceiling ${workerdCeilingMiB}):`);
  const uses: (ProcessUse | null)[] = [await workerdUse()];
  const sampler = setInterval(() => {
    void workerdUse().then((use) => uses.push(use));
  }, 500);
  const began = performance.now();
  const line = await measure("/ledger", envelopes("ledger"), events, counted("ledger")).finally(() =>
    clearInterval(sampler),
  );
  uses.push(await workerdUse());
  const found = uses.filter((use) => use !== null);
  const samples = found.map((use) => use.mebibytes);
  const cpuMs = (found.at(-1)?.cpuMs ?? 0) - (found[0]?.cpuMs ?? 0);
  if (Math.max(...samples) > workerdCeilingMiB) throw new Error(`workerd had ${Math.max(...samples)} MiB`);
  const tenths = Array.from({ length: 11 }, (_, tenth) => samples[Math.round((tenth / 10) * (samples.length - 1))]);
  say(`  ${tenths.join("  ")}   (over ${((performance.now() - began) / 1_000).toFixed(0)} s)`);

  const one = await measure("/ledger", envelopes("one"), stageEvents, counted("one"), 1);
  const raw = await measure("/raw?experiment=raw", rawRows, events, always);
  const rows = v.parse(v.number(), await ask("/raw-count?experiment=raw"));
  const { exposures, outcomes } = await counts("ledger");
  // As many rows at once as the consumer gives it, and the raw object the same.
  // They take turns, part by part: others work on the same machine.
  const sides = {
    bulk: { path: "/raw?experiment=bulk", encode: rawRows },
    alone: { path: "/ledger-rows?experiment=alone", encode: ledgerRows },
    tables: { path: "/raw-tables?experiment=tables", encode: tableRows },
  };
  type Side = keyof typeof sides;
  const taken: Readonly<Record<Side, Taken[]>> = { bulk: [], alone: [], tables: [] };
  const takeTurns = async (turns: readonly Side[]): Promise<void> => {
    for (let from = 0; from < events; from += part) {
      const count = Math.min(part, events - from);
      for (const side of turns) {
        const { path, encode } = sides[side];
        const later: EncodeBatch = (start, end) => encode(from + start, from + end);
        const usedBefore = await workerdUse();
        const wall = await measure(path, later, count, always, inFlight, recordRows);
        const after = await workerdUse();
        const cpu = (((after?.cpuMs ?? 0) - (usedBefore?.cpuMs ?? 0)) * 1_000) / count;
        taken[side].push({ count, wall, cpu });
      }
    }
  };
  await takeTurns(["bulk", "alone"]);
  // By themselves: their index leaves so many pages to write that whoever comes next would pay for it.
  await takeTurns(["tables"]);
  const mean = (side: Side, of: "wall" | "cpu"): number =>
    taken[side].reduce((sum, { count, [of]: perRow }) => sum + (perRow * count) / events, 0);
  const [alone, bulk, tables] = [mean("alone", "wall"), mean("bulk", "wall"), mean("tables", "wall")];
  const size = v.parse(v.number(), await ask("/ledger-size?experiment=alone"));

  say(
    `\nHTTP → queue → consumer → ledger   ${rate(line)} events/s (${line.toFixed(1)} µs an event, of which workerd computes ${((cpuMs * 1_000) / events).toFixed(1)})`,
  );
  say(`  with one request in flight        ${rate(one)} events/s`);
  say(`HTTP → raw insert of the same rows ${rate(raw)} rows/s (${raw.toFixed(1)} µs a row)`);
  say(
    `  ${recordRows.toLocaleString("en")} rows at once               ${rate(bulk)} rows/s (${bulk.toFixed(1)} µs a row)`,
  );
  say(`  in tables and keys like the ledger's ${rate(tables)} rows/s (${tables.toFixed(1)} µs a row)`);
  say(`HTTP → ledger, the same rows       ${rate(alone)} rows/s (${alone.toFixed(1)} µs a row)`);
  const share = (side: Side): string =>
    `${percent(mean(side, "wall") / alone)} % by the clock, ${percent(mean(side, "cpu") / mean("alone", "cpu"))} % by workerd's processor time`;
  say(`ratio: the ledger's rate of the raw insert's: ${share("bulk")}`);
  say(`       of that into tables like its own: ${share("tables")}`);
  say(
    `its database has ${(size / 1e6).toFixed(0)} MB: ${Math.round(size / (events / 3))} bytes a subject with its exposure id and two outcomes`,
  );
  say(`ratio: the product's line takes ${(line / raw).toFixed(1)} times the raw insert`);
  if (exposures + outcomes !== events || rows !== events) {
    throw new Error(`counted ${exposures + outcomes} events and ${rows} rows of ${events}`);
  }
};

try {
  await run();
} finally {
  await workerd.stop();
}
