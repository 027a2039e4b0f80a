/**
 * What an evaluation costs: beside a rule written by hand over the same hash (nobody can do less), and with an exposure
 * recorded beside without. Ratios, because machines differ; each pair runs in one process, in turn.
 *
 *     node bench/evaluate.ts
 */
import { bench, group, run, do_not_optimize as keep } from "mitata";
import { uuidv7 } from "uuidv7";
import { compileRule } from "../src/evaluation/assign.ts";
import { createExperiments } from "../src/evaluation/experiments.ts";
import { murmur3 } from "../src/evaluation/murmur3.ts";
import { httpRules, staticRules } from "../src/evaluation/rules.ts";
import { createEventIds } from "../src/events/event-id.ts";
import { attributes, idOf, nowhere, ruleSetOf, targetedRule } from "./application.ts";

const ruleSet = ruleSetOf(targetedRule);
const subjects = Array.from({ length: 4_096 }, (_, index) => idOf(index));
let turn = 0;
const nextSubject = (): string => {
  turn = (turn + 1) & 4_095;
  return subjects[turn] ?? "";
};

interface HandWritten {
  readonly variant: string;
  readonly reason: string;
}
const trafficSeed = murmur3("checkout-redesign-v1:traffic:", 0);
const variantSeed = murmur3("checkout-redesign-v1:variant:", 0);
/** The floor: this one experiment in code, with the same two hashes and an answer that says why. */
const byHand = (subjectId: string, known: { readonly country: string; readonly plan: string }): HandWritten => {
  if ((known.country !== "US" && known.country !== "CA") || known.plan !== "pro") {
    return { variant: "control", reason: "DEFAULT" };
  }
  if (murmur3(subjectId, trafficSeed) % 10_000 >= 10_000) return { variant: "control", reason: "DEFAULT" };
  const variant = murmur3(subjectId, variantSeed) % 10_000 < 5_000 ? "control" : "treatment";
  return { variant, reason: "TARGETING_MATCH" };
};

const assign = compileRule(targetedRule);
const experiments = createExperiments({
  rules: staticRules(ruleSet),
  sink: nowhere,
  buffer: { maxEvents: 1_000_000, maxBytes: 1 << 30 },
});
const overHttp = createExperiments({
  rules: httpRules({
    url: "https://experiments.example",
    refreshMs: 3_600_000,
    fetch: () => Promise.resolve(new Response(JSON.stringify(ruleSet))),
  }),
});
await overHttp.ready();
const trial = experiments.trial("checkout-redesign", {
  control: (value: number) => value,
  treatment: (value: number) => value + 1,
});
const ids = createEventIds();

const names = {
  hash: "murmur3 of a 36-character id",
  floor: "a rule and hash written by hand",
  assign: "assign, compiled rule",
  sdk: "assign, through the SDK",
  http: "assign, through the SDK, rules over HTTP",
  expose: "assign and expose into the buffer",
  trial: "trial: make, call, expose",
  id: "an event id",
  uuidv7: "an event id by the uuidv7 package",
} as const;

/** Five hundred servings and their flush: the buffer is emptied as it goes, as in an application. */
const exposing = (serve: () => unknown) => async (): Promise<void> => {
  for (let index = 0; index < 500; index += 1) keep(serve());
  await experiments.flush();
};

group("evaluation", () => {
  bench(names.hash, () => keep(murmur3(nextSubject(), variantSeed)));
  bench(names.floor, () => keep(byHand(nextSubject(), attributes)));
  bench(names.assign, () => keep(assign(nextSubject(), attributes)));
  bench(names.sdk, () => keep(experiments.assign("checkout-redesign", nextSubject(), attributes)));
  bench(names.http, () => keep(overHttp.assign("checkout-redesign", nextSubject(), attributes)));
});

group("exposure", () => {
  bench(
    `${names.expose} (× 500)`,
    exposing(() => experiments.expose("checkout-redesign", nextSubject(), attributes)),
  );
  bench(
    `${names.trial} (× 500)`,
    exposing(() => trial.for(nextSubject(), attributes)(1)),
  );
  bench(names.id, () => keep(ids(Date.now())));
  bench(names.uuidv7, () => keep(uuidv7()));
});

const { benchmarks } = await run();

/** Median nanoseconds of one call. */
const median = (name: string): number => {
  const found = benchmarks.find(({ alias }) => alias.startsWith(name));
  const ns = found?.runs[0]?.stats?.p50 ?? Number.NaN;
  return found?.alias.endsWith("(× 500)") === true ? ns / 500 : ns;
};

const against = (name: string, base: string): void => {
  const [ns, baseNs] = [median(name), median(base)];
  console.log(`${(ns / baseNs).toFixed(2)} ×  ${name}: ${ns.toFixed(0)} ns; ${base}: ${baseNs.toFixed(0)} ns`);
};

console.log("\nmedians against each other");
against(names.assign, names.floor);
against(names.sdk, names.floor);
against(names.http, names.floor);
against(names.expose, names.sdk);
against(names.trial, names.sdk);
against(names.id, names.uuidv7);
await experiments.close();
