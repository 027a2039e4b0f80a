/** A store that no test hands to the suite is a store of which nothing is known. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const adapters = join(root, "adapters", "store");

interface Source {
  /** Whole path. */
  readonly path: string;
  readonly text: string;
}

/**
 * The factories of stores in a file, by their names: `…Store`. A file that speaks of the port without having one has
 * given its factory another name, or exports it another way; it is named as a whole, so that it cannot hide.
 */
const storesIn = ({ text }: Source): readonly string[] => {
  const factories = [...text.matchAll(/^export (?:const|(?:async )?function) (\w+Store)\b/gm)];
  if (factories.length === 0 && /\bGovernanceStore\b/.test(text)) return ["unnamed store"];
  return factories.flatMap((match) => match[1] ?? []);
};

const imports = (caller: Source, adapter: Source): boolean =>
  [...caller.text.matchAll(/\bfrom "(\.[^"]+)"/g)].some(
    (match) => join(dirname(caller.path), match[1] ?? "") === adapter.path,
  );

/** Comments aside, and at the beginning of a line: not a mention, and nothing that is called under a condition. */
const calls =
  (suite: "describeStore" | "describeGovernance" | "describeFaults" | "describeRaces") =>
  ({ text }: Source): boolean =>
    new RegExp(`^${suite}\\(`, "m").test(text);

const uses = ({ text }: Source, store: string): boolean => new RegExp(`\\b${store}\\(`).test(text);

/** Stores, as `file: factory`, that no test file both builds (itself, or by a helper it names) and hands to the suite. */
const untested = (
  sources: readonly Source[],
  tests: readonly Source[],
  callsSuite: (source: Source) => boolean = calls("describeStore"),
): readonly string[] =>
  sources.flatMap((source) =>
    storesIn(source)
      .filter((store) => !tests.some((caller) => imports(caller, source) && callsSuite(caller) && uses(caller, store)))
      .map((store) => `${relative(adapters, source.path)}: ${store}`),
  );

const sourcesUnder = (folder: string, ending: string): readonly Source[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(ending))
    .map((path) => ({ path: join(folder, path), text: readFileSync(join(folder, path), "utf8") }));

describe("stores", () => {
  test("are all handed to the suite", () => {
    const sources = sourcesUnder(adapters, ".ts");
    expect(sources.flatMap(storesIn).length).toBeGreaterThan(1);
    expect(untested(sources, sourcesUnder(join(root, "test"), ".test.ts"))).toEqual([]);
  });

  test("are all tried on the twenty guarantees of governance", () => {
    const sources = sourcesUnder(adapters, ".ts");
    expect(untested(sources, sourcesUnder(join(root, "test"), ".test.ts"), calls("describeGovernance"))).toEqual([]);
  });

  test("are all tried with a fault at every await", () => {
    const sources = sourcesUnder(adapters, ".ts");
    expect(untested(sources, sourcesUnder(join(root, "test"), ".test.ts"), calls("describeFaults"))).toEqual([]);
  });

  test("are all raced on, and judged by a checker of linearizability", () => {
    const sources = sourcesUnder(adapters, ".ts");
    expect(untested(sources, sourcesUnder(join(root, "test"), ".test.ts"), calls("describeRaces"))).toEqual([]);
  });

  const adapter: Source = {
    path: join(adapters, "example.ts"),
    text: "export const exampleStore = (): GovernanceStore => build();\nexport const helper = 1;\n",
  };
  const good: Source = {
    path: join(root, "test", "adapters", "store", "example.test.ts"),
    text: 'import { exampleStore } from "../../../adapters/store/example.ts";\ndescribeStore("example", async () => exampleStore());\n',
  };

  test("that are handed to the suite are found", () => {
    expect(untested([adapter], [good])).toEqual([]);
    expect(untested([{ ...adapter, text: "export const noStoreHere = 1;" }], [])).toEqual([]);
    const renamed = { ...adapter, text: "export default (): GovernanceStore => build();" };
    expect(untested([renamed], [good])).toEqual(["example.ts: unnamed store"]);
  });

  test.each([
    { name: "have no test", tests: [] },
    {
      name: "have a test without the suite",
      tests: [{ ...good, text: good.text.replace("describeStore", "describe") }],
    },
    { name: "are only mentioned", tests: [{ ...good, text: good.text.replace("describeStore", "// describeStore") }] },
    {
      name: "are handed over only sometimes",
      tests: [{ ...good, text: good.text.replace("\ndescribe", "\nif (no) describe") }],
    },
    {
      name: "are not what the test builds",
      tests: [{ ...good, text: good.text.replaceAll("exampleStore", "otherStore") }],
    },
    {
      name: "are in another file than the test says",
      tests: [{ ...good, text: good.text.replace("example.ts", "other.ts") }],
    },
  ])("that $name are named", ({ tests }) => {
    expect(untested([adapter], tests)).toEqual(["example.ts: exampleStore"]);
  });
});
