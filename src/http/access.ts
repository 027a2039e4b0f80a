/** Who may call what: the one table of roles per kind of access, and the guard that reads it. */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { ProvisoError } from "../errors.ts";
import type { PolicySet } from "../governance/policy-set.ts";
import { NameSchema, type Scope, defaultScope } from "../scope.ts";
import { parseInput } from "./body.ts";
import type { AppEnvironment } from "./dependencies.ts";
import type { DataPlaneUse, Identity, ScopePin } from "./identity.ts";

/**
 * Any one of the roles is enough. Everyone but a viewer may *ask* for a transition: the gates decide. A role that a
 * gate names opens what that gate needs of it, and reading; other roles give no access by themselves.
 */
export const roles = {
  read: ["viewer", "editor", "approver", "operator", "admin"],
  writeVersion: ["editor", "admin"],
  transition: ["editor", "approver", "operator", "admin"],
  approve: ["approver", "admin"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type RoleAccess = keyof typeof roles;
/** A role's access, an application's, or everybody's. */
export type Access = RoleAccess | DataPlaneUse | "public";

const rolesOfGates = (what: RoleAccess, { gates }: PolicySet): readonly string[] => {
  const approve = gates.flatMap((gate) => ("roles" in gate ? gate.roles : []));
  const transition = gates.flatMap((gate) => ("allowedRoles" in gate ? gate.allowedRoles : []));
  return { read: [...approve, ...transition], writeVersion: [], transition, approve }[what];
};

const withinPin = (pin: ScopePin, scope: Scope): void => {
  const tenant = pin.tenant ?? scope.tenant;
  const environment = pin.environment ?? scope.environment;
  if (tenant !== scope.tenant || environment !== scope.environment) {
    throw new ProvisoError("forbidden", `this credential is for tenant ${tenant}, environment ${environment}`);
  }
};

export interface Guarding {
  readonly identity: Identity;
  /** Whose gates name more roles. */
  readonly policySet?: PolicySet;
}

export type Guard = (context: Context<AppEnvironment>) => Promise<void>;

/** Establishes the actor, and refuses whoever lacks the roles or the key, or asks outside their scope. */
export const guardOf = (what: Access, { identity, policySet }: Guarding): Guard => {
  if (what === "public") return () => Promise.resolve();
  if (what === "ingest" || what === "evaluate") {
    return async (context) => withinPin(await identity.admit(context.req.raw, what), context.get("scope"));
  }
  const ofGates = policySet === undefined ? [] : rolesOfGates(what, policySet);
  const allowed: readonly string[] = [...new Set([...roles[what], ...ofGates])];
  return async (context) => {
    const { actor, pin } = await identity.authenticate(context.req.raw);
    withinPin(pin, context.get("scope"));
    if (!actor.roles.some((role) => allowed.includes(role))) {
      throw new ProvisoError("forbidden", `this takes one of the roles ${allowed.join(", ")}`);
    }
    context.set("actor", actor);
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
