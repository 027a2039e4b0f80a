import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createVerifier } from "../../src/governance/chain.ts";
import { replay } from "../../src/governance/evolve.ts";
import { readEvent } from "../../src/governance/stored.ts";
import type { EventRecord } from "../../src/governance/events.ts";
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
  /** Absent when the server died before it answered. */
  readonly revision?: unknown;
}

describe.each(["d1", "durableObject"])("SIGKILL in the middle, histories in %s", (type) => {
  const clients = 8;
  const attemptsEach = 25;

  /** One client: pauses and resumes its experiment until it is done or the server is gone. */
  const client = async (url: string, experiment: string, onAnswer: () => void): Promise<readonly Attempt[]> => {
    const attempts: Attempt[] = [];
    for (let index = 0; index < attemptsEach; index += 1) {
      const attempt = { experiment, key: `${experiment}-${index}`, to: index % 2 === 0 ? "Paused" : "Running" };
      const sent = ask(
        url,
        "author",
        "POST",
        `${experiment}/lifecycle/transition`,
        { targetState: attempt.to },
        { "idempotency-key": attempt.key },
      );
      const answer = await sent.catch(() => null);
      if (answer === null) return [...attempts, attempt];
      expect(answer.status).toBe(200);
      attempts.push({ ...attempt, revision: answer.body["revision"] });
      onAnswer();
    }
    return attempts;
  };

  test(
    "200 transitions by 8 clients, killed half-way: every answered one is there, nothing half, no gap",
    { timeout: 180_000 },
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
      let server = await startServer(state, dsl);
      try {
        const names = Array.from({ length: clients }, (_none, index) => `killed-${index}`);
        await Promise.all(names.map((name) => start(server.url, name)));
        let answered = 0;
        let killed: Promise<void> | undefined;
        const onAnswer = (): void => {
          answered += 1;
          if (answered === (clients * attemptsEach) / 2) killed = server.kill();
        };
        const attempts = await Promise.all(names.map((name) => client(server.url, name, onAnswer)));
        await killed;
        const unanswered = attempts.flat().filter((attempt) => attempt.revision === undefined);
        expect(answered).toBeLessThan(clients * attemptsEach);
        expect(unanswered.length).toBeGreaterThan(0);

        server = await startServer(state, dsl);
        for (const [index, name] of names.entries()) {
          const moves = movesIn(await expectWhole(server.url, name)).slice(3);
          const known = (attempts[index] ?? [])
            .filter((attempt) => attempt.revision !== undefined)
            .map((attempt) => attempt.to);
          expect(moves.slice(0, known.length)).toEqual(known);
          // At most the one that was under way when the server died.
          expect(moves.length - known.length).toBeLessThanOrEqual(1);
        }
        // The retry of what got no answer finds its effect, or makes it: never twice.
        for (const { experiment, key, to } of unanswered) {
          const before = movesIn(await historyOf(server.url, experiment)).slice(3);
          const known = attempts
            .flat()
            .filter((attempt) => attempt.experiment === experiment && attempt.revision !== undefined).length;
          const answer = await ask(
            server.url,
            "author",
            "POST",
            `${experiment}/lifecycle/transition`,
            { targetState: to },
            { "idempotency-key": key },
          );
          expect(answer).toMatchObject({ status: 200, body: { newState: to } });
          expect(movesIn(await expectWhole(server.url, experiment)).slice(3)).toHaveLength(known + 1);
          expect(before.length).toBeLessThanOrEqual(known + 1);
        }
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
