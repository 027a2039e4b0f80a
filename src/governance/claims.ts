/** The names in the scope that an experiment holds alone, before and after a change. */
import { holdsSurfaces } from "../lifecycle.ts";
import type { Evidence } from "./commands.ts";
import type { Change } from "./events.ts";
import { conflictClaims } from "./policies/conflict-prevention.ts";
import type { ApplicablePolicySet } from "./policy-set.ts";
import { subjectVersion } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";
import { surfaceClaim, surfacesOf } from "./store.ts";

const surfacesIn = (state: ExperimentState, kind: Change["kind"]): readonly string[] =>
  (subjectVersion(state, kind).configuration.surfaces ?? []).map((surface) => surfaceClaim(surface));

/**
 * What the experiment holds after the change: its surfaces from the start of serving until it cannot go on without a
 * new start, and the pairs that the policies of this move keep apart. Publishing applies the difference of surfaces.
 */
export const claimsAfter = (
  state: ExperimentState,
  change: Change,
  set: ApplicablePolicySet,
  { ref, others }: Pick<Evidence, "ref" | "others">,
): readonly string[] => {
  if (!holdsSurfaces(change.to)) return [];
  const publishes = change.kind === "publish" || change.kind === "rollback";
  const surfaces = surfacesOf(state.claims).map((surface) => surfaceClaim(surface));
  const pairsHeld = state.claims.filter((claim) => !surfaces.includes(claim));
  const held = publishes
    ? [...surfacesIn(state, change.kind), ...pairsHeld]
    : holdsSurfaces(change.from)
      ? state.claims
      : surfacesIn(state, change.kind);
  // A policy that only warns must not lock anybody out either.
  const pairs = set.policies.flatMap((policy) =>
    policy.type === "conflictPrevention" && policy.severity === "Critical"
      ? conflictClaims(policy, ref.experiment, others ?? [])
      : [],
  );
  return [...new Set([...held, ...pairs])];
};
