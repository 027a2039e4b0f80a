/** Published rules: order for each experiment, one write at a time, and a write in the end, wherever it crashes. */
import * as fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { parseRuleSet } from "../../src/evaluation/parse-rules.ts";
import type { ExperimentRule } from "../../src/evaluation/rule-set.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { listPublications, type Publication, publishRules, rulesETag } from "../../src/governance/publish.ts";
import { createPublishedRules, type PublishedRulesOptions } from "../../src/governance/published-rules.ts";
import { rulePublisher } from "../../src/governance/rule-publisher.ts";
import { defaultScope } from "../../src/scope.ts";
import { author } from "../notices/history.ts";

const rule = (name: string, version: number): ExperimentRule => ({
  name,
  state: "Running",
  version,
  digest: "d".repeat(64),
  epoch: 1,
  hashVersion: 1,
  salt: name,
  subject: "user",
  variants: [
    { key: "control", buckets: 5_000, control: true },
    { key: "treatment", buckets: 5_000, control: false },
  ],
  trafficBuckets: 10_000,
  assignmentPolicy: "bestEffort",
});

const at = (name: string, revision: number): Publication => ({
  experiment: name,
  revision,
  rule: rule(name, revision),
});

/** An object's storage, its alarm and KV; everything outlives the object. */
const world = (options: Partial<PublishedRulesOptions> = {}) => {
  let time = 1_000_000;
  let alarm: number | null = null;
  const kept = new Map<string, unknown>();
  const writes: string[] = [];
  const reported: unknown[] = [];
  const listed: { publications: readonly Publication[] } = { publications: [] };
  const make = (more: Partial<PublishedRulesOptions> = {}) =>
    createPublishedRules({
      storage: {
        list: ({ prefix }) => Promise.resolve(new Map([...kept].filter(([key]) => key.startsWith(prefix)))),
        put: (entries) => {
          for (const [key, value] of Object.entries(entries)) kept.set(key, structuredClone(value));
          return Promise.resolve();
        },
        setAlarm: (ringsAt) => Promise.resolve(void (alarm = ringsAt)),
      },
      list: () => Promise.resolve(listed.publications),
      write: (_scope, text) => Promise.resolve(void writes.push(text)),
      now: () => time,
      random: () => 1,
      report: (error) => reported.push(error),
      ...options,
      ...more,
    });
  /** Lets time pass until no alarm is set, or for so long. */
  const settle = async (rules: ReturnType<typeof make>, ms = Infinity): Promise<void> => {
    const end = time + ms;
    while (alarm !== null && alarm <= end) {
      time = Math.max(time, alarm);
      alarm = null;
      await rules.ring();
    }
    if (ms !== Infinity) time = end;
  };
  const versions = (text = writes.at(-1) ?? "null"): Readonly<Record<string, number>> =>
    Object.fromEntries(parseRuleSet(JSON.parse(text)).experiments.map(({ name, version }) => [name, version]));
  return { make, settle, writes, reported, listed, kept, versions, now: () => time, alarm: () => alarm };
};

let w: ReturnType<typeof world>;
beforeEach(() => {
  w = world();
});

describe("merging", () => {
  test("a later revision counts, an earlier one is old news; what is gone stays gone", async () => {
    const rules = w.make();
    await rules.publish(defaultScope, at("a", 5));
    await rules.publish(defaultScope, at("a", 3));
    await rules.publish(defaultScope, at("b", 1));
    await rules.publish(defaultScope, { experiment: "c", revision: 9, rule: null });
    await rules.publish(defaultScope, at("c", 8));
    await w.settle(rules);
    expect(w.versions()).toEqual({});
    // The list of the store is the beginning: what it does not have, and nobody published meanwhile, is not there.
    w.listed.publications = [at("a", 5), at("b", 1)];
    await rules.publish(defaultScope, at("b", 2));
    await w.settle(rules);
    expect(w.versions()).toMatchObject({ b: 2 });
  });

  test("any order of publications of a history leads to the same rules", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ name: fc.constantFrom("a", "b", "c"), revision: fc.integer({ min: 1, max: 9 }) })),
        fc.nat(),
        async (told, seed) => {
          const fresh = world({ list: () => Promise.reject(new Error("not listed")) });
          const rules = fresh.make();
          const shuffled = told.toSorted(
            (one, other) => ((one.revision * 31 + seed) % 7) - ((other.revision * 31 + seed) % 7),
          );
          for (const { name, revision } of shuffled) await rules.publish(defaultScope, at(name, revision));
          const newest = new Map<string, number>();
          for (const { name, revision } of told) newest.set(name, Math.max(revision, newest.get(name) ?? 0));
          const kept = [...fresh.kept].filter(([key]) => key.startsWith("rule:"));
          expect(
            Object.fromEntries(kept.map(([key, value]) => [key.slice(5), Reflect.get(Object(value), "revision")])),
          ).toEqual(Object.fromEntries(newest));
        },
      ),
      { numRuns: 50 },
    );
  });

  test("the place of one scope answers for no other", async () => {
    const rules = w.make();
    await rules.publish(defaultScope, at("a", 1));
    await expect(rules.read({ tenant: "acme", environment: "default" })).rejects.toThrow(TypeError);
    await expect(rules.publish({ tenant: "acme", environment: "default" }, at("a", 2))).rejects.toThrow(TypeError);
  });

  test("names that JavaScript has are names like others", async () => {
    const rules = w.make();
    w.listed.publications = [at("constructor", 1), at("toString", 2)];
    const { text } = await rules.read(defaultScope);
    expect(w.versions(text ?? "")).toEqual({ constructor: 1, toString: 2 });
  });
});

