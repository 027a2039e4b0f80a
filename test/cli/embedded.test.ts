import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { unstable_readConfig } from "wrangler";
import { bindings, mentionedValues, optionalBindings } from "../../cli/embedded.ts";
import { assertUnused, markUsed } from "../../cli/state-lock.ts";

const ConfigSchema = v.object({
  name: v.string(),
  main: v.string(),
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
  send_metrics: v.literal(false),
  build: v.object({ command: v.string() }),
  d1_databases: v.array(v.object({ binding: v.string(), database_name: v.string(), migrations_dir: v.string() })),
  durable_objects: v.object({ bindings: v.array(v.object({ name: v.string(), class_name: v.string() })) }),
  migrations: v.array(v.object({ new_sqlite_classes: v.optional(v.array(v.string()), []) })),
  queues: v.object({
    producers: v.array(v.object({ binding: v.string(), queue: v.string() })),
    consumers: v.array(
      v.object({
        queue: v.string(),
        max_batch_size: v.number(),
        max_retries: v.number(),
        dead_letter_queue: v.string(),
      }),
    ),
  }),
  vars: v.optional(v.record(v.string(), v.unknown()), {}),
  rules: v.array(v.object({ type: v.string(), globs: v.array(v.string()) })),
});

test("wrangler.toml and the embedded Worker have the same bindings, classes and queues", () => {
  const config = v.parse(ConfigSchema, unstable_readConfig({ config: "wrangler.toml" }));
  const { migrations, ...described } = bindings;
  expect(described).toEqual({
    name: config.name,
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    database: { binding: config.d1_databases[0]?.binding, name: config.d1_databases[0]?.database_name },
    objects: config.durable_objects.bindings.map(({ name, class_name: className }) => ({ binding: name, className })),
    producers: config.queues.producers.map(({ binding, queue }) => ({ binding, queue })),
    consumer: {
      queue: config.queues.consumers[0]?.queue,
      maxBatchSize: config.queues.consumers[0]?.max_batch_size,
      maxRetries: config.queues.consumers[0]?.max_retries,
      deadLetterQueue: config.queues.consumers[0]?.dead_letter_queue,
    },
  });
  expect(config.d1_databases.map(({ migrations_dir: directory }) => directory)).toEqual([migrations]);
  expect(config.queues.consumers).toHaveLength(1);
  // Every class keeps its data in SQLite.
  expect(config.migrations.flatMap(({ new_sqlite_classes: classes }) => classes)).toEqual(
    bindings.objects.map(({ className }) => className),
  );
});

