import { describe, expect, test } from "vitest";
import { otelSink } from "../../../adapters/sink/otel.ts";
import type { EnvelopeInput } from "../../../src/events/envelope.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { everyType, exposure, exposures } from "../../events/fixtures.ts";
import { otlpCollector, plain, type Value } from "../../support/otlp-collector.ts";

/** `feature_flag.evaluation` of the semantic conventions: what is required, and every attribute that there is. */
const flagAttributes = new Set([
  "feature_flag.key",
  "feature_flag.provider.name",
  "feature_flag.result.variant",
  "feature_flag.result.value",
  "feature_flag.result.reason",
  "feature_flag.context.id",
  "feature_flag.set.id",
  "feature_flag.version",
  "error.type",
  "error.message",
]);
const reasons = ["static", "default", "targeting_match", "split", "cached", "disabled", "unknown", "stale", "error"];

const named = (list: readonly { readonly key: string; readonly value: Value }[]): Record<string, unknown> =>
  Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));

const wellFormed = (value: unknown): unknown => {
  if (typeof value === "string") return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), wellFormed(item)]));
};

const url = "http://collector.example:4318";

sinkSuite("otel", () => {
  const { fetch, bodies, answer } = otlpCollector();
  return {
    sink: otelSink({ url, fetch }),
    received: bodies,
    shows: wellFormed,
    failNext: (times) => answer(...Array.from({ length: times }, () => ({ status: 503 }))),
  };
});

describe("records", () => {
  test("what is nested too deep for a collector goes as its text, and the batch with it", async () => {
    const { fetch, bodies } = otlpCollector();
    const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);
    // The event, its payload and the attributes are three levels themselves.
    const [shallow, deep] = [{ a: nested(21) }, { a: nested(4_000) }];
    const receipt = await otelSink({ url, fetch }).send([
      exposure(1, { attributes: deep }),
      exposure(2, { attributes: shallow }),
    ]);
    expect(receipt).toEqual({ accepted: 2, rejected: [] });
    const [first, second] = bodies();
    expect(second).toMatchObject({ payload: { attributes: shallow } });
    expect(JSON.stringify(first)).toContain(`"${"[".repeat(3_979)}${"]".repeat(3_979)}"`);
  });

  test("an exposure is an evaluation by the semantic conventions, and an event of Proviso's", async () => {
    const { fetch, records, evaluations } = otlpCollector();
    const event = exposure(7, {
      variantKey: "treatment",
      selectionReason: "TARGETING_MATCH",
      tenantId: "acme",
      environment: "production",
      version: 3,
    });
    await otelSink({ url, fetch, now: () => 1_800_000_000_123 }).send([event]);
    expect(records.map(({ eventName }) => eventName)).toEqual(["feature_flag.evaluation", "proviso.exposure"]);
    expect(records[0]).toMatchObject({
      timeUnixNano: `${Date.parse(event.timestamp)}000000`,
      observedTimeUnixNano: "1800000000123000000",
      severityNumber: 9,
    });
    expect(named(evaluations()[0]?.attributes ?? [])).toEqual({
      "feature_flag.key": "checkout",
      "feature_flag.provider.name": "proviso",
      "feature_flag.result.variant": "treatment",
      "feature_flag.result.reason": "targeting_match",
      "feature_flag.context.id": "user-7",
      "feature_flag.set.id": "acme/production",
      "feature_flag.version": "3",
      "proviso.event.id": event.eventId,
      "proviso.event.type": "Exposure",
      "proviso.experiment": "checkout",
    });
  });

  test("name no attribute of the convention that it does not have, and no reason", async () => {
    const { fetch, evaluations } = otlpCollector();
    const withReason = (selectionReason: string, n: number): EnvelopeInput => exposure(n, { selectionReason });
    await otelSink({ url, fetch }).send([...["SPLIT", "TARGETING_MATCH", "STALE"].map(withReason), exposure(9)]);
    for (const { attributes: list } of evaluations()) {
      const flags = list.filter(({ key }) => !key.startsWith("proviso."));
      expect(flags.filter(({ key }) => !flagAttributes.has(key))).toEqual([]);
      expect(reasons).toContain(named(list)["feature_flag.result.reason"]);
    }
    expect(evaluations()).toHaveLength(4);
  });

  test("have the severity of what they say; evaluations can be left out", async () => {
    const { fetch, records } = otlpCollector();
    await otelSink({ url, fetch, evaluations: false }).send(everyType());
    expect(records.map(({ eventName, severityText }) => `${eventName} ${severityText}`)).toEqual([
      "proviso.exposure INFO",
      "proviso.outcome INFO",
      "proviso.assignment INFO",
      "proviso.error ERROR",
      "proviso.analysissignal FATAL",
    ]);
  });

  test("go below the collector's address, with its headers and resource", async () => {
    const { fetch, requests } = otlpCollector();
    const sink = otelSink({
      url: `${url}/base/`,
      fetch,
      headers: { authorization: "Bearer x" },
      resource: { "service.name": "shop" },
    });
    await sink.send(exposures(1));
    expect(requests[0]?.url).toBe(`${url}/base/v1/logs`);
    expect(requests[0]?.headers).toMatchObject({ authorization: "Bearer x" });
  });
});

describe("a collector's answer", () => {
  test.each([400, 413])("%d refuses for good", async (status) => {
    const { fetch, answer } = otlpCollector();
    answer({ status, body: "no" });
    const receipt = await otelSink({ url, fetch }).send(exposures(2));
    expect(receipt).toMatchObject({ accepted: 0, rejected: [{ index: 0 }, { index: 1 }] });
    expect(receipt.rejected[0]?.message).toBe(`${url}/v1/logs: answered ${status}: no`);
  });

  test.each([401, 408, 429, 500, 502, 503, 504])("%d may be tried again", async (status) => {
    const { fetch, answer } = otlpCollector();
    answer({ status, retryAfter: "3" });
    const sink = otelSink({ url, fetch });
    await expect(sink.send(exposures(2))).rejects.toThrow(`answered ${status}`);
    expect(sink.health().status).toBe("degraded");
  });

  test("that takes a part shows in the health", async () => {
    const { fetch, answer } = otlpCollector();
    answer({ status: 200, body: '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}' });
    const sink = otelSink({ url, fetch });
    expect(await sink.send(exposures(2))).toEqual({ accepted: 2, rejected: [] });
    expect(sink.health().status).toBe("degraded");
    expect(sink.health().description).toContain("too old");
  });
});