describe("reading", () => {
  test("the first reader lists the store; the others read what is kept, under the same ETag as a list has", async () => {
    const store = memoryStore();
    const governance = createGovernance({ store });
    const variants = [{ key: "control", control: true }, { key: "treatment" }];
    for (const name of ["b", "a", "c"]) {
      await governance.define(name, { variants }, author);
      await governance.submit(name, {}, author);
      if (name === "c") continue;
      await governance.transition(name, "Approved", {}, author);
      await governance.transition(name, "Running", {}, author);
    }
    let lists = 0;
    const rules = w.make({
      list: (scope) => {
        lists += 1;
        return listPublications(store, scope);
      },
    });
    const set = await publishRules(store, defaultScope);
    expect(await rules.read(defaultScope)).toEqual({ etag: rulesETag(set), text: JSON.stringify(set) });
    expect(await rules.read(defaultScope, ['"other"', rulesETag(set)])).toEqual({ etag: rulesETag(set), text: null });
    await w.make().read(defaultScope);
    expect(lists).toBe(1);
  });

  test("until the store could be listed, a reader is told that there is nothing to read", async () => {
    const rules = w.make({ list: () => Promise.reject(new Error("the store is away")) });
    await rules.publish(defaultScope, at("a", 1));
    await expect(rules.read(defaultScope)).rejects.toThrow("the store is away");
    await w.settle(rules, 10_000);
    expect(w.writes).toEqual([]);
  });

  test("what is published during a list is not undone by it", async () => {
    const { promise, resolve } = Promise.withResolvers<readonly Publication[]>();
    const rules = w.make({ list: () => promise });
    const reading = rules.read(defaultScope);
    await new Promise((done) => setTimeout(done, 1));
    await rules.publish(defaultScope, at("a", 2));
    resolve([at("a", 1), at("b", 1)]);
    expect(w.versions((await reading).text ?? "")).toEqual({ a: 2, b: 1 });
  });

  test("after an hour the store is listed again: what no event told of, and a database that went back", async () => {
    const rules = w.make();
    w.listed.publications = [at("a", 5), at("b", 1)];
    await rules.read(defaultScope);
    await w.settle(rules, 3_600_001);
    w.listed.publications = [at("a", 3), at("c", 1)];
    await rules.read(defaultScope);
    await w.settle(rules);
    expect(w.versions()).toEqual({ a: 3, c: 1 });
    await rules.publish(defaultScope, at("a", 4));
    await w.settle(rules);
    expect(w.versions()).toMatchObject({ a: 4 });
  });
});

