/** Who is asking. Identity comes from what the host vouches for, never from a body or a query. */
import type { Actor } from "../governance/actor.ts";
import type { Sender } from "../events/message.ts";
import type { Scope } from "../scope.ts";

/** What a data-plane caller wants to do: send events, or read published rules. Roles of these names are for that alone. */
export const dataPlaneUses = ["ingest", "evaluate"] as const;
export type DataPlaneUse = (typeof dataPlaneUses)[number];

/** The role of a key that a page carries: everybody can read it, so it may send exposures and nothing else. */
export const browserRole = "browser";

/** Roles that are no person's. */
export const isDataPlaneRole = (role: string): boolean =>
  role === browserRole || dataPlaneUses.some((use) => use === role);

/** Whose key these roles make it, for this use; null: none that opens it. */
export const admittedAs = (roles: readonly string[], use: DataPlaneUse): Sender | null => {
  if (roles.includes(use)) return "server";
  return use === "ingest" && roles.includes(browserRole) ? "browser" : null;
};

/** The part of the world that a credential is good for; a missing part is any. */
export type ScopePin = Partial<Scope>;

/** An actor together with the scope that their credential pins. */
export interface Principal {
  readonly actor: Actor;
  readonly pin: ScopePin;
}

/** Where an application may work, and the name of its key, which its requests are counted under. */
export interface Admission extends ScopePin {
  readonly key?: string;
  /** Whose key it is; left out: a server's. */
  readonly sender?: Sender;
}

/** Establishes who made a request. Both reject with ProvisoError `unauthenticated` when they cannot tell. */
export interface Identity {
  /** Somebody who reads or changes experiments. */
  authenticate(request: Request): Promise<Principal>;
  /** An application: its keys open nothing of governance. Rejects with `forbidden` for a key of another use. */
  admit(request: Request, use: DataPlaneUse): Promise<Admission>;
}
