/** Whether a gate agrees to a change: pure functions over the proposal's approvals and the asker. */
import type { ActorRecord, GateResult, PersonalRef } from "../events.ts";
import type { Approval } from "../state.ts";
import type { Gate } from "./schema.ts";

/** Gates that count approvals, as against those that judge the asker alone. */
type ApprovalGate = Extract<Gate, { type: "manual" | "quorum" }>;

export interface GateContext {
  /** Who asks for the change to be made now. */
  readonly asker: ActorRecord;
  /** Who opened the proposal; null when there is none yet. */
  readonly proposer: PersonalRef | null;
  /** Everyone who wrote a version since the last approved digest. */
  readonly authors: readonly PersonalRef[];
  readonly approvals: readonly Approval[];
}

export interface GateVerdict extends GateResult {
  /** The asker may not make this change at all: waiting for approvals would not help. */
  readonly rejected: boolean;
}

export const gateName = (gate: Gate): string => gate.name ?? gate.type;

const isApprovalGate = (gate: Gate): gate is ApprovalGate => gate.type === "manual" || gate.type === "quorum";

/** True when somebody else has to say yes before the change can be made. */
export const needsApproval = (gates: readonly Gate[]): boolean => gates.some(isApprovalGate);

const shareRole = (roles: readonly string[], wanted: readonly string[]): boolean =>
  roles.some((role) => wanted.includes(role));

/**
 * Why a person's approval cannot count for a gate, or null when it counts.
 *
 * Four eyes: the proposer, and everyone who wrote a version since the last approved digest, are one pair. Content
 * that is posted again by somebody else keeps its first author on that list.
 */
const objection = (
  gate: ApprovalGate,
  person: ActorRecord,
  context: Pick<GateContext, "proposer" | "authors">,
): string | null => {
  if (!gate.actorKinds.includes(person.kind))
    return `wants an approval by ${gate.actorKinds.join(" or ")}, not by ${person.kind}`;
  if (!shareRole(person.roles, gate.roles)) return `wants one of the roles ${gate.roles.join(", ")}`;
  if (gate.fourEyes && person.ref === context.proposer) return "wants four eyes, and you made the proposal";
  if (gate.fourEyes && context.authors.includes(person.ref))
    return "wants four eyes, and you wrote a version since the last approval";
  return null;
};

/** Why this person's approval would count for none of the gates; null when it counts for one of them. */
export const approvalObjection = (
  gates: readonly Gate[],
  person: ActorRecord,
  context: Pick<GateContext, "proposer" | "authors">,
): string | null => {
  const objections = gates.filter(isApprovalGate).map((gate) => ({ gate, reason: objection(gate, person, context) }));
  if (objections.length === 0 || objections.some(({ reason }) => reason === null)) return null;
  return objections.map(({ gate, reason }) => `gate ${gateName(gate)} ${reason}`).join("; ");
};

/** Whose approvals count: one word a person, and each person once, whatever roles they hold. */
const countedApprovals = (gate: ApprovalGate, context: GateContext): readonly PersonalRef[] => [
  ...new Set(
    context.approvals
      .filter((approval) => approval.decision === "approve" && objection(gate, approval.actor, context) === null)
      .map((approval) => approval.actor.ref),
  ),
];

const verdict = (gate: Gate, satisfied: boolean, missing: string, rejected = false): GateVerdict =>
  satisfied
    ? { gate: gateName(gate), satisfied, rejected: false }
    : { gate: gateName(gate), satisfied, missing, rejected };

export const judgeGate = (gate: Gate, context: GateContext): GateVerdict => {
  switch (gate.type) {
    case "automatic":
      return verdict(gate, true, "");
    case "roleBased":
      return verdict(
        gate,
        shareRole(context.asker.roles, gate.allowedRoles),
        `one of the roles ${gate.allowedRoles.join(", ")}`,
        true,
      );
    case "manual":
    case "quorum": {
      const wanted = gate.type === "manual" ? 1 : gate.count;
      const approvedBy = countedApprovals(gate, context);
      const given = `${approvedBy.length} of ${wanted} approvals by ${gate.roles.join(" or ")}`;
      return { ...verdict(gate, approvedBy.length >= wanted, given), approvedBy };
    }
    default:
      return gate satisfies never;
  }
};
