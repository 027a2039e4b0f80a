/** The audit questions on PostgreSQL: on a real server where there is one, else on the embedded one. */
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll } from "vitest";
import { postgresStore } from "../../../adapters/store/postgres.ts";
import { describeAuditQuestions, type Row } from "../../conformance/audit-questions.suite.ts";
import { missingPostgres, startEmbedded, startPostgres } from "../../support/postgres/server.ts";
import { openWorld, type PostgresWorld } from "../../support/postgres/store.ts";

let world: PostgresWorld;
/** At a console whole numbers are numbers and JSON is text. */
let console: Sql<{ count: number; json: string }>;
beforeAll(async () => {
  world = await openWorld(missingPostgres() === null ? startPostgres : startEmbedded);
  console = postgres(world.server.url, {
    max: 1,
    onnotice: () => undefined,
    types: {
      count: { to: 20, from: [20], parse: Number, serialize: String },
      json: { to: 3802, from: [3802], parse: String, serialize: String },
    },
  });
  await console.unsafe("SET search_path TO proviso");
}, 60_000);
afterAll(async () => {
  await console.end();
  await world.stop();
});

/** `?1` is SQLite's way to say `$1`. */
const run = async (sql: string, values: readonly (string | number)[]): Promise<readonly Row[]> => [
  ...(await console.unsafe<Row[]>(sql.replaceAll(/\?(\d+)/g, "$$$1"), [...values])),
];

describeAuditQuestions("postgres", {
  store: () => Promise.resolve(postgresStore({ client: world.client })),
  run: (_world, sql, values) => run(sql, values),
  /**
   * With few rows it is right to read them all, so that is made dear: a table that no index leads into is read all the same,
   * and found here.
   */
  async unled(_world, sql, values) {
    await console.unsafe("SET enable_seqscan TO off");
    const plan = (await run(`EXPLAIN ${sql}`, values)).map((row) => String(row["QUERY PLAN"]).trim());
    await console.unsafe("SET enable_seqscan TO on");
    if (!plan.some((line) => line.startsWith("Index Cond:"))) return ["the plan searches no index"];
    return plan.filter(
      (line, index) =>
        line.includes("Seq Scan") ||
        // Within one experiment, or one family of events: never everything that a scope has.
        (/Scan (using|on) events_/.test(line) && !/experiment|family/.test(plan.slice(index + 1, index + 3).join(" "))),
    );
  },
  refusal: "proviso:append-only: relations are read",
});
