import * as v from "valibot";
import { expect, test } from "vitest";
import { r2Sink, type R2BucketBinding } from "../../../adapters/sink/r2.ts";
import { utf8Length } from "../../../src/utf8.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { exposure, exposures } from "../../events/fixtures.ts";

/** R2: keys of at most 1,024 bytes; options that it does not know are refused here, though R2 ignores them. */
const Options = v.strictObject({ httpMetadata: v.strictObject({ contentType: v.literal("application/x-ndjson") }) });

const fakeBucket = () => {
  const objects = new Map<string, string>();
  let failures = 0;
  let puts = 0;
  const bucket: R2BucketBinding = {
    async put(key, value, options) {
      v.parse(Options, options);
      puts += 1;
      if (utf8Length(key) > 1_024 || key.startsWith("/") || key.includes("//")) throw new RangeError(`key ${key}`);
      if (failures > 0) {
        failures -= 1;
        throw new Error("put: Network connection lost (10001)");
      }
      objects.set(key, value);
    },
  };
  return { bucket, objects, puts: () => puts, failNext: (times: number) => void (failures = times) };
};
const lines = (text: string): readonly unknown[] =>
  text.split("\n").flatMap((line): unknown[] => (line === "" ? [] : [JSON.parse(line)]));

sinkSuite("r2", () => {
  const { bucket, objects, failNext } = fakeBucket();
  return { sink: r2Sink({ bucket }), received: () => [...objects.values()].flatMap(lines), failNext };
});

test("a batch has a place of its own, by time, and takes it again when it is sent again", async () => {
  const { bucket, objects, puts } = fakeBucket();
  const sink = r2Sink({ bucket, prefix: "tenants/acme" });
  await sink.send(exposures(3));
  await sink.send(exposures(3));
  await sink.send(exposures(2));
  expect(puts()).toBe(3);
  expect([...objects.keys()]).toEqual([
    expect.stringMatching(/^tenants\/acme\/2026\/11\/21\/10\/20261121T100000000Z-[0-9a-f]{32}\.ndjson$/),
    expect.stringMatching(/^tenants\/acme\/2026\/11\/21\/10\/20261121T100000000Z-[0-9a-f]{32}\.ndjson$/),
  ]);
});

test("a line is one event, whatever it holds; objects are bounded", async () => {
  const { bucket, objects } = fakeBucket();
  await r2Sink({ bucket, prefix: "", maxEvents: 2 }).send([
    exposure(0, { rulePath: "a\nb\u2028" }),
    ...exposures(4).slice(1),
  ]);
  expect([...objects.values()].map((text) => text.split("\n").length - 1)).toEqual([2, 2]);
  expect([...objects.keys()].every((key) => key.startsWith("2026/"))).toBe(true);
});

test.each(["a/", "a b", "ä", "x".repeat(501)])("%j is no prefix", (prefix) => {
  expect(() => r2Sink({ bucket: fakeBucket().bucket, prefix })).toThrow(RangeError);
});
