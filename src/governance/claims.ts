/** The names in the scope that an experiment holds alone, before and after a change. */
import { holdsSurfaces } from "../lifecycle.ts";
import type { Evidence } from "./commands.ts";
import type { Change } from "./events.ts";
import { conflictClaims } from "./policies/conflict-prevention.ts";
import type { ApplicablePolicySet } from "./policy-set.ts";
import { subjectVersion } from "./proposals.ts";
import type { ExperimentState } from "./state.ts";
import { chooseSlots, isSlotClaim, type SlotChoice, slotClaim, slotsIn } from "./exclusion.ts";
import { surfaceClaim, surfacesOf } from "./store.ts";

const surfacesIn = (state: ExperimentState, kind: Change["kind"]): readonly string[] =>
  (subjectVersion(state, kind).configuration.surfaces ?? []).map((surface) => surfaceClaim(surface));

/** Whether a change takes what the content asks for anew. Resuming does not: what is held is kept while paused. */
const takesAnew = ({ kind, from, to }: Change): boolean =>
  holdsSurfaces(to) && (kind === "publish" || kind === "rollback" || !holdsSurfaces(from));

const slotsFor = (
  state: ExperimentState,
  change: Change,
  taken: Evidence["takenSlots"],
): { readonly group: string; readonly choice: SlotChoice } | null => {
  const { configuration } = subjectVersion(state, change.kind);
  const group = configuration.exclusion?.group;
  if (group === undefined || !takesAnew(change)) return null;
  return { group, choice: chooseSlots(configuration, slotsIn(state.claims, group), taken?.slots ?? []) };
};

/** Why a change cannot have the share of its exclusion group that it wants; null when it can. */
export const exclusionShortage = (
  state: ExperimentState,
  change: Change,
  taken: Evidence["takenSlots"],
): { readonly message: string; readonly claim: string; readonly holder: string } | null => {
  const wanted = slotsFor(state, change, taken);
  if (wanted === null || wanted.choice.ok) return null;
  const { needed, available } = wanted.choice;
  const holder = taken?.holders.join(", ") ?? "";
  const message = `exclusion group ${wanted.group}: the traffic needs ${needed} percent of its subjects and ${available} are free; held by ${holder}`;
  return { message, claim: `exclusion:${wanted.group}`, holder };
};

/**
 * What the experiment holds after the change: its surfaces from the start of serving until it cannot go on without a
 * new start, and the pairs that the policies of this move keep apart. Publishing applies the difference of surfaces.
 */
export const claimsAfter = (
  state: ExperimentState,
  change: Change,
  set: ApplicablePolicySet,
  { ref, others, takenSlots }: Pick<Evidence, "ref" | "others" | "takenSlots">,
): readonly string[] => {
  if (!holdsSurfaces(change.to)) return [];
  const publishes = change.kind === "publish" || change.kind === "rollback";
  const surfaces = surfacesOf(state.claims).map((surface) => surfaceClaim(surface));
  const pairsHeld = state.claims.filter((claim) => !surfaces.includes(claim) && !isSlotClaim(claim));
  const wanted = slotsFor(state, change, takenSlots);
  if (wanted?.choice.ok === false) throw new TypeError("claims: a change that lacks slots is refused before");
  const slots = wanted === null ? [] : wanted.choice.slots.map((slot) => slotClaim(wanted.group, slot));
  const held = publishes
    ? [...surfacesIn(state, change.kind), ...slots, ...pairsHeld]
    : holdsSurfaces(change.from)
      ? state.claims
      : [...surfacesIn(state, change.kind), ...slots];
  // A policy that only warns must not lock anybody out either.
  const pairs = set.policies.flatMap((policy) =>
    policy.type === "conflictPrevention" && policy.severity === "Critical"
      ? conflictClaims(policy, ref.experiment, others ?? [])
      : [],
  );
  return [...new Set([...held, ...pairs])];
};
