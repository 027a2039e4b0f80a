/**
 * What governing a change costs: a transition with two gates, three policies and an idempotency key through the Worker's
 * HTTP route, beside the very statements of such a commit sent raw to the same engine, in the same run; the same at
 * history lengths 10 and 10,000; and one decision in the pure core.
 *
 *     npx node bench/governance.ts [--commits 2000] [--connections 32] [--length 10000] [--stores d1,durableObject]
 *
 * Everything runs on embedded storage in a directory that is removed at the end. Product and raw take turns, so that
 * whatever else the machine does falls on both. Compare ratios: machines are shared and noisy.
 */
import { Agent, request as httpRequest } from "node:http";
import { parseArgs } from "node:util";
import { bench, do_not_optimize as keep, run } from "mitata";
import { uuidv7 } from "uuidv7";
import { memoryStore } from "../adapters/store/memory.ts";
import { migrate } from "../adapters/store/migrate.ts";
import { commitQueries, type Query } from "../adapters/store/sqlite.ts";
import { sqliteMigrations } from "../adapters/store/sqlite-migrations.ts";
import { loadDsl } from "../src/config/index.ts";
import type { Command, Evidence } from "../src/governance/commands.ts";
import { decide } from "../src/governance/decide.ts";
import { createGovernance } from "../src/governance/governance.ts";
import type { GateInput } from "../src/governance/gates/schema.ts";
import type { PolicyInput } from "../src/governance/policies/schema.ts";
import { storableCommit } from "../src/governance/storable-commit.ts";
import type { Commit, GovernanceStore } from "../src/governance/store.ts";
import type { ExperimentRef } from "../src/scope.ts";
import { bundleWorker, startWorkerd } from "./workerd.ts";

const { values: flags } = parseArgs({
  options: {
    commits: { type: "string", default: "2000" },
    connections: { type: "string", default: "32" },
    length: { type: "string", default: "10000" },
    stores: { type: "string", default: "d1,durableObject" },
  },
});
const whole = (flag: "commits" | "connections" | "length"): number => {
  const value = Number(flags[flag]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`--${flag} is a whole number above 0, not ${flags[flag]}`);
};
const commits = whole("commits");
const connections = whole("connections");
const longLength = whole("length");
const rounds = 5;

/** Two gates and three policies on every move between Running and Ramping. */
const gates: GateInput[] = (["Running", "Ramping"] as const).flatMap((to): GateInput[] => [
  { type: "roleBased", name: `who-${to}`, to, allowedRoles: ["operator"] },
  { type: "roleBased", name: `team-${to}`, to, allowedRoles: ["team.payments", "admin"] },
]);
const policies: PolicyInput[] = [
  { type: "trafficLimit", maxTrafficPercentage: 100 },
  { type: "timeWindow", allowedStartTime: "00:00", allowedEndTime: "00:00", timeZone: "Europe/Amsterdam" },
  { type: "expression", expression: 'actor.kind != "agent" || change.trafficAfter <= 10.0' },
];
const dsl = (persistence: string): string =>
  JSON.stringify({ governance: { persistence: { type: persistence }, approvalGates: gates, policies } });

const actor = { id: "operator@example.com", kind: "human", roles: ["editor", "operator", "team.payments"] } as const;
const headers = { "x-proviso-actor": actor.id, "x-proviso-roles": actor.roles.join(",") };
const configuration = {
  salt: "pepper",
  variants: [
    { key: "control", control: true },
    { key: "treatment", payload: { layout: "one-page" } },
  ],
  targeting: { all: [{ attribute: "country", in: ["US", "CA"] }] },
  metrics: [{ name: "purchase", kind: "binary" as const, goal: "increase" as const, primary: true }],
};
const toRunning = ["PendingApproval", "Approved", "Running"] as const;

/** Commits of this very change, as the product makes them, from a governor over a store that writes down what it is sent. */
const recordedCommits = async (ref: ExperimentRef, length: number): Promise<readonly Commit[]> => {
  const made: Commit[] = [];
  const memory = memoryStore();
  const store: GovernanceStore = {
    ...memory,
    commit: (at, commit) => {
      made.push(commit);
      return memory.commit(at, commit);
    },
  };
  const governance = createGovernance({ store, gates, policies });
  await governance.define(ref, configuration, { actor });
  for (const to of toRunning) await governance.transition(ref, to, {}, { actor });
  for (let move = 0; made.length < length; move += 1) {
    const idempotencyKey = uuidv7();
    const answer = await governance.transition(
      ref,
      move % 2 === 0 ? "Ramping" : "Running",
      {},
      { actor, idempotencyKey },
    );
    if (!answer.ok) throw new Error(`the recording was refused: ${answer.message}`);
  }
  return made;
};

