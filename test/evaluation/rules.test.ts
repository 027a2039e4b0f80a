import { describe, expect, test } from "vitest";
import type { ExperimentRule, RuleSet } from "../../src/evaluation/rule-set.ts";
import { assignFrom, httpRules, staticRules, type HttpRulesOptions } from "../../src/evaluation/rules.ts";
import { manualClock, settle } from "../events/clock.ts";
import { rule, ruleSet, subjectFor } from "./fixtures.ts";
import { response, rulesServer } from "./rules-server.ts";

const setup = (first: RuleSet = ruleSet(rule()), options: Partial<HttpRulesOptions> = {}) => {
  const server = rulesServer(first);
  const clock = manualClock();
  const errors: unknown[] = [];
  const rules = httpRules({
    url: "https://experiments.example/proviso/",
    fetch: server.fetch,
    now: clock.now,
    startTimer: clock.startTimer,
    onError: (error) => errors.push(error),
    ...options,
  });
  return { server, clock, errors, rules };
};

const paused: ExperimentRule = rule({ state: "Paused" });

describe("assignFrom", () => {
  test("an experiment that is not published is an error, and control", () => {
    expect(assignFrom(staticRules(ruleSet(rule())).current(), "search", "user-1")).toEqual({
      experiment: "search",
      variant: "control",
      control: true,
      reason: "ERROR",
      errorCode: "FLAG_NOT_FOUND",
      errorMessage: "the published rules have no experiment of this name",
      version: 0,
      digest: "",
      epoch: 0,
      exposed: false,
    });
  });

  test.each(["__proto__", "constructor", "toString", "", "a/b", "😀"])("so is one called %j", (name) => {
    expect(assignFrom(staticRules(ruleSet(rule())).current(), name, "user-1").errorCode).toBe("FLAG_NOT_FOUND");
  });

  test("before rules are loaded the answer is another", () => {
    expect(assignFrom(setup().rules.current(), "checkout", "user-1")).toMatchObject({
      reason: "ERROR",
      errorCode: "PROVIDER_NOT_READY",
      exposed: false,
    });
  });
});

describe("staticRules", () => {
  test("serve what they were made with", async () => {
    const rules = staticRules(ruleSet(rule()));
    expect(await rules.refresh()).toEqual({ state: "fresh", experiments: 1, unreadable: [] });
    expect(rules.current()).toMatchObject({ state: "fresh", tenant: "acme", environment: "production" });
    expect(assignFrom(rules.current(), "checkout", "user-1").reason).toBe("SPLIT");
  });

  test("refuse what cannot be read, all of it at once", () => {
    const broken = ruleSet(rule({ epoch: -1 }), rule({ name: "b", trafficBuckets: -1 }));
    expect(() => staticRules(broken)).toThrow(
      /experiments\/0\/epoch: found -1.*experiments\/1\/trafficBuckets: found -1/,
    );
  });

  test("refuse a payload that is no data", () => {
    const variants = [{ key: "a", buckets: 10_000, control: true, payload: () => 1 }];
    expect(() => staticRules(ruleSet(rule({ variants })))).toThrow(TypeError);
  });
});

