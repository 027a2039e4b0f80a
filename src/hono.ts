/** `proviso/hono`: the HTTP application, for a host that mounts it in its own. */
export { createApp, type AppType } from "./http/app.ts";
export type { AppDependencies, AppEnvironment, CountsOptions, LedgerReader } from "./http/dependencies.ts";
export { developmentIdentity } from "./http/development-identity.ts";
export type { CorsOptions } from "./http/cors.ts";
export type { Admission, Identity, Principal, ScopePin } from "./http/identity.ts";
export type { ClaimsMapping } from "./http/jwt-claims.ts";
export {
  cloudflareAccessIdentity,
  type CloudflareAccessOptions,
  jwtIdentity,
  type JwtIdentityOptions,
} from "./http/jwt-identity.ts";
export { createRateLimiter, type RateLimiter, type RateLimiterOptions, type RateLimits } from "./http/rate-limit.ts";
export { parseTokens, tokenIdentity, type TokenEntry } from "./http/token-identity.ts";
