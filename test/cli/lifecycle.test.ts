import { describe, expect, test } from "vitest";
import type { Client } from "../../cli/replay/client.ts";
import { startExperiment, type StartInput } from "../../cli/replay/lifecycle.ts";
import { describePlan, parsePlanned, planVariants, samePlan } from "../../cli/replay/plan.ts";
import type { GateInput } from "../../src/governance/gates/schema.ts";
import { type Api, configuration, createApi } from "../support/api.ts";

/** The real HTTP application in this process. */
const clientOf = (api: Api): Client => ({
  async experiment(person, method, path, { body, headers = {}, query } = {}) {
    const speaker = api.as(person.id, person.roles.join(","));
    const target = `/api/governance/demo${path}${query === undefined ? "" : `?${query}`}`;
    const answer = method === "GET" ? await speaker.get(target, headers) : await speaker.post(target, body, headers);
    return { status: answer.status, etag: answer.headers.get("etag"), retryAfterSeconds: 0, body: answer.body };
  },
  ingest: () => Promise.reject(new Error("not here")),
});

const arms = planVariants(parsePlanned("control=1,treatment=1"), undefined);

const begin = (api: Api, changes: Partial<StartInput> = {}) => {
  const steps: string[] = [];
  const result = startExperiment({
    client: clientOf(api),
    experiment: "demo",
    newVariants: () => arms,
    objection: (found) => (samePlan(found, arms) ? undefined : describePlan(arms)),
    outcomes: [{ column: "bought", kind: "binary", metric: "purchase" }],
    description: "Replayed from rows.csv",
    onStep: (text) => steps.push(text.replaceAll(/[0-9a-f]{12}/g, "…")),
    ...changes,
  });
  return { steps, result };
};

const stateOf = async (api: Api) => (await api.as("x", "viewer").get("/api/governance/demo")).body;
const move = (api: Api, targetState: string) =>
  api.as("somebody", "editor,operator").post("/api/governance/demo/lifecycle/transition", { targetState });

const gates: readonly GateInput[] = [{ type: "manual", from: "PendingApproval", to: "Approved", roles: ["approver"] }];

describe("startExperiment", () => {
  test("takes a new experiment to Running as two people", async () => {
    const api = createApi({ gates: [...gates] });
    const { result, steps } = begin(api);
    const started = await result;
    expect(steps).toEqual([
      "replay-author created demo: control=1 (control), treatment=1",
      "replay-author moved it to PendingApproval",
      "replay-approver approved the move to Approved (…)",
      "replay-author moved it to Approved",
      "replay-author moved it to Running",
    ]);
    const snapshot = await stateOf(api);
    expect(started).toEqual({
      state: "Running",
      variants: arms,
      version: 1,
      digest: snapshot["liveDigest"],
      epoch: snapshot["epoch"],
    });
    expect(snapshot).toMatchObject({
      state: "Running",
      configuration: { description: "Replayed from rows.csv", metrics: [{ name: "purchase", kind: "binary" }] },
    });
  });

  test("an experiment that is Running with the same arms is used as it is", async () => {
    const api = createApi({ gates: [...gates] });
    await begin(api).result;
    const before = await stateOf(api);
    const { result, steps } = begin(api);
    await expect(result).resolves.toMatchObject({ version: 1 });
    expect(steps).toEqual([]);
    expect(await stateOf(api)).toEqual(before);
  });

  test.each(["Draft", "PendingApproval", "Approved"])("carries one in %s forward from there", async (state) => {
    const api = createApi();
    await api.as("somebody", "editor").post("/api/governance/demo/versions", { configuration: configuration() });
    if (state !== "Draft") await move(api, "PendingApproval");
    if (state === "Approved") await move(api, "Approved");
    expect((await stateOf(api))["state"]).toBe(state);
    await expect(begin(api).result).resolves.toMatchObject({ state: "Running" });
  });

  test("a quorum that one approver fills is filled; a larger one is refused with what is missing", async () => {
    const quorum = (count: number): GateInput => ({
      type: "quorum",
      from: "Approved",
      to: "Running",
      count,
      roles: ["approver"],
    });
    const one = createApi({ gates: [...gates, quorum(1)] });
    await expect(begin(one).result).resolves.toMatchObject({ state: "Running" });
    const two = createApi({ gates: [...gates, quorum(2)] });
    await expect(begin(two).result).rejects.toThrow(
      /demo cannot move to Running: .*1 of 2 approvals by approver.*\[approval-required\]/,
    );
    expect((await stateOf(two))["state"]).toBe("Approved");
  });

  test("a gate for other roles and a policy refuse with their words", async () => {
    const gated = createApi({ gates: [{ type: "roleBased", to: "Running", allowedRoles: ["release-manager"] }] });
    await expect(begin(gated).result).rejects.toThrow(/cannot move to Running: .*release-manager.*\[gate-rejected\]/);
    const limited = createApi({ policies: [{ type: "trafficLimit", maxTrafficPercentage: 5 }] });
    await expect(begin(limited).result).rejects.toThrow(/cannot move to Running: .*\[policy-violation\]/);
  });

  test("other arms than asked for are refused before anything changes", async () => {
    const api = createApi();
    await begin(api).result;
    const other = planVariants(parsePlanned("control=1,treatment=3"), undefined);
    await expect(
      begin(api, { objection: (found) => (samePlan(found, other) ? undefined : describePlan(other)) }).result,
    ).rejects.toThrow(
      "demo exists with the arms control=1 (control), treatment=1, and asked for was control=1 (control), treatment=3: choose another name",
    );
  });

  test.each(["Paused", "RolledBack", "Archived"])("one that somebody moved to %s is left alone", async (state) => {
    const api = createApi();
    await begin(api).result;
    expect((await move(api, state)).status).toBe(200);
    await expect(begin(api).result).rejects.toThrow(
      `demo is ${state}, so nothing is served and nothing can be replayed`,
    );
    expect((await stateOf(api))["state"]).toBe(state);
  });

  test("several replays that start at one moment end with one running experiment", async () => {
    const api = createApi({ gates: [...gates] });
    const started = await Promise.all(Array.from({ length: 5 }, () => begin(api).result));
    expect(new Set(started.map(({ digest }) => digest)).size).toBe(1);
    expect(await stateOf(api)).toMatchObject({ state: "Running", latestVersion: 1 });
  });
});
