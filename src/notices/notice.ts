/**
 * What people hear of: some events of the history, in a form that may leave the deployment. A notice holds no text that
 * anybody wrote and nobody's name, unless the deployment says so: what has been sent cannot be erased any more.
 */
import type {
  ActorRecord,
  Change,
  DecidedChange,
  EventRecord,
  EventType,
  GuardrailFinding,
  PersonalRef,
  RaisedSignal,
} from "../governance/events.ts";
import type { ExperimentRef } from "../scope.ts";

export const noticeKinds = [
  "proposed",
  "approved",
  "declined",
  "held",
  "committed",
  "rolledBack",
  "guardrail",
  "sampleRatioMismatch",
  "signal",
  "denied",
] as const;
export type NoticeKind = (typeof noticeKinds)[number];

/** Which personal values a notice carries: none · the ids of people · also what they wrote. */
export const personalChoices = ["none", "actors", "all"] as const;
export type Personal = (typeof personalChoices)[number];

/** What a guardrail on the sample ratio calls its metric. */
export const sampleRatioMetric = "sampleRatio";

export interface NoticeActor {
  /** The same for one person within one experiment, and for nobody else. */
  readonly ref: PersonalRef;
  readonly kind: ActorRecord["kind"];
  /** Where the deployment says so; null once erased. What acts by itself (`system:guardrail`) is always named. */
  readonly id?: string | null;
}

export interface NoticeChange {
  readonly kind: Change["kind"];
  readonly from: Change["from"];
  readonly to: Change["to"];
  readonly version: number;
  readonly changeDigest: string;
  readonly outcome?: string;
  readonly variant?: string;
}

export interface Notice {
  /** Of the event: one notice for each, so a receiver that knows the id has had it. */
  readonly id: string;
  readonly kind: NoticeKind;
  /** ISO 8601. */
  readonly at: string;
  readonly tenant: string;
  readonly environment: string;
  readonly experiment: string;
  /** Place and kind of the event in the history. */
  readonly seq: number;
  readonly event: EventType;
  readonly actor: NoticeActor;
  /** One sentence, without personal values. */
  readonly summary: string;
  readonly change?: NoticeChange;
  readonly proposal?: string;
  /** Why not, as a code; and which gates and policies were in the way. */
  readonly code?: string;
  readonly missing?: readonly string[];
  readonly violations?: readonly string[];
  readonly breakGlass?: true;
  readonly guardrail?: GuardrailFinding;
  readonly signal?: Omit<RaisedSignal, "key">;
  /** What its author wrote of it, where the deployment says so; null once erased. */
  readonly reason?: string | null;
}

const ofFinding = ({ metric }: GuardrailFinding): NoticeKind =>
  metric === sampleRatioMetric ? "sampleRatioMismatch" : "guardrail";

/** The kind of an event's notice; null for one that nobody is told of. */
export const kindOf = (event: EventRecord): NoticeKind | null => {
  switch (event.type) {
    case "ProposalOpened":
      return event.data.held === undefined ? "proposed" : "held";
    case "ApprovalGiven":
      return "approved";
    case "ApprovalDeclined":
      return "declined";
    case "Transitioned":
      if (event.data.guardrail !== undefined) return ofFinding(event.data.guardrail);
      return event.data.to === "RolledBack" || event.data.kind === "rollback" ? "rolledBack" : "committed";
    case "Published":
      return event.data.kind === "rollback" ? "rolledBack" : "committed";
    case "RampAdvanced":
    case "Revived":
      return "committed";
    // What served is taken back at once: for whoever is on call this is a rollback.
    case "Killed":
      return "rolledBack";
    case "RampHeld":
      return "held";
    case "ScheduleFired":
      return event.data.end === "refused" ? "held" : null;
    case "GuardrailBroken":
      return ofFinding(event.data);
    case "SignalRaised":
      return event.data.signalType === "SampleRatioMismatch" ? "sampleRatioMismatch" : "signal";
    case "ChangeDenied":
      return event.data.code === "evidence-inconclusive" ? "held" : "denied";
    case "Created":
    case "Reopened":
    case "VersionWritten":
    case "ApprovalWithdrawn":
    case "ProposalEnded":
    case "ProposalCommented":
    case "RampEnded":
    case "ScheduleSet":
    case "ScheduleCleared":
    case "SignalsCleared":
    case "Erased":
      return null;
    default:
      return event satisfies never;
  }
};

/**
 * Every kind that an event may be asked for by. What was held is a proposal to those who approve, and what could not be
 * decided for want of evidence was denied to whoever asked.
 */
export const kindsOf = (event: EventRecord): readonly NoticeKind[] => {
  const kind = kindOf(event);
  if (kind === null) return [];
  if (event.type === "ProposalOpened" && kind === "held") return [kind, "proposed"];
  return event.type === "ChangeDenied" && kind === "held" ? [kind, "denied"] : [kind];
};

const changeOf = ({ kind, from, to, version, changeDigest, parameters }: Change): NoticeChange => ({
  kind,
  from,
  to,
  version,
  changeDigest,
  ...(parameters.outcome === undefined ? {} : { outcome: parameters.outcome }),
  ...(parameters.variant === undefined ? {} : { variant: parameters.variant }),
});

const decidedOf = (data: DecidedChange): Partial<Notice> => {
  const missing = data.gates.filter(({ satisfied }) => !satisfied).map(({ gate }) => gate);
  const violations = data.policies.filter(({ compliant }) => compliant !== true).map(({ policy }) => policy);
  return {
    change: changeOf(data),
    ...(missing.length === 0 ? {} : { missing }),
    ...(violations.length === 0 ? {} : { violations }),
    ...(data.breakGlass === true ? { breakGlass: true } : {}),
  };
};

