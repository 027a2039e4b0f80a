/** The audit questions on both engines of SQLite: D1, and the object of each experiment. */
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { d1Store } from "../../adapters/store/d1.ts";
import { refKey } from "../../src/scope.ts";
import {
  type AuditEngine,
  auditExperiments,
  describeAuditQuestions,
  type Row,
} from "../conformance/audit-questions.suite.ts";
import { migratedDatabase } from "./d1.ts";
import { objectStore } from "./objects.ts";

const engines: Readonly<Record<string, Omit<AuditEngine, "unled" | "refusal">>> = {
  d1: {
    store: async () => d1Store({ database: await migratedDatabase() }),
    run: async (_world, sql, values) =>
      (
        await env.DB.prepare(sql)
          .bind(...values)
          .all()
      ).results,
  },
  "durable-object": {
    store: async () => objectStore(),
    run: async (world, sql, values) => {
      const rows: Row[] = [];
      for (const experiment of auditExperiments) {
        const object = env.EXPERIMENTS.getByName(refKey({ ...world.ref, experiment }));
        rows.push(
          ...(await runInDurableObject(object, (_object, { storage }) => storage.sql.exec(sql, ...values).toArray())),
        );
      }
      return rows;
    },
  },
};

for (const [name, engine] of Object.entries(engines))
  describeAuditQuestions(name, {
    ...engine,
    async unled(world, sql, values) {
      const plan = await engine.run(world, `EXPLAIN QUERY PLAN ${sql}`, values);
      const details = plan.map((row) => String(row["detail"]));
      const history = details.filter((detail) => / (events|snapshots|personal|rules)\b/.test(detail));
      if (history.length === 0) return ["the plan reads no table"];
      return history.filter(
        (detail) =>
          !detail.startsWith("SEARCH ") ||
          // Within one experiment, or one family of events: never everything that a scope has.
          (detail.includes(" events ") && !/experiment=\?|family=\?/.test(detail)),
      );
    },
    refusal: "because it is a view",
  });
