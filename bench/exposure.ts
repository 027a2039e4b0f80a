/**
 * What an exposure costs the request: an assignment, and an assignment with its exposure into the buffer, beside the
 * tracked evaluation of GrowthBookClient whose callback keeps an event, too. All take turns in one process, round by round, because machines are shared;
 * figures are medians over rounds, and the ratio of two is the median of the ratios within a round.
 *
 *     node bench/exposure.ts
 */
import { GrowthBookClient } from "@growthbook/growthbook";
import { createExperiments } from "../src/evaluation/experiments.ts";
import type { ExperimentRule } from "../src/evaluation/rule-set.ts";
import { staticRules } from "../src/evaluation/rules.ts";
import type { EventSink } from "../src/events/sink.ts";

const rule: ExperimentRule = {
  name: "checkout-redesign",
  state: "Running",
  version: 3,
  digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  epoch: 1,
  hashVersion: 1,
  salt: "checkout-redesign-v1",
  subject: "user",
  variants: [
    { key: "control", buckets: 5_000, control: true },
    { key: "treatment", buckets: 5_000, control: false },
  ],
  trafficBuckets: 10_000,
  targeting: {
    all: [
      { attribute: "country", in: ["US", "CA"] },
      { attribute: "plan", equals: "pro" },
    ],
  },
  assignmentPolicy: "bestEffort",
};

/** Subjects as they are in life: 36 characters. `fresh` are seen once, `known` come again and again. */
const idOf = (index: number): string =>
  `550e8400-e29b-41d4-a716-${(446_655_440_000 + index * 7_919).toString().padStart(12, "0")}`;
const known = Array.from({ length: 4_096 }, (_, index) => idOf(index));
const fresh = Array.from({ length: 1 << 20 }, (_, index) => idOf(index));
const walk = (ids: readonly string[]): (() => string) => {
  let at = -1;
  return () => {
    at = (at + 1) % ids.length;
    return ids[at] ?? "";
  };
};

/** Takes events for nothing: what is measured is the application's side. */
const nowhere: EventSink = {
  name: "nowhere",
  send: (events) => Promise.resolve({ accepted: events.length, rejected: [] }),
  health: () => ({ status: "healthy", description: "" }),
};
const create = () =>
  createExperiments({
    rules: staticRules({ ruleSetVersion: 1, tenant: "default", environment: "default", experiments: [rule] }),
    sink: nowhere,
    // No batch goes by itself while a round is timed; each round flushes when its time is taken.
    buffer: {
      maxEvents: 1_000_000,
      maxBytes: 1 << 30,
      flushEvents: 1_000_000,
      flushBytes: 1 << 30,
      flushIntervalMs: 3_600_000,
    },
  });
/** One for each, because what one has seen the other should not know. */
const [assigning, exposing, calling, meeting] = [create(), create(), create(), create()];
const attributes = { country: "US", plan: "pro", device: "phone" };
const trial = calling.trial("checkout-redesign", {
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

const [assignKnown, exposeKnown, trialKnown, gbKnown] = [walk(known), walk(known), walk(known), walk(known)];
const [assignFresh, exposeFresh, gbFresh] = [walk(fresh), walk(fresh), walk(fresh)];
/** Fewer than a batch by default (500): what waits longer than in life would be moved about by the collector. */
const callsPerRound = 400;
const rounds = 3_000;
const warmUp = 300;
let sink = 0;

const candidates: readonly { readonly name: string; readonly run: () => unknown }[] = [
  { name: "assign", run: () => assigning.assign("checkout-redesign", assignKnown(), attributes) },
  {
    name: "assign and expose into the buffer",
    run: () => exposing.expose("checkout-redesign", exposeKnown(), attributes),
  },
  { name: "trial: make, call, expose", run: () => trial.for(trialKnown(), attributes)(1) },
  {
    name: "GrowthBookClient, tracked",
    run: () => growthBook.evalFeature("checkout-redesign", { attributes: { id: gbKnown(), ...attributes } }),
  },
  { name: "assign, new subjects", run: () => assigning.assign("checkout-redesign", assignFresh(), attributes) },
  {
    name: "assign and expose into the buffer, new subjects",
    run: () => meeting.expose("checkout-redesign", exposeFresh(), attributes),
  },
  {
    name: "GrowthBookClient, tracked, new subjects",
    run: () => growthBook.evalFeature("checkout-redesign", { attributes: { id: gbFresh(), ...attributes } }),
  },
];

const timed = (run: () => unknown): number => {
  const begin = process.hrtime.bigint();
  for (let call = 0; call < callsPerRound; call += 1) if (run() === undefined) sink += 1;
  return Number(process.hrtime.bigint() - begin) / callsPerRound;
};

const figures = new Map(candidates.map(({ name }): [string, number[]] => [name, []]));
const flushes: number[] = [];
for (let round = 0; round < rounds; round += 1) {
  for (const { name, run } of candidates) {
    const ns = timed(run);
    // The first rounds are the compiler's.
    if (round >= warmUp) figures.get(name)?.push(ns);
    tracked = [];
    for (const experiments of [exposing, calling, meeting]) {
      const held = experiments.buffer?.health().events ?? 0;
      if (held === 0) continue;
      const begin = process.hrtime.bigint();
      await experiments.flush();
      if (round >= warmUp) flushes.push(Number(process.hrtime.bigint() - begin) / held);
    }
  }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const ratio = (name: string, base: string): number => {
  const [ours, theirs] = [figures.get(name) ?? [], figures.get(base) ?? []];
  return median(ours.map((ns, round) => ns / (theirs[round] ?? Number.NaN)));
};

for (const { name } of candidates)
  console.log(
    `${median(figures.get(name) ?? [])
      .toFixed(0)
      .padStart(6)} ns  ${name}`,
  );
console.log(`${median(flushes).toFixed(0).padStart(6)} ns  an event made and handed over, when its batch goes`);
console.log("");
const [expose, exposeNew] = [
  "assign and expose into the buffer",
  "assign and expose into the buffer, new subjects",
] as const;
console.log(`${ratio(expose, "assign").toFixed(2)} × assign: ${expose}`);
console.log(`${ratio(exposeNew, "assign, new subjects").toFixed(2)} × assign: ${exposeNew}`);
console.log(`${ratio("GrowthBookClient, tracked", expose).toFixed(1)} × as long as ours: GrowthBookClient, tracked`);
console.log(
  `${ratio("GrowthBookClient, tracked, new subjects", exposeNew).toFixed(1)} × as long as ours: the same, new subjects`,
);
if (trackedInAll < rounds || sink > 0)
  throw new Error(`${trackedInAll} tracked, ${sink} undecided: nothing was measured`);
await Promise.all([exposing, calling, meeting].map((experiments) => experiments.close()));
