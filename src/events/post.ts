/** One POST of JSON, as sinks over HTTP need it: with a time limit, and with what the far side says about trying again. */
import { globalFetch, type Fetcher } from "../fetcher.ts";
import { retryAfterMs } from "../retry-after.ts";
import { SinkError } from "./sink-error.ts";
import { messageOf } from "../message-of.ts";

export interface PostOptions {
  readonly fetch?: Fetcher | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Milliseconds since 1970; read only where the server names a time to retry at. */
  readonly now: () => number;
  /** Let the browser finish it when the page has gone. */
  readonly keepalive?: boolean;
}

export interface PostAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
  readonly retryAfterMs: number | undefined;
}

/** @throws SinkError when no answer came */
export const post = async (
  url: string,
  body: string,
  { fetch = globalFetch, headers, timeoutMs, now, keepalive = false }: PostOptions,
): Promise<PostAnswer> => {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headers },
      body,
      signal: AbortSignal.timeout(timeoutMs),
      ...(keepalive && { keepalive }),
    });
    const { ok, status } = response;
    return {
      ok,
      status,
      text: await response.text(),
      retryAfterMs: retryAfterMs(response.headers.get("retry-after"), now()),
    };
  } catch (error) {
    throw new SinkError(`${url}: ${messageOf(error)}`, { cause: error });
  }
};
