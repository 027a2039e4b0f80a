/** Who asks, as the host established it: from a verified token or from the embedding application, never from a body. */
import type { ActorKind } from "./gates/schema.ts";

export interface Actor {
  readonly id: string;
  readonly kind: ActorKind;
  readonly roles: readonly string[];
}

/** Roles that routes ask for. Other names are free for gates to use. */
export const routeRoles = ["viewer", "editor", "approver", "operator", "admin"] as const;
export type RouteRole = (typeof routeRoles)[number];
