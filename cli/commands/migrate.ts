/** `proviso migrate`: brings the store that the DSL names up to the schema of this version. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Migration } from "../../adapters/store/migrate.ts";
import { migratePostgres } from "../../adapters/store/postgres-migrate.ts";
import { postgresStore } from "../../adapters/store/postgres.ts";
import type { Persistence } from "../../src/config/persistence.ts";
import { refuseArguments } from "../arguments.ts";
import type { Command, CommandContext } from "../command.ts";
import { explain, findDsl, judgeDsl, namedFile, readDsl } from "../dsl-file.ts";
import { migrateEmbedded } from "../embedded.ts";
import { CliFailure, messageOf } from "../failure.ts";
import { packageRoot } from "../package-root.ts";
import { openPostgresClient } from "../places/postgres-client.ts";
import { withoutSecrets } from "../places/reachable.ts";
import { assertUnused } from "../state-lock.ts";

interface Work {
  readonly context: CommandContext;
  readonly stateDirectory: string;
  /** Name of the variable that holds the address of a Postgres database. */
  readonly postgres: string | undefined;
}

const report = (context: CommandContext, store: string, applied: readonly string[]): void =>
  context.out(
    applied.length === 0 ? `${store}: up to date\n` : applied.map((name) => `${store}: applied ${name}\n`).join(""),
  );

const migrateD1 = async ({ context, stateDirectory }: Work): Promise<void> => {
  const state = namedFile(stateDirectory, context.directory);
  await assertUnused(state.path, state.name);
  report(context, `d1 in ${state.name}`, await migrateEmbedded(state.path));
  context.err("a deployed database: npx wrangler d1 migrations apply proviso --remote\n");
};

const postgresFiles = async (): Promise<readonly Migration[]> => {
  const directory = join(packageRoot(), "adapters", "store", "migrations", "postgres");
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql"));
  return Promise.all(names.map(async (name) => ({ name, sql: await readFile(join(directory, name), "utf8") })));
};

const addressOf = (
  { context, postgres }: Work,
  { connectionString, secret }: Extract<Persistence, { type: "postgres" }>,
): string => {
  const variable = postgres ?? secret;
  const address = variable === undefined ? connectionString : context.environment[variable];
  if (address !== undefined && address !== "") return address;
  throw new CliFailure(
    variable === undefined
      ? "the DSL reaches Postgres by Hyperdrive: name the variable that holds the address of the database, --postgres NAME"
      : `the variable ${variable} is not set: it holds the address of the database`,
  );
};

const migratePostgresAt = async (
  work: Work,
  persistence: Extract<Persistence, { type: "postgres" }>,
): Promise<void> => {
  const address = addressOf(work, persistence);
  const called = `postgres, schema ${persistence.schema}`;
  const client = await openPostgresClient(called, address, 1);
  try {
    const applied = await migratePostgres(client, await postgresFiles(), { schema: persistence.schema });
    // What a newer version has brought up has nothing left to apply.
    await postgresStore({ client, schema: persistence.schema }).check();
    report(work.context, called, applied);
  } catch (cause) {
    // Messages of the client may repeat the address, and with it the password.
    throw new CliFailure(`${called}: could not be brought up: ${withoutSecrets(messageOf(cause), address)}`, { cause });
  } finally {
    await client.end({ timeout: 5 });
  }
};

const migrateStore = async (work: Work, persistence: Persistence): Promise<void> => {
  switch (persistence.type) {
    case "d1":
      return migrateD1(work);
    case "postgres":
      return migratePostgresAt(work, persistence);
    case "durableObject":
      return work.context.out("durableObject: nothing to do; each object is brought up when it is first used\n");
    case "memory":
    case "upstash":
      return work.context.out(`${persistence.type}: nothing to do; it has no schema\n`);
    case "custom":
      return work.context.out(
        `custom: ${persistence.name} is brought up by its host; the command line loads no code of one\n`,
      );
    case "mirror": {
      for (const part of [persistence.primary, ...persistence.followers]) await migrateStore(work, part);
      return;
    }
    default:
      return persistence satisfies never;
  }
};

export const migrate: Command = {
  name: "migrate",
  summary: "bring the store up to the schema of this version",
  usage: "proviso migrate [--state DIR] [--postgres NAME]",
  about: `Applies what is missing to the store that the DSL names (PROVISO_CONFIG, default proviso.yaml) and says what it did.
Migrations only go forward. D1: the local database of \`proviso dev\`, which applies them by itself too; a deployed one
takes them from wrangler. Durable Objects are brought up at their first use.`,
  options: {
    state: { value: "DIR", help: "where the local database is kept (default .proviso/state)" },
    postgres: { value: "NAME", help: "the variable that holds the address of a Postgres database" },
  },
  async run(args, context) {
    refuseArguments(args, "migrate");
    const file = findDsl(context);
    const text = await readDsl(file);
    const result = judgeDsl(file, text, context.environment);
    context.err(explain(result, text, context.terminal.color));
    if (!result.ok) return 1;
    const stateDirectory = args.value("state") ?? ".proviso/state";
    await migrateStore(
      { context, stateDirectory, postgres: args.value("postgres") },
      result.value.governance.persistence,
    );
    return 0;
  },
};
