import { expect, test } from "vitest";
import { memorySink } from "../../../adapters/sink/memory.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { exposures } from "../../events/fixtures.ts";

sinkSuite("memory", () => {
  const sink = memorySink();
  return { sink, received: () => sink.events(), failNext: "there is no far side" };
});

test("holds as many events as it may, the newest", async () => {
  const sink = memorySink({ maxEvents: 3 });
  await sink.send(exposures(2));
  await sink.send(exposures(5));
  expect(sink.events()).toEqual(exposures(5).slice(2));
  expect(sink.health().description).toBe("3 events in memory");
  sink.clear();
  expect(sink.events()).toEqual([]);
});
