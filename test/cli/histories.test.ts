/** Histories by the command line: out, checked, in, from store to store, archived, and without somebody. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { exportExperiment } from "../../src/governance/export/export.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { createApi } from "../support/api.ts";
import { runProcess, type Said } from "../support/cli.ts";
import { missingPostgres, startEmbedded, startPostgres } from "../support/postgres/server.ts";
import { openWorld } from "../support/postgres/store.ts";
import { collect, lived } from "../support/lived.ts";

const scope = { tenant: "default", environment: "default" };
const names = ["cart", "checkout", "home"];

let directory = "";
let store: GovernanceStore;
let url = "";
let closeServer = (): Promise<void> => Promise.resolve();

const proviso = (args: readonly string[], environment: Record<string, string> = {}): Promise<Said> =>
  runProcess(args, { environment, directory });

const serveOn = async (served: GovernanceStore): Promise<{ url: string; close: () => Promise<void> }> => {
  const { app } = createApi({}, { store: served });
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, (info) =>
      resolve({
        url: `http://127.0.0.1:${info.port}`,
        close: () => new Promise<void>((done) => server.close(() => done())),
      }),
    );
  });
};

const textOf = async (from: GovernanceStore, experiment: string): Promise<string> =>
  (await collect(exportExperiment(from, { ...scope, experiment }))).join("");
const read = (...parts: string[]): Promise<string> => readFile(join(directory, ...parts), "utf8");

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proviso-histories-"));
  store = memoryStore();
  // Surfaces are taken by one experiment at a time, so each lives in its own store first.
  for (const experiment of names) {
    const one = await lived({ ref: { ...scope, experiment } });
    await one.governance.conclude(
      { ...scope, experiment },
      { outcome: "revert" },
      { actor: { id: "author@example.com", kind: "human", roles: ["operator"] } },
    );
    const target = await serveOn(store);
    await writeFile(join(directory, `${experiment}.tmp`), await textOf(one.store, experiment));
    const { code, err } = await proviso(["import", "--to", target.url, `${experiment}.tmp`]);
    if (code !== 0) throw new Error(err);
    await target.close();
  }
  ({ url, close: closeServer } = await serveOn(store));
  await writeFile(join(directory, "d1.yaml"), "governance: { persistence: { type: d1 } }\n");
});
afterAll(async () => {
  await closeServer();
  await rm(directory, { recursive: true, force: true });
});

describe("export and verify", () => {
  test("a scope becomes files that verify", async () => {
    const exported = await proviso(["export", "--from", url, "--out", "out"]);
    expect(exported).toMatchObject({ code: 0, out: "" });
    expect(exported.err).toContain("3 histories");
    expect(await readdir(join(directory, "out"))).toEqual(names.map((name) => `${name}.ndjson`));
    for (const name of names) expect(await read("out", `${name}.ndjson`)).toBe(await textOf(store, name));
    const verified = await proviso(["verify", "out"]);
    expect(verified).toMatchObject({ code: 0, err: "" });
    const head = (await store.load({ ...scope, experiment: "cart" }))?.head;
    expect(verified.out).toContain(`head    ${head?.seq}:${head?.hash}`);
    expect(verified.out).toContain("not signed");
    const json: unknown = JSON.parse((await proviso(["verify", "out/cart.ndjson", "--json"])).out);
    expect(json).toMatchObject({ valid: true, length: head?.seq, firstInvalid: null });
  });

  test("what was changed has its place named, and code 1", async () => {
    const text = await read("out", "cart.ndjson");
    await writeFile(
      join(directory, "bad.ndjson"),
      text.replace('"targetState"', '"x"').replace('"traffic":25,', '"traffic":26,'),
    );
    const found = await proviso(["verify", "bad.ndjson"]);
    expect(found).toMatchObject({ code: 1, out: "" });
    expect(found.err).toMatch(
      /^bad\.ndjson is not as it was written: line \d+, event 2: the event is not what its hash was taken of/,
    );
    const json: unknown = JSON.parse((await proviso(["verify", "bad.ndjson", "--json"])).out);
    expect(json).toMatchObject({ valid: false, length: 1, firstInvalid: { seq: 2 } });
  });

  test("a head that was kept elsewhere finds what was cut off", async () => {
    const head = (await store.load({ ...scope, experiment: "cart" }))?.head;
    expect(await proviso(["verify", "out/cart.ndjson", "--head", `${head?.seq}:${head?.hash}`])).toMatchObject({
      code: 0,
    });
    const later = await proviso(["verify", "out/cart.ndjson", "--head", `${(head?.seq ?? 0) + 1}:${head?.hash}`]);
    expect(later.code).toBe(1);
    expect(later.err).toContain("its end was cut off");
  });

  test.each([
    { args: ["verify"], code: 2 },
    { args: ["verify", "nothing.ndjson"], code: 1 },
    { args: ["verify", "out/cart.ndjson", "--head", "7"], code: 2 },
    { args: ["verify", "out/cart.ndjson", "--key", "nothing.pem"], code: 1 },
    { args: ["verify", "out/cart.ndjson", "--key", "{}"], code: 1 },
    { args: ["export"], code: 2 },
    { args: ["export", "--from", "d1.yaml", "--tenant", "a/b", "--out", "x"], code: 2 },
    { args: ["import", "out"], code: 2 },
    { args: ["import", "--to", "d1.yaml"], code: 2 },
    { args: ["copy", "--from", "d1.yaml"], code: 2 },
    { args: ["archive", "--from", "d1.yaml", "--before", "yesterday", "--out", "x"], code: 2 },
    { args: ["erase", "--from", "d1.yaml"], code: 2 },
    { args: ["export", "--from", "http://127.0.0.1:1", "--out", "x"], code: 1 },
    { args: ["export", "--from", "nothing.yaml", "--out", "x"], code: 1 },
  ])("a wrong call ends with code $code: $args", async ({ args, code }) => {
    const said = await proviso(args);
    expect(said.code).toBe(code);
    expect(said.err).not.toBe("");
    expect(said.out).toBe("");
  });

  test("places that cannot be opened say what to do", async () => {
    for (const [type, hint] of [
      ["memory", "address"],
      ["{ type: custom, name: mine }", "custom, mine, which is code of its host; the command line loads no code"],
      ["{ type: custom, name: mine }", "name the address of a server that has this store"],
      ["{ type: postgres, hyperdrive: H }", "Hyperdrive"],
      ["{ type: postgres, secret: NOT_SET }", "NOT_SET"],
    ] as const) {
      const persistence = type.startsWith("{") ? type : `{ type: ${type} }`;
      await writeFile(join(directory, "other.yaml"), `governance: { persistence: ${persistence} }\n`);
      const said = await proviso(["export", "--from", "other.yaml", "--out", "x"]);
      expect([said.code, said.err.includes(hint), said.err]).toEqual([1, true, said.err]);
    }
  });
});

describe("backtest", () => {
  test("lists what would fall differently, and says so by its code", async () => {
    await writeFile(
      join(directory, "rules.yaml"),
      "governance: { policies: [{ type: trafficLimit, maxTrafficPercentage: 20 }, { type: errorRate, maxErrorRate: 0.1, to: [Archived] }] }\n",
    );
    const found = await proviso(["backtest", "--policy", "rules.yaml", "out/cart.ndjson"]);
    expect(found.code).toBe(3);
    expect(found.out).toMatch(
      /^cart #\d+ {2}\S+ {2}Approved → Running, version 1: was made, would be refused: trafficLimit: /m,
    );
    expect(found.out).toMatch(/→ Archived.*cannot tell: errorRate: figures of the ledger not recorded/);
    const over = await proviso(["backtest", "--policy", "rules.yaml", url, "--experiment", "cart", "--json"]);
    expect(over).toMatchObject({ code: 3, err: "" });
    const counts = v.parse(v.object({ decisions: v.number(), differing: v.number() }), JSON.parse(over.out));
    expect(counts.decisions).toBeGreaterThan(counts.differing);
    await writeFile(
      join(directory, "same.yaml"),
      "governance: { approvalGates: [{ type: manual, from: PendingApproval, to: Approved }, { type: roleBased, to: Running, allowedRoles: [operator] }], policies: [{ type: trafficLimit, maxTrafficPercentage: 50 }] }\n",
    );
    expect(await proviso(["backtest", "--policy", "same.yaml", "out"])).toMatchObject({ code: 0, out: "" });
    expect((await proviso(["backtest", "--policy", "same.yaml", "bad.ndjson"])).code).toBe(1);
    expect((await proviso(["backtest", "out"])).code).toBe(2);
  });
});

describe("copy", () => {
  test("server → D1 → D1 → server: the same bytes, and nothing twice", { timeout: 60_000 }, async () => {
    const first = await proviso(["copy", "--from", url, "--to", "d1.yaml", "--state", "one"]);
    expect(first).toMatchObject({ code: 0 });
    expect(first.err).toContain("3 of 3");
    expect(
      await proviso(["copy", "--from", "d1.yaml", "--to", "d1.yaml", "--state", "one", "--to-state", "two"]),
    ).toMatchObject({ code: 0 });
    const target = memoryStore();
    const server = await serveOn(target);
    try {
      const last = await proviso(["copy", "--from", "d1.yaml", "--state", "two", "--to", server.url]);
      expect(last).toMatchObject({ code: 0 });
      const again = await proviso(["copy", "--from", url, "--to", server.url]);
      expect(again.err).toContain("3 of 3");
      expect(again.err).toContain(", 0 events written");
    } finally {
      await server.close();
    }
    for (const name of names) expect(await textOf(target, name)).toBe(await textOf(store, name));
  });

  test(
    "through PostgreSQL, whose address comes from the environment and is never shown",
    { timeout: 60_000 },
    async () => {
      const postgres = await openWorld(missingPostgres() === null ? startPostgres : startEmbedded);
      try {
        await writeFile(join(directory, "pg.yaml"), "governance: { persistence: { type: postgres, secret: PG } }\n");
        const environment = { PG: postgres.server.url };
        const into = await proviso(["copy", "--from", url, "--to", "pg.yaml"], environment);
        expect(into).toMatchObject({ code: 0 });
        expect(into.err).toContain("3 of 3");
        expect(await proviso(["export", "--from", "pg.yaml", "--out", "pg"], environment)).toMatchObject({ code: 0 });
        for (const name of names) expect(await read("pg", `${name}.ndjson`)).toBe(await textOf(store, name));
        const nowhere = { PG: "postgres://user:hidden-word@127.0.0.1:1/none" };
        const failed = await proviso(["export", "--from", "pg.yaml", "--out", "pg"], nowhere);
        expect(failed.code).toBe(1);
        expect(failed.err).not.toContain("hidden-word");
      } finally {
        await postgres.stop();
      }
    },
  );

  test("another history is refused by name, and the rest goes on", async () => {
    const target = memoryStore();
    await lived({ store: target, ref: { ...scope, experiment: "checkout" }, rounds: 2 });
    const before = await textOf(target, "checkout");
    const server = await serveOn(target);
    const said = await proviso(["copy", "--from", url, "--to", server.url]);
    await server.close();
    expect(said.code).toBe(1);
    expect(said.err).toContain("checkout was not copied");
    expect(said.err).toContain("experiment-exists");
    expect(said.err).toContain("2 of 3");
    expect(await textOf(target, "checkout")).toBe(before);
    expect(await textOf(target, "home")).toBe(await textOf(store, "home"));
  });
});

describe("keys, archives and erasure, on a database of one's own", () => {
  test("from a key to an archive that verifies, to what stays", { timeout: 60_000 }, async () => {
    const made: unknown = JSON.parse((await proviso(["key", "--id", "2026", "--json"])).out);
    const [secret, publicKey] = [
      JSON.stringify(Reflect.get(Object(made), "privateKey")),
      JSON.stringify(Reflect.get(Object(made), "publicKey")),
    ];
    await writeFile(join(directory, "public.json"), publicKey);
    await writeFile(
      join(directory, "signed.yaml"),
      "governance: { persistence: { type: d1 }, history: { signing: { secret: SIGNING_KEY, keyId: '2026' } } }\n",
    );
    const on = ["--from", "signed.yaml", "--state", "three"];
    expect(await proviso(["copy", "--from", url, "--to", "d1.yaml", "--state", "three"])).toMatchObject({ code: 0 });
    const without = await proviso(["archive", ...on, "--before", "2030-01-01", "--out", "archive"]);
    expect(without).toMatchObject({ code: 1 });
    expect(without.err).toContain("SIGNING_KEY");
    const environment = { SIGNING_KEY: secret };
    const archived = await proviso(
      ["archive", ...on, "--before", "2030-01-01", "--out", "archive", "--experiment", "cart"],
      environment,
    );
    expect(archived).toMatchObject({ code: 0 });
    const [file] = await readdir(join(directory, "archive"));
    expect(file).toMatch(/^cart\.1-\d+\.ndjson$/);
    expect(await proviso(["verify", "archive", "--key", "public.json"])).toMatchObject({ code: 0, err: "" });
    // What stays is exported from the checkpoint on, signed.
    expect(await proviso(["export", ...on, "--out", "rest"], environment)).toMatchObject({ code: 0 });
    const rest = await proviso(["verify", "rest", "--key", "public.json"]);
    expect(rest).toMatchObject({ code: 0, err: "" });
    expect(rest.out).toContain("from the checkpoint at event");
    expect(rest.out).toContain("signed by the given key, as 2026");
    // Archive and rest together are the whole, elsewhere.
    const target = memoryStore();
    const server = await serveOn(target);
    const imported = await proviso(["import", "--to", server.url, `archive/${file}`, "rest/cart.ndjson"]);
    await server.close();
    expect(imported).toMatchObject({ code: 0 });
    expect(await textOf(target, "cart")).toBe(await textOf(store, "cart"));
    const other: unknown = JSON.parse((await proviso(["key", "--json"])).out);
    await writeFile(join(directory, "other.json"), JSON.stringify(Reflect.get(Object(other), "publicKey")));
    expect((await proviso(["verify", "rest/home.ndjson", "--key", "other.json"])).err).toContain(
      "not by the given key",
    );
    for (const text of [archived, rest, imported])
      expect(JSON.stringify(text)).not.toContain(String(Reflect.get(JSON.parse(secret), "d")));
  });

  test("somebody is erased from every history of a scope", async () => {
    const erased = await proviso(["erase", "--from", url, "--actor", "author@example.com", "--reason", "request 7"]);
    expect(erased).toMatchObject({ code: 0 });
    expect(erased.out).toMatch(/^\d+ values removed from 3 histories\n$/);
    const after = await proviso(["export", "--from", url, "--experiment", "cart"]);
    expect(after.out).not.toContain("author@example.com");
    expect(after.out).toContain("request 7");
    await writeFile(join(directory, "erased.ndjson"), after.out);
    expect(await proviso(["verify", "erased.ndjson"])).toMatchObject({ code: 0 });
    expect((await proviso(["erase", "--from", url, "--actor", "author@example.com"])).out).toContain("0 values");
  });
});
