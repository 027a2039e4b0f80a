/** Who may call what: the one table of roles per kind of access, and the guard that reads it. */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { ProvisoError } from "../errors.ts";
import type { PolicySet } from "../governance/policy-set.ts";
import { NameSchema, type Scope, defaultScope } from "../scope.ts";
import { parseInput } from "./body.ts";
import type { AppDependencies, AppEnvironment } from "./dependencies.ts";
import type { DataPlaneUse, ScopePin } from "./identity.ts";
import { addressGroup, type RateLimiter, type RateLimits } from "./rate-limit.ts";

/**
 * Any one of the roles is enough. Everyone but a viewer may *ask* for a transition: the gates decide. A role that a
 * gate names opens what that gate needs of it, and reading; other roles give no access by themselves.
 */
export const roles = {
  read: ["viewer", "editor", "approver", "operator", "admin"],
  writeVersion: ["editor", "admin"],
  transition: ["editor", "approver", "operator", "admin"],
  approve: ["approver", "admin"],
  comment: ["editor", "approver", "operator", "admin"],
  /** With the salts of what is personal in it. */
  export: ["admin"],
  import: ["admin"],
  erase: ["admin"],
  /** `GET /metrics`, where it is not for everybody. */
  metrics: ["operator", "admin"],
  /** Whoever may break the glass is named by the rules alone. */
  breakGlass: [],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type RoleAccess = keyof typeof roles;
/** A role's access, an application's, or everybody's. */
export type Access = RoleAccess | DataPlaneUse | "public";

const rolesOfGates = (what: RoleAccess, { gates, breakGlass }: PolicySet): readonly string[] => {
  const approve = gates.flatMap((gate) => ("roles" in gate ? gate.roles : []));
  const transition = gates.flatMap((gate) => ("allowedRoles" in gate ? gate.allowedRoles : []));
  const glass = breakGlass?.roles ?? [];
  const read = [...approve, ...transition, ...glass];
  return {
    read,
    writeVersion: [],
    transition,
    approve,
    comment: [...approve, ...transition],
    breakGlass: glass,
    metrics: [],
    export: [],
    import: [],
    erase: [],
  }[what];
};

const withinPin = (pin: ScopePin, scope: Scope): void => {
  const tenant = pin.tenant ?? scope.tenant;
  const environment = pin.environment ?? scope.environment;
  if (tenant !== scope.tenant || environment !== scope.environment) {
    throw new ProvisoError("forbidden", `this credential is for tenant ${tenant}, environment ${environment}`);
  }
};

/**
 * For a route that reaches into another scope than the one of its address.
 *
 * @throws ProvisoError `forbidden`
 */
export const allowScope = (context: Context<AppEnvironment>, scope: Scope): void =>
  withinPin(context.get("pin"), scope);

const refuseFor = (seconds: number): void => {
  if (seconds > 0)
    throw new ProvisoError("rate-limited", `too many requests: try again in ${seconds} s`, {
      retryAfterSeconds: seconds,
    });
};

/** Only who got in is counted, so that nobody pushes others out of the limiter's memory by inventing names. */
const count = (limiter: RateLimiter | undefined, key: readonly (string | undefined)[]): void => {
  if (limiter !== undefined) refuseFor(limiter.take(JSON.stringify(key.map((part) => part ?? null))));
};

/** Runs an authentication; an address whose attempts failed too often is refused before it is looked at. */
const countingFailures = async <Result>(
  request: Request,
  failures: RateLimits["failures"],
  authenticate: () => Promise<Result>,
): Promise<Result> => {
  const address = failures?.addressOf(request);
  if (failures === undefined || address === undefined) return authenticate();
  const group = addressGroup(address);
  refuseFor(failures.limiter.wait(group));
  try {
    return await authenticate();
  } catch (error) {
    if (error instanceof ProvisoError && error.code === "unauthenticated") failures.limiter.take(group);
    throw error;
  }
};

export interface Guarding extends Pick<AppDependencies, "identity" | "rateLimits" | "observer"> {
  /** Whose gates name more roles. */
  readonly policySet?: PolicySet;
}

export type Guard = (context: Context<AppEnvironment>) => Promise<void>;

/** Lets an application in, by its key. */
const admitting =
  (use: DataPlaneUse, { identity, rateLimits }: Guarding): Guard =>
  async (context) => {
    const request = context.req.raw;
    const admission = await countingFailures(request, rateLimits?.failures, () => identity.admit(request, use));
    count(rateLimits?.dataPlane, [admission.tenant, admission.environment, admission.key]);
    withinPin(admission, context.get("scope"));
    context.set("sender", admission.sender ?? "server");
  };

/** Establishes who asks, and refuses whoever asks too often, lacks the roles or the key, or asks outside their scope. */
export const guardOf = (what: Access, dependencies: Guarding): Guard => {
  const { identity, policySet, rateLimits } = dependencies;
  if (what === "public") return () => Promise.resolve();
  if (what === "ingest" || what === "evaluate") return admitting(what, dependencies);
  const ofGates = policySet === undefined ? [] : rolesOfGates(what, policySet);
  const allowed: readonly string[] = [...new Set([...roles[what], ...ofGates])];
  return async (context) => {
    const request = context.req.raw;
    const { actor, pin } = await countingFailures(request, rateLimits?.failures, () => identity.authenticate(request));
    count(rateLimits?.governance, [pin.tenant, actor.id]);
    withinPin(pin, context.get("scope"));
    if (!actor.roles.some((role) => allowed.includes(role))) {
      const wanted =
        allowed.length === 0 ? "this is not configured here" : `this takes one of the roles ${allowed.join(", ")}`;
      throw new ProvisoError("forbidden", wanted);
    }
    context.set("actor", actor);
    context.set("pin", pin);
  };
};

/** Reads `?tenant=&environment=`; both default to `default`. */
export const withScope = createMiddleware<AppEnvironment>(async (context, next) => {
  const name = (parameter: "tenant" | "environment"): string => {
    const value = context.req.query(parameter);
    if (value === undefined) return defaultScope[parameter];
    try {
      return parseInput(NameSchema, value);
    } catch (cause) {
      throw new ProvisoError(
        "invalid-request",
        `?${parameter}= is not a name`,
        { errors: [{ path: `?${parameter}`, message: "a name" }] },
        { cause },
      );
    }
  };
  context.set("scope", { tenant: name("tenant"), environment: name("environment") });
  await next();
});
