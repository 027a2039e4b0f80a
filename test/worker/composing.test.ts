/** What the Worker makes of its DSL: the same rules as the SDK makes of its options, and every part that the file names; and signed tokens inside workerd. */
import { env } from "cloudflare:workers";
import * as fc from "fast-check";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterEach, describe, expect, test, vi } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { sha256Hex } from "../../src/canonical.ts";
import { defineDsl, type Dsl, type DslInput } from "../../src/config/index.ts";
import { parseDuration } from "../../src/duration.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { withHostFunctions } from "../../src/governance/host-rules.ts";
import { createApp } from "../../src/http/app.ts";
import { jwtAlgorithms } from "../../src/http/jwt-algorithms.ts";
import { jwtIdentity } from "../../src/http/jwt-identity.ts";
import { observers } from "../../src/observe/observer.ts";
import { appDependencies, governorOptions, identityOf, outboxOf, readDsl } from "../../worker/compose.ts";
import type { WorkerEnv } from "../../worker/env.ts";
import { escaped, ruleInputs } from "../config/arbitrary.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const bindings = (values: Readonly<Record<string, unknown>> = {}): WorkerEnv =>
  // @ts-expect-error: objects of classes that only the deployed Worker has are not asked for here
  ({ ...env, ...values });

const read = (governance: unknown, given: WorkerEnv = bindings()): Dsl => {
  const result = readDsl(JSON.stringify({ governance: escaped(governance) }), given);
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.dsl;
};

const thrownBy = (act: () => unknown): unknown => {
  try {
    act();
    return null;
  } catch (error) {
    return error;
  }
};

describe("rules", () => {
  test("of a file are those of the SDK's options, gate by gate and policy by policy", () => {
    const seen = { judged: 0, refused: 0 };
    fc.assert(
      fc.property(ruleInputs, ({ guardrailInterval, approvalGates = [], policies = [], breakGlass }) => {
        const dsl = read({ guardrailInterval, approvalGates, policies, breakGlass });
        const gatesOfHost = approvalGates.flatMap((gate) => (gate.type === "custom" ? [gate] : []));
        const policiesOfHost = policies.flatMap((policy) => (policy.type === "custom" ? [policy] : []));
        fc.pre(new Set(policiesOfHost.map((policy) => policy.function)).size === policiesOfHost.length);
        const customGates = Object.fromEntries(
          gatesOfHost.map(({ gate }) => [gate, { version: "7", judge: () => ({ satisfied: true }) }]),
        );
        const customPolicies = Object.fromEntries(
          policiesOfHost.map((policy) => [
            policy.function,
            { version: policy.version ?? "7", judge: () => ({ compliant: true, reason: "", evidence: {} }) },
          ]),
        );
        const { policySet } = createGovernance({
          store: memoryStore(),
          gates: approvalGates,
          policies,
          ...(breakGlass === undefined ? {} : { breakGlass }),
          customGates,
          customPolicies,
        });
        const { approvalGates: gates, policies: rules, breakGlass: glass } = dsl.governance;
        const set = { gates, policies: rules, ...(glass === undefined ? {} : { breakGlass: glass }) };
        expect(withHostFunctions(set, customGates, customPolicies)).toEqual(policySet);
        const compose = () => governorOptions(bindings(), dsl, memoryStore());
        const isWhole = gatesOfHost.length + policiesOfHost.length === 0;
        seen[isWhole ? "judged" : "refused"] += 1;
        expect(isWhole ? compose() : thrownBy(compose)).toMatchObject(
          isWhole
            ? { policySet, guardrailIntervalMs: parseDuration(guardrailInterval ?? "60s") }
            : { code: "invalid-dsl" },
        );
      }),
      { numRuns: 60 },
    );
    expect(seen.judged).toBeGreaterThan(5);
    expect(seen.refused).toBeGreaterThan(5);
  });

  test("that name a function nobody provides are refused at once, each by its place", () => {
    const dsl = read({
      approvalGates: [
        { type: "manual", to: "Approved" },
        { type: "custom", gate: "freeze", to: "Running" },
      ],
      policies: [{ type: "custom", function: "budget" }],
    });
    const errors = [
      { path: "/governance/approvalGates/1/gate", message: "gate freeze: no gate freeze is registered" },
      { path: "/governance/policies/0/function", message: "policy custom: no policy is registered as budget" },
    ];
    const composing = [() => appDependencies(bindings(), dsl), () => governorOptions(bindings(), dsl, memoryStore())];
    for (const compose of composing) {
      expect(thrownBy(compose)).toMatchObject({ code: "invalid-dsl", details: { errors } });
      expect(compose).toThrow("/governance/approvalGates/1/gate gate freeze: no gate freeze is registered");
    }
  });
});

