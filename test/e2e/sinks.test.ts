/** The whole Worker with sinks: what each may do to the ledger, which is nothing. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { expect, test } from "vitest";
import { memorySink } from "../../adapters/sink/memory.ts";
import { createExperiments } from "../../src/evaluation/experiments.ts";
import { httpRules } from "../../src/evaluation/rules.ts";
import { exposure } from "../events/fixtures.ts";
import { startReceiver } from "../support/receiver.ts";
import { ask, start, startServer, temporaryDirectory } from "./server.ts";

const Results = v.object({ exposures: v.number(), repeats: v.number() });
const Batch = v.object({ events: v.array(v.object({ eventId: v.string() })) });

test("events of the types that are on are counted while a required sink fails, arrive there when it is back, and are counted once", async () => {
  const directory = await temporaryDirectory();
  const [copy, dead] = [await startReceiver(), await startReceiver()];
  const dsl = join(directory.path, "proviso.yaml");
  await writeFile(
    dsl,
    `governance:
  approvalGates: [{ type: manual, from: PendingApproval, to: Approved }]
dataPlane:
  events: { errors: false }
  sinks:
    - { type: http, name: copy, url: "${copy.url}", authorizationSecret: COPY_KEY, required: true }
    - { type: openTelemetry, url: "${dead.url}", timeLimit: 1s }
    - { type: r2, bucket: ARCHIVE, required: true }
    - { type: parquet, bucket: ARCHIVE, prefix: tables, required: true }
    - { type: queue, queue: EXPORT, required: true }
    - { type: analyticsEngine, dataset: EXPERIMENT_EVENTS }
`,
  );
  process.env["COPY_KEY"] = "Bearer copy";
  const server = await startServer(join(directory.path, "state"), dsl);
  try {
    await start(server.url, "checkout");
    const read = await ask(server.url, "author", "GET", "checkout");
    const { epoch, liveDigest } = v.parse(v.object({ epoch: v.number(), liveDigest: v.string() }), read.body);
    const events = Array.from({ length: 10 }, (_, n) => {
      const event = exposure(n, { epoch, digest: liveDigest, version: 1 });
      return { ...event, timestamp: new Date().toISOString() };
    });
    const ids = events.map(({ eventId }) => eventId);
    copy.next.push(503, { status: 202, headers: {}, body: JSON.stringify({ accepted: 10, rejected: [] }) });
    dead.next.push("hang", "hang", "hang");
    const sent = await fetch(`${server.url}/api/events`, { method: "POST", body: JSON.stringify({ events }) });
    expect(sent.status).toBe(202);

    // A type that the DSL switches off: ingest refuses it, and applications learn it with the rules.
    const failure = {
      ...exposure(99),
      eventType: "Error",
      payload: { experimentName: "checkout", subjectId: "user-1", variantKey: "treatment", errorName: "TypeError" },
    };
    const refused = await fetch(`${server.url}/api/events`, { method: "POST", body: JSON.stringify(failure) });
    expect(await refused.json()).toMatchObject({
      accepted: 0,
      rejected: [{ index: 0, path: "/eventType", message: "Error events are switched off here (dataPlane.events)" }],
    });
    const kept = memorySink();
    const experiments = createExperiments({ rules: httpRules({ url: server.url }), sink: kept });
    await experiments.ready();
    const about = { experimentName: "checkout", subjectId: "user-1" };
    const record = { ...about, variantKey: "treatment", errorName: "TypeError" };
    expect(experiments.record({ eventType: "Error", payload: record })).toBe(false);
    const change = { ...about, previousVariantKey: "control", newVariantKey: "treatment", changeReason: "test" };
    expect(experiments.record({ eventType: "Assignment", payload: change })).toBe(true);
    await experiments.flush();
    expect(kept.events().map(({ eventType }) => eventType)).toEqual(["Assignment"]);

    const counted = async () => v.parse(Results, (await ask(server.url, "author", "GET", "checkout/results")).body);
    await expect.poll(() => copy.arrived.length, { timeout: 20_000 }).toBe(1);
    expect(await counted()).toMatchObject({ exposures: 10, repeats: 0 });
    await expect.poll(() => copy.arrived.length, { timeout: 20_000, interval: 200 }).toBe(2);
    const [first, second] = copy.arrived.map(({ body }) =>
      v.parse(Batch, JSON.parse(body)).events.map(({ eventId }) => eventId),
    );
    expect([first, second]).toEqual([ids, ids]);
    expect(copy.arrived.map(({ headers, path }) => [headers.authorization, path])).toEqual([
      ["Bearer copy", "/hook/api/events"],
      ["Bearer copy", "/hook/api/events"],
    ]);
    expect(dead.arrived[0]?.path).toBe("/hook/v1/logs");
    expect(await counted()).toMatchObject({ exposures: 10, repeats: 0 });
  } finally {
    delete process.env["COPY_KEY"];
    await server.kill();
    await Promise.all([copy.close(), dead.close(), directory.remove()]);
  }
});
