/**
 * The product's consumer and ledger with the queue's part played by whoever sends HTTP: one request delivers one message,
 * and its answer is the acknowledgement, which `/hold-back` gives so late that nobody waits for it. The local queue forgets its messages when its process is killed, as no real one
 * does, so whoever plays the queue must be outside of what is killed. `test/e2e/killed-consumer.test.ts` does.
 */
import { createRouter } from "../../worker/ledger-router.ts";
import { consume } from "../../worker/consumer.ts";
import type { LedgerEnv } from "../../worker/env.ts";
import { reportError } from "../../worker/report.ts";
import { type ExperimentRef, refKey } from "../../src/scope.ts";

export { LedgerObject } from "../../worker/ledger-object.ts";

interface Env extends LedgerEnv {
  readonly DEAD_LETTERS: Queue;
}

/** Longer than any test: whatever is held back ends with its process. */
const forEver = 600_000;

const ref = (name: string): ExperimentRef => ({ tenant: "default", environment: "default", experiment: name });

type Fate = "acknowledged" | "again";

/** Hands a message to the consumer. Its fate is known as soon as the consumer says it. */
const deliver = (
  body: string,
  attempts: number,
  env: Env,
  afterCommit: () => Promise<void>,
): { readonly fate: Promise<Fate>; readonly done: Promise<void> } => {
  const { promise: fate, resolve } = Promise.withResolvers<Fate>();
  const ledgers = createRouter({ ledger: (name) => env.LEDGERS.getByName(name), shards: 2 });
  const done = consume(
    {
      messages: [
        {
          id: crypto.randomUUID(),
          timestamp: new Date(),
          body,
          attempts,
          ack: () => resolve("acknowledged"),
          retry: () => resolve("again"),
        },
      ],
    },
    {
      ledger: (experiment) => ({
        async record(batch) {
          const report = await ledgers(experiment).record(batch);
          await afterCommit();
          return report;
        },
      }),
      deadLetters: env.DEAD_LETTERS,
      now: Date.now,
      report: reportError,
    },
  );
  return { fate, done };
};

const handler: ExportedHandler<Env> = {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/counts")
      return Response.json(await env.LEDGERS.getByName(refKey(ref(searchParams.get("experiment") ?? ""))).counts());
    const holdBack = pathname === "/hold-back";
    const attempts = Number(searchParams.get("attempts"));
    const { fate, done } = deliver(await request.text(), attempts, env, async () => {
      if (holdBack) await scheduler.wait(forEver);
    });
    context.waitUntil(done);
    // An acknowledgement that came too early would be believed, as by a queue.
    const said = await fate;
    return new Response(said, { status: said === "acknowledged" ? 200 : 503 });
  },
};

export default handler;