test("rates of the DSL are those of the Worker's app: 429 for a person, an application and an address that fails", async () => {
  const [viewer, key] = ["a-viewer-token-of-some-length", "an-ingest-key-of-some-length"];
  const tokens = [
    { id: "viewer@example.com", roles: ["none"], sha256: sha256Hex(viewer) },
    { id: "shop", kind: "service", roles: ["ingest"], sha256: sha256Hex(key) },
  ];
  const given = bindings({ TOKENS: JSON.stringify(tokens) });
  const rate = (burst: number) => ({ perMinute: 1, burst });
  const dsl = read(
    {
      auth: { type: "token", secret: "TOKENS" },
      rateLimits: { governance: rate(2), dataPlane: rate(1), failures: rate(3) },
    },
    given,
  );
  const app = createApp(appDependencies(given, dsl));
  const answers = async (method: string, path: string, token: string, times: number): Promise<readonly number[]> => {
    const statuses: number[] = [];
    for (let count = 0; count < times; count += 1) {
      const headers = { authorization: `Bearer ${token}`, "cf-connecting-ip": "192.0.2.7" };
      const body = method === "GET" ? {} : { body: "{" };
      const response = await app.request(`https://proviso.example.com${path}`, { method, headers, ...body });
      const isLate = response.status === 429;
      expect([isLate, Number(response.headers.get("retry-after")) > 0]).toEqual([isLate, isLate]);
      statuses.push(response.status);
    }
    return statuses;
  };
  expect(await answers("GET", "/api/governance/checkout", viewer, 3)).toEqual([403, 403, 429]);
  expect(await answers("POST", "/api/events", key, 2)).toEqual([400, 429]);
  expect(await answers("GET", "/api/governance/checkout", "nobody", 4)).toEqual([401, 401, 401, 429]);
});

test("development identity is counted by nobody", () => {
  expect(appDependencies(bindings(), read({})).rateLimits).toEqual({});
});

test("Slack, a queue and the log, as the DSL names them, hear of what happens, and of nothing personal", async () => {
  const sent: { readonly url: string; readonly body: string }[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    sent.push({ url, body: await new Response(init.body).text() });
    return new Response("ok");
  });
  const batches: unknown[] = [];
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: unknown) => void lines.push(String(line)));
  const given = bindings({
    SLACK_URL: "https://hooks.example.com/services/T/B/secret",
    SIEM: { sendBatch: async (bodies: Iterable<unknown>) => void batches.push(...bodies) },
  });
  const dsl = read(
    {
      persistence: { type: "memory" },
      notices: [{ type: "slack", name: "team", urlSecret: "SLACK_URL", kinds: ["committed"] }],
      audit: [
        { type: "queue", name: "siem", queue: "SIEM" },
        { type: "log", name: "log" },
      ],
    },
    given,
  );
  const store = memoryStore();
  const working: Promise<unknown>[] = [];
  const outbox = outboxOf(given, dsl, store, (work) => void working.push(work), observers());
  if (outbox === undefined) throw new Error("nobody is told");
  const ref = { tenant: "default", environment: "default", experiment: "checkout" };
  const { define, submit } = createGovernance({ store });
  const by = { actor: { id: "author@example.com", kind: "human" as const, roles: ["editor"] } };
  await define("checkout", { variants: [{ key: "control", control: true }, { key: "treatment" }] }, by);
  await submit("checkout", { reason: "my words" }, by);
  await outbox.drain(ref);
  await Promise.all(working);
  log.mockRestore();
  expect(outbox.troubles()).toEqual([]);
  expect(sent.map(({ url }) => url)).toEqual(["https://hooks.example.com/services/T/B/secret"]);
  expect(JSON.parse(sent[0]?.body ?? "")).toMatchObject({ text: "Done: checkout: Draft → PendingApproval" });
  const types = ["Created", "VersionWritten", "Transitioned", "ProposalOpened"];
  expect(batches).toHaveLength(types.length);
  for (const [index, type] of types.entries()) {
    expect(JSON.stringify(batches[index])).toContain(type);
    expect(lines[index]).toContain(type);
  }
  for (const words of ["author@example.com", "my words"])
    expect(JSON.stringify([sent, batches, lines])).not.toContain(words);
});

