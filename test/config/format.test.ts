import { describe, expect, test } from "vitest";
import { formatErrors, loadDsl, type LocatedError } from "../../src/config/index.ts";

const errorsOf = (text: string, file = "proviso.yaml"): readonly LocatedError[] => {
  const result = loadDsl(text, { file });
  return result.ok ? [] : result.errors;
};

const text = `governance:
  policies:
    - type: trafficLimit
      maxTraffic: 25
`;

describe("formatErrors", () => {
  test("one line an error, without the source", () => {
    expect(formatErrors(errorsOf(text))).toBe(
      'proviso.yaml:4:7  /governance/policies/0/maxTraffic  unknown key "maxTraffic"; allowed: type, name, severity, to, on, maxTrafficPercentage, minStableTime; did you mean "maxTrafficPercentage"?',
    );
  });

  test("with the source, the line and a caret", () => {
    const [, excerpt, caret] = formatErrors(errorsOf(text), { source: text }).split("\n");
    expect(excerpt).toBe("  4 |       maxTraffic: 25");
    expect(caret).toBe("    |       ^");
  });

  test("several, one after the other, and none", () => {
    const several = errorsOf("governance: { a: 1, b: 2 }");
    expect(formatErrors(several).split("\n")).toHaveLength(2);
    expect(formatErrors([])).toBe("");
  });

  test("colours only where they are asked for", () => {
    expect(formatErrors(errorsOf(text), { source: text })).not.toContain("\u001B");
    const coloured = formatErrors(errorsOf(text), { source: text, color: true });
    expect(coloured).toContain("\u001B[31m^\u001B[0m");
    expect(coloured.replaceAll(/\p{Cc}\[\d+m/gu, "")).toBe(formatErrors(errorsOf(text), { source: text }));
  });

  test("the caret stays under its place on a line of a megabyte", () => {
    const json = JSON.stringify({
      experiments: Array.from({ length: 2_000 }, () => 1),
      governance: { requireIfMatch: 1 },
    });
    const errors = errorsOf(json).filter((error) => error.path === "/governance/requireIfMatch");
    const [, excerpt = "", caret = ""] = formatErrors(errors, { source: json }).split("\n");
    expect(excerpt.length).toBeLessThan(120);
    expect(excerpt.slice(caret.indexOf("^"))).toMatch(/^1\}\}/);
  });

  test("the caret stays under its place behind tabs", () => {
    const source = '{\n\t"governance": {\n\t\t"requireIfMatch":\t1 } }';
    const [, excerpt = "", caret = ""] = formatErrors(errorsOf(source), { source }).split("\n");
    expect(excerpt[caret.indexOf("^")]).toBe("1");
  });

  test("nothing of the file reaches the terminal as a command", () => {
    const source = 'governance: { "\\u001B[2J\\u202Ex": 1, "\u001B]0;owned\u0007\u009B31m": 2 }';
    const shown = formatErrors(errorsOf(source, "evil\u001B[1m.yaml"), { source });
    expect(shown.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(shown.split("\n")).toHaveLength(6);
  });

  test("errors of code have no place", () => {
    const error = { path: "", found: "nothing", allowed: "a mapping", message: "found nothing; allowed: a mapping" };
    expect(formatErrors([error], { source: "x" })).toBe("(whole configuration)  found nothing; allowed: a mapping");
  });

  test("an environment value is shown nowhere, not in the excerpt either", () => {
    const source = "governance:\n  persistence: { type: '${TOKEN}' }\n";
    const result = loadDsl(source, { file: "a.yaml", environment: { TOKEN: "hunter2" } });
    const shown = result.ok ? "" : formatErrors(result.errors, { source });
    expect(shown).toContain('found "${TOKEN}"');
    expect(shown).not.toContain("hunter2");
  });

  test("a secret that stands where its name should is shown nowhere, not in the excerpt either", () => {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=";
    const source = `governance:\n  notices:\n    - { type: webhook, name: a, url: "http://h/?key=k3y", secret: "${secret}", kinds: [x] }\n`;
    const shown = formatErrors(errorsOf(source), { source });
    expect(shown).toContain("/governance/notices/0/secret");
    expect(shown).toContain('found "x"');
    expect(shown).not.toMatch(/whsec_M|k3y/);
    expect(formatErrors(errorsOf(source.replace(secret, "HOOK")), { source })).not.toContain("k3y");
  });
});
