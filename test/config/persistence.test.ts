import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { defineDsl, formatErrors, loadDsl } from "../../src/config/index.ts";
import { PersistenceSchema } from "../../src/config/persistence.ts";

describe("persistence", () => {
  test.each([
    [{}, { type: "d1", database: "DB" }],
    [{ type: "SQL" }, { type: "d1", database: "DB" }],
    [
      { type: "sql", connectionString: "postgres://app@db.example.com/app" },
      { type: "postgres", connectionString: "postgres://app@db.example.com/app", schema: "proviso" },
    ],
    [
      { type: "Sql", hyperdrive: "HYPERDRIVE" },
      { type: "postgres", hyperdrive: "HYPERDRIVE", schema: "proviso" },
    ],
    [
      { type: "Postgres", secret: "DATABASE_URL", schema: "experiments" },
      { type: "postgres", secret: "DATABASE_URL", schema: "experiments" },
    ],
    [{ type: "durableobject" }, { type: "durableObject" }],
    [
      { type: "redis", url: "https://db.example.com", token: "t" },
      { type: "upstash", url: "https://db.example.com", token: "t", prefix: "proviso" },
    ],
    [
      { type: "custom", name: "ours", parameters: { region: "eu" } },
      { type: "custom", name: "ours", parameters: { region: "eu" } },
    ],
    [
      { type: "mirror", primary: {}, followers: [{ type: "inMemory" }] },
      {
        type: "mirror",
        primary: { type: "d1", database: "DB" },
        followers: [{ type: "memory" }],
        mode: "writeThrough",
        reads: "primary",
      },
    ],
  ])("%j is %j", (written, read) => {
    expect(v.parse(PersistenceSchema, written)).toEqual(read);
  });

  const secrets = fc.stringMatching(/^[A-Za-z0-9]{12,30}$/).map((text) => `s3cr3t-${text}`);
  const members = fc.constantFrom("token", "tokn", "url", "connectionString", "conectionString", "password");
  const types = fc.constantFrom("upstash", "postgres", "sql", "d1", "memory", "mirror", "nothing");

  test("shows no credential, however it is misspelled and wherever it stands, neither in a file nor in code", () => {
    fc.assert(
      fc.property(secrets, members, types, fc.boolean(), (secret, name, type, inside) => {
        const store = { type, [name]: secret };
        const persistence = inside ? { type: "mirror", primary: store, followers: [store] } : store;
        const value = { governance: { persistence } };
        for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
          const result = loadDsl(text, { file: "dsl" });
          const findings = [...(result.ok ? [] : result.errors), ...result.warnings];
          expect(findings).not.toEqual([]);
          expect(JSON.stringify(findings)).not.toContain(secret);
          const shown = name === "token" || name === "url" || name === "connectionString";
          expect(formatErrors(findings, shown ? { source: text } : {})).not.toContain(secret);
        }
        const defined: unknown = Reflect.apply(defineDsl, undefined, [value]);
        expect(defined).toMatchObject({ ok: false });
        expect(JSON.stringify(defined)).not.toContain(secret);
      }),
    );
  });
});
