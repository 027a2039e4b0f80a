import { expect, test, vi } from "vitest";
import { logSink } from "../../../adapters/sink/log.ts";
import { sinkSuite } from "../../conformance/sink.suite.ts";
import { exposure, exposures } from "../../events/fixtures.ts";

sinkSuite("log", () => {
  const lines: string[] = [];
  let failures = 0;
  const write = async (line: string): Promise<void> => {
    if (failures > 0) {
      failures -= 1;
      throw new Error("the pipe is broken");
    }
    lines.push(line);
  };
  return {
    sink: logSink({ write }),
    received: () => lines.map((line): unknown => JSON.parse(line)),
    failNext: (times) => {
      failures = times;
    },
  };
});

test("an event is one line, whatever it holds", async () => {
  const lines: string[] = [];
  await logSink({ write: (line) => lines.push(line) }).send([exposure(0, { rulePath: "a\nb\r\u2028" }), exposure(1)]);
  expect(lines).toHaveLength(2);
  expect(lines.join("")).not.toMatch(/[\n\r]/);
});

test("writes to the console unless told otherwise", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  await logSink().send(exposures(1));
  expect(log.mock.calls).toEqual([[JSON.stringify(exposure(0))]]);
  log.mockRestore();
});
