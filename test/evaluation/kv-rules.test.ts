/** Rules from KV: the newest that was seen, also where KV answers with an older one, or with none. */
import { expect, test } from "vitest";
import { assignFrom } from "../../src/evaluation/rules.ts";
import { kvRules, type RulesNamespace } from "../../src/evaluation/kv-rules.ts";
import { rulesKey } from "../../src/evaluation/rules-key.ts";
import { createPublishedRules } from "../../src/governance/published-rules.ts";
import { defaultScope } from "../../src/scope.ts";
import { rule } from "./fixtures.ts";

const textOf = (version: number, sequence?: number, tenant = "default"): string => {
  const set = { ruleSetVersion: 1, tenant, environment: "default", experiments: [rule({ version })] };
  return JSON.stringify(sequence === undefined ? set : { ...set, sequence });
};

const setUp = (values: readonly (string | null | Error)[], more: { tenant?: string } = {}) => {
  const asked: unknown[][] = [];
  const rest = [...values];
  const namespace: RulesNamespace = {
    get(...question) {
      asked.push(question);
      const next = rest.length > 1 ? rest.shift() : rest[0];
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next ?? null);
    },
  };
  const rules = kvRules({ namespace, ...more });
  const version = () => rules.current().rules[0]?.version;
  return { rules, asked, version };
};

test("reads the key of its scope, and evaluates", async () => {
  const { rules, asked } = setUp([textOf(1, 5)]);
  expect(await rules.refresh()).toMatchObject({ state: "fresh", experiments: 1 });
  expect(asked).toEqual([["proviso:rules:1:default:default", { type: "text", cacheTtl: 30 }]]);
  expect(assignFrom(rules.current(), rule({}).name, "user-1").version).toBe(1);
});

test("what is older than what was seen never replaces it; what is newer does", async () => {
  const { rules, version } = setUp([textOf(2, 7), textOf(1, 6), textOf(2, 7), textOf(3, 8)]);
  const seen: unknown[] = [];
  for (let round = 0; round < 4; round += 1) {
    expect((await rules.refresh()).error).toBeUndefined();
    seen.push(version());
  }
  expect(seen).toEqual([2, 2, 2, 3]);
});

test("a text without a counter is taken as it comes", async () => {
  const { rules, version } = setUp([textOf(2), textOf(1)]);
  await rules.refresh();
  await rules.refresh();
  expect(version()).toBe(1);
});

test("nothing published, a namespace that fails, rubbish: the last good rules stay, and the status says why", async () => {
  const { rules, version } = setUp([
    null,
    textOf(1, 5),
    null,
    new Error("KV GET failed: 500"),
    "{",
    textOf(9, 9, "acme"),
  ]);
  expect(await rules.refresh()).toMatchObject({
    state: "empty",
    error: "rules: nothing has been published under proviso:rules:1:default:default",
  });
  await rules.refresh();
  for (const error of [/nothing has been published/, /KV GET failed: 500/, /JSON/, /asked for tenant default/]) {
    expect((await rules.refresh()).error).toMatch(error);
    expect(version()).toBe(1);
  }
});

test("no two scopes share a key", () => {
  const keys = ["a", "b", "a.b", "a-b"].flatMap((tenant) =>
    ["a", "b", "b.a"].map((environment) => rulesKey({ tenant, environment })),
  );
  expect(new Set(keys).size).toBe(keys.length);
});

test("reads what is written by the place that merges", async () => {
  const kv = new Map<string, string>();
  const published = createPublishedRules({
    storage: {
      list: () => Promise.resolve(new Map()),
      put: () => Promise.resolve(),
      setAlarm: () => Promise.resolve(),
    },
    list: () => Promise.resolve([{ experiment: "checkout", revision: 4, rule: rule({ version: 4 }) }]),
    write: (scope, text) => Promise.resolve(void kv.set(rulesKey(scope), text)),
    now: Date.now,
    random: Math.random,
    report: (error) => {
      throw new Error("reported", { cause: error });
    },
  });
  await published.read(defaultScope);
  await published.ring();
  const rules = kvRules({ namespace: { get: (key) => Promise.resolve(kv.get(key) ?? null) } });
  expect(await rules.refresh()).toMatchObject({ state: "fresh", experiments: 1 });
  await rules.refresh();
  expect(rules.current().rules[0]?.version).toBe(4);
});
