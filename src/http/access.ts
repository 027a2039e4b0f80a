/** Who may call what: the one table of roles per kind of access, and the middleware that reads it. */
import { createMiddleware } from "hono/factory";
import { ProvisoError } from "../errors.ts";
import { NameSchema, type Scope, defaultScope } from "../scope.ts";
import { parseInput } from "./body.ts";
import type { PolicySet } from "../governance/policy-set.ts";
import type { AppDependencies, AppEnvironment } from "./dependencies.ts";
import type { DataPlaneUse, Identity, ScopePin } from "./identity.ts";

/**
 * Any one of the roles is enough. Everyone but a viewer may *ask* for a transition: the gates decide. A role that a
 * gate names opens what that gate needs of it, and reading; other roles give no access by themselves.
 */
const access = {
  read: ["viewer", "editor", "approver", "operator", "admin"],
  writeVersion: ["editor", "admin"],
  transition: ["editor", "approver", "operator", "admin"],
  approve: ["approver", "admin"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const rolesOfGates = (what: Access, { gates }: PolicySet): readonly string[] => {
  const approve = gates.flatMap((gate) => ("roles" in gate ? gate.roles : []));
  const transition = gates.flatMap((gate) => ("allowedRoles" in gate ? gate.allowedRoles : []));
  return { read: [...approve, ...transition], writeVersion: [], transition, approve }[what];
};

export type Access = keyof typeof access;

const withinPin = (pin: ScopePin, scope: Scope): void => {
  const tenant = pin.tenant ?? scope.tenant;
  const environment = pin.environment ?? scope.environment;
  if (tenant !== scope.tenant || environment !== scope.environment) {
    throw new ProvisoError("forbidden", `this credential is for tenant ${tenant}, environment ${environment}`);
  }
};

/** Establishes the actor, and refuses whoever lacks the roles or asks outside their scope. */
export const allow = (what: Access, { identity, policySet }: Pick<AppDependencies, "identity" | "policySet">) => {
  const roles: readonly string[] = [...new Set([...access[what], ...rolesOfGates(what, policySet)])];
  return createMiddleware<AppEnvironment>(async (context, next) => {
    const { actor, pin } = await identity.authenticate(context.req.raw);
    withinPin(pin, context.get("scope"));
    if (!actor.roles.some((role) => roles.includes(role))) {
      throw new ProvisoError("forbidden", `this takes one of the roles ${roles.join(", ")}`);
    }
    context.set("actor", actor);
    await next();
  });
};

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
