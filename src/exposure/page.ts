/** Sending what is buffered when a page goes: the last moment at which a browser runs anything for certain. */

/** As much of `document` (or `window`) as is used. */
export interface PageTarget {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

export interface PageOptions {
  /** Default: the global `document`. */
  readonly document?: PageTarget & { readonly visibilityState: string };
  /** Default: the global `window`. */
  readonly window?: PageTarget;
}

const globalOf = (name: string): unknown => Reflect.get(globalThis, name);
const isDocument = (value: unknown): value is NonNullable<PageOptions["document"]> =>
  typeof value === "object" && value !== null && "visibilityState" in value && "addEventListener" in value;
const isTarget = (value: unknown): value is PageTarget =>
  typeof value === "object" && value !== null && "addEventListener" in value;

/**
 * Flushes when the page is hidden (switched away from, closed, put into the back-forward cache). Use it with
 * `httpSink({ keepalive: true })`: other requests are cancelled with the page.
 *
 * @returns stops listening
 * @example const stop = flushWhenHidden(experiments);
 */
export const flushWhenHidden = (
  experiments: { flush(): Promise<unknown> },
  options: PageOptions = {},
): (() => void) => {
  const page = options.document ?? globalOf("document");
  const view = options.window ?? globalOf("window");
  const flush = (): void => void experiments.flush();
  const changed = (): void => {
    if (isDocument(page) && page.visibilityState === "hidden") flush();
  };
  // `visibilitychange` is the last event on phones; `pagehide` comes where a tab is closed without being hidden first.
  if (isDocument(page)) page.addEventListener("visibilitychange", changed);
  if (isTarget(view)) view.addEventListener("pagehide", flush);
  return () => {
    if (isDocument(page)) page.removeEventListener("visibilitychange", changed);
    if (isTarget(view)) view.removeEventListener("pagehide", flush);
  };
};
