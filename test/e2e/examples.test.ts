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
