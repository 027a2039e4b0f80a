/** What every answer tells a browser: that it is data, to be shown in no page and run nowhere. */
import { createMiddleware } from "hono/factory";

/** Unless a route says otherwise of its own page. */
const always: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-frame-options": "DENY",
};

/** A year. Other names of the domain are not ours to speak for, so without `includeSubDomains`. */
const transport = "max-age=31536000";

/** Adds the headers to an answer's. `permissions-policy` is left out: it says something of pages, and there are none. */
export const setSecurityHeaders = (headers: Headers, { url, status }: { url: string; status: number }): void => {
  headers.set("x-content-type-options", "nosniff");
  headers.set("referrer-policy", "no-referrer");
  for (const [name, value] of Object.entries(always)) if (!headers.has(name)) headers.set(name, value);
  const shared = headers.has("access-control-allow-origin");
  headers.set("cross-origin-resource-policy", shared ? "cross-origin" : "same-origin");
  if (url.startsWith("https:")) headers.set("strict-transport-security", transport);
  if (status >= 400) headers.set("cache-control", "no-store");
};

export const securityHeaders = createMiddleware(async (context, next) => {
  await next();
  setSecurityHeaders(context.res.headers, { url: context.req.url, status: context.res.status });
});

/** An answer that no app made, with the same headers. */
export const secured = (request: Request, response: Response): Response => {
  setSecurityHeaders(response.headers, { url: request.url, status: response.status });
  return response;
};