test("a subscriber whose secret or queue is not there is an error of the DSL, by its place", () => {
  const without = bindings();
  for (const [governance, place] of [
    [{ notices: [{ type: "slack", name: "team", urlSecret: "GONE" }] }, "governance.notices[0].urlSecret"],
    [{ audit: [{ type: "queue", name: "siem", queue: "GONE" }] }, "governance.audit[0].queue"],
  ] as const)
    expect(() => appDependencies(without, read(governance))).toThrow(`${place} names GONE`);
});

const issuer = "https://id.example.com";

test.each(jwtAlgorithms)("%s is verified by this runtime", async (alg) => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "one" };
  const token = await new SignJWT({ roles: ["viewer"] })
    .setProtectedHeader({ alg, kid: "one" })
    .setIssuer(issuer)
    .setAudience("proviso")
    .setSubject("ada")
    .setExpirationTime("5m")
    .sign(privateKey);
  const identity = jwtIdentity({
    issuer,
    audience: "proviso",
    jwksUri: `${issuer}/keys`,
    algorithms: [alg],
    fetch: () => Promise.resolve(Response.json({ keys: [jwk] })),
    now: Date.now,
  });
  const request = (text: string) =>
    new Request("https://proviso.example.com/", { headers: { authorization: `Bearer ${text}` } });
  expect(await identity.authenticate(request(token))).toMatchObject({ actor: { id: "ada", roles: ["viewer"] } });
  await expect(identity.authenticate(request(`${token.slice(0, -8)}AAAAAAAA`))).rejects.toThrow("signature");
});

const dslOf = (auth: NonNullable<DslInput["governance"]>["auth"]): Dsl => {
  const defined = defineDsl(auth === undefined ? {} : { governance: { auth } });
  if (!defined.ok) throw new TypeError(defined.errors.map(({ message }) => message).join("; "));
  return defined.value;
};

/** Reading anything else of the environment fails. */
const envOf = (values: Readonly<Record<string, string>>): WorkerEnv =>
  // @ts-expect-error: an environment without bindings, which identities do not need
  values;

test("composing fetches nothing, and a data-plane secret that is not set is refused at once", () => {
  const fetching = vi.spyOn(globalThis, "fetch");
  const jwt = { type: "jwt", issuer, audience: "proviso", jwks: `${issuer}/keys` } as const;
  const access = { type: "cloudflareAccess", team: "example", audience: "aud" } as const;
  identityOf(envOf({}), dslOf(jwt));
  identityOf(envOf({}), dslOf(access));
  expect(fetching).not.toHaveBeenCalled();
  for (const auth of [jwt, access])
    expect(() => identityOf(envOf({}), dslOf({ ...auth, secret: "KEYS" }))).toThrow("names KEYS, which is not set");
  fetching.mockRestore();
});
