import { expect, test } from "vitest";
import { memoryAudit } from "../../../adapters/audit/memory.ts";
import { auditRecord } from "../../../src/audit/record.ts";
import { auditSuite } from "../../conformance/audit.suite.ts";
import { fullHistory, ref } from "../../notices/history.ts";

auditSuite("memory", () => {
  const sink = memoryAudit();
  return { sink, received: () => sink.records(), failNext: "there is no far side" };
});

test("the oldest make room", async () => {
  const sink = memoryAudit(3);
  const { events } = await fullHistory();
  await sink.write(events.map((event) => auditRecord(ref, event, new Map(), "none")));
  expect(sink.records().map(({ event }) => event.seq)).toEqual([events.length - 2, events.length - 1, events.length]);
});
