/**
 * The server is killed (SIGKILL) again and again while the SDK sends: its buffer keeps and repeats what was not
 * acknowledged. What was acknowledged and not yet counted the local queue forgets, as docs/exposure.md says; here it comes
 * again from the test, as it does from a queue that outlives its consumer. Nothing is lost, and nothing is counted twice.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, inject, test } from "vitest";
import { httpSink } from "../../adapters/sink/http.ts";
import { createEventBuffer } from "../../src/events/buffer.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import type { Provided } from "../support/provided.ts";
import { ask, start, startServer, temporaryDirectory } from "./server.ts";

const inProof: Provided["proof"] = inject("proof");
const kills = inProof ? 50 : 2;

const idOf = (n: number): string => `019aa5b6-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;
const subjectsPerRound = 400;
const armOf = (subject: number): string => (subject % 3 === 0 ? "control" : "treatment");

/** An exposure and two outcomes of every subject; some subjects come back from the round before. */
const eventsOf = (round: number): readonly EnvelopeInput[] =>
  Array.from({ length: subjectsPerRound }, (_none, index) => round * (subjectsPerRound - 50) + index).flatMap(
    (subject, index): readonly EnvelopeInput[] => {
      const first = (round * subjectsPerRound + index) * 3;
      const timestamp = new Date().toISOString();
      const about = { experimentName: "killed", subjectId: `user-${subject}` };
      const outcome = (n: number, value: number): EnvelopeInput => ({
        eventId: idOf(n),
        timestamp,
        eventType: "Outcome",
        payload: { ...about, metric: "spend", kind: "count", value },
      });
      return [
        {
          eventId: idOf(first),
          timestamp,
          eventType: "Exposure",
          payload: { ...about, variantKey: armOf(subject), epoch: 0 },
        },
        outcome(first + 1, 1),
        outcome(first + 2, subject % 7),
      ];
    },
  );

const subjectOf = ({ payload }: EnvelopeInput): number => Number(payload.subjectId?.slice("user-".length));

const perArm = <Value>(value: (arm: string) => Value) => ({ control: value("control"), treatment: value("treatment") });

/** What these events come to, each counted once. */
const expectedOf = (events: readonly EnvelopeInput[]) => {
  const subjects = [...new Set(events.map(subjectOf))];
  return {
    exposures: events.length / 3,
    outcomeEvents: (events.length / 3) * 2,
    crossovers: 0,
    subjects: perArm((arm) => subjects.filter((subject) => armOf(subject) === arm).length),
    outcomes: {
      spend: {
        arms: perArm((arm) => ({
          sum: events
            .filter((event) => armOf(subjectOf(event)) === arm)
            .reduce((sum, { eventType, payload }) => (eventType === "Outcome" ? sum + Number(payload.value) : sum), 0),
        })),
      },
    },
  };
};

test(
  `the SDK sends while its server is killed ${kills} times: nothing lost, nothing counted twice`,
  { timeout: inProof ? 900_000 : 90_000 },
  async () => {
    const directory = await temporaryDirectory();
    let server = await startServer(directory.path);
    const { url } = server;
    const port = Number(new URL(url).port);
    const bufferTo = () =>
      createEventBuffer({
        sink: httpSink({ url }),
        flushEvents: 40,
        backoffMs: 20,
        backoffMaxMs: 100,
        attempts: 10_000,
      });
    const buffer = bufferTo();
    const all: EnvelopeInput[] = [];
    let interrupted = 0;
    try {
      await start(url, "killed");
      for (let round = 0; round < kills; round += 1) {
        const events = eventsOf(round);
        all.push(...events);
        const { sent } = buffer.health();
        for (const event of events) expect(buffer.add(event)).toBe(true);
        const flushed = buffer.flush();
        // Another moment each time: after so many of the batches, and some milliseconds.
        const enough = sent + 40 * (1 + ((round * 11) % 24));
        while (buffer.health().sent < enough) await sleep(1);
        await sleep((round * 7) % 13);
        await server.kill();
        interrupted += buffer.health().events;
        server = await startServer(directory.path, "proviso.yaml", port);
        expect(await flushed).toBe(true);
        const nothing = { overflow: 0, oversize: 0, closed: 0 };
        expect(buffer.health()).toMatchObject({ events: 0, rejected: 0, dropped: nothing });
        // What the queue had and the ledger had not.
        const again = bufferTo();
        for (const event of events) expect(again.add(event)).toBe(true);
        expect(await again.flush()).toBe(true);
        const read = async () => (await ask(url, "author", "GET", "killed/results")).body;
        await expect.poll(read, { timeout: 20_000, interval: 100 }).toMatchObject(expectedOf(all));
      }
      // The load was real: events waited at the kills.
      expect(interrupted).toBeGreaterThan(0);
    } finally {
      await server.kill();
      await directory.remove();
    }
  },
);