const queriesOf = (ref: ExperimentRef, commit: Commit): readonly Query[] =>
  commitQueries(ref, storableCommit(ref, commit));

const script = await bundleWorker("governance", [
  {
    name: "dsl-beside",
    setup(context) {
      context.onResolve({ filter: /\.yaml$/ }, () => ({ path: "./proviso.yaml", external: true }));
    },
  },
]);

interface Running {
  readonly post: (path: string, body: unknown, more?: Record<string, string>) => Promise<unknown>;
  readonly stop: () => Promise<void>;
}

const start = async (persistence: string): Promise<Running> => {
  const workerd = await startWorkerd(
    script,
    {
      bindings: { PROVISO_DEVELOPMENT: "true" },
      d1Databases: { DB: "proviso" },
      durableObjects: {
        EXPERIMENTS: { className: "ExperimentObject", useSQLite: true },
        LEDGERS: { className: "LedgerObject", useSQLite: true },
        SCOPES: { className: "ScopeObject", useSQLite: true },
        REGISTRIES: { className: "RegistryObject", useSQLite: true },
        RAW: { className: "RawObject", useSQLite: true },
      },
      queueProducers: { EVENTS: "events", DEAD_LETTERS: "dead-letters" },
    },
    { "/proviso.yaml": dsl(persistence) },
  );
  await migrate(await workerd.miniflare.getD1Database("DB"), sqliteMigrations);
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const post: Running["post"] = (path, body, more = {}) =>
    new Promise((resolve, reject) => {
      const text = JSON.stringify(body);
      const sent = httpRequest(
        new URL(path, workerd.origin),
        { method: "POST", agent, headers: { ...headers, ...more, "content-length": Buffer.byteLength(text) } },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const answer = Buffer.concat(chunks).toString("utf8");
            if ((response.statusCode ?? 500) >= 300)
              reject(new Error(`POST ${path}: ${response.statusCode} ${answer}`));
            else resolve(JSON.parse(answer));
          });
        },
      );
      sent.on("error", reject);
      sent.end(text);
    });
  return {
    post,
    stop: async () => {
      agent.destroy();
      await workerd.stop();
    },
  };
};

const api = (name: string, path: string): string => `/api/governance/${name}${path}`;
const named = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

/** Brings experiments to Running through the API. */
const prepare = async ({ post }: Running, names: readonly string[]): Promise<void> => {
  for (const name of names) {
    await post(api(name, "/versions"), { configuration });
    for (const targetState of toRunning) await post(api(name, "/lifecycle/transition"), { targetState });
  }
};

/** Milliseconds for so many turns by one worker a name, each worker one turn after another. */
const timed = async (names: readonly string[], turns: number, turn: (name: string, n: number) => Promise<unknown>) => {
  const began = performance.now();
  await Promise.all(
    names.map(async (name) => {
      for (let n = 0; n < turns; n += 1) await turn(name, n);
    }),
  );
  return performance.now() - began;
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
const perSecond = (count: number, milliseconds: number): number => Math.round((count * 1_000) / milliseconds);
const say = (text: string): void => console.log(text);

const governedMove =
  ({ post }: Running, moves: Map<string, number>) =>
  async (name: string): Promise<void> => {
    const move = moves.get(name) ?? 0;
    moves.set(name, move + 1);
    await post(
      api(name, "/lifecycle/transition"),
      { targetState: move % 2 === 0 ? "Ramping" : "Running" },
      { "idempotency-key": uuidv7() },
    );
  };

/** The product and the raw engine in turns, at one level of concurrency. */
const beside = async (running: Running, engine: "d1" | "object", workers: number): Promise<void> => {
  const id = uuidv7().slice(-8);
  const names = named(`product-${id}`, workers);
  const rawNames = named(`raw-${id}`, workers);
  const turns = Math.max(5, Math.round(commits / workers / rounds));
  await prepare(running, names);
  const recorded = new Map<string, readonly Commit[]>();
  for (const name of rawNames) {
    const ref = { tenant: "default", environment: "default", experiment: name };
    recorded.set(name, await recordedCommits(ref, 4 + (rounds + 1) * turns));
    if (engine === "object")
      await running.post(
        `/raw/schema/${name}`,
        sqliteMigrations.flatMap(({ sql }) => sql.split("--> statement-breakpoint")),
      );
  }
  const path = (name: string): string => (engine === "d1" ? "/raw/d1" : `/raw/object/${name}`);
  const next = new Map<string, number>();
  const rawWrite = async (name: string): Promise<void> => {
    const at = next.get(name) ?? 0;
    next.set(name, at + 1);
    const commit = recorded.get(name)?.[at];
    if (commit === undefined) throw new Error("the recording is too short");
    await running.post(path(name), queriesOf({ tenant: "default", environment: "default", experiment: name }, commit));
  };
  for (const name of rawNames) for (let setUp = 0; setUp < 4; setUp += 1) await rawWrite(name);
  const govern = governedMove(running, new Map());
  await timed(names, turns, govern);
  await timed(rawNames, turns, rawWrite);
  const product: number[] = [];
  const raw: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    product.push(await timed(names, turns, govern));
    raw.push(await timed(rawNames, turns, rawWrite));
  }
  const count = turns * workers;
  const ratio = median(raw) / median(product);
  say(
    `  ${String(workers).padStart(2)} connections: governed ${perSecond(count, median(product))}/s, raw ${perSecond(count, median(raw))}/s, ratio ${(ratio * 100).toFixed(0)} %`,
  );
};