const arrow = ({ from, to }: Pick<Change, "from" | "to">): string => (from === to ? from : `${from} → ${to}`);

const move = (data: Change): string => {
  switch (data.kind) {
    case "transition":
      return arrow(data);
    case "publish":
      return `publishing version ${data.version}`;
    case "rollback":
      return `rolling back, as version ${data.version}`;
    case "rampStep":
      return `ramp step ${(data.parameters.step ?? 0) + 1}`;
    case "revive":
      return data.parameters.variant === undefined ? "reviving it" : `reviving ${data.parameters.variant}`;
    default:
      return data.kind satisfies never;
  }
};

/** Figures of a guardrail are the product's words; what a host adds to them is cut, a webhook is no dump. */
const sentenceMax = 300;
const short = (text: string): string => (text.length <= sentenceMax ? text : `${text.slice(0, sentenceMax - 1)}…`);

interface Told {
  readonly what: string;
  readonly more: Partial<Notice>;
  readonly reason?: PersonalRef | undefined;
}

const tell = (event: EventRecord): Told | null => {
  switch (event.type) {
    case "ProposalOpened": {
      const { proposal, reason, held } = event.data;
      const what =
        held === undefined
          ? `proposed: ${move(event.data)}`
          : `held: ${move(event.data)} waits for ${held.join(", ")}, and is proposed`;
      const missing = held === undefined || held.length === 0 ? {} : { missing: held };
      return { what, more: { proposal, change: changeOf(event.data), ...missing }, reason };
    }
    case "ApprovalGiven":
    case "ApprovalDeclined": {
      const { proposal, reason } = event.data;
      const what = event.type === "ApprovalGiven" ? "somebody approved a proposal" : "somebody declined a proposal";
      return { what, more: { proposal }, reason };
    }
    case "Transitioned": {
      const { guardrail, reason, conclusion } = event.data;
      const because = guardrail === undefined ? "" : `, pulled by the guardrail on ${guardrail.metric}`;
      const end = conclusion === undefined ? "" : ` (${conclusion.outcome})`;
      const more = { ...decidedOf(event.data), ...(guardrail === undefined ? {} : { guardrail }) };
      return { what: `${move(event.data)}${end}${because}`, more, reason };
    }
    case "Published":
    case "RampAdvanced":
    case "Revived":
      return { what: move(event.data), more: decidedOf(event.data), reason: event.data.reason };
    case "Killed": {
      const { variant, reason } = event.data;
      const what = variant === null ? "the kill switch stopped it" : `the kill switch stopped ${variant}`;
      return { what, more: {}, reason };
    }
    case "RampHeld": {
      const { step, code, reason } = event.data;
      return { what: `the ramp is held at step ${step + 1}: ${code}`, more: { code }, reason };
    }
    case "ScheduleFired": {
      const { code } = event.data;
      return {
        what: `a scheduled change was refused${code === undefined ? "" : `: ${code}`}`,
        more: code === undefined ? {} : { code },
      };
    }
    case "SignalRaised": {
      const { key: _key, version: _version, epoch: _epoch, ...signal } = event.data;
      return { what: `${signal.signalType}: ${signal.message}`, more: { signal } };
    }
    case "GuardrailBroken":
      return { what: `the guardrail on ${event.data.metric} is broken`, more: { guardrail: event.data } };
    case "ChangeDenied": {
      const { code, attempt, reason } = event.data;
      const what =
        attempt === "approve"
          ? "an approval was denied"
          : `${code === "evidence-inconclusive" ? "held" : "denied"}: ${move(event.data)}`;
      return { what: `${what} (${code})`, more: { ...decidedOf(event.data), code }, reason };
    }
    case "Created":
    case "Reopened":
    case "VersionWritten":
    case "ApprovalWithdrawn":
    case "ProposalEnded":
    case "ProposalCommented":
    case "RampEnded":
    case "ScheduleSet":
    case "ScheduleCleared":
    case "SignalsCleared":
    case "Erased":
      return null;
    default:
      return event satisfies never;
  }
};

type People = ReadonlyMap<PersonalRef, string>;

const actorOf = ({ ref, kind }: ActorRecord, personal: Personal, people: People): NoticeActor => {
  const id = people.get(ref) ?? null;
  const isNamed = personal !== "none" || (kind === "service" && id?.startsWith("system:") === true);
  return { ref, kind, ...(isNamed ? { id } : {}) };
};

/**
 * The notice of an event; null where there is none. Pure.
 *
 * @param people values of the references in the event, of which a notice takes what `personal` allows
 */
export const noticeOf = (
  ref: ExperimentRef,
  event: EventRecord,
  people: People = new Map(),
  personal: Personal = "none",
): Notice | null => {
  const kind = kindOf(event);
  const told = tell(event);
  if (kind === null || told === null) return null;
  const { tenant, environment, experiment } = ref;
  return {
    id: event.id,
    kind,
    at: event.at,
    tenant,
    environment,
    experiment,
    seq: event.seq,
    event: event.type,
    actor: actorOf(event.actor, personal, people),
    summary: short(`${experiment}: ${told.what}`),
    ...told.more,
    ...(personal === "all" && told.reason !== undefined ? { reason: people.get(told.reason) ?? null } : {}),
  };
};
