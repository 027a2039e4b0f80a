/** Several "processes" over one store, speaking HTTP: what the twenty guarantees are tried on. */
import * as v from "valibot";
import type { CustomGates } from "../../src/governance/custom-gates.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import type { ActorKind } from "../../src/governance/gates/schema.ts";
import type { Telemetry } from "../../src/governance/evidence.ts";
import { createGovernor, type Governor } from "../../src/governance/governor.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { createApp } from "../../src/http/app.ts";
import type { CustomPolicies } from "../../src/governance/policies/custom.ts";
import { developmentIdentity } from "../../src/http/development-identity.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { policySetOf, type World as Rules } from "./scenario.ts";

export interface Reply {
  readonly status: number;
  readonly code: string | null;
  readonly body: Readonly<Record<string, unknown>>;
  readonly etag: string;
}

export interface Person {
  get(path: string): Promise<Reply>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  put(path: string, body: unknown): Promise<Reply>;
  /** POST …/lifecycle/transition */
  move(targetState: string, more?: Record<string, unknown>, headers?: Record<string, string>): Promise<Reply>;
  /** POST …/versions */
  write(changes?: Record<string, unknown>, headers?: Record<string, string>): Promise<Reply>;
  /** Approves the one proposal that is open. */
  approve(): Promise<Reply>;
  say(decision: string, changeDigest: string): Promise<Reply>;
}

/** One process: an application and its governor, with rules of its own over the shared store. */
export interface Process {
  readonly as: (actor: string, roles: string, experiment?: string, kind?: ActorKind) => Person;
  readonly governor: Governor;
  readonly author: Person;
  readonly approver: Person;
  readonly second: Person;
}

export interface ProcessOptions extends Rules {
  readonly telemetry?: Partial<Telemetry>;
  readonly customGates?: CustomGates;
  readonly customPolicies?: CustomPolicies;
  /** Between the process and the store: holds, fails, loses answers. */
  readonly through?: (store: GovernanceStore) => GovernanceStore;
}

export interface GovernedWorld {
  readonly ref: ExperimentRef;
  readonly store: GovernanceStore;
  readonly start: (options?: ProcessOptions) => Process;
  readonly wait: (ms: number) => void;
  readonly now: () => number;
  readonly history: (experiment?: string) => Promise<readonly EventRecord[]>;
  readonly typesOf: (experiment?: string) => Promise<readonly string[]>;
}

const Body = v.record(v.string(), v.unknown());
const Proposals = v.looseObject({ proposals: v.array(v.looseObject({ id: v.string(), changeDigest: v.string() })) });

/** The open proposals in an answer that shows some. */
export const proposalsIn = ({ body }: Reply): readonly { readonly id: string; readonly changeDigest: string }[] =>
  v.parse(Proposals, body).proposals;

const nothing = { exposed: 0, worstErrorRate: 0, worstVariant: null, subjects: {}, sampleRatio: null };

export const governedWorld = (
  store: GovernanceStore,
  scope: { tenant: string; environment: string },
): GovernedWorld => {
  let time = Date.parse("2026-11-21T12:00:00Z");
  const ref = { ...scope, experiment: "checkout" };
  const history = async (experiment = "checkout"): Promise<readonly EventRecord[]> =>
    (await store.history({ ...scope, experiment }, { limit: 1_000 })).events;

  const start = ({ telemetry, customGates, customPolicies, through, ...rules }: ProcessOptions = {}): Process => {
    const reached = through === undefined ? store : through(store);
    const policySet = policySetOf(rules);
    const governor = createGovernor({
      store: reached,
      policySet,
      telemetry: { read: () => Promise.resolve(nothing), ...telemetry },
      now: () => time,
      id: () => crypto.randomUUID(),
      salt: () => crypto.randomUUID().replaceAll("-", ""),
      ...(customGates === undefined ? {} : { customGates }),
      ...(customPolicies === undefined ? {} : { customPolicies }),
    });
    const app = createApp({
      store: reached,
      policySet,
      governor: () => governor,
      identity: developmentIdentity({ enabled: true }),
      now: () => time,
    });
    const as = (actor: string, roles: string, experiment = "checkout", kind: ActorKind = "human"): Person => {
      const ask = async (
        method: string,
        path: string,
        body?: unknown,
        headers: Record<string, string> = {},
      ): Promise<Reply> => {
        const query = `tenant=${scope.tenant}&environment=${scope.environment}`;
        const response = await app.request(`http://127.0.0.1/api/governance/${experiment}${path}?${query}`, {
          method,
          headers: { "x-proviso-actor": actor, "x-proviso-roles": roles, "x-proviso-actor-kind": kind, ...headers },
          ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        });
        const answer = v.parse(Body, await response.json());
        const { code } = answer;
        return {
          status: response.status,
          code: typeof code === "string" ? code : null,
          body: answer,
          etag: response.headers.get("etag") ?? "",
        };
      };
      const say = (decision: string, changeDigest: string): Promise<Reply> =>
        ask("POST", "/approvals", { decision, changeDigest });
      return {
        get: (path) => ask("GET", path),
        post: (path, body, headers) => ask("POST", path, body, headers),
        put: (path, body) => ask("PUT", path, body),
        move: (targetState, more = {}, headers) =>
          ask("POST", "/lifecycle/transition", { targetState, ...more }, headers),
        write: (changes = {}, headers) =>
          ask(
            "POST",
            "/versions",
            {
              configuration: {
                salt: "pepper",
                variants: [{ key: "control", control: true }, { key: "treatment" }],
                ...changes,
              },
            },
            headers,
          ),
        approve: async () => say("approve", proposalsIn(await ask("GET", "/proposals"))[0]?.changeDigest ?? ""),
        say,
      };
    };
    return {
      as,
      governor,
      author: as("author@example.com", "editor,operator"),
      approver: as("approver@example.com", "approver"),
      second: as("second@example.com", "approver,editor,operator"),
    };
  };

  return {
    ref,
    store,
    start,
    wait: (ms) => void (time += ms),
    now: () => time,
    history,
    typesOf: async (experiment) => (await history(experiment)).map(({ type }) => type),
  };
};
