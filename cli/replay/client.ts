/** Proviso's HTTP interface, as a replay uses it. */
import * as v from "valibot";
import type { ExperimentRef } from "../../src/scope.ts";
import { CliFailure, messageOf } from "../failure.ts";

/** Who acts. A server with development identity believes the id and the roles; any other goes by the token. */
export interface Person {
  readonly part: "author" | "approver";
  readonly id: string;
  readonly roles: readonly string[];
}

/** Writes the experiment, proposes it and starts it. */
export const author: Person = { part: "author", id: "replay-author", roles: ["editor", "operator"] };
/** Approves what the author proposed: nobody approves their own proposal. */
export const approver: Person = { part: "approver", id: "replay-approver", roles: ["approver"] };

export interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly retryAfterSeconds: number;
  readonly body: unknown;
}

const ProblemSchema = v.object({
  code: v.string(),
  detail: v.string(),
  missing: v.optional(v.array(v.string())),
  violations: v.optional(
    v.array(v.looseObject({ policyName: v.optional(v.string()), reason: v.optional(v.string()) })),
  ),
  errors: v.optional(v.array(v.object({ path: v.string(), message: v.string() }))),
});

export type Problem = v.InferOutput<typeof ProblemSchema>;

/** The problem document of an answer; null for an answer that is none. */
export const problemOf = ({ body }: Answer): Problem | null => {
  const result = v.safeParse(ProblemSchema, body);
  return result.success ? result.output : null;
};

/** A problem in one sentence, with what is missing, violated or wrong. */
export const describeProblem = (answer: Answer): string => {
  const problem = problemOf(answer);
  if (problem === null) return `the server answered ${answer.status}`;
  const { code, detail, missing = [], violations = [], errors = [] } = problem;
  const more = [
    ...(code === "unauthenticated" ? ["set PROVISO_AUTHOR_TOKEN and PROVISO_APPROVER_TOKEN"] : []),
    ...missing,
    ...violations.map(({ policyName = "policy", reason = "violated" }) => `${policyName}: ${reason}`),
    ...errors.map(({ path, message }) => `${path === "" ? "the whole" : path}: ${message}`),
  ].filter((part) => !detail.includes(part));
  return `${detail}${more.length === 0 ? "" : ` (${more.slice(0, 5).join("; ")})`} [${code}]`;
};

export interface Client {
  /** Path below the experiment, e.g. `/lifecycle/transition`; an empty one is the experiment itself. */
  experiment(
    person: Person,
    method: "GET" | "POST",
    path: string,
    options?: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>>; readonly query?: string },
  ): Promise<Answer>;
  ingest(body: string): Promise<Answer>;
}

const timeoutMs = 60_000;

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

export interface ClientOptions {
  /** Origin, and the path under which the server is mounted, without a slash at the end. */
  readonly url: string;
  readonly ref: ExperimentRef;
  readonly signal: AbortSignal;
  readonly tokens?: Tokens;
}

/** Bearer tokens, for servers that ask for them. That of the author also takes in events. */
export type Tokens = Readonly<Partial<Record<Person["part"], string>>>;

/** A failure below HTTP: nothing answered, or not in time. */
export class Unreachable extends CliFailure {}

const identity = ({ part, id, roles }: Person, tokens: Tokens): Readonly<Record<string, string>> => {
  const token = tokens[part];
  return token === undefined
    ? { "x-proviso-actor": id, "x-proviso-roles": roles.join(","), "x-proviso-actor-kind": "human" }
    : { authorization: `Bearer ${token}` };
};

export const createClient = ({ url, ref, signal, tokens = {} }: ClientOptions): Client => {
  const scope = new URLSearchParams({ tenant: ref.tenant, environment: ref.environment }).toString();
  const request = async (target: string, init: RequestInit): Promise<Answer> => {
    // Not AbortSignal.timeout: its timer would keep each request, and its body, until the time is over.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(new Error(`no answer in ${timeoutMs / 1_000} s`)), timeoutMs);
    try {
      const response = await fetch(target, { ...init, signal: AbortSignal.any([signal, deadline.signal]) });
      return {
        status: response.status,
        etag: response.headers.get("etag"),
        retryAfterSeconds: Number(response.headers.get("retry-after") ?? "") || 0,
        body: parse(await response.text()),
      };
    } catch (cause) {
      signal.throwIfAborted();
      throw new Unreachable(`${url} does not answer: ${messageOf(cause)}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  };
  const json = { "content-type": "application/json", accept: "application/json" };
  const base = `${url}/api/governance/${encodeURIComponent(ref.experiment)}`;
  return {
    experiment: (person, method, path, options = {}) =>
      request(`${base}${path}?${scope}${options.query === undefined ? "" : `&${options.query}`}`, {
        method,
        headers: { ...json, ...identity(person, tokens), ...options.headers },
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      }),
    ingest: (body) =>
      request(`${url}/api/events?${scope}`, {
        method: "POST",
        headers: { ...json, ...identity(author, tokens) },
        body,
      }),
  };
};
