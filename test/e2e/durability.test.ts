import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createVerifier } from "../../src/governance/chain.ts";
import { replay } from "../../src/governance/evolve.ts";
import { readEvent } from "../../src/governance/stored.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import type { Provided } from "../support/provided.ts";
import { ask, type Server, start, startServer, temporaryDirectory } from "./server.ts";

const Listed = v.array(v.object({ experimentName: v.string(), revision: v.number() }));
const Page = v.object({ events: v.array(v.unknown()), next: v.nullable(v.number()) });

/** The whole history over HTTP, read back as events. */
const historyOf = async (url: string, name: string): Promise<readonly EventRecord[]> => {
  const events: EventRecord[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page: v.InferOutput<typeof Page> = v.parse(
      Page,
      (await ask(url, "author", "GET", `${name}/audit?limit=100&after=${after}`)).body,
    );
    events.push(...page.events.map((event) => readEvent(JSON.stringify(event))));
    after = page.next;
  }
  return events;
};

const movesIn = (events: readonly EventRecord[]): readonly string[] =>
  events.flatMap((event) => (event.type === "Transitioned" ? [event.data.to] : []));

/** No gap, every hash right, and the snapshot is what the history leads to. */
const expectWhole = async (url: string, name: string): Promise<readonly EventRecord[]> => {
  const events = await historyOf(url, name);
  const verifier = createVerifier();
  verifier.add(events);
  expect(verifier.result()).toMatchObject({ valid: true, length: events.length, firstInvalid: null });
  expect(events.map((event) => event.seq)).toEqual(events.map((_event, index) => index + 1));
  const state = replay(events);
  const { body } = await ask(url, "author", "GET", name);
  expect(body).toMatchObject({
    state: state?.lifecycle,
    latestVersion: state?.latest.version,
    updatedAt: state?.updatedAt,
    digest: state?.latest.digest,
  });
  return events;
};

describe("with one server", () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let server: Server;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    server = await startServer(directory.path);
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    await directory.remove();
  });

  test(
    "two processes race 50 times: each round has one winner, and the history has exactly the winners",
    { timeout: 120_000 },
    async () => {
      await start(server.url, "race");
      const racers = [1, 2].map(() => {
        const child = spawn(process.execPath, ["test/e2e/racer.ts", server.url, "race"], {
          stdio: ["pipe", "pipe", "inherit"],
        });
        return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
      });
      const rounds: string[] = [];
      try {
        for (let round = 0; round < 50; round += 1) {
          const target = round % 2 === 0 ? "Paused" : "Running";
          for (const { child } of racers) child.stdin.write(`${target}\n`);
          const statuses = await Promise.all(racers.map(async ({ lines }) => String((await lines.next()).value)));
          expect(statuses.toSorted()).toEqual(["200", "409"]);
          rounds.push(target);
        }
      } finally {
        for (const { child } of racers) child.stdin.end();
      }
      expect(movesIn(await expectWhole(server.url, "race")).slice(3)).toEqual(rounds);
    },
  );
});

describe("on the memory store", () => {
  test("one object has all experiments, for every request of the process", { timeout: 60_000 }, async () => {
    const directory = await temporaryDirectory();
    const dsl = join(directory.path, "memory.yaml");
    await writeFile(dsl, "governance:\n  persistence: { type: memory }\n");
    const server = await startServer(join(directory.path, "state"), dsl);
    try {
      for (const name of ["first", "second"]) await start(server.url, name);
      for (let round = 0; round < 3; round += 1) {
        for (const name of ["first", "second"]) expect(movesIn(await expectWhole(server.url, name))).toHaveLength(3);
        expect((await ask(server.url, "author", "GET", "")).body["experiments"]).toHaveLength(2);
      }
    } finally {
      await server.kill();
      await directory.remove();
    }
  });
});

interface Attempt {
  readonly experiment: string;
  readonly key: string;
  readonly to: string;
}

/** What is known of an experiment from outside: the moves that were answered, and the one that was not. */
interface Seen {
  readonly moves: string[];
  unanswered: Attempt | null;
}

const inProof: Provided["proof"] = inject("proof");

