import { ErrorCode, OpenFeature as Server, ProviderStatus as ServerStatus } from "@openfeature/server-sdk";
import { OpenFeature as Web } from "@openfeature/web-sdk";
import { afterEach, describe, expect, test } from "vitest";
import { httpRules } from "../../src/evaluation/rules.ts";
import { provisoProvider } from "../../src/openfeature/server.ts";
import { provisoWebProvider } from "../../src/openfeature/web.ts";
import { controlled, treated, world } from "../exposure/world.ts";

afterEach(async () => {
  await Server.clearProviders();
  await Web.clearProviders();
});

const payloads = (control: unknown, treatment: unknown) => ({
  variants: [
    { key: "control", buckets: 5_000, control: true, payload: control },
    { key: "treatment", buckets: 5_000, control: false, payload: treatment },
  ],
});
const bare = {
  variants: [
    { key: "control", buckets: 5_000, control: true },
    { key: "treatment", buckets: 5_000, control: false },
  ],
};

describe("the server's provider", () => {
  const setUp = async (change: Parameters<typeof world>[0] = {}, exposure?: "explicit") => {
    const it = world(change);
    const provider = provisoProvider({ experiments: it.experiments, ...(exposure && { exposure }) });
    await Server.setProviderAndWait(provider);
    return { ...it, client: Server.getClient() };
  };

  test("answers by the variant: a flag is on for every variant but control, a text is its key", async () => {
    const { client } = await setUp(bare);
    expect(await client.getBooleanValue("checkout", false, { targetingKey: treated })).toBe(true);
    expect(await client.getBooleanValue("checkout", true, { targetingKey: controlled })).toBe(false);
    expect(await client.getStringValue("checkout", "none", { targetingKey: treated })).toBe("treatment");
    expect(await client.getNumberValue("checkout", 7, { targetingKey: treated })).toBe(7);
    expect(await client.getObjectValue("checkout", { a: 1 }, { targetingKey: treated })).toEqual({ a: 1 });
  });

  test("or by its payload, and refuses one of another type", async () => {
    const { client } = await setUp(payloads(0.5, 0.9));
    expect(await client.getNumberValue("checkout", 0, { targetingKey: treated })).toBe(0.9);
    const wrong = await client.getBooleanDetails("checkout", false, { targetingKey: treated });
    expect(wrong).toMatchObject({ value: false, reason: "ERROR", errorCode: ErrorCode.TYPE_MISMATCH });
    const { client: objects } = await setUp(payloads({ layout: "old" }, { layout: "new" }));
    expect(await objects.getObjectValue("checkout", {}, { targetingKey: controlled })).toEqual({ layout: "old" });
    const { client: flags } = await setUp(payloads(true, false));
    expect(await flags.getBooleanValue("checkout", true, { targetingKey: treated })).toBe(false);
  });

  test("says why, and which approved configuration served it", async () => {
    const { client } = await setUp({ ...bare, targeting: { attribute: "since", lessThan: "2026-01-01" } });
    const details = await client.getStringDetails("checkout", "none", {
      targetingKey: treated,
      since: new Date("2025-06-01T00:00:00Z"),
    });
    expect(details).toMatchObject({
      variant: "treatment",
      reason: "TARGETING_MATCH",
      flagMetadata: { version: 3, epoch: 1, exposed: true, rulePath: "/variants/1" },
    });
    const late = await client.getStringDetails("checkout", "none", {
      targetingKey: treated,
      since: new Date("2026-06-01"),
    });
    expect(late).toMatchObject({ value: "control", variant: "control", reason: "DEFAULT" });
  });

  test.each([
    ["nothing", { targetingKey: treated }, ErrorCode.FLAG_NOT_FOUND],
    ["checkout", {}, ErrorCode.TARGETING_KEY_MISSING],
    ["checkout", { targetingKey: "a\u0000" }, ErrorCode.INVALID_CONTEXT],
  ])("of %s for %j gives the default, with the code of the error", async (key, context, errorCode) => {
    const { client, told } = await setUp();
    expect(await client.getBooleanDetails(key, true, context)).toMatchObject({
      value: true,
      reason: "ERROR",
      errorCode,
    });
    expect(await told()).toEqual([]);
  });

  test("evaluating exposes, unless the application says when", async () => {
    const { client, told } = await setUp(bare);
    await client.getBooleanValue("checkout", false, { targetingKey: treated });
    expect(await told()).toEqual(["Exposure treatment"]);
    const explicit = await setUp(bare, "explicit");
    await explicit.client.getBooleanValue("checkout", false, { targetingKey: treated });
    expect(await explicit.told()).toEqual([]);
    const paused = await setUp({ ...bare, state: "Paused" });
    expect(await paused.client.getBooleanDetails("checkout", true, { targetingKey: treated })).toMatchObject({
      value: false,
      reason: "DISABLED",
    });
    expect(await paused.told()).toEqual([]);
  });

  test("tracking is an outcome", async () => {
    const { client, sink, experiments } = await setUp();
    client.track("purchase", { targetingKey: treated });
    client.track("revenue", { targetingKey: treated }, { value: 12.5, currency: "EUR" });
    await experiments.flush();
    expect(sink.events().map(({ payload }) => payload)).toMatchObject([
      { metric: "purchase", kind: "binary", value: true, subjectId: treated },
      { metric: "revenue", kind: "continuous", value: 12.5 },
    ]);
  });

  test("without rules it is in error, and ready to try; what is buffered is sent when it is closed", async () => {
    const { experiments } = world(
      {},
      { rules: httpRules({ url: "http://127.0.0.1", fetch: () => Promise.reject(new Error("down")) }) },
    );
    await expect(Server.setProviderAndWait(provisoProvider({ experiments }))).rejects.toThrow("down");
    const client = Server.getClient();
    expect(client.providerStatus).toBe(ServerStatus.ERROR);
    expect(await client.getBooleanDetails("checkout", true, { targetingKey: "u" })).toMatchObject({
      value: true,
      errorCode: ErrorCode.PROVIDER_NOT_READY,
    });
    const it = await setUp(bare);
    await it.client.getBooleanValue("checkout", false, { targetingKey: treated });
    await Server.clearProviders();
    expect(it.sink.events()).toHaveLength(1);
  });
});

describe("the web's provider", () => {
  test("evaluates at once, for the page's context, and by a new one without a request", async () => {
    const { experiments, told } = world(bare);
    await Web.setContext({ targetingKey: treated });
    await Web.setProviderAndWait(provisoWebProvider({ experiments }));
    const client = Web.getClient();
    expect(client.getBooleanValue("checkout", false)).toBe(true);
    expect(client.getStringDetails("checkout", "none")).toMatchObject({ variant: "treatment", reason: "SPLIT" });
    await Web.setContext({ targetingKey: controlled });
    expect(client.getBooleanValue("checkout", true)).toBe(false);
    expect(client.getNumberValue("checkout", 3)).toBe(3);
    expect(client.getObjectValue("checkout", { a: 1 })).toEqual({ a: 1 });
    client.track("purchase");
    expect((await told()).filter((line) => !line.endsWith("again"))).toEqual([
      "Exposure treatment",
      "Exposure control",
      "Outcome",
    ]);
  });
});
