/** Which web pages may speak to this API from a browser: none, but those of the origins that the host names. */
import { createMiddleware } from "hono/factory";
import { ProvisoError } from "../errors.ts";
import { isOrigin } from "./origin.ts";

export interface CorsOptions {
  /** Exact origins such as `https://console.example.com`; `*` is any, and then never with credentials. */
  readonly origins: readonly string[];
  /** Lets pages of these origins send cookies, which Cloudflare Access needs. */
  readonly credentials?: boolean;
  /** How long a browser may remember the answer to a preflight. */
  readonly maxAgeSeconds?: number;
}

const methods = "GET, HEAD, POST, PUT, DELETE";
const requestHeaders = "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key";
const exposedHeaders = "ETag, Location, Retry-After";
const safeMethods: readonly string[] = ["GET", "HEAD", "OPTIONS"];

const hostOf = (address: string): string | undefined => (URL.canParse(address) ? new URL(address).host : undefined);

/**
 * True for a request that a browser sends for a page of another origin. Where the browser does not say, host names are
 * compared and the scheme is not: TLS may end before this process.
 */
const isForeign = (request: Request, origin: string): boolean => {
  const site = request.headers.get("sec-fetch-site");
  if (site !== null) return site !== "same-origin" && site !== "none";
  return hostOf(origin) !== hostOf(request.url);
};

const foreign = (): ProvisoError =>
  new ProvisoError("forbidden", "pages of this origin are not allowed here: see governance.cors");

/**
 * Answers preflights before anybody is asked who they are, and says on answers which page may read them.
 *
 * A browser also sends requests that need no preflight, with the cookies it has; Cloudflare Access turns such a cookie
 * into an identity. So a change on behalf of another origin's page is refused here, whoever asks. `*` does not allow
 * a change that comes with cookies.
 *
 * @throws TypeError for origins that are none, and for `*` with credentials
 */
export const cors = (options?: CorsOptions) => {
  const { origins = [], credentials = false, maxAgeSeconds = 600 } = options ?? {};
  const any = origins.includes("*");
  const wrong = origins.find((origin) => origin !== "*" && !isOrigin(origin));
  if (wrong !== undefined) throw new TypeError(`cors: ${wrong} is not an origin`);
  if (any && credentials) throw new TypeError("cors: * with credentials would let every page act for its visitors");

  /** For the header that names the origin; undefined for one that is not allowed. */
  const allowedOrigin = (origin: string): string | undefined =>
    origins.includes(origin) && origin !== "*" ? origin : any ? "*" : undefined;

  return createMiddleware(async (context, next) => {
    const origin = context.req.header("origin");
    const allowed = origin === undefined ? undefined : allowedOrigin(origin);
    const preflight = context.req.method === "OPTIONS" && context.req.header("access-control-request-method");
    if (origin !== undefined && preflight !== false && preflight !== undefined) {
      if (allowed === undefined) throw foreign();
      context.header("access-control-allow-methods", methods);
      context.header("access-control-allow-headers", requestHeaders);
      context.header("access-control-max-age", String(maxAgeSeconds));
      context.res = context.body(null, 204);
    } else {
      const unsafe = !safeMethods.includes(context.req.method);
      const withCookies = context.req.header("cookie") !== undefined;
      if (origin !== undefined && unsafe && isForeign(context.req.raw, origin)) {
        if (allowed === undefined || (allowed === "*" && withCookies)) throw foreign();
      }
      await next();
    }
    if (origins.length > 0) context.header("vary", "Origin", { append: true });
    if (allowed === undefined) return;
    context.header("access-control-allow-origin", allowed);
    context.header("access-control-expose-headers", exposedHeaders);
    if (credentials) context.header("access-control-allow-credentials", "true");
  });
};
