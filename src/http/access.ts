/** Who may call what: the one table of roles per kind of access, and the middleware that reads it. */
import { createMiddleware } from "hono/factory";
import { ProvisoError } from "../errors.ts";
import { NameSchema, type Scope, defaultScope } from "../scope.ts";
import { parseInput } from "./body.ts";
import type { AppEnvironment } from "./dependencies.ts";
import type { DataPlaneUse, Identity, ScopePin } from "./identity.ts";

/**
 * Any one of the roles is enough. Everyone but a viewer may *ask* for a transition: the gates decide. Roles that
 * are not listed here are free for gates to use, and give no access by themselves.
 */
const access = {
  read: ["viewer", "editor", "approver", "operator", "admin"],
  writeVersion: ["editor", "admin"],
  transition: ["editor", "approver", "operator", "admin"],
  approve: ["approver", "admin"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type Access = keyof typeof access;

const withinPin = (pin: ScopePin, scope: Scope): void => {
  const tenant = pin.tenant ?? scope.tenant;
  const environment = pin.environment ?? scope.environment;
  if (tenant !== scope.tenant || environment !== scope.environment) {
    throw new ProvisoError("forbidden", `this credential is for tenant ${tenant}, environment ${environment}`);
  }
};

/** Establishes the actor, and refuses whoever lacks the roles or asks outside their scope. */
export const allow = (what: Access, identity: Identity) =>
  createMiddleware<AppEnvironment>(async (context, next) => {
    const { actor, pin } = await identity.authenticate(context.req.raw);
    withinPin(pin, context.get("scope"));
    const roles: readonly string[] = access[what];
    if (!actor.roles.some((role) => roles.includes(role))) {
      throw new ProvisoError("forbidden", `this takes one of the roles ${roles.join(", ")}`);
    }
    context.set("actor", actor);
    await next();
  });

/** Lets an application in, by its key. */
export const admit = (use: DataPlaneUse, identity: Identity) =>
  createMiddleware<AppEnvironment>(async (context, next) => {
    withinPin(await identity.admit(context.req.raw, use), context.get("scope"));
    await next();
  });

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