/** One experiment of 10 events and one of 10,000, in turns. */
const byLength = async (running: Running): Promise<void> => {
  const id = uuidv7().slice(-8);
  const [short, long] = [`short-${id}`, `long-${id}`];
  await prepare(running, [short, long]);
  const moves = new Map<string, number>();
  const govern = governedMove(running, moves);
  for (let event = 8; event < longLength; event += 1) await govern(long);
  const times = { short: [] as number[], long: [] as number[] };
  for (let round = 0; round < 21; round += 1) {
    times.short.push(await timed([short], 20, govern));
    times.long.push(await timed([long], 20, govern));
  }
  const [few, many] = [median(times.short) / 20, median(times.long) / 20];
  say(
    `  a commit behind some 10–400 events ${few.toFixed(2)} ms, behind ${longLength.toLocaleString("en")} ${many.toFixed(2)} ms: ${(many / few).toFixed(2)} times`,
  );
};

const engines = [
  { persistence: "d1", engine: "d1" },
  { persistence: "durableObject", engine: "object" },
] as const;

for (const { persistence, engine } of engines) {
  if (!flags.stores.split(",").includes(persistence)) continue;
  if (!loadDsl(dsl(persistence), { file: "bench.json", environment: {} }).ok) {
    say(`${persistence}: not a store of this version`);
    continue;
  }
  const running = await start(persistence);
  try {
    say(`${persistence}: a governed transition beside its own statements, raw`);
    await beside(running, engine, 1);
    await beside(running, engine, connections);
    await byLength(running);
  } finally {
    await running.stop();
  }
}

/** The decision alone: what happens between reading and writing, without a clock and without a promise. */
const store = memoryStore();
const ref = { tenant: "default", environment: "default", experiment: "core" };
const governance = createGovernance({ store, gates, policies });
await governance.define(ref, configuration, { actor });
for (const to of toRunning) await governance.transition(ref, to, {}, { actor });
const loaded = await store.load(ref, { actor: actor.id });
if (loaded === null || loaded.actor === null) throw new Error("the experiment is not there");
const { state } = loaded.snapshot;
const command: Command = { type: "Transition", to: "Ramping" };
const evidence: Evidence = {
  ref,
  actor: { ref: loaded.actor, kind: "human", roles: [...actor.roles] },
  policySet: governance.policySet,
  now: Date.now(),
  telemetry: { status: "unavailable", at: new Date().toISOString(), reason: "not asked for" },
  others: [],
  claimed: null,
  custom: {},
  customGates: {},
  target: null,
  resultsDigest: null,
  conclusionWarning: null,
  takenSlots: null,
  guardrails: { status: "unavailable", at: new Date(0).toISOString(), reason: "not asked for" },
  proposalId: uuidv7(),
  randomSalt: "salt",
};
const decision = decide(state, command, evidence);
if (decision.outcome !== "commit") throw new Error("the decision that is measured is a refusal");
bench("decide: a transition with two gates and three policies", () => keep(decide(state, command, evidence)));
await run();
