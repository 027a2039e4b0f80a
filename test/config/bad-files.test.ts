import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadDsl, type LocatedError } from "../../src/config/index.ts";

interface BadFile {
  readonly title: string;
  readonly text: string;
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

const parse = (block: string): BadFile => {
  const [title = "", ...lines] = block.trimEnd().split("\n");
  const marked = (mark: string): string[] =>
    lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length));
  const file = lines.filter((line) => !line.startsWith("! ") && !/^\? \d+:/.test(line));
  return {
    title,
    text: file.map((line) => `${line}\n`).join(""),
    errors: marked("! "),
    warnings: marked("? ").filter((line) => /^\d+:/.test(line)),
  };
};

const badFiles = readFileSync(new URL("bad-files.txt", import.meta.url), "utf8")
  .split("\n== ")
  .slice(1)
  .map(parse);

const secret = "s3cr3t-hunter2";
const show = (error: LocatedError): string =>
  `${error.line}:${error.column}  ${error.path === "" ? "(all)" : error.path}  ${error.message}`;
const load = (text: string) => loadDsl(text, { file: "bad.yaml", environment: { SECRET: secret } });

describe("bad files", () => {
  test("there are enough of them", () => {
    expect(badFiles.length).toBeGreaterThanOrEqual(65);
  });

  test.each(badFiles)("$title", ({ text, errors, warnings }) => {
    const result = load(text);
    expect(result.ok ? [] : result.errors.map(show)).toEqual(errors);
    expect(result.warnings.map(show)).toEqual(warnings);
    expect(errors).not.toEqual([]);
  });

  test.each(badFiles)("$title: the same with Windows line ends and a byte order mark", ({ text, errors }) => {
    const result = load(`\uFEFF${text.replaceAll("\n", "\r\n")}`);
    expect(result.ok ? [] : result.errors.map(show)).toEqual(errors);
  });

  test.each(badFiles)("$title: no secret, and the parts agree with the sentence", ({ text }) => {
    const result = load(text);
    expect(JSON.stringify(result)).not.toContain(secret);
    for (const error of result.ok ? [] : result.errors) {
      expect(error.file).toBe("bad.yaml");
      expect(error.message).toContain(`; allowed: ${error.allowed}`);
      expect(error.message.includes("; did you mean ")).toBe(error.suggestion !== undefined);
      expect(error.message).toContain(error.suggestion ?? "");
      expect(error.found).not.toBe("");
    }
  });
});
