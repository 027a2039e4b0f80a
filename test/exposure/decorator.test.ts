/** The decorator as consumers get it: compiled by TypeScript itself and by esbuild, which wrangler bundles with. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as Decorated from "./decorated.ts";
import { controlled, treated, world } from "./world.ts";

const source = fileURLToPath(new URL("decorated.ts", import.meta.url));
const compiler = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "proviso-decorated-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const isModule = (made: unknown): made is typeof Decorated =>
  typeof made === "object" && made !== null && "decorated" in made && typeof made.decorated === "function";

const byTypeScript = async (): Promise<string> => {
  const options = [
    "--ignoreConfig",
    "--target",
    "es2024",
    "--module",
    "esnext",
    "--noCheck",
    "--noResolve",
    "--erasableSyntaxOnly",
  ];
  execFileSync(process.execPath, [compiler, ...options, "--outDir", directory, source]);
  const made = join(directory, "by-typescript.mjs");
  writeFileSync(made, readFileSync(join(directory, "decorated.js"), "utf8"));
  return made;
};
const byEsbuild = async (): Promise<string> => {
  const { code } = await transform(readFileSync(source, "utf8"), { loader: "ts", target: "es2024", format: "esm" });
  const made = join(directory, "by-esbuild.mjs");
  writeFileSync(made, code);
  return made;
};

describe.each([
  ["TypeScript", byTypeScript],
  ["esbuild", byEsbuild],
])("@exposure, compiled by %s", (_, compile) => {
  let decorated: typeof Decorated.decorated;
  beforeAll(async () => {
    const made: unknown = await import(/* @vite-ignore */ pathToFileURL(await compile()).href);
    if (!isModule(made)) throw new TypeError("the compiled module exports nothing");
    decorated = made.decorated;
  });

  test("dispatches by the subject of the call, on the instance of the call", async () => {
    const { experiments, told } = world();
    const { Checkout, Express } = decorated(experiments);
    const [one, two] = [new Checkout(1), new Checkout(2)];
    expect(one.pay({ user: treated, cents: 10 })).toBe("treatment 11");
    expect(two.pay({ user: treated, cents: 10 })).toBe("treatment 12");
    expect(two.pay({ user: controlled, cents: 10 })).toBe("control 12");
    // A subclass's own treatment is found by its name.
    expect(new Express(1).pay({ user: treated, cents: 10 })).toBe("express 10");
    expect(await told()).toEqual([
      "Exposure treatment",
      "Exposure treatment again",
      "Exposure control",
      "Exposure treatment again",
    ]);
  });

  test("waits for a subject where the method is asynchronous, and falls back", async () => {
    const { experiments, told } = world();
    const { Checkout } = decorated(experiments);
    expect(await new Checkout(1).later({ user: treated, cents: 10 })).toBe("control 11");
    expect(await told()).toEqual(["Exposure treatment", "Error treatment RangeError → control"]);
  });

  test("without a subject, or with one that cannot be found, serves control and records nothing", async () => {
    const { experiments, told, errors } = world();
    const { Checkout } = decorated(experiments);
    expect(new Checkout(1).pay({ user: undefined, cents: 10 })).toBe("control 11");
    expect(new Checkout(1).anonymous({ user: treated, cents: 10 })).toBe("control 11");
    expect(await told()).toEqual([]);
    expect(errors).toEqual([new Error("no session")]);
  });
});