test("what is commented out in wrangler.toml is what the embedded Worker has where the DSL names it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "proviso-wrangler-"));
  try {
    const text = readFileSync("wrangler.toml", "utf8").replaceAll(/^# (?=\[\[|\w+ = )/gm, "");
    await writeFile(join(directory, "wrangler.toml"), text);
    const config = v.parse(
      v.object({
        kv_namespaces: v.array(v.object({ binding: v.string() })),
        queues: v.object({ producers: v.array(v.object({ binding: v.string() })) }),
        r2_buckets: v.array(v.object({ binding: v.string() })),
        analytics_engine_datasets: v.array(v.object({ binding: v.string() })),
      }),
      unstable_readConfig({ config: join(directory, "wrangler.toml") }),
    );
    const dsl = `governance: { rules: { kv: RULES }, audit: [{ type: queue, queue: AUDIT }] }
dataPlane:
  sinks:
    - { type: queue, queue: EXPORT }
    - { type: r2, bucket: ARCHIVE }
    - { type: parquet, bucket: ARCHIVE }
    - { type: analyticsEngine, dataset: EXPERIMENT_EVENTS }`;
    const { namespaces, queues, buckets, datasets } = optionalBindings(dsl, {});
    expect(config.r2_buckets.map(({ binding }) => binding)).toEqual(buckets);
    expect(config.analytics_engine_datasets.map(({ binding }) => binding)).toEqual(datasets);
    expect(config.kv_namespaces.map(({ binding }) => binding)).toEqual(namespaces);
    const usual = bindings.producers.map(({ binding }) => binding);
    expect(config.queues.producers.map(({ binding }) => binding)).toEqual([...usual, ...queues]);
    expect(optionalBindings("{}", {})).toEqual({ namespaces: [], queues: [], buckets: [], datasets: [] });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test("a deployment does not believe development headers", () => {
  const config = v.parse(ConfigSchema, unstable_readConfig({ config: "wrangler.toml" }));
  expect(config.vars).toEqual({});
});

test("of the environment only what the DSL mentions reaches the Worker, and nothing that has the name of a binding", () => {
  const environment = { TEAM: "core", SECRET: "s", DB: "x", EVENTS: "y", PROVISO_DEVELOPMENT: "no", EMPTY: "" };
  const text = "a: ${TEAM}-${TEAM:-x} ${UNSET} ${DB} ${EVENTS:-} ${PROVISO_DEVELOPMENT} ${EMPTY} ${not a name}";
  expect(mentionedValues(text, environment)).toEqual({ TEAM: "core", EMPTY: "" });
});

test("the secret with the tokens reaches the Worker where the DSL names it, and nowhere else", () => {
  const environment = { PROVISO_TOKENS: "[]", OTHER: "[1]" };
  expect(mentionedValues("governance: { auth: { type: token } }", environment)).toEqual({ PROVISO_TOKENS: "[]" });
  expect(mentionedValues("governance: { auth: { type: token, secret: OTHER } }", environment)).toEqual({
    OTHER: "[1]",
  });
  expect(mentionedValues("governance: { auth: { type: development } }", environment)).toEqual({});
  const mirror = "{ type: mirror, primary: { type: postgres, secret: OTHER }, followers: [{ type: d1 }] }";
  for (const persistence of ["{ type: postgres, secret: OTHER }", mirror])
    expect(mentionedValues(`governance: { persistence: ${persistence} }`, environment)).toEqual({ OTHER: "[1]" });
});

test("so do the secrets of those who are told of what happens, and no value that has the name of a binding", () => {
  const dsl = `governance:
  notices:
    - { type: webhook, name: a, url: "https://example.com/", secret: HOOK }
    - { type: slack, name: b, urlSecret: SLACK }
  audit: [{ type: webhook, url: "https://example.com/", secret: SIEM, authorizationSecret: AUTH }, { type: queue, queue: AUDIT }]
  telemetry: { traces: { url: "https://example.com/", authorizationSecret: OTEL } }
  rules: { kv: RULES }
dataPlane:
  sinks: [{ type: kafka, url: "https://example.com/", topic: t, authorizationSecret: KAFKA }, { type: r2, bucket: ARCHIVE }]`;
  const secrets = { HOOK: "1", SLACK: "2", SIEM: "3", AUTH: "4", OTEL: "5", KAFKA: "6" };
  expect(mentionedValues(dsl, { ...secrets, AUDIT: "x", RULES: "y", ARCHIVE: "a", OTHER: "z" })).toEqual(secrets);
});

describe("a state directory has one server at a time", () => {
  test("one that answers is found, one that was killed is not", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proviso-lock-"));
    try {
      await assertUnused(join(directory, "new"), "new");
      const server = createServer((_request, response) => response.end("{}")).listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      const release = await markUsed(directory, `http://127.0.0.1:${port}`);
      await expect(assertUnused(directory, "here")).rejects.toThrow(
        `http://127.0.0.1:${port} already serves from here: stop it, or choose another directory with --state DIR`,
      );
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      await assertUnused(directory, "here");
      await release();
      await writeFile(join(directory, "server"), "rubbish");
      await assertUnused(directory, "here");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

test("the consumer knows the last delivery of a message", () => {
  const last = /^const lastAttempt = (\d+);$/m.exec(readFileSync("worker/consumer.ts", "utf8"))?.[1];
  expect(Number(last)).toBe(bindings.consumer.maxRetries + 1);
});
