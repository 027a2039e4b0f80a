/** `proviso/hono`: the HTTP application, for a host that mounts it in its own. */
export { createApp, type AppType } from "./http/app.ts";
export type { AppDependencies, AppEnvironment, CountsOptions, LedgerReader } from "./http/dependencies.ts";
export { developmentIdentity } from "./http/development-identity.ts";
export type { Identity, Principal, ScopePin } from "./http/identity.ts";
export { parseTokens, tokenIdentity, type TokenEntry } from "./http/token-identity.ts";