describe("writing", () => {
  test("a burst of changes is written at most once a second, and its last state is written", async () => {
    const rules = w.make();
    await rules.read(defaultScope);
    const times: number[] = [];
    const timed = w.make({ write: (_scope, text) => Promise.resolve(void (times.push(w.now()), w.writes.push(text))) });
    for (let revision = 1; revision <= 100; revision += 1) {
      await timed.publish(defaultScope, at("a", revision));
      await w.settle(timed, 100);
    }
    await w.settle(timed);
    expect(w.versions()).toEqual({ a: 100 });
    expect(times.length).toBeGreaterThan(8);
    expect(times.length).toBeLessThan(13);
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1_000);
  });

  test("a slow write is never overtaken: the newer one begins when it has ended", async () => {
    const pending: { readonly text: string; readonly end: () => void }[] = [];
    const rules = w.make({
      write: (_scope, text) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        pending.push({ text, end: resolve });
        return promise.then(() => void w.writes.push(text));
      },
    });
    w.listed.publications = [at("a", 1)];
    await rules.publish(defaultScope, at("a", 1));
    const slow = rules.ring();
    await expect.poll(() => pending).toHaveLength(1);
    await rules.publish(defaultScope, at("a", 2));
    await rules.ring();
    await rules.ring();
    expect(pending).toHaveLength(1);
    pending[0]?.end();
    await slow;
    const rest = w.settle(rules);
    await expect.poll(() => pending).toHaveLength(2);
    pending[1]?.end();
    await rest;
    expect(w.writes.map((text) => w.versions(text))).toEqual([{ a: 1 }, { a: 2 }]);
  });

  test("what was written is not written again, also after a restart; what a new deployment changes is", async () => {
    const rules = w.make();
    w.listed.publications = [at("a", 1)];
    await rules.publish(defaultScope, at("a", 1));
    await w.settle(rules);
    await rules.publish(defaultScope, at("a", 1));
    await w.settle(w.make());
    await w.make().ring();
    expect(w.writes).toHaveLength(1);
    const dataPlane = { flushEvents: 1, flushBytes: 40_000, flushIntervalMs: 1, sampling: 0.5 };
    const redeployed = w.make({ dataPlane });
    await redeployed.ring();
    await w.settle(redeployed);
    expect(parseRuleSet(JSON.parse(w.writes[1] ?? "")).dataPlane).toEqual(dataPlane);
  });

  test("the sequence rises, also when the place begins anew", async () => {
    const rules = w.make();
    await rules.publish(defaultScope, at("a", 1));
    await w.settle(rules);
    w.kept.clear();
    await w.settle(rules, 5_000);
    const anew = w.make();
    await anew.publish(defaultScope, at("a", 2));
    await w.settle(anew);
    const [first, second] = w.writes.map((text) => Number(Reflect.get(Object(JSON.parse(text)), "sequence")));
    expect(second).toBeGreaterThan(first ?? Infinity);
  });

  test("a write that fails is tried again, and covered by another one a minute after it worked", async () => {
    let failing = 3;
    const troubles: number[] = [];
    const rules = w.make({
      onTrouble: (_scope, failures) => troubles.push(failures),
      write: (_scope, text) => {
        failing -= 1;
        if (failing >= 0) return Promise.reject(new Error("KV is away"));
        w.writes.push(text);
        return Promise.resolve();
      },
    });
    w.listed.publications = [at("a", 1)];
    await rules.publish(defaultScope, at("a", 1));
    await w.settle(rules, 30_000);
    expect(troubles).toEqual([1, 2, 3, 0]);
    expect(w.writes).toHaveLength(1);
    await w.settle(rules);
    expect(w.writes).toHaveLength(2);
    expect(w.alarm()).toBeNull();
    expect(w.reported).toHaveLength(3);
  });
});

describe("the alarm", () => {
  test("is set once for a burst, and again for what comes after it has rung", async () => {
    const rules = w.make();
    await rules.read(defaultScope);
    await w.settle(rules);
    await rules.publish(defaultScope, at("a", 1));
    const first = w.alarm();
    await rules.publish(defaultScope, at("a", 2));
    expect(w.alarm()).toBe(first);
    await w.settle(rules);
    await rules.publish(defaultScope, at("a", 3));
    await w.settle(rules);
    expect(w.versions()).toMatchObject({ a: 3 });
  });

  test("is not set where nothing is written and the list is recent: there would be nothing to do", async () => {
    const rules = w.make({ write: undefined });
    await rules.read(defaultScope);
    await w.settle(rules);
    await rules.publish(defaultScope, at("a", 1));
    expect(w.alarm()).toBeNull();
    expect((await rules.read(defaultScope)).text).toContain('"a"');
    await w.settle(rules, 3_600_001);
    await rules.publish(defaultScope, at("a", 2));
    expect(w.alarm()).not.toBeNull();
  });
});

describe("a crash at every await", () => {
  /** Every storage call and write of a publication and its alarm, in turn: dies there, before or after it took effect. */
  const cases = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((call) =>
    (["before", "after"] as const).map((when) => [call, when] as const),
  );

  test.each(cases)("call %d, %s it takes effect: the publication is written in the end", async (call, when) => {
    let calls = 0;
    const mortal = async <Result>(work: () => Promise<Result>): Promise<Result> => {
      calls += 1;
      if (calls < call) return work();
      if (calls === call && when === "after") await work();
      return new Promise(() => undefined);
    };
    w.listed.publications = [at("a", 1)];
    await w.make().read(defaultScope);
    w.listed.publications = [at("a", 2)];
    const alarms: number[] = [];
    const dying = createPublishedRules({
      storage: {
        list: (options) =>
          mortal(() => Promise.resolve(new Map([...w.kept].filter(([key]) => key.startsWith(options.prefix))))),
        put: (entries) =>
          mortal(() => {
            for (const [key, value] of Object.entries(entries)) w.kept.set(key, structuredClone(value));
            return Promise.resolve();
          }),
        setAlarm: (time) => mortal(() => Promise.resolve(void alarms.push(time))),
      },
      list: () => Promise.resolve(w.listed.publications),
      write: (_scope, text) => mortal(() => Promise.resolve(void w.writes.push(text))),
      now: w.now,
      random: () => 1,
      report: () => undefined,
    });
    let answered = false;
    const live = async (): Promise<void> => {
      await dying.publish(defaultScope, at("a", 2));
      answered = true;
      await dying.ring();
    };
    void live();
    await expect.poll(() => calls).toBeGreaterThanOrEqual(Math.min(call, 7));
    // Who got no answer tells it again; who got one has nothing to say, and the alarm that was set rings.
    const restarted = w.make();
    expect(answered && alarms.length === 0).toBe(false);
    if (!answered) await restarted.publish(defaultScope, at("a", 2));
    await restarted.ring();
    await w.settle(restarted);
    expect(w.versions()).toEqual({ a: 2 });
  });
});

