/**
 * The process that consumes is killed (SIGKILL, workerd and all) at the worst moments, and what was not acknowledged is
 * delivered again, as a queue does: nothing is lost, and nothing is counted twice. The queue is this test, because the
 * local one dies with its process.
 */
import { join } from "node:path";
import { build } from "esbuild";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { encodeMessages } from "../../src/events/message.ts";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { referenceCounts } from "../ledger/reference.ts";
import type { Provided } from "../support/provided.ts";
import { type Server, startProcess, temporaryDirectory } from "./server.ts";

const inProof: Provided["proof"] = inject("proof");
const kills = inProof ? 50 : 5;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const bundle = (): string => join(directory.path, "worker.mjs");
beforeAll(async () => {
  directory = await temporaryDirectory();
  await build({
    entryPoints: ["test/worker/delivery-worker.ts"],
    bundle: true,
    outfile: bundle(),
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
  });
});
afterAll(() => directory.remove());

const startHost = (): Promise<Server> =>
  startProcess(["test/e2e/delivery-host.ts", bundle(), join(directory.path, "state")]);

const noon = Date.parse("2026-11-21T12:00:00Z");
const idOf = (n: number): string => `019aa5b6-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;

/**
 * Rows of one message, and its text. Subjects come back in later messages, some of them in another arm or before their
 * first exposure, so that a message counted twice, half or not at all shows in some count.
 */
const messageOf = (experiment: string, number: number) => {
  const events = 60;
  const rows = Array.from({ length: events }, (_none, index) => {
    const n = number * events + index;
    return { n, subject: `user-${(n * 7_919) % 997}`, time: noon + ((n * 31) % 1_009) };
  });
  const isExposure = (n: number): boolean => n % 3 === 0;
  const exposures = rows
    .filter(({ n }) => isExposure(n))
    .map(({ n, subject, time }): ExposureRow => [idOf(n), subject, (n * 13) % 11 < 5 ? "a" : "b", 1, time]);
  const outcomes = rows
    .filter(({ n }) => !isExposure(n))
    .map(({ n, subject, time }): OutcomeRow => [idOf(n), subject, "spend", "continuous", time, (n % 40) / 8 + 0.1]);
  const envelope = (id: string, time: number) => ({ eventId: id, timestamp: new Date(time).toISOString() });
  const envelopes: readonly EnvelopeInput[] = [
    ...exposures.map(([id, subjectId, variantKey, epoch, time]) => ({
      ...envelope(id, time),
      eventType: "Exposure" as const,
      payload: { experimentName: experiment, subjectId, variantKey, epoch },
    })),
    ...outcomes.map(([id, subjectId, metric, , time, value]) => ({
      ...envelope(id, time),
      eventType: "Outcome" as const,
      payload: { experimentName: experiment, subjectId, metric, kind: "continuous" as const, value },
    })),
  ];
  const [text, ...more] = encodeMessages(envelopes);
  if (text === undefined || more.length > 0) throw new TypeError("expected the events of one message");
  return { exposures, outcomes, text };
};
type Message = ReturnType<typeof messageOf>;

const referenceOf = (messages: readonly Message[]) =>
  referenceCounts({
    exposures: messages.flatMap(({ exposures }) => exposures),
    outcomes: messages.flatMap(({ outcomes }) => outcomes),
  });

const Counts = v.looseObject({ received: v.number() });
const countsIn = async ({ url }: Server, experiment: string) =>
  v.parse(Counts, await (await fetch(`${url}/counts?experiment=${experiment}`)).json());

/** Delivers a message once. True when it was acknowledged; whatever else happens, the queue keeps it. */
const deliver = async (
  { url }: Server,
  { text }: Message,
  attempts: number,
  how: "deliver" | "hold-back" = "deliver",
): Promise<boolean> => {
  const answer = await fetch(`${url}/${how}?attempts=${attempts}`, { method: "POST", body: text }).catch(() => null);
  return (await answer?.text().catch(() => "")) === "acknowledged";
};

describe("a consumer that is killed", { timeout: inProof ? 600_000 : 60_000 }, () => {
  test(`after the ledger's commit and before its acknowledgement, ${kills} times: counted once each`, async () => {
    const messages: Message[] = [];
    let server = await startHost();
    try {
      for (let round = 0; round < kills; round += 1) {
        const message = messageOf("committed", round);
        messages.push(message);
        const reference = referenceOf(messages);
        const answer = deliver(server, message, 1, "hold-back");
        // The object's answers wait for its commits to be on disk.
        await expect.poll(() => countsIn(server, "committed"), { interval: 5 }).toMatchObject(reference);
        await server.kill();
        expect(await answer).toBe(false);

        server = await startHost();
        // All of it is there before it comes again …
        const before = await countsIn(server, "committed");
        expect(before).toMatchObject(reference);
        // … and what comes again changes nothing but what was received.
        expect(await deliver(server, message, 2)).toBe(true);
        expect(await countsIn(server, "committed")).toMatchObject({ ...reference, received: before.received + 60 });
      }
    } finally {
      await server.kill();
    }
  });

  test(`at any moment while what was not acknowledged is sent again, ${kills} times: nothing lost, nothing twice`, async () => {
    const senders = 4;
    const acknowledged: Message[] = [];
    interface Sent {
      readonly message: Message;
      attempts: number;
    }
    const waiting: Sent[] = [];
    let made = 0;
    let interrupted = 0;
    let repeated = 0;
    let server = await startHost();
    /** Takes the oldest message that waits, or a new one, until the server is gone. */
    const send = async (interruptedHere: Sent[], onAnswer: () => void): Promise<void> => {
      for (;;) {
        const next = waiting.shift() ?? { message: messageOf("sent", made++), attempts: 0 };
        next.attempts += 1;
        if (next.attempts > 1) repeated += 1;
        if (!(await deliver(server, next.message, next.attempts))) {
          // It waits for the next server: another sender that still had an answer must not take it to this one.
          interruptedHere.push(next);
          return;
        }
        acknowledged.push(next.message);
        onAnswer();
      }
    };
    try {
      for (let round = 0; round < kills; round += 1) {
        // Another moment each time, in answers and in milliseconds.
        const enough = 1 + ((round * 37) % 23);
        let answers = 0;
        let killed: Promise<void> | undefined;
        const onAnswer = (): void => {
          answers += 1;
          if (answers === enough)
            killed = new Promise((resolve) => setTimeout(resolve, (round * 7) % 5)).then(() => server.kill());
        };
        const interruptedHere: Sent[] = [];
        await Promise.all(Array.from({ length: senders }, () => send(interruptedHere, onAnswer)));
        await killed;
        interrupted += interruptedHere.length;
        waiting.push(...interruptedHere);
        server = await startHost();
        // What was acknowledged is there, whatever of the rest is.
        const kept = await countsIn(server, "sent");
        expect(kept.received).toBeGreaterThanOrEqual(acknowledged.length * 60);
      }
      for (const { message, attempts } of waiting.splice(0)) {
        expect(await deliver(server, message, attempts + 1)).toBe(true);
        acknowledged.push(message);
      }
      expect(acknowledged).toHaveLength(made);
      expect(await countsIn(server, "sent")).toMatchObject(referenceOf(acknowledged));
      // The load was real: at each kill every sender waited for an answer, and what it waited for came again.
      expect(interrupted).toBe(kills * senders);
      expect(repeated).toBeGreaterThanOrEqual((kills - 1) * senders);
    } finally {
      await server.kill();
    }
  });
});
