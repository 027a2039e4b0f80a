import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CommandContext } from "../../cli/command.ts";
import { CliFailure } from "../../cli/failure.ts";
import { runCommand, type Said } from "../support/cli.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proviso-cli-"));
  await writeFile(join(directory, "good.yaml"), "governance: { persistence: { type: memory } }\n");
  await writeFile(
    join(directory, "bad.yaml"),
    "governance:\n  persistence: { type: d2 }\n  policies:\n    - { type: errorRate, maxErorRate: 0.5 }\n",
  );
  await writeFile(join(directory, "rows.csv"), "userid,version,bought\n1,a,1\n2,b,0\n");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const command = (line: string, changes: Partial<CommandContext> = {}): Promise<Said> =>
  runCommand(line === "" ? [] : line.split(" "), { directory, ...changes });

const failureOf = async (line: string, changes: Partial<CommandContext> = {}): Promise<CliFailure> => {
  try {
    await command(line, changes);
  } catch (error) {
    if (error instanceof CliFailure) return error;
    throw error;
  }
  throw new Error("it did not fail");
};

describe("help", () => {
  test("without a command: the list, on standard error, and exit code 2", async () => {
    const { code, out, err } = await command("");
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toContain("Usage: proviso <command> [options]");
  });

  test("--help lists what people use, and not what builds use", async () => {
    const { code, out } = await command("--help");
    expect(code).toBe(0);
    for (const name of ["dev", "validate", "replay"]) expect(out).toContain(`  ${name} `);
    expect(out).not.toContain("bundle");
  });

  test.each(["dev", "validate", "replay", "bundle"])("%s --help, and help %s, show usage and options", async (name) => {
    const { code, out } = await command(`${name} --help`);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: proviso ${name}`);
    expect(out).toContain("--help");
    expect((await command(`help ${name}`)).out).toBe(out);
  });

  test("--version is the package's", async () => {
    const manifest: unknown = JSON.parse(await readFile("package.json", "utf8"));
    expect(manifest).toMatchObject({ version: (await command("--version")).out.trim() });
  });
});

describe("wrong calls are refused with exit code 2", () => {
  test.each([
    ["replai", "unknown command replai; did you mean replay?"],
    ["xyzzy", "unknown command xyzzy; there are dev, validate, migrate, replay"],
    ["validate", "name one file: proviso validate <file.yaml>"],
    ["validate a.yaml b.yaml", "name one file"],
    ["validate --jsno a.yaml", "unknown option --jsno; did you mean --json?"],
    ["dev good.yaml", "dev takes no argument (good.yaml); the DSL is PROVISO_CONFIG=good.yaml"],
    ["export --from x checkout", "export takes no argument (checkout); an experiment is named by --experiment NAME"],
    ["copy --from x --to y checkout", "copy takes no argument (checkout)"],
    ["replay rows.csv", "replay needs --experiment NAME"],
    ["replay rows.xls --experiment e --subject userid --variant version", "the name must end in .csv"],
    [
      "replay rows.csv --experiment e --subject user_id --variant version",
      '--subject user_id: rows.csv has no such column; it has "userid", "version", "bought"; did you mean userid?',
    ],
    [
      "replay rows.csv --experiment e --subject userid --variant version --planned a=1,c=1 --control d",
      "--control d is none of the variants a, c",
    ],
  ])("%s", async (line, message) => {
    const failure = await failureOf(line);
    expect(failure.message).toContain(message);
    expect(failure.exitCode).toBe(2);
  });

  test.each(["abc", "-1", "65536", "8e3"])("PORT=%s", async (port) => {
    expect((await failureOf("dev", { environment: { PORT: port } })).message).toContain("it must be a number from 0");
  });
});

describe("validate", () => {
  test("says what is in a valid file", async () => {
    expect(await command("validate good.yaml")).toEqual({
      code: 0,
      out: "good.yaml is valid: 0 experiments, 0 gates, 0 policies, store memory\n",
      err: "",
    });
  });

  test("shows every error of another with its line, and fails", async () => {
    const { code, out, err } = await command("validate bad.yaml");
    expect(code).toBe(1);
    expect(out).toBe("");
    expect(err).toContain("bad.yaml:2:24  /governance/persistence/type");
    expect(err).toContain('did you mean "maxErrorRate"?');
    expect(err).toContain("2 errors\n");
  });

  test("--json is one document either way", async () => {
    const good = await command("validate good.yaml --json");
    expect(JSON.parse(good.out)).toEqual({ file: "good.yaml", valid: true, errors: [], warnings: [] });
    const bad = await command("validate bad.yaml --json");
    expect(bad.code).toBe(1);
    expect(JSON.parse(bad.out)).toMatchObject({ valid: false, errors: [{ line: 2, column: 24 }, { line: 4 }] });
  });

  test("takes ${NAME} from the environment", async () => {
    await writeFile(join(directory, "env.yaml"), "governance: { persistence: { type: '${STORE}' } }\n");
    expect((await command("validate env.yaml")).code).toBe(1);
    expect((await command("validate env.yaml", { environment: { STORE: "d1" } })).out).toContain("store d1");
  });

  test("a file that is not there, and one that is too large", async () => {
    expect((await failureOf("validate none.yaml")).message).toBe("there is no file none.yaml");
    await writeFile(join(directory, "large.yaml"), `# ${"x".repeat(1_100_000)}\n`);
    expect((await failureOf("validate large.yaml")).message).toContain("at most 1048576 are read");
  });
});