test("a publication that could not be kept is no old news when it comes again", async () => {
  let fails = true;
  const kept = new Map<string, unknown>();
  const rules = w.make({
    storage: {
      list: ({ prefix }) => Promise.resolve(new Map([...kept].filter(([key]) => key.startsWith(prefix)))),
      put: (entries) => {
        if (fails) return Promise.reject(new Error("the disk is full"));
        for (const [key, value] of Object.entries(entries)) kept.set(key, value);
        return Promise.resolve();
      },
      setAlarm: () => Promise.resolve(),
    },
  });
  await expect(rules.publish(defaultScope, at("a", 1))).rejects.toThrow("the disk is full");
  fails = false;
  await rules.publish(defaultScope, at("a", 1));
  expect(kept.has("rule:a")).toBe(true);
});

describe("as a subscriber of the log", () => {
  test("every change of what is served is published, and nothing else asks", async () => {
    const store = memoryStore();
    const published: Publication[] = [];
    const publisher = rulePublisher({
      store,
      publish: (_ref, publication) => Promise.resolve(void published.push(publication)),
    });
    const governance = createGovernance({ store, subscribers: [publisher] });
    const variants = [{ key: "control", control: true }, { key: "treatment" }];
    const settled = async (): Promise<void> => {
      const { events } = await governance.history("checkout");
      await expect
        .poll(async () => (await store.positions({ ...defaultScope, experiment: "checkout" })).get("rules"))
        .toBe(events.at(-1)?.seq);
    };
    await governance.define("checkout", { variants }, author);
    await settled();
    expect(published).toEqual([]);
    await governance.submit("checkout", {}, author);
    await governance.transition("checkout", "Approved", {}, author);
    await governance.transition("checkout", "Running", {}, author);
    await settled();
    await governance.kill("checkout", author, { variant: "treatment" });
    await settled();
    await governance.pause("checkout", author);
    await settled();
    await governance.conclude("checkout", { outcome: "revert" }, author);
    await settled();
    expect(published.at(-1)).toMatchObject({ experiment: "checkout", rule: null });
    expect(published.map(({ rule: each }) => each?.state ?? null).filter((state) => state !== null)).toEqual([
      "Running",
      "Running",
      "Paused",
    ]);
    expect(published.some(({ rule: each }) => each?.killedVariants?.[0] === "treatment")).toBe(true);
    const revisions = published.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((one, other) => one - other));
  });

  test("a process that dies between its commit and the publication: the first tick of the next one publishes", async () => {
    const store = memoryStore();
    const told: Publication[] = [];
    const governed = (publish: (publication: Publication) => Promise<void>) => {
      const publisher = rulePublisher({ store, publish: (_ref, publication) => publish(publication) });
      return createGovernance({ store, subscribers: [publisher] });
    };
    const dying = governed((publication) => {
      told.push(publication);
      return new Promise(() => undefined);
    });
    const variants = [{ key: "control", control: true }, { key: "treatment" }];
    await dying.define("checkout", { variants }, author);
    await dying.submit("checkout", {}, author);
    await dying.transition("checkout", "Approved", {}, author);
    await dying.transition("checkout", "Running", {}, author);
    await expect.poll(() => told.length).toBe(1);
    await dying.kill("checkout", author);
    expect(w.kept.size).toBe(0);

    const rules = w.make({ list: (scope) => listPublications(store, scope) });
    const next = governed((publication) => rules.publish(defaultScope, publication));
    await next.tick();
    await w.settle(rules);
    const { experiments } = parseRuleSet(JSON.parse(w.writes.at(-1) ?? "null"));
    expect(experiments).toMatchObject([{ name: "checkout", state: "Running", killed: true }]);
    const { events } = await next.history("checkout");
    expect((await store.positions({ ...defaultScope, experiment: "checkout" })).get("rules")).toBe(events.at(-1)?.seq);
  });
});
