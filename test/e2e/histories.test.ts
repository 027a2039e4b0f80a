/** The built command line on histories that are kept in Durable Objects: it starts their Worker for the while. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportExperiment } from "../../src/governance/export/export.ts";
import { collect, lived } from "../support/lived.ts";
import { proviso, remaining } from "./command-line.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proviso-objects-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("a file goes into objects, from there to D1, and comes out the same; nothing is left running", async () => {
  const { store, ref } = await lived();
  const text = (await collect(exportExperiment(store, ref))).join("");
  const at = (name: string): string => join(directory, name);
  await writeFile(at("in.ndjson"), text);
  await writeFile(at("objects.yaml"), "governance: { persistence: { type: durableObject } }\n");
  await writeFile(at("d1.yaml"), "governance: { persistence: { type: d1 } }\n");
  const calls = [
    ["import", "--to", at("objects.yaml"), "--state", at("one"), at("in.ndjson")],
    ["copy", "--from", at("objects.yaml"), "--state", at("one"), "--to", at("d1.yaml"), "--to-state", at("two")],
    ["export", "--from", at("d1.yaml"), "--state", at("two"), "--out", at("out")],
    ["verify", at("out")],
  ];
  for (const args of calls) {
    const running = proviso(args);
    const { code, err } = await running.finished;
    expect([args[0], code, code === 0 ? "" : err]).toEqual([args[0], 0, ""]);
    expect(await remaining([running.pid])).toEqual([]);
  }
  expect(await readFile(at("out/checkout.ndjson"), "utf8")).toBe(text);
});
