import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { startTimer } from "../../src/events/timer.ts";

const run = promisify(execFile);
const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);

/** Runs a program to its own end, in a process of its own: only that shows what keeps one alive. */
const output = async (program: string): Promise<string> => {
  const { stdout } = await run(process.execPath, ["--input-type=module", "--no-warnings", "--eval", program], {
    timeout: 30_000,
  });
  return stdout;
};

const buffered = (after: string): string => `
  import { createEventBuffer } from ${source("events/buffer.ts")};
  let tries = 0;
  const sink = {
    name: "test",
    send: async (events) => {
      tries += 1;
      if (tries === 1) throw new Error("down");
      console.log("sent", events.length);
      return { accepted: events.length, rejected: [] };
    },
    health: () => ({ status: "healthy", description: "" }),
  };
  const buffer = createEventBuffer({ sink, flushIntervalMs: 3_600_000, backoffMs: 20 });
  buffer.add({
    eventId: "0197a3c4-7d1e-7c3a-9f0b-000000000000",
    timestamp: "2026-11-21T10:00:00.000Z",
    eventType: "Exposure",
    payload: { experimentName: "checkout", variantKey: "control", subjectId: "user-1" },
  });
  ${after}
`;

describe("in a process", () => {
  test("an event that waits for its batch does not keep it alive", async () => {
    expect(await output(buffered('console.log("end");'))).toBe("end\n");
  });

  test("an awaited flush does, through its retries", async () => {
    expect(await output(buffered("console.log(await buffer.flush());"))).toBe("sent 1\ntrue\n");
  });
});

test("a timer goes off, and not when it is cancelled", async () => {
  let cancelled = 0;
  const cancel = startTimer(() => (cancelled += 1), 0, true);
  cancel();
  await new Promise<void>((resolve) => {
    startTimer(resolve, 5, true);
  });
  expect(cancelled).toBe(0);
});

test("where timers are forbidden, as in a Worker's global scope, it never goes off and throws nothing", () => {
  vi.stubGlobal("setTimeout", () => {
    throw new Error("Disallowed operation called within global scope.");
  });
  try {
    expect(startTimer(() => {}, 0, false)).not.toThrow();
  } finally {
    vi.unstubAllGlobals();
  }
});
