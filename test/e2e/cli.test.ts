import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { familyOf, proviso, remaining, start } from "./command-line.ts";
import { type Server, startServer, temporaryDirectory } from "./server.ts";

const isLinux = process.platform === "linux";
if (!isLinux) process.stderr.write("signals: skipped, the process table is read from /proc\n");

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: Server;
beforeAll(async () => {
  directory = await temporaryDirectory();
  server = await startServer(join(directory.path, "shared"));
});
afterAll(async () => {
  await server.stop();
  await directory.remove();
});

const DocumentSchema = v.looseObject({
  subjects: v.record(v.string(), v.number()),
  repeats: v.number(),
  crossovers: v.number(),
  rejected: v.number(),
  sampleRatio: v.looseObject({
    chiSquare: v.looseObject({ statistic: v.nullable(v.number()), pValue: v.nullable(v.number()) }),
    sequential: v.looseObject({ logBayesFactor: v.nullable(v.number()), pValue: v.nullable(v.number()) }),
  }),
  outcomes: v.record(
    v.string(),
    v.looseObject({
      arms: v.record(v.string(), v.looseObject({ subjects: v.number(), sum: v.number() })),
      contrasts: v.array(v.looseObject({ statistic: v.nullable(v.number()), pValue: v.nullable(v.number()) })),
    }),
  ),
  throughput: v.looseObject({ events: v.number(), seconds: v.number(), perSecond: v.number() }),
});
type ReplayDocument = v.InferOutput<typeof DocumentSchema>;

const replay = async (args: readonly string[], environment: Record<string, string> = {}): Promise<ReplayDocument> => {
  const { code, out, err } = await proviso(["replay", ...args, "--json"], environment).finished;
  if (code !== 0) throw new Error(`exit code ${code}: ${err}`);
  return v.parse(DocumentSchema, JSON.parse(out));
};

/** 300 subjects; 30 of them come again in the other arm; 7 rows have an outcome that cannot be read. */
const smallFile = async (name: string): Promise<string> => {
  const path = join(directory.path, name);
  const armOf = (index: number): string => (index % 2 === 0 ? "control" : "treatment");
  const rows = [
    ...Array.from({ length: 300 }, (_, index) => `user-${index},${armOf(index)},${index % 3 === 0},${index % 5}`),
    ...Array.from({ length: 30 }, (_, index) => `user-${index},${armOf(index + 1)},false,`),
    ...Array.from({ length: 7 }, (_, index) => `late-${index},control,perhaps,1`),
  ];
  const csv = `id,arm,bought,items\n${rows.join("\n")}\n`;
  await writeFile(path, name.endsWith(".gz") ? gzipSync(csv) : csv);
  return path;
};
const columns = ["--subject", "id", "--variant", "arm", "--outcome", "bought:binary", "--outcome", "items:count"];