describe("bundle", () => {
  const bundled = (): Promise<string> => readFile(join(directory, ".proviso", "proviso.yaml"), "utf8");

  test("copies a valid file to where the Worker's build takes it from", async () => {
    await mkdir(join(directory, ".proviso"), { recursive: true });
    const { code } = await command("bundle", {
      environment: { PROVISO_CONFIG: "good.yaml", WRANGLER_COMMAND: "deploy" },
    });
    expect(code).toBe(0);
    expect(await bundled()).toContain("type: memory");
  });

  test("an invalid file fails a deployment and leaves what was there; under dev it is taken", async () => {
    const deployed = await command("bundle", {
      environment: { PROVISO_CONFIG: "bad.yaml", WRANGLER_COMMAND: "deploy" },
    });
    expect(deployed.code).toBe(1);
    expect(deployed.err).toContain("bad.yaml:2:24");
    expect(await bundled()).toContain("type: memory");
    const dev = await command("bundle", { environment: { PROVISO_CONFIG: "bad.yaml", WRANGLER_COMMAND: "dev" } });
    expect(dev.code).toBe(0);
    expect(await bundled()).toContain("type: d2");
  });
});

describe("replay looks at everything before it starts anything", () => {
  const replay = (file: string, more = ""): string =>
    `replay ${file} --experiment e --subject userid --variant version --url http://127.0.0.1:9${more}`;

  test("a file without rows, one with a single variant, and a misspelled plan", async () => {
    await writeFile(join(directory, "none.csv"), "userid,version\n");
    expect((await failureOf(replay("none.csv"))).message).toBe("none.csv has no rows");
    const misspelled = await failureOf(replay("rows.csv", " --planned a=1,b1=1"));
    expect(misspelled.message).toBe("no row has the variant b1; did you mean b?");
  });

  test("half a pair of tokens", async () => {
    const failure = await failureOf(replay("rows.csv"), { environment: { PROVISO_AUTHOR_TOKEN: "x" } });
    expect(failure.message).toContain("set both, or neither");
    expect(failure.exitCode).toBe(2);
  });

  test("a server that is not there", async () => {
    expect((await failureOf(replay("rows.csv"))).message).toMatch(/^http:\/\/127\.0\.0\.1:9 does not answer: /);
  });

  test("an invalid DSL of its own server", async () => {
    const line = "replay rows.csv --experiment e --subject userid --variant version";
    expect((await failureOf(line, { environment: { PROVISO_CONFIG: "bad.yaml" } })).message).toBe(
      "bad.yaml is not valid",
    );
  });
});
