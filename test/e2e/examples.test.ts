/** The examples, as their pages say they are run: against the real server, with real alarms. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Server, startServer, temporaryDirectory } from "./server.ts";

const run = promisify(execFile);

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: Server;
beforeAll(async () => {
  directory = await temporaryDirectory();
  server = await startServer(directory.path, "examples/governance/proviso.yaml");
});
afterAll(async () => {
  await server.stop();
  await directory.remove();
});

test("examples/governance", async () => {
  const { stdout } = await run(process.execPath, ["examples/governance/run.ts"], {
    env: { ...process.env, PROVISO_URL: server.url },
  });
  expect(stdout.trim().split("\n")).toEqual([
    "== states and policies",
    "without an owner: policy-violation",
    "with one: PendingApproval",
    "== approvals",
    "one's own: gate-rejected",
    "somebody else's: Approved",
    "== a ramp, by the clock",
    "by an editor: gate-rejected",
    "by an operator: 5 %",
    "a second later: 25 %",
    "== a new version while it serves",
    "asked for: 202, and two teams must agree",
    "live: version 3",
    "== rolling back",
    "version 4 is version 2 again, and the state is RolledBack",
    "== history",
    "Draft → PendingApproval by author@example.com",
    "PendingApproval → Approved by payments@example.com",
    "Approved → Ramping by operator@example.com",
    "Ramping → RolledBack by operator@example.com",
    "10 decisions with what the policies said of them",
    expect.stringMatching(/^\d+ events, valid: true$/),
  ]);
});

test("examples/data-plane", async () => {
  const { stdout } = await run(process.execPath, ["examples/data-plane/run.ts"]);
  const lines = stdout.trim().split("\n");
  expect(lines.slice(0, 10)).toEqual([
    "== six people pay",
    "ada: assigned bank (TARGETING_MATCH), served by bank for 2500",
    "bo: assigned bank (TARGETING_MATCH), served by bank for 4000",
    "cy: assigned bank (TARGETING_MATCH), served by bank for 900",
    "di: assigned bank (TARGETING_MATCH), served by cards for 50030",
    "eve: assigned cards (TARGETING_MATCH), served by cards for 60030",
    "flo: assigned cards (DEFAULT), served by cards for 1030",
    "== a shadow: cards for everybody, the bank unseen",
    "served by cards",
    "3 different, 1 failed",
  ]);
  const events = lines.slice(lines.indexOf("== events") + 1, lines.indexOf("== health"));
  // Whose they are is hidden, whose belongs to whose is not.
  expect(events.join("\n")).not.toMatch(/ada|bo\b|cy|eve|flo/);
  expect(events.map((line) => line.replace(/ [0-9a-f]{8} /, " ")).toSorted()).toEqual(
    [
      ...["2500", "4000", "900", "50000", "60000", "1000"].map((cents) => `Outcome paid ${cents}`),
      ...Array.from({ length: 4 }, () => "Exposure bank"),
      "Exposure cards",
      "Error bank RangeError, control answered",
      ...Array.from({ length: 3 }, () => "AnalysisSignal ShadowDifference different"),
      "AnalysisSignal ShadowDifference failed",
    ].toSorted(),
  );
  expect(lines.slice(lines.indexOf("== health"))).toEqual([
    "== health",
    "experiments: healthy, 16 events sent",
    "sinks: degraded",
    "  memory healthy: 16 events in memory",
    "  log healthy: 0 events wait",
    "  otel unhealthy: 16 events wait",
    "every event is in the log",
  ]);
});
