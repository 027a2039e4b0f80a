/** As much of `fetch` as is used here: the global one, a service binding's or a test's fits. */
export interface FetchRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly signal: AbortSignal;
  readonly keepalive?: boolean;
}

export interface FetchResponse {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}

export type Fetcher = (url: string, request: FetchRequest) => Promise<FetchResponse>;

/** Calls the global as a member of nothing else: browsers and Workers refuse a `fetch` that was taken off its object. */
export const globalFetch: Fetcher = (url, request) => fetch(url, request);

/**
 * A URL below a base that may have a path of its own.
 *
 * @throws TypeError that shows the base when it is not an absolute http(s) URL
 * @example endpoint("https://edge.example/proviso", "api/events").href // "https://edge.example/proviso/api/events"
 */
export const endpoint = (base: string, path: string): URL => {
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
    throw new TypeError(`url: found ${JSON.stringify(base)}; expected an absolute http or https URL`);
  }
  const url = new URL(base);
  url.search = "";
  url.hash = "";
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path}`;
  return url;
};
