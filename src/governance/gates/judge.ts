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
  /** What the host's own gates said, by name; a gate that was not asked agrees to nothing. */
  readonly custom: Readonly<Record<string, CustomGateVerdict>>;
}

/** What a gate of the host says. */
export interface CustomGateVerdict {
  readonly satisfied: boolean;
  /** What is missing, in words. It enters the history: no personal data. */
  readonly missing?: string;
  /** The asker may not make this change at all. */
  readonly rejected?: boolean;
}

export interface GateVerdict extends GateResult {
  /** The asker may not make this change at all: waiting for approvals would not help. */
  readonly rejected: boolean;
}

export const gateName = (gate: Gate): string => gate.name ?? (gate.type === "custom" ? gate.gate : gate.type);

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

const teamPrefix = "team.";

/**
 * How many of these people can be counted so that each stands for a team of their own: a maximum matching, because
 * somebody in two teams can stand for either.
 */
const distinctTeams = (people: readonly ActorRecord[]): readonly PersonalRef[] => {
  const teams = new Map(
    people.map((person) => [person.ref, person.roles.filter((role) => role.startsWith(teamPrefix))]),
  );
  const standsFor = new Map<string, PersonalRef>();
  const place = (ref: PersonalRef, tried: Set<string>): boolean =>
    (teams.get(ref) ?? []).some((team) => {
      if (tried.has(team)) return false;
      tried.add(team);
      const holder = standsFor.get(team);
      if (holder !== undefined && !place(holder, tried)) return false;
      standsFor.set(team, ref);
      return true;
    });
  for (const ref of teams.keys()) place(ref, new Set());
  return [...standsFor.values()];
};

/** Whose approvals count: one word a person, and each person once, whatever roles they hold. */
const countedApprovals = (gate: ApprovalGate, context: GateContext): readonly PersonalRef[] => {
  const people = context.approvals
    .filter((approval) => approval.decision === "approve" && objection(gate, approval.actor, context) === null)
    .map((approval) => approval.actor);
  return gate.type === "quorum" && gate.distinctTeams
    ? distinctTeams(people)
    : [...new Set(people.map((person) => person.ref))];
};

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
      const teams = gate.type === "quorum" && gate.distinctTeams ? " of different teams" : "";
      const given = `${approvedBy.length} of ${wanted} approvals by ${gate.roles.join(" or ")}${teams}`;
      return { ...verdict(gate, approvedBy.length >= wanted, given), approvedBy };
    }
    case "custom": {
      const said = context.custom[gateName(gate)];
      return verdict(gate, said?.satisfied === true, said?.missing ?? "it was not asked", said?.rejected === true);
    }
    default:
      return gate satisfies never;
  }
};
