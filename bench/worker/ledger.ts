/** The Worker that `bench/ledger.ts` measures: the product's line from HTTP to ledger, cut off at each stage, and the raw insert. */
import { DurableObject } from "cloudflare:workers";
import { Hono } from "hono";
import * as v from "valibot";
import { decodeMessage } from "../../src/events/message.ts";
import { parseEvent } from "../../src/events/validate.ts";
import { withScope } from "../../src/http/access.ts";
import type { AppEnvironment } from "../../src/http/dependencies.ts";
import { errorResponse } from "../../src/http/problem.ts";
import { eventsRoutes } from "../../src/http/routes/events.ts";
import { defaultScope, refKey } from "../../src/scope.ts";
import type { ExposureRow, OutcomeRow } from "../../src/ledger/batch.ts";
import { consume } from "../../worker/consumer.ts";
import type { LedgerEnv } from "../../worker/env.ts";
import { LedgerObject as Counted } from "../../worker/ledger-object.ts";

/** Takes rows as text, as the raw object does, so that both are given the same. */
export class LedgerObject extends Counted {
  async recordText(experimentName: string, json: string): Promise<number> {
    const ref = { ...defaultScope, experiment: experimentName };
    const { exposures, outcomes } = v.parse(Rows, JSON.parse(json));
    await this.record({ ref, exposures, outcomes, assignments: [] });
    return exposures.length + outcomes.length;
  }

  size(): number {
    return this.ctx.storage.sql.databaseSize;
  }
}

const Rows = v.object({
  exposures: v.custom<ExposureRow[]>(Array.isArray),
  outcomes: v.custom<OutcomeRow[]>(Array.isArray),
});

interface Env {
  readonly LEDGERS: LedgerEnv["LEDGERS"] & DurableObjectNamespace<LedgerObject>;
  readonly RAW: DurableObjectNamespace<RawObject>;
  readonly EVENTS: Queue<string>;
  readonly ACKNOWLEDGED: Queue<string>;
  readonly DECODED: Queue<string>;
  readonly DEAD_LETTERS: Queue;
}

