import { describe, expect, test } from "vitest";
import { kafkaSink } from "../../../adapters/sink/kafka.ts";
import { SinkError } from "../../../src/events/sink-error.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { exposure, exposures } from "../../events/fixtures.ts";
import { kafkaProxy } from "../../support/kafka-proxy.ts";

const url = "https://kafka-rest.example";
const topic = "experiments";

sinkSuite("kafka", () => {
  const { fetch, records, answer } = kafkaProxy();
  return {
    sink: kafkaSink({ url, topic, fetch }),
    received: () => records.map(({ value }) => value),
    failNext: (times) => answer(...Array.from({ length: times }, () => new Response("", { status: 500 }))),
  };
});

describe("records", () => {
  test("of one subject in one experiment have one key, so they stay in order", async () => {
    const { fetch, records } = kafkaProxy();
    await kafkaSink({ url, topic, fetch }).send([exposure(1), exposure(2), exposure(1, { variantKey: "b" })]);
    expect(records.map(({ key }) => key)).toEqual([
      '["default","default","checkout","user-1"]',
      '["default","default","checkout","user-2"]',
      '["default","default","checkout","user-1"]',
    ]);
  });

  test("have a key and headers of one's own", async () => {
    const { fetch, records, requests } = kafkaProxy("a.b_c-1");
    const sink = kafkaSink({
      url,
      topic: "a.b_c-1",
      fetch,
      key: ({ eventId }) => eventId,
      headers: { authorization: "Basic x" },
    });
    await sink.send([exposure(1)]);
    expect(records[0]?.key).toBe(exposure(1).eventId);
    expect(requests[0]).toMatchObject({ authorization: "Basic x" });
  });
});

describe("what the proxy says", () => {
  const offsets = (...codes: readonly (number | null)[]) =>
    Response.json({
      offsets: codes.map((code) => ({
        partition: 0,
        offset: 1,
        error_code: code,
        error: code === null ? null : `e${code}`,
      })),
    });

  test("of single records: 1 refuses for good, 2 sends the batch again", async () => {
    const { fetch, answer } = kafkaProxy();
    const sink = kafkaSink({ url, topic, fetch });
    answer(offsets(null, 1, null));
    expect(await sink.send(exposures(3))).toEqual({ accepted: 2, rejected: [{ index: 1, message: "e1" }] });
    answer(offsets(null, 2, 1));
    await expect(sink.send(exposures(3))).rejects.toThrow("e2");
  });

  test("without an offset for each record is no success", async () => {
    const { fetch, answer } = kafkaProxy();
    for (const body of ["", "{}", '{"offsets":[{}]}', '{"offsets":"all"}']) {
      answer(new Response(body));
      await expect(kafkaSink({ url, topic, fetch }).send(exposures(2))).rejects.toThrow(SinkError);
    }
  });

  test.each([422, 413])("%d refuses for good", async (status) => {
    const { fetch, answer } = kafkaProxy();
    answer(new Response("no", { status }));
    expect(await kafkaSink({ url, topic, fetch }).send(exposures(1))).toMatchObject({
      accepted: 0,
      rejected: [{ index: 0 }],
    });
  });

  test.each([401, 404, 408, 429, 500, 503])("%d may be tried again", async (status) => {
    const { fetch, answer } = kafkaProxy();
    answer(new Response("", { status, headers: { "retry-after": "2" } }));
    await expect(kafkaSink({ url, topic, fetch }).send(exposures(1))).rejects.toMatchObject({ retryAfterMs: 2_000 });
  });
});

test.each(["", "a/b", "..", "a b", "x".repeat(250), "тема"])("%j is no topic", (wrong) => {
  expect(() => kafkaSink({ url, topic: wrong })).toThrow(RangeError);
});
