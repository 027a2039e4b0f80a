/**
 * What an application's memory comes to over millions of exposures: assignment, buffer, sender, and the bodies that it
 * sends, with the sink away for a tenth of the time. In a process of its own, so that nothing else is measured.
 *
 *     node --expose-gc bench/exposure-memory.ts [--events 5000000]
 *
 * Fails when the process is ever above the ceiling, or an event is neither taken in nor counted as dropped.
 */
import { parseArgs } from "node:util";
import { httpSink } from "../adapters/sink/http.ts";
import { createExperiments } from "../src/evaluation/experiments.ts";
import { staticRules } from "../src/evaluation/rules.ts";
import { openRule, ruleSetOf } from "./application.ts";

/** Resident memory of the whole process: Node itself (about 60 MiB) and what it has not collected yet included. */
const residentCeilingMiB = 320;
/** What is really held, after a full collection: the program, what is known of recent subjects, a full buffer. */
const heldCeilingMiB = 24;

const { values: flags } = parseArgs({ options: { events: { type: "string", default: "5000000" } } });
const events = Number(flags.events);
if (!Number.isSafeInteger(events) || events <= 0)
  throw new RangeError(`--events is a whole number above 0, not ${flags.events}`);

const maxEvents = 10_000;
const encoder = new TextEncoder();
let taken = 0;
let bytes = 0;
let isAway = false;
const sink = httpSink({
  url: "http://127.0.0.1:9",
  // A server that reads what it gets, as bytes, and keeps nothing.
  fetch: async (_url, { body }) => {
    if (isAway) throw new TypeError("away");
    const text = typeof body === "string" ? body : "";
    bytes += encoder.encode(text).length;
    const accepted = text.split('"eventId"').length - 1;
    taken += accepted;
    return Response.json({ accepted, rejected: [] }, { status: 202 });
  },
});
const experiments = createExperiments({
  rules: staticRules(ruleSetOf(openRule)),
  sink,
  buffer: { maxEvents, backoffMs: 5, backoffMaxMs: 20 },
});

const mebibytes = (value: number): number => Math.round(value / 2 ** 20);
let mostResident = 0;
const resident: number[] = [];
const live: number[] = [];
const measureTenth = (): void => {
  resident.push(mebibytes(process.memoryUsage.rss()));
  if (globalThis.gc === undefined) throw new TypeError("run it with --expose-gc");
  globalThis.gc({ type: "major", execution: "sync" });
  live.push(mebibytes(process.memoryUsage().heapUsed));
};

const held = (): number => experiments.buffer?.health().events ?? 0;

/** A request's worth of exposures; between two of them whatever was sent gets its turn. */
const turn = 250;
const began = performance.now();
for (let n = 0; n < events; n += turn) {
  isAway = Math.floor((n * 10) / events) === 4;
  for (let one = n; one < Math.min(n + turn, events); one += 1)
    experiments.expose("checkout-redesign", `550e8400-e29b-41d4-a716-${one.toString().padStart(12, "0")}`);
  // The loop makes events faster than any application: it waits for the sender, but for nobody who is away.
  const most = isAway ? maxEvents : maxEvents / 2;
  do await new Promise((resolve) => setImmediate(resolve));
  while (held() > most);
  mostResident = Math.max(mostResident, process.memoryUsage.rss());
  if (Math.floor((n * 10) / events) >= resident.length) measureTenth();
}
await experiments.flush();
const seconds = (performance.now() - began) / 1_000;
measureTenth();
const health = experiments.buffer?.health();
await experiments.close();

const dropped = health?.dropped.overflow ?? 0;
console.log(
  `${events.toLocaleString("en")} exposures in ${seconds.toFixed(0)} s: ${taken.toLocaleString("en")} sent (${mebibytes(bytes)} MiB), ${dropped.toLocaleString("en")} dropped while the sink was away for a tenth of them`,
);
console.log(
  `resident, MiB, by tenths: ${resident.join("  ")}; at most ${mebibytes(mostResident)} (ceiling ${residentCeilingMiB})`,
);
console.log(`held after a collection, MiB: ${live.join("  ")} (ceiling ${heldCeilingMiB})`);
const away = events / 10;
if (taken + dropped !== events || dropped > away || dropped < away - maxEvents - turn)
  throw new Error(`${taken} sent and ${dropped} dropped of ${events} exposures`);
if (mebibytes(mostResident) > residentCeilingMiB || Math.max(...live) > heldCeilingMiB)
  throw new Error("above the ceiling");