describe("replay against a server", () => {
  test("a second run changes no count but repeats", async () => {
    const file = await smallFile("small.csv.gz");
    const args = [file, "--experiment", "twice", ...columns, "--planned", "control=1,treatment=1", "--url", server.url];
    const first = await replay(args);
    expect(first).toMatchObject({
      subjects: { control: 150, treatment: 150 },
      repeats: 30,
      crossovers: 30,
      rejected: 7,
      rejectedRows: [331, 332, 333, 334, 335].map((row) => ({ row, column: "bought", value: "perhaps" })),
      outcomes: { bought: { arms: { control: { sum: 50 }, treatment: { sum: 50 } } } },
    });
    const { throughput: _first, ...counted } = first;
    const { throughput: _second, ...again } = await replay(args);
    expect(again).toEqual({ ...counted, repeats: counted.repeats + 330 });
  });

  test("the report is for people; NDJSON is read like CSV", async () => {
    const file = join(directory.path, "rows.ndjson");
    const rows = Array.from({ length: 40 }, (_, index) => ({ id: index, arm: index % 2 === 0 ? "a" : "b", n: index }));
    await writeFile(file, rows.map((row) => JSON.stringify(row)).join("\n"));
    const args = [
      "replay",
      file,
      "--experiment",
      "report",
      "--subject",
      "id",
      "--variant",
      "arm",
      "--outcome",
      "n:count",
    ];
    const { code, out, err } = await proviso([...args, "--url", server.url]).finished;
    expect(code).toBe(0);
    expect(err).toContain("replay-approver approved the move to Approved");
    expect(out).toContain("report: Running, version 1");
    expect(out).toMatch(/ {2}a \(control\) +20 {3}50\.00 % {3}50\.00 % {2}█+\n {2}b +20 /);
    expect(out).toContain("sum 380, mean 19");
    expect(out).toContain("40 looks is above");
  });

  test("looks at checkpoints, a scope of its own, and every row a subject", async () => {
    const file = await smallFile("scoped.csv");
    const scope = ["--tenant", "acme", "--environment", "staging", "--looks", "checkpoint"];
    const rows = ["--subject", "#row", "--variant", "arm"];
    const document = await replay([file, "--experiment", "scoped", ...rows, ...scope, "--url", server.url]);
    expect(document).toMatchObject({ subjects: { control: 172, treatment: 165 }, repeats: 0, rejected: 0 });
    const headers = { "x-proviso-actor": "x", "x-proviso-roles": "viewer" };
    const elsewhere = await fetch(`${server.url}/api/governance/scoped`, { headers });
    expect(elsewhere.status).toBe(404);
  });

  test("an experiment that exists with other arms is refused in one sentence", async () => {
    const file = await smallFile("other.csv");
    await replay([file, "--experiment", "other", ...columns, "--url", server.url]);
    const planned = ["--planned", "control=1,treatment=3"];
    const { code, out, err } = await proviso([
      "replay",
      file,
      "--experiment",
      "other",
      ...columns,
      ...planned,
      "--url",
      server.url,
    ]).finished;
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(
      /^proviso: other exists with the arms control=1 \(control\), treatment=1, and asked for was .*\n$/,
    );
  });
});

describe("replay with a server of its own", () => {
  const temporary = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("proviso-replay-"));

  test("starts it, and takes it and its storage away", async () => {
    const before = temporary();
    const document = await replay([await smallFile("own.csv"), "--experiment", "own", ...columns]);
    expect(document.subjects).toEqual({ control: 150, treatment: 150 });
    expect(temporary().filter((name) => !before.includes(name))).toEqual([]);
  });

  test("a DSL that asks for tokens is met with tokens that nobody else knows", async () => {
    const dsl = join(directory.path, "token.yaml");
    await writeFile(dsl, "governance: { persistence: { type: memory }, auth: { type: token } }\n");
    const document = await replay([await smallFile("token.csv"), "--experiment", "token", ...columns], {
      PROVISO_CONFIG: dsl,
    });
    expect(document.subjects).toEqual({ control: 150, treatment: 150 });
  });

  test.skipIf(!isLinux).each(["SIGINT", "SIGTERM", "SIGKILL"] as const)(
    "%s in the middle leaves no process and no storage",
    async (signal) => {
      const before = temporary();
      const file = join(directory.path, "long.csv");
      const rows = Array.from({ length: 200_000 }, (_, index) => `${index},${index % 2}`);
      await writeFile(file, `id,arm\n${rows.join("\n")}\n`);
      const running = proviso(["replay", file, "--experiment", "long", "--subject", "id", "--variant", "arm"]);
      await running.says("moved it to Running");
      const family = familyOf(running.pid);
      expect(family.length).toBeGreaterThanOrEqual(3);
      process.kill(running.pid, signal);
      const finished = await running.finished;
      expect(await remaining(family)).toEqual([]);
      // A process that is killed says nothing more; one that is asked to stop says so.
      const endings = { SIGINT: [130, null], SIGTERM: [143, null], SIGKILL: [null, "SIGKILL"] } as const;
      expect([finished.code, finished.signal]).toEqual(endings[signal]);
      expect(finished.err.endsWith("proviso: stopped\n")).toBe(signal !== "SIGKILL");
      expect(finished.out).toBe("");
      expect(temporary().filter((name) => !before.includes(name))).toEqual([]);
    },
  );
});

