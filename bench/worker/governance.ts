/** The Worker that `bench/governance.ts` measures: the product, and beside it the same statements without the product. */
import { DurableObject } from "cloudflare:workers";
import { Hono } from "hono";
import type { Query } from "../../adapters/store/sqlite.ts";
import handler from "../../worker/index.ts";
import type { WorkerEnv } from "../../worker/env.ts";

export { ExperimentObject, LedgerObject, RegistryObject, ScopeObject } from "../../worker/index.ts";

interface Env extends WorkerEnv {
  readonly RAW: DurableObjectNamespace<RawObject>;
}

/** A database inside an object, written by whatever statements it is sent. */
export class RawObject extends DurableObject<Env> {
  schema(statements: readonly string[]): void {
    for (const statement of statements) this.ctx.storage.sql.exec(statement);
  }

  write(queries: readonly Query[]): number {
    return this.ctx.storage.transactionSync(() => {
      let rows = 0;
      for (const [sql, ...values] of queries) rows += this.ctx.storage.sql.exec(sql, ...values).rowsWritten;
      return rows;
    });
  }
}

const raw = new Hono<{ Bindings: Env }>()
  .post("/raw/d1", async (context) => {
    const queries = await context.req.json<readonly Query[]>();
    const results = await context.env.DB.batch(
      queries.map(([sql, ...values]) => context.env.DB.prepare(sql).bind(...values)),
    );
    return context.json({ statements: results.length });
  })
  .post("/raw/object/:name", async (context) => {
    const queries = await context.req.json<readonly Query[]>();
    return context.json({ rows: await context.env.RAW.getByName(context.req.param("name")).write(queries) });
  })
  .post("/raw/schema/:name", async (context) => {
    await context.env.RAW.getByName(context.req.param("name")).schema(await context.req.json<readonly string[]>());
    return context.json({});
  });

export default {
  ...handler,
  fetch: (request, env, context) =>
    new URL(request.url).pathname.startsWith("/raw/")
      ? raw.fetch(request, env, context)
      : (handler.fetch?.(request, env, context) ?? new Response(null, { status: 500 })),
} satisfies ExportedHandler<Env>;
