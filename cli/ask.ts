/** Asking a running server, as whoever's token is in the environment. */
import * as v from "valibot";
import type { Scope } from "../src/scope.ts";
import type { CommandContext } from "./command.ts";
import { CliFailure, messageOf, usageFailure } from "./failure.ts";

export interface ServerAddress {
  /** Origin, and the path under which the server is mounted, without a slash at the end. */
  readonly url: string;
  /** Left out: development identity. */
  readonly token?: string;
  readonly signal: AbortSignal;
}

/**
 * A server by its address, asked with the token that is in the environment.
 *
 * @param what how messages call the address
 * @throws CliFailure for what is no address of a server, and for one with a password in it, which is not shown
 */
export const serverAddress = (what: string, text: string, { environment, signal }: CommandContext): ServerAddress => {
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  if (url === null) throw usageFailure(`${what}${text.includes("@") ? "" : ` ${text}`} is no address`);
  if (url.username !== "" || url.password !== "")
    throw usageFailure(`${what} of ${url.host} has a name or a password in it: servers take a token, in PROVISO_TOKEN`);
  const token = environment["PROVISO_TOKEN"];
  return {
    url: text.replace(/\/+$/, ""),
    signal,
    ...(token === undefined || token === "" ? {} : { token }),
  };
};

export type Ask = (path: string, scope: Scope, init?: RequestInit & { readonly duplex?: "half" }) => Promise<Response>;

const Problem = v.object({ code: v.string(), detail: v.string() });

/**
 * @param role what development identity says of itself, and what a token must have
 * @returns asks below `/api/governance`, and gives answers that are ok; everything else is a CliFailure with the server's words
 */
export const createAsk = ({ url, token, signal }: ServerAddress, role: "admin" | "viewer"): Ask => {
  const identity: Readonly<Record<string, string>> =
    token === undefined
      ? { "x-proviso-actor": "service:proviso-cli", "x-proviso-roles": role, "x-proviso-actor-kind": "service" }
      : { authorization: `Bearer ${token}` };
  return async (path, scope, init = {}) => {
    const separator = path.includes("?") ? "&" : "?";
    const query = new URLSearchParams({ tenant: scope.tenant, environment: scope.environment });
    let response: Response;
    try {
      response = await fetch(`${url}/api/governance${path}${separator}${query.toString()}`, {
        ...init,
        headers: identity,
        signal,
      });
    } catch (cause) {
      signal.throwIfAborted();
      throw new CliFailure(`${url} does not answer: ${messageOf(cause)}`, { cause });
    }
    if (response.ok) return response;
    const problem = v.safeParse(Problem, await response.json().catch(() => null));
    const hint =
      response.status === 401 || response.status === 403
        ? ` (PROVISO_TOKEN must be that of a role that may: ${role})`
        : "";
    throw new CliFailure(
      problem.success
        ? `${url}: ${problem.output.detail} [${problem.output.code}]${hint}`
        : `${url} answered ${response.status}${hint}`,
    );
  };
};