describe("httpRules", () => {
  test("asks for the rules of a scope", async () => {
    const { server, rules } = setup(ruleSet(rule()), {
      tenant: "acme",
      environment: "production",
      headers: { authorization: "Bearer k" },
    });
    await rules.refresh();
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.url).toBe(
      "https://experiments.example/proviso/api/rules?tenant=acme&environment=production",
    );
    expect(server.requests[0]?.request).toMatchObject({
      method: "GET",
      headers: { authorization: "Bearer k", accept: "application/json" },
    });
    expect(server.requests[0]?.request.headers).not.toHaveProperty("if-none-match");
  });

  test("without a scope leaves it to the server", async () => {
    const { server, rules } = setup();
    await rules.refresh();
    expect(server.requests[0]?.url).toBe("https://experiments.example/proviso/api/rules");
    expect(rules.current()).toMatchObject({ state: "fresh", tenant: "acme" });
  });

  test.each(["", "experiments.example", "ftp://experiments.example", "/api"])("refuses the url %j", (url) => {
    expect(() => httpRules({ url })).toThrow(`found ${JSON.stringify(url)}; expected an absolute http or https URL`);
  });

  test("refuses rules of a scope that was not asked for", async () => {
    const { rules, errors } = setup(ruleSet(rule()), { tenant: "other" });
    expect(await rules.refresh()).toMatchObject({
      state: "empty",
      error: "rules: asked for tenant other, environment production; got acme, production",
    });
    expect(errors).toHaveLength(1);
  });

  test("asks again with the ETag, and keeps its rules on 304", async () => {
    const { server, rules, clock } = setup();
    await rules.refresh();
    const before = rules.current();
    clock.advanceWithoutTimers(1_000);
    expect(await rules.refresh()).toMatchObject({ state: "fresh", freshAt: clock.now() });
    expect(server.requests[1]?.request.headers["if-none-match"]).toBe('"1"');
    expect(rules.current()).toBe(before);
  });

  test("takes new rules in one step", async () => {
    const { server, rules } = setup();
    await rules.refresh();
    const treated = subjectFor((id) => assignFrom(rules.current(), "checkout", id).variant === "treatment");
    server.publish(ruleSet(paused, rule({ name: "search" })));
    await rules.refresh();
    expect(assignFrom(rules.current(), "checkout", treated)).toMatchObject({ variant: "control", reason: "DISABLED" });
    expect(assignFrom(rules.current(), "search", treated).reason).toBe("SPLIT");
  });

  test("refreshes in the background when it is used after refreshMs, and not before", async () => {
    const { server, rules, clock } = setup(ruleSet(rule()), { refreshMs: 30_000 });
    await rules.refresh();
    server.publish(ruleSet(paused));
    clock.advanceWithoutTimers(29_999);
    rules.current();
    await rules.settled();
    expect(server.requests).toHaveLength(1);
    clock.advanceWithoutTimers(1);
    expect(assignFrom(rules.current(), "checkout", "user-1").reason).toBe("SPLIT");
    await rules.settled();
    expect(server.requests).toHaveLength(2);
    expect(assignFrom(rules.current(), "checkout", "user-1").reason).toBe("DISABLED");
  });

  test("begins to load at the first use", async () => {
    const { server, rules } = setup();
    expect(rules.current().state).toBe("empty");
    await rules.settled();
    expect(server.requests).toHaveLength(1);
    expect(rules.current().state).toBe("fresh");
  });

  test("makes one request of refreshes at the same time", async () => {
    const { server, rules } = setup();
    rules.current();
    const [first, second] = await Promise.all([rules.refresh(), rules.refresh(), rules.settled()]);
    expect(server.requests).toHaveLength(1);
    expect(first).toEqual(second);
    await rules.refresh();
    expect(server.requests).toHaveLength(2);
  });

  test.each<readonly [string, () => Promise<Response>, string]>([
    ["the network fails", () => Promise.reject(new TypeError("fetch failed")), "fetch failed"],
    ["the server fails", () => Promise.resolve(response(503, "")), "answered 503"],
    ["the key is wrong", () => Promise.resolve(response(401, "")), "answered 401"],
    ["the answer is no JSON", () => Promise.resolve(response(200, "<html>")), "not valid JSON"],
    ["the answer is no rule set", () => Promise.resolve(response(200, "{}")), "rule set /ruleSetVersion"],
  ])("keeps the last good rules when %s", async (_, answer, message) => {
    const { server, rules, errors, clock } = setup();
    await rules.refresh();
    const good = rules.current();
    const freshAt = clock.now();
    server.answerWith(answer);
    clock.advanceWithoutTimers(60_000);
    const status = await rules.refresh();
    expect(status).toMatchObject({ state: "fresh", experiments: 1, freshAt });
    expect(status.error).toContain(message);
    expect(rules.current()).toBe(good);
    expect(errors).toHaveLength(1);
  });

  test("is empty when the first load fails, and says why", async () => {
    const { server, rules } = setup();
    server.answerWith(() => Promise.reject(new TypeError("fetch failed")));
    expect(await rules.refresh()).toEqual({ state: "empty", experiments: 0, unreadable: [], error: "fetch failed" });
    server.answerWith(() => Promise.resolve(response(304, "")));
    expect((await rules.refresh()).error).toContain("answered 304");
    server.answerWith(undefined);
    expect(await rules.refresh()).not.toHaveProperty("error");
  });

  test("serves old rules as stale after staleMs, and as fresh after the next good answer", async () => {
    const { server, rules, clock } = setup(ruleSet(rule()), { staleMs: 300_000 });
    await rules.refresh();
    const before = assignFrom(rules.current(), "checkout", "user-1");
    server.answerWith(() => Promise.reject(new TypeError("fetch failed")));
    clock.advanceWithoutTimers(300_000);
    expect(assignFrom(rules.current(), "checkout", "user-1").reason).toBe("SPLIT");
    await rules.settled();
    clock.advanceWithoutTimers(1);
    expect(assignFrom(rules.current(), "checkout", "user-1")).toEqual({ ...before, reason: "STALE" });
    expect(rules.current().state).toBe("stale");
    expect(rules.current()).toBe(rules.current());
    expect(rules.status().state).toBe("stale");
    expect(assignFrom(rules.current(), "unknown", "user-1").errorCode).toBe("FLAG_NOT_FOUND");
    server.answerWith(undefined);
    await rules.refresh();
    expect(assignFrom(rules.current(), "checkout", "user-1")).toEqual(before);
  });

  test("waits longer from failure to failure, at most refreshMs", async () => {
    const { server, rules, clock } = setup(ruleSet(rule()), { refreshMs: 5_000 });
    server.answerWith(() => Promise.reject(new TypeError("fetch failed")));
    const at: number[] = [];
    const start = clock.now();
    for (let elapsed = 0; elapsed <= 20_000; elapsed += 500) {
      const before = server.requests.length;
      rules.current();
      await rules.settled();
      if (server.requests.length > before) at.push(clock.now() - start);
      clock.advanceWithoutTimers(500);
    }
    expect(at).toEqual([0, 1_000, 3_000, 7_000, 12_000, 17_000]);
  });

  test("gives an experiment that cannot be read to nobody, the others as ever", async () => {
    const { rules } = setup({ ...ruleSet(rule({ name: "search" }), rule({ epoch: -1 })) });
    expect(await rules.refresh()).toMatchObject({ state: "fresh", unreadable: [{ name: "checkout" }] });
    expect(assignFrom(rules.current(), "checkout", "user-1")).toMatchObject({
      reason: "ERROR",
      errorCode: "PARSE_ERROR",
      variant: "control",
      exposed: false,
    });
    expect(assignFrom(rules.current(), "search", "user-1").reason).toBe("SPLIT");
  });

  test("gives up a refresh that never settles, and ignores it when it does after all", async () => {
    const { server, rules, clock } = setup(ruleSet(rule()), { timeoutMs: 1_000, refreshMs: 1_000 });
    await rules.refresh();
    const late = Promise.withResolvers<Response>();
    server.answerWith(() => late.promise);
    clock.advanceWithoutTimers(1_000);
    rules.current();
    server.answerWith(undefined);
    server.publish(ruleSet(paused));
    clock.advanceWithoutTimers(1_999);
    rules.current();
    expect(server.requests).toHaveLength(2);
    clock.advanceWithoutTimers(1);
    rules.current();
    await rules.settled();
    expect(server.requests).toHaveLength(3);
    expect(assignFrom(rules.current(), "checkout", "user-1").reason).toBe("DISABLED");
    late.resolve(response(200, JSON.stringify(ruleSet(rule()))));
    await settle();
    expect(assignFrom(rules.current(), "checkout", "user-1").reason).toBe("DISABLED");
  });

  test("loads anew when the refresh that it waits for ended with another request", async () => {
    const { server, rules, clock } = setup(ruleSet(rule()), { timeoutMs: 1_000 });
    server.answerWith(() => new Promise<Response>(() => {}));
    rules.current();
    clock.advanceWithoutTimers(500);
    server.answerWith(undefined);
    const ready = rules.refresh();
    const idle = rules.settled();
    expect(server.requests).toHaveLength(1);
    await clock.advance(1_500);
    expect(await ready).toMatchObject({ state: "fresh", experiments: 1 });
    expect(await idle).toBeUndefined();
    expect(server.requests).toHaveLength(2);
    expect(clock.pending()).toEqual([]);
  });

  test("survives a reporter that throws", async () => {
    const { server, rules } = setup(ruleSet(rule()), {
      onError() {
        throw new Error("reporter");
      },
    });
    server.answerWith(() => Promise.reject(new TypeError("fetch failed")));
    expect((await rules.refresh()).error).toBe("fetch failed");
  });
});