describe("dev", () => {
  const dev = (state: string, environment: Record<string, string> = {}) =>
    proviso(["dev", "--state", join(directory.path, state)], { PORT: "0", ...environment });
  const urlIn = (output: string): string => /ready on (http:\/\/127\.0\.0\.1:\d+)/.exec(output)?.[1] ?? "";

  test.skipIf(!isLinux).each([
    ["SIGINT", "group"],
    ["SIGTERM", "process"],
    ["SIGHUP", "group"],
    ["SIGKILL", "process"],
  ] as const)("%s to the %s ends all of it", async (signal, target) => {
    const running = dev(`signal-${signal}`);
    await running.says("is ready on");
    const family = familyOf(running.pid);
    // The command, its guard and the runtime.
    expect(family).toHaveLength(3);
    process.kill(target === "group" ? -running.pid : running.pid, signal);
    const { code } = await running.finished;
    expect(code).toBe(signal === "SIGKILL" ? null : 0);
    expect(await remaining(family)).toEqual([]);
  });

  test.skipIf(!isLinux).each(["SIGTERM", "SIGKILL"] as const)(
    "%s to the npm that started it ends all of it",
    async (signal) => {
      const manifest = JSON.stringify({
        private: true,
        scripts: {
          dev: `node --version && node ${JSON.stringify(join(process.cwd(), "dist/cli/main.js"))} dev --state s`,
        },
      });
      const project = join(directory.path, `npm-${signal}`);
      await mkdir(project);
      await writeFile(join(project, "package.json"), manifest);
      const running = start(["npm", "run", "dev"], { PORT: "0" }, project);
      await running.says("is ready on");
      const family = familyOf(running.pid);
      expect(family.length).toBeGreaterThanOrEqual(4);
      process.kill(running.pid, signal);
      await running.finished;
      expect(await remaining(family)).toEqual([]);
    },
  );

  test("an invalid DSL is answered 500 with its errors, and the Worker is back when the file is mended", async () => {
    const file = join(directory.path, "dev.yaml");
    await writeFile(file, "governance: { persistence: { type: d2 } }\n");
    const running = dev("invalid", { PROVISO_CONFIG: file });
    try {
      await running.says("is ready on");
      expect(running.output()).toContain(`did you mean "d1"?`);
      const url = urlIn(running.output());
      const refused = await fetch(`${url}/health`);
      expect(refused.status).toBe(500);
      expect(refused.headers.get("content-type")).toBe("application/problem+json");
      expect(await refused.json()).toMatchObject({ code: "invalid-dsl", errors: [{ line: 1, suggestion: "d1" }] });
      await writeFile(file, "governance: { persistence: { type: d1 } }\n");
      await running.says("  ready  ");
      expect((await fetch(`${url}/health`)).status).toBe(200);
      // Valid as a file, and this Worker cannot do what it says.
      await writeFile(file, "governance: { approvalGates: [{ type: custom, gate: freeze, to: Running }] }\n");
      await expect.poll(async () => (await fetch(`${url}/health`)).status, { timeout: 30_000 }).toBe(500);
      expect(await (await fetch(`${url}/health`)).json()).toMatchObject({
        code: "invalid-dsl",
        errors: [{ path: "/governance/approvalGates/0/gate", message: "gate freeze: no gate freeze is registered" }],
      });
    } finally {
      process.kill(running.pid, "SIGTERM");
      await running.finished;
    }
  });

  test("what was written is there after the next start", async () => {
    const file = await smallFile("kept.csv");
    const state = join(directory.path, "kept");
    const first = await startServer(state);
    const args = [file, "--experiment", "kept", ...columns];
    const before = await replay([...args, "--url", first.url]);
    await first.stop();
    const second = await startServer(state);
    try {
      const after = await replay([...args, "--url", second.url]);
      expect(after).toMatchObject({ subjects: before.subjects, outcomes: before.outcomes });
      expect(after.repeats).toBe(before.repeats + 330);
    } finally {
      await second.stop();
    }
  });

  test("a taken port, and a state directory that is served already, are refused in one sentence", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" && address !== null ? String(address.port) : "";
    const taken = await dev("port", { PORT: port }).finished;
    other.close();
    expect(taken).toMatchObject({ code: 1, out: "" });
    expect(taken.err).toBe(
      `proviso: port ${port} is taken: stop what listens there, or choose another one with PORT=…\n`,
    );
    const shared = await dev("shared").finished;
    expect(shared).toMatchObject({ code: 1, out: "" });
    expect(shared.err).toMatch(/^proviso: http:\/\/127\.0\.0\.1:\d+ already serves from .*shared: stop it, or .*\n$/);
  });
});

