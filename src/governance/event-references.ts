/** What events refer to that stands beside them: personal values, and the rules that were in force. */
import type { DomainEvent, EventRecord, EventType, PersonalRef } from "./events.ts";

type DataOf<Type extends EventType> = Extract<DomainEvent, { type: Type }>["data"];

/**
 * Where each kind of event refers to personal values. A kind that is added does not compile until it says so here:
 * a reference that is forgotten would read as an erased person.
 */
const referenceMembers = {
  Created: [],
  Reopened: [],
  VersionWritten: ["changeDescription"],
  ProposalOpened: ["reason", "metadata"],
  ApprovalGiven: ["reason"],
  ApprovalDeclined: ["reason"],
  ApprovalWithdrawn: ["reason"],
  ProposalEnded: [],
  ProposalCommented: ["text"],
  Transitioned: ["reason", "metadata"],
  Published: ["reason", "metadata"],
  RampAdvanced: ["reason", "metadata"],
  RampHeld: ["reason"],
  RampEnded: [],
  ScheduleSet: ["reason"],
  ScheduleCleared: ["reason"],
  ScheduleFired: [],
  Killed: ["reason"],
  Revived: ["reason", "metadata"],
  GuardrailBroken: [],
  SignalRaised: [],
  SignalsCleared: [],
  Erased: ["reason"],
  ChangeDenied: ["reason", "metadata"],
} as const satisfies { readonly [Type in EventType]: readonly (keyof DataOf<Type>)[] };

/** Whose acts an event records or counts; each once, who acted first. */
export const actorsIn = ({ actor, type, data }: EventRecord): readonly PersonalRef[] => {
  const counted = "gates" in data ? data.gates.flatMap((gate) => gate.approvedBy ?? []) : [];
  const asker = "onBehalfOf" in data && data.onBehalfOf !== undefined ? [data.onBehalfOf.ref] : [];
  const brought = type === "VersionWritten" && data.provenance !== undefined ? [data.provenance.contentBy].flat() : [];
  return [...new Set([actor.ref, ...counted, ...asker, ...brought])];
};

/** What somebody wrote freely. */
export const textsIn = ({ type, data }: EventRecord): readonly PersonalRef[] => {
  const members: readonly string[] = referenceMembers[type];
  return Object.entries(data).flatMap(([member, value]: [string, unknown]) =>
    members.includes(member) && typeof value === "string" ? [value] : [],
  );
};

/** References to personal values in an event, each once. */
export const referencesIn = (event: EventRecord): readonly PersonalRef[] => [
  ...new Set([...actorsIn(event), ...textsIn(event)]),
];

/** Digests of rules that an event names, each once. */
export const rulesIn = ({ data }: EventRecord): readonly string[] => [
  ...new Set([
    ...("policySetDigest" in data ? [data.policySetDigest] : []),
    ...("approvedUnder" in data ? [data.approvedUnder] : []),
  ]),
];
