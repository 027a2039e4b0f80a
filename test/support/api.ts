/** The HTTP API in process, on a memory store, with people who speak through headers. Every answer is held to the OpenAPI document. */
import * as v from "valibot";
import { expect } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { createGovernor } from "../../src/governance/governor.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { type AppType, createApp } from "../../src/http/app.ts";
import type { AppDependencies } from "../../src/http/dependencies.ts";
import { developmentIdentity } from "../../src/http/development-identity.ts";
import { openApiDocument, type OpenApiDocument } from "../../src/http/openapi/document.ts";
import { emptyCounts } from "../../src/ledger/counts.ts";
import { contractMismatches } from "./contract.ts";
import { policySetOf, type World } from "./scenario.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Speaker {
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  put(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  delete(path: string, headers?: Record<string, string>): Promise<Answer>;
}

export interface Api {
  readonly app: AppType;
  readonly send: (request: Request) => Promise<Response>;
  readonly as: (actor: string, roles: string, kind?: string) => Speaker;
  /** Requests without identity headers. */
  readonly anonymous: Speaker;
  readonly messages: string[];
  readonly reported: unknown[];
  readonly store: GovernanceStore;
}

const Body = v.record(v.string(), v.unknown());

/** The same for every app: it describes routes, not a deployment. */
let document: OpenApiDocument | undefined;

const speaker = (send: (request: Request) => Promise<Response>, identity: Record<string, string>): Speaker => {
  const ask = async (
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: unknown,
  ): Promise<Answer> => {
    const init = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
    const request = new Request(`http://127.0.0.1${path}`, { method, headers: { ...identity, ...headers }, ...init });
    const response = await send(request);
    const text = await response.text();
    if (document !== undefined) expect(contractMismatches(document, request, response, text)).toEqual([]);
    return {
      status: response.status,
      headers: response.headers,
      body: text === "" ? {} : v.parse(Body, JSON.parse(text)),
    };
  };
  return {
    get: (path, headers = {}) => ask("GET", path, headers),
    post: (path, body, headers = {}) => ask("POST", path, headers, body),
    put: (path, body, headers = {}) => ask("PUT", path, headers, body),
    delete: (path, headers = {}) => ask("DELETE", path, headers),
  };
};

/** Builds the app anew; nothing is shared between two calls but what is passed in. */
export const createApi = (world: World = {}, changes: Partial<AppDependencies> = {}): Api => {
  const store = changes.store ?? memoryStore();
  const policySet = policySetOf(world);
  const messages: string[] = [];
  const reported: unknown[] = [];
  const governor = createGovernor({
    store,
    policySet,
    telemetry: {
      read: () =>
        Promise.resolve({ exposed: 0, worstErrorRate: 0, worstVariant: null, subjects: {}, sampleRatio: null }),
    },
    now: Date.now,
    id: () => crypto.randomUUID(),
    salt: () => crypto.randomUUID().replaceAll("-", ""),
  });
  const app = createApp({
    store,
    policySet,
    governor: () => governor,
    identity: developmentIdentity({ enabled: true }),
    ledger: () => ({
      counts: () => Promise.resolve(emptyCounts),
      crossovers: () => Promise.resolve({ events: [], next: null }),
    }),
    sendMessages: (sent) => {
      messages.push(...sent);
      return Promise.resolve();
    },
    now: Date.now,
    report: (error) => reported.push(error),
    ...changes,
  });
  document ??= openApiDocument(app);
  const send = async (request: Request): Promise<Response> => app.fetch(request);
  return {
    app,
    send,
    as: (actor, roles, kind) =>
      speaker(send, {
        "x-proviso-actor": actor,
        "x-proviso-roles": roles,
        ...(kind === undefined ? {} : { "x-proviso-actor-kind": kind }),
      }),
    anonymous: speaker(send, {}),
    messages,
    reported,
    store,
  };
};

export const configuration = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  salt: "pepper",
  variants: [{ key: "control", control: true }, { key: "treatment" }],
  ...changes,
});
