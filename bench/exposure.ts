/**
 * What an exposure costs the request: an assignment, and an assignment with its exposure into the buffer, beside the
 * tracked evaluation of GrowthBookClient whose callback keeps an event, too. Ours take turns in one process, round by round, because machines are shared;
 * figures are medians over rounds, ratios those of the medians and those of the least disturbed tenth of the rounds. Then
 * the memory of a process of its own over millions of exposures (`bench/exposure-memory.ts`).
 *
 *     node bench/exposure.ts [--events 5000000]
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { GrowthBookClient } from "@growthbook/growthbook";
import { createExperiments } from "../src/evaluation/experiments.ts";
import { staticRules } from "../src/evaluation/rules.ts";
import { attributes, idOf, nowhere, ruleSetOf, targetedRule } from "./application.ts";

/** Subjects: `fresh` are seen once, `known` come again and again. */
const known = Array.from({ length: 4_096 }, (_, index) => idOf(index));
const fresh = Array.from({ length: 1 << 20 }, (_, index) => idOf(index));
const walk = (ids: readonly string[]): (() => string) => {
  let at = -1;
  return () => {
    at = (at + 1) % ids.length;
    return ids[at] ?? "";
  };
};

/** One object, as an application has it. */
const experiments = createExperiments({
  rules: staticRules(ruleSetOf(targetedRule)),
  sink: nowhere,
});
const trial = experiments.trial("checkout-redesign", {
  control: (value: number) => value,
  treatment: (value: number) => value + 1,
});

/** What a tracking callback is there for: an event with an id and a time, kept until it is sent. */
let tracked: {
  readonly id: string;
  readonly time: string;
  readonly experiment: string;
  readonly variant: string;
  readonly user: unknown;
}[] = [];
let trackedInAll = 0;
const growthBook = new GrowthBookClient({
  trackingCallback: (experiment, result, user) => {
    trackedInAll += 1;
    tracked.push({
      id: crypto.randomUUID(),
      time: new Date().toISOString(),
      experiment: experiment.key,
      variant: result.key,
      user: user.attributes?.["id"],
    });
  },
}).initSync({
  payload: {
    features: {
      "checkout-redesign": {
        defaultValue: "control",
        rules: [
          {
            condition: { country: { $in: ["US", "CA"] }, plan: "pro" },
            variations: ["control", "treatment"],
            weights: [0.5, 0.5],
            coverage: 1,
            hashAttribute: "id",
            hashVersion: 2,
            seed: "checkout-redesign-v1",
            key: "checkout-redesign",
            meta: [{ key: "control" }, { key: "treatment" }],
          },
        ],
      },
    },
  },
});

/** Fewer than a batch by default (500): what waits longer than in life would be moved about by the collector. */
const callsPerRound = 400;
const rounds = 2_000;
const warmUp = 300;
let undecided = 0;

const timed = (run: () => unknown): number => {
  const begin = process.hrtime.bigint();
  for (let call = 0; call < callsPerRound; call += 1) if (run() === undefined) undecided += 1;
  return Number(process.hrtime.bigint() - begin) / callsPerRound;
};
const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
const median = (values: readonly number[]): number => quantile(values, 0.5);

const name = "checkout-redesign";
const flushes: number[] = [];
for (const [population, ids] of [
  ["subjects that come again", known],
  ["new subjects", fresh],
] as const) {
  const [assigned, exposed, tried, booked] = [walk(ids), walk(ids), walk(ids), walk(ids)];
  const candidates: Readonly<Record<string, () => unknown>> = {
    assign: () => experiments.assign(name, assigned(), attributes),
    expose: () => experiments.expose(name, exposed(), attributes),
    trial: () => trial.for(tried(), attributes)(1),
    growthBook: () => growthBook.evalFeature(name, { attributes: { id: booked(), ...attributes } }),
  };
  const figures = new Map(Object.keys(candidates).map((candidate): [string, number[]] => [candidate, []]));
  const { growthBook: theirs, ...ours } = candidates;
  // One after the other: what GrowthBook throws away would be collected on our time.
  for (const taking of [ours, { growthBook: theirs }]) {
    for (let round = 0; round < rounds; round += 1) {
      for (const [candidate, run] of Object.entries(taking)) {
        if (run === undefined) continue;
        const ns = timed(run);
        // The first rounds are the compiler's.
        if (round >= warmUp) figures.get(candidate)?.push(ns);
        tracked = [];
        const held = experiments.buffer?.health().events ?? 0;
        const begin = process.hrtime.bigint();
        await experiments.flush();
        if (round >= warmUp && held > 0) flushes.push(Number(process.hrtime.bigint() - begin) / held);
      }
    }
  }
  const of = (candidate: string): readonly number[] => figures.get(candidate) ?? [];
  /** Of the medians, and of the least disturbed tenth of the rounds: others work on the same machine. */
  const ratio = (one: string, other: string): string =>
    [0.5, 0.1].map((share) => (quantile(of(one), share) / quantile(of(other), share)).toFixed(2)).join(" and ");
  console.log(population);
  const line = (candidate: string, text: string): void =>
    console.log(`${median(of(candidate)).toFixed(0).padStart(7)} ns  ${text}`);
  line("assign", "assign");
  line("expose", `assign and expose into the buffer: ${ratio("expose", "assign")} × assign`);
  line("trial", `trial, made and called: ${ratio("trial", "assign")} × assign`);
  line("growthBook", `GrowthBookClient, tracked: ${ratio("growthBook", "expose")} × as long as ours`);
}
console.log(`${median(flushes).toFixed(0).padStart(7)} ns  an event made and handed over, when its batch goes`);
if (trackedInAll < rounds || undecided > 0) {
  throw new Error(`${trackedInAll} tracked, ${undecided} undecided: nothing was measured`);
}
await experiments.close();

const { status } = spawnSync(
  process.execPath,
  ["--expose-gc", join(import.meta.dirname, "exposure-memory.ts"), ...process.argv.slice(2)],
  { stdio: "inherit" },
);
if (status !== 0) throw new Error(`the memory run ended with ${status}`);
