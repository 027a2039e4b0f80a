/** `proviso/client`: the HTTP API with its types, for whoever calls it from TypeScript. */
import { hc } from "hono/client";
import type { AppType } from "./http/app.ts";

/** Every route by its path: `client.api.governance[":name"].versions.$post({ param, json })`. */
export type ProvisoClient = ReturnType<typeof hc<AppType>>;

export interface ClientOptions {
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch;
}

/**
 * A typed client. It throws for nothing that the API answers: look at `response.status`, which narrows what
 * `response.json()` gives.
 *
 * @example
 * const client = createClient("https://experiments.example", { token });
 * const response = await client.api.governance[":name"].$get({ param: { name: "checkout-redesign" } });
 * if (response.status === 200) console.log((await response.json()).state);
 */
export const createClient = (
  baseUrl: string,
  { token, headers = {}, fetch: fetcher }: ClientOptions = {},
): ProvisoClient =>
  hc<AppType>(baseUrl, {
    headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    ...(fetcher === undefined ? {} : { fetch: fetcher }),
  });