describe.each([
  { type: "d1", rounds: inProof ? 50 : 3 },
  { type: "durableObject", rounds: inProof ? 50 : 2 },
])("SIGKILL under load, histories in $type", ({ type, rounds }) => {
  const clients = 8;

  /** One client: pauses and resumes its experiment until the server is gone. */
  const client = async (
    url: string,
    experiment: string,
    round: number,
    seen: Seen,
    onAnswer: () => void,
  ): Promise<void> => {
    for (let index = 0; ; index += 1) {
      const to = (seen.moves.at(-1) ?? "Running") === "Running" ? "Paused" : "Running";
      const attempt = { experiment, key: `${experiment}-${round}-${index}`, to };
      seen.unanswered = attempt;
      const answer = await move(url, attempt).catch(() => null);
      // Neither is an answer: what is left of a dying server may say that something went wrong.
      if (answer === null || answer.status >= 500) return;
      expect(answer).toMatchObject({ status: 200, body: { newState: to } });
      seen.unanswered = null;
      seen.moves.push(to);
      onAnswer();
    }
  };

  const move = (url: string, { experiment, key, to }: Attempt) =>
    ask(url, "author", "POST", `${experiment}/lifecycle/transition`, { targetState: to }, { "idempotency-key": key });

  /** Every answered move is there in its place, the unanswered one whole or not at all, and a retry settles it. */
  const settle = async (url: string, experiment: string, seen: Seen): Promise<void> => {
    const moves = movesIn(await expectWhole(url, experiment)).slice(3);
    const open = seen.unanswered === null ? [] : [seen.unanswered.to];
    expect([seen.moves, [...seen.moves, ...open]]).toContainEqual(moves);
    if (seen.unanswered === null) return;
    expect(await move(url, seen.unanswered)).toMatchObject({ status: 200, body: { newState: seen.unanswered.to } });
    seen.moves.push(seen.unanswered.to);
    seen.unanswered = null;
    expect(movesIn(await expectWhole(url, experiment)).slice(3)).toEqual(seen.moves);
  };

  test(
    `8 clients, killed ${rounds} times: every answered move is there, nothing half, no gap, no retry twice`,
    { timeout: inProof ? 1_800_000 : 180_000 },
    async () => {
      const directory = await temporaryDirectory();
      const dsl = join(directory.path, "proviso.yaml");
      await writeFile(
        dsl,
        `governance:
  persistence: { type: ${type} }
  approvalGates: [{ type: manual, from: PendingApproval, to: Approved }]
`,
      );
      const state = join(directory.path, "state");
      const names = Array.from({ length: clients }, (_none, index) => `killed-${index}`);
      const seen = new Map(names.map((name): [string, Seen] => [name, { moves: [], unanswered: null }]));
      const each = (work: (name: string, known: Seen) => Promise<void>): Promise<unknown> =>
        Promise.all([...seen].map(([name, known]) => work(name, known)));
      let server = await startServer(state, dsl);
      let interrupted = 0;
      try {
        await each((name) => start(server.url, name));
        for (let round = 0; round < rounds; round += 1) {
          // Another moment each time, from the first answers on.
          const enough = 1 + ((round * 37) % 101);
          let answered = 0;
          let killed: Promise<void> | undefined;
          const onAnswer = (): void => {
            answered += 1;
            if (answered === enough) killed = server.kill();
          };
          await each((name, known) => client(server.url, name, round, known, onAnswer));
          await killed;
          expect(answered).toBeGreaterThanOrEqual(enough);
          interrupted += [...seen.values()].filter(({ unanswered }) => unanswered !== null).length;
          server = await startServer(state, dsl);
          await each((name, known) => settle(server.url, name, known));
        }
        // The load was real: at each kill somebody waited for an answer.
        expect(interrupted).toBeGreaterThanOrEqual(rounds);
        // And the listing says what the histories say.
        const { body } = await ask(server.url, "author", "GET", "");
        const listed = v.parse(Listed, body["experiments"]);
        expect(listed.map(({ experimentName }) => experimentName)).toEqual(names);
        for (const { experimentName, revision } of listed) {
          const { body: shown } = await ask(server.url, "author", "GET", experimentName);
          expect(revision).toBe(shown["revision"]);
        }
      } finally {
        await server.kill();
        await directory.remove();
      }
    },
  );
});