describe("real experiments", () => {
  const data = (name: string): string => join("..", "shared", "data", name);
  const cookieCats = data("cookie-cats.csv.gz");
  const landingPage = data("landing-page.csv.gz");
  const missing = [cookieCats, landingPage].filter((file) => !existsSync(file));
  if (missing.length > 0) process.stderr.write(`real experiments: skipped, ${missing.join(" and ")} are not here\n`);
  const sixDigits = (value: number | null | undefined): string => (value ?? Number.NaN).toPrecision(6);

  test.skipIf(!existsSync(cookieCats))("cookie-cats gives the known results", async () => {
    const outcomes = ["retention_1:binary", "retention_7:binary", "sum_game_rounds:count"].flatMap((outcome) => [
      "--outcome",
      outcome,
    ]);
    const plan = ["--control", "gate_30", "--planned", "gate_30=1,gate_40=1"];
    const named = ["--subject", "userid", "--variant", "version"];
    const found = await replay([cookieCats, "--experiment", "cookie-cats", ...named, ...plan, ...outcomes]);
    expect(found).toMatchObject({
      subjects: { gate_30: 44_700, gate_40: 45_489 },
      repeats: 0,
      crossovers: 0,
      rejected: 0,
    });
    const { chiSquare, sequential } = found.sampleRatio;
    expect(sixDigits(chiSquare.statistic)).toBe("6.90240");
    expect(sixDigits(chiSquare.pValue)).toBe("0.00860799");
    expect(sixDigits(sequential.logBayesFactor)).toBe("0.0421646");
    expect(sixDigits(sequential.pValue)).toBe("0.774019");
    const tested = (metric: string): readonly string[] => {
      const [contrast] = found.outcomes[metric]?.contrasts ?? [];
      return [sixDigits(contrast?.statistic), sixDigits(contrast?.pValue)];
    };
    expect(found.outcomes["retention_1"]?.arms).toMatchObject({ gate_30: { sum: 20_034 }, gate_40: { sum: 20_119 } });
    expect(tested("retention_1")).toEqual(["-1.78409", "0.0744097"]);
    expect(found.outcomes["retention_7"]?.arms).toMatchObject({ gate_30: { sum: 8_502 }, gate_40: { sum: 8_279 } });
    expect(tested("retention_7")).toEqual(["-3.16436", "0.00155425"]);
    expect(found.outcomes["sum_game_rounds"]?.arms).toMatchObject({
      gate_30: { sum: 2_344_795 },
      gate_40: { sum: 2_333_530 },
    });
    expect(found.throughput.events).toBe(360_756);
  });

  test.skipIf(!existsSync(landingPage))("landing-page gives the known results, in file order and by time", async () => {
    const args = [
      landingPage,
      "--subject",
      "user_id",
      "--variant",
      "landing_page",
      "--outcome",
      "converted:binary",
      "--url",
      server.url,
    ];
    const inOrder = await replay([...args, "--experiment", "landing-page"]);
    expect(inOrder).toMatchObject({
      subjects: { new_page: 28_840, old_page: 28_840 },
      repeats: 148,
      crossovers: 76,
      rejected: 0,
    });
    const byTime = await replay([...args, "--experiment", "landing-page-by-time", "--timestamp", "timestamp"]);
    expect(byTime).toMatchObject({
      subjects: { new_page: 28_832, old_page: 28_848 },
      repeats: 148,
      crossovers: 76,
      rejected: 0,
    });
  });
});

test("an old Node is told so in one sentence, before anything else is read", async () => {
  const source = await readFile("dist/cli/main.js", "utf8");
  // Only what every Node of the last years can parse may stand in this file, so there is no import at its top.
  expect(source).not.toMatch(/^import /m);
  const old = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.11.0' } });";
  const running = start([
    process.execPath,
    "--import",
    `data:text/javascript,${encodeURIComponent(old)}`,
    "dist/cli/main.js",
    "--version",
  ]);
  const { code, out, err } = await running.finished;
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(/^proviso needs Node\.js 22\.18 or newer; this is v.*\.\n$/);
});