/** The least that storing these rows can cost in a Durable Object: one table, one statement for a request's rows. */
export class RawObject extends DurableObject<Env> {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    context.storage.sql.exec(
      `CREATE TABLE IF NOT EXISTS rows (id TEXT NOT NULL PRIMARY KEY, subject TEXT, name TEXT, time INTEGER, value) WITHOUT ROWID`,
    );
  }

  insert(json: string): number {
    this.ctx.storage.sql.exec(
      "INSERT OR IGNORE INTO rows SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM jsonb_each(?)",
      json,
    );
    return this.ctx.storage.sql.exec<{ n: number }>("SELECT changes() AS n").one().n;
  }

  /** The rows that a ledger ends with, in tables with its columns and keys: a statement for each table, given as they are. */
  insertTables(json: string): number {
    const { sql } = this.ctx.storage;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS subjects (n INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE, variant TEXT, epoch INTEGER,
        time INTEGER, event TEXT, dimensions TEXT, variants TEXT, totals TEXT, trusted TEXT);
      CREATE TABLE IF NOT EXISTS ids (id BLOB NOT NULL PRIMARY KEY, hash INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS outcomes (subject INTEGER NOT NULL, id BLOB NOT NULL, metric INTEGER NOT NULL,
        time INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (subject, id)) WITHOUT ROWID;
    `);
    const { subjects, ids, outcomes } = v.parse(TableRows, JSON.parse(json));
    this.ctx.storage.transactionSync(() => {
      sql.exec(
        `INSERT INTO subjects (n, subject, variant, epoch, time, event, totals)
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM jsonb_each(?)`,
        subjects,
      );
      sql.exec("INSERT INTO ids SELECT unhex(value->>0, '-'), value->>1 FROM jsonb_each(?)", ids);
      sql.exec(
        `INSERT INTO outcomes SELECT value->>0, unhex(value->>1, '-'), value->>2, value->>3, value->>4
         FROM jsonb_each(?)`,
        outcomes,
      );
    });
    return sql.exec<{ n: number }>("SELECT (SELECT count(*) FROM ids) + (SELECT count(*) FROM outcomes) AS n").one().n;
  }

  count(): number {
    return this.ctx.storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM rows").one().n;
  }
}

/** Of each table, as JSON text, so that nothing but SQLite reads the rows. */
const TableRows = v.object({ subjects: v.string(), ids: v.string(), outcomes: v.string() });

/** What the lines that end before the ledger have sent and consumed: messages of one, events of the other. */
const progress = { messagesSent: 0, messagesSeen: 0, eventsSeen: 0 };

const ingest = (send: (messages: readonly string[]) => Promise<void>): Hono<AppEnvironment> => {
  const app = new Hono<AppEnvironment>();
  app.onError((error) =>
    errorResponse(error, (cause) => {
      throw cause;
    }),
  );
  app.use("*", withScope);
  app.route("*", eventsRoutes({ identity: { authenticate: nobody, admit: async () => ({}) }, sendMessages: send }));
  return app;
};

const nobody = (): Promise<never> => Promise.reject(new Error("the benchmark has no people"));

const toQueue =
  (queue: Queue<string>) =>
  async (messages: readonly string[]): Promise<void> => {
    await queue.sendBatch(messages.map((body) => ({ body, contentType: "text" as const })));
  };

const experiment = (request: Request): string => new URL(request.url).searchParams.get("experiment") ?? "";

const handler: ExportedHandler<Env, string> = {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const events = new Request(new URL("/", request.url), request);
    switch (pathname) {
      case "/client":
        return Response.json((await request.text()).length);
      case "/ingest":
        return ingest(async () => {}).fetch(events);
      case "/acknowledged":
        return ingest(async (messages) => {
          await toQueue(env.ACKNOWLEDGED)(messages);
          progress.messagesSent += messages.length;
        }).fetch(events);
      case "/decoded":
        return ingest(toQueue(env.DECODED)).fetch(events);
      case "/ledger":
        return ingest(toQueue(env.EVENTS)).fetch(events);
      case "/raw":
        return Response.json(await env.RAW.getByName(experiment(request)).insert(await request.text()));
      case "/raw-tables":
        return Response.json(await env.RAW.getByName(experiment(request)).insertTables(await request.text()));
      case "/ledger-rows": {
        const name = experiment(request);
        const ledger: DurableObjectStub<LedgerObject> = env.LEDGERS.get(
          env.LEDGERS.idFromName(refKey({ ...defaultScope, experiment: name })),
        );
        return Response.json(await ledger.recordText(name, await request.text()));
      }
      case "/ledger-size": {
        const id = env.LEDGERS.idFromName(refKey({ ...defaultScope, experiment: experiment(request) }));
        return Response.json(await env.LEDGERS.get(id).size());
      }
      case "/raw-count":
        return Response.json(await env.RAW.getByName(experiment(request)).count());
      case "/progress":
        return Response.json(progress);
      case "/counts": {
        const ref = { ...defaultScope, experiment: experiment(request) };
        const { arms, exposures, outcomes, received } = await env.LEDGERS.getByName(refKey(ref)).counts();
        return Response.json({ arms, exposures, outcomes, received });
      }
      default:
        return new Response("unknown", { status: 404 });
    }
  },
  async queue(batch, env) {
    switch (batch.queue) {
      case "acknowledged":
        progress.messagesSeen += batch.messages.length;
        return batch.ackAll();
      case "decoded":
        for (const { body } of batch.messages) {
          for (const raw of decodeMessage(body)) progress.eventsSeen += parseEvent(raw).ok ? 1 : 0;
        }
        return batch.ackAll();
      default:
        return consume(batch, {
          ledger: (ref) => env.LEDGERS.getByName(refKey(ref)),
          deadLetters: env.DEAD_LETTERS,
          now: Date.now,
          report: (error) => {
            throw new Error("the consumer failed", { cause: error });
          },
        });
    }
  },
};

export default handler;
