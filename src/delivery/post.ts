/** One request to an address that an operator has named: it goes there and nowhere else, and not for ever. */
import { SinkError } from "../events/sink-error.ts";
import { retryAfterMs } from "../retry-after.ts";
import { longestBackoffMs } from "./backoff.ts";

/** As much of `fetch` as is used. */
export type Post = (
  url: string,
  request: {
    readonly method: "POST";
    readonly headers: Record<string, string>;
    readonly body: string;
    readonly redirect: "manual";
    readonly signal: AbortSignal;
  },
) => Promise<{
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: { cancel(): Promise<unknown> } | null;
}>;

const globalPost: Post = (url, request) => fetch(url, request);

const loopback = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * True for what may be posted to: https, without a password in it; http only to this machine, and only during
 * development.
 */
export const isPostAddress = (text: string, development: boolean): boolean => {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  const isHere = protocol === "http:" && development && loopback.has(hostname);
  return (protocol === "https:" || isHere) && username === "" && password === "";
};

export interface PosterOptions {
  readonly url: string;
  readonly fetch?: Post | undefined;
  /** Default 10 seconds. */
  readonly timeoutMs?: number | undefined;
  /** Also http, to this machine. */
  readonly development?: boolean | undefined;
  /** Milliseconds since the epoch; read only where the far side names a time to come back at. */
  readonly now: () => number;
}

const problemOf = (status: number): string => {
  if (status >= 300 && status < 400) return `answered ${status}: redirects are not followed`;
  return status === 410 ? "answered 410: the address is gone" : `answered ${status}`;
};

/**
 * Errors name neither the address, which may be a secret, nor what the far side answered, which may repeat what it got.
 *
 * @throws TypeError for an address that nothing is posted to
 * @returns a function that resolves once the far side has answered 2xx, and rejects with a {@link SinkError} otherwise
 */
export const createPoster = ({
  url,
  fetch: post = globalPost,
  timeoutMs = 10_000,
  development = false,
  now,
}: PosterOptions): ((body: string, headers: Readonly<Record<string, string>>) => Promise<void>) => {
  if (!isPostAddress(url, development)) {
    throw new TypeError(
      `the address is none: https${development ? ", or http to this machine" : ""}, without a password`,
    );
  }
  return async (body, headers) => {
    const signal = AbortSignal.timeout(timeoutMs);
    let response: Awaited<ReturnType<Post>>;
    try {
      response = await post(url, { method: "POST", headers: { ...headers }, body, redirect: "manual", signal });
    } catch (cause) {
      throw new SinkError(signal.aborted ? `did not answer within ${timeoutMs} ms` : "could not be reached", { cause });
    }
    // Nobody reads it, so it may be as long as it likes.
    await response.body?.cancel().catch(() => undefined);
    const { status } = response;
    if (status >= 200 && status < 300) return;
    const asked = status === 410 ? longestBackoffMs : retryAfterMs(response.headers.get("retry-after"), now());
    throw new SinkError(problemOf(status), { retryAfterMs: asked });
  };
};
