/** The typed client against the app. Half of this is for the compiler: `npm run typecheck` fails where a type is lost. */
import { expect, expectTypeOf, test } from "vitest";
import { createClient } from "../src/client.ts";
import type { LifecycleState } from "../src/lifecycle.ts";
import { createApi } from "./support/api.ts";

const setup = () => {
  const api = createApi({ gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] });
  const clientOf = (actor: string, roles: string) =>
    createClient("http://127.0.0.1", {
      headers: { "x-proviso-actor": actor, "x-proviso-roles": roles },
      fetch: (input, init) => api.send(new Request(input, init)),
    });
  return { author: clientOf("author", "editor"), approver: clientOf("approver", "approver") };
};
const param = { name: "checkout" };

test("a change goes from version to approval, each answer narrowed by its status", async () => {
  const { author, approver } = setup();
  const experiment = author.api.governance[":name"];
  const variants = [{ key: "control", control: true }, { key: "treatment" }];
  const written = await experiment.versions.$post({ param, json: { configuration: { variants } } });
  if (written.status !== 201) throw new Error(`${written.status}`);
  expectTypeOf((await written.json()).version).toEqualTypeOf<number>();

  const moved = await experiment.lifecycle.transition.$post({
    param,
    header: { "idempotency-key": "once" },
    json: { targetState: "PendingApproval" },
  });
  if (moved.status !== 200) throw new Error(`${moved.status}`);
  const { proposal, newState } = await moved.json();
  expectTypeOf(newState).toEqualTypeOf<LifecycleState>();
  expect(newState).toBe("PendingApproval");

  const refused = await experiment.lifecycle.transition.$post({ param, json: { targetState: "Approved" } });
  if (refused.status !== 409) throw new Error(`${refused.status}`);
  const { code } = await refused.json();
  expectTypeOf(code).toEqualTypeOf<
    | "request-in-flight"
    | "invalid-transition"
    | "approval-required"
    | "approval-stale"
    | "policy-violation"
    | "evidence-inconclusive"
    | "surface-claimed"
  >();
  expect(code).toBe("approval-required");

  const said = await approver.api.governance[":name"].approvals.$post({
    param,
    query: { tenant: "default" },
    json: { decision: "approve", changeDigest: proposal?.changeDigest ?? "" },
  });
  expect(said.status).toBe(201);
});

test("parameters of a query, and problems, have types as well", async () => {
  const { author } = setup();
  const listed = await author.api.governance.$get({ query: { state: ["Draft", "Running"], limit: "5" } });
  if (listed.status !== 200) throw new Error(`${listed.status}`);
  expect(await listed.json()).toEqual({ experiments: [], next: null });
  const unknown = await author.api.governance[":name"].$get({ param });
  if (unknown.status !== 404) throw new Error(`${unknown.status}`);
  expect((await unknown.json()).code).toBe("experiment-not-found");
  const document = await author.api["openapi.json"].$get();
  expect(document.status).toBe(200);
});

test("the compiler refuses what the API would", () => {
  const { author } = setup();
  const experiment = author.api.governance[":name"];
  const wrong = async () => {
    // @ts-expect-error no such decision
    await experiment.approvals.$post({ param, json: { decision: "maybe", changeDigest: "" } });
    // @ts-expect-error a change digest is not optional
    await experiment.approvals.$post({ param, json: { decision: "approve" } });
    // @ts-expect-error no body
    await experiment.lifecycle.transition.$post({ param });
    // @ts-expect-error a weight is a number
    await experiment.versions.$post({ param, json: { configuration: { variants: [{ key: "a", weight: "1" }] } } });
    // @ts-expect-error a name is wanted
    await experiment.$get({});
    // @ts-expect-error no such method
    expectTypeOf(experiment.$delete).toBeNever();
  };
  expect(wrong).toBeTypeOf("function");
});
