/**
 * Makes events of what evaluation did, and puts them into a buffer: exposures, outcomes and errors. Nothing here throws
 * into the application or waits inside its call.
 */
import type { Assignment } from "../evaluation/assign.ts";
import { bucketOf, bucketSeed } from "../evaluation/bucket.ts";
import { bucketCount } from "../evaluation/rule-set.ts";
import type { Attributes } from "../evaluation/targeting.ts";
import { nameCharacters, outcomeMagnitude, subjectIdCharacters } from "../evaluation/bounds.ts";
import type { Scope } from "../scope.ts";
import { scanText, type TextScan, utf8Length } from "../utf8.ts";
import type { EventBuffer } from "./buffer.ts";
import type { EnvelopeInput, EnvelopeType } from "./envelope.ts";
import { createRecent } from "./recent.ts";
import { messageOf } from "../message-of.ts";

/** As in `envelope.ts`, which a browser must not load for it; a test holds the two together. */
const schemaVersion = "1.0.0";

/** Something a subject did, for one metric of an experiment. */
export type OutcomeInput = {
  readonly subject: string;
  readonly metric: string;
  /** ISO 8601 with a zone; now, when left out. */
  readonly timestamp?: string;
  /** A UUID of your own, so that telling twice counts once; a new one, when left out. */
  readonly eventId?: string;
} & (
  | { readonly kind: "binary"; readonly value: boolean | 0 | 1 }
  | { readonly kind: "count" | "continuous" | "duration"; readonly value: number }
);

export interface RecorderOptions {
  readonly buffer: EventBuffer;
  /** Scope of the events; called when it is needed. A part that is "" is left to the server. */
  readonly scope: () => Scope;
  /** Share of subjects whose events are kept, 0 to 1, in steps of 0.0001; called for every event. */
  readonly sampling: () => number;
  /** Types of events that are switched off. */
  readonly off: () => readonly EnvelopeType[];
  /** How many exposures are remembered to tell a repeat from a first one. */
  readonly rememberedExposures: number;
  readonly now: () => number;
  readonly id: (at: number) => string;
  readonly onError: (error: unknown) => void;
}

/** All of these swallow what goes wrong and report it to `onError`. */
export interface Recorder {
  /**
   * A subject is being served its variant. Nothing is recorded unless `assignment.exposed`. Of its attributes those are
   * sent that the experiment's dimensions name, and no others.
   */
  exposure(assignment: Assignment, subjectId: string, attributes?: Attributes): void;
  /** Records any event: its envelope, and its scope where the payload names none, are filled in. */
  record(body: EventBody): boolean;
  /** The implementation of the assigned variant failed; `fallback` names what was served instead. */
  failure(assignment: Assignment, subjectId: string, error: unknown, fallback?: string): void;
  /** @returns false when the outcome was not taken: malformed, not sampled, or the buffer is full */
  outcome(experiment: string, outcome: OutcomeInput): boolean;
}

type BodyOf<Event> = Event extends EnvelopeInput
  ? Omit<Event, "eventId" | "timestamp" | "schemaVersion"> & Partial<Pick<Event, "eventId" | "timestamp">>
  : never;
/** What an event says; the envelope is made around it. */
export type EventBody = BodyOf<EnvelopeInput>;

/** The overload says what holds but TypeScript cannot see: a payload stays with its type. */
function enveloped(head: object, body: EventBody, scope: object): EnvelopeInput;
function enveloped(head: object, body: EventBody, scope: object): unknown {
  return { ...head, ...body, payload: { ...scope, ...body.payload } };
}

type ExposurePayload = Extract<EnvelopeInput, { eventType: "Exposure" }>["payload"];

/** What all exposures by one assignment share, made once: new rules make new assignments, and so new sites. */
interface Site {
  /** Of its experiment, epoch and variant: what repeats are told by. */
  readonly number: number;
  readonly shared: Omit<ExposurePayload, "subjectId" | "isRepeatExposure">;
  readonly bytes: number;
  /** Buckets of subjects whose exposures are kept; all of them by default, none where exposures are switched off. */
  readonly kept: number;
}

/** An exposure as it waits: the event is made when its batch goes, not on the application's time. */
interface PendingExposure {
  readonly site: Site;
  readonly subjectId: string;
  readonly isRepeat: boolean;
  /** Milliseconds since the recorder's first exposure: a small number takes no memory of its own. */
  readonly after: number;
  readonly dimensions: Dimensions | undefined;
  readonly bytes: number;
  readonly make: (this: PendingExposure) => EnvelopeInput;
}

const emptyId = "00000000-0000-0000-0000-000000000000";
const emptyTime = "1970-01-01T00:00:00.000Z";

interface Dimensions {
  readonly attributes: Record<string, string>;
}

/** One more than a declared value may have: what is cut is no declared one, and stays none. */
const dimensionCharacters = 65;
const comparable = ["string", "number", "boolean"];

/** The texts of these attributes, as far as they can be compared with declared values. */
const dimensionsOf = (names: readonly string[] | undefined, attributes: Attributes | undefined) => {
  let kept: Dimensions | undefined;
  for (const name of names ?? []) {
    const value = attributes?.[name];
    if (comparable.includes(typeof value))
      (kept ??= { attributes: {} }).attributes[name] = cut(String(value), dimensionCharacters);
  }
  return kept;
};

const exposureEvent = (
  shared: Site["shared"],
  dimensions: Dimensions | undefined,
  subjectId: string,
  isRepeatExposure: boolean,
  eventId: string,
  timestamp: string,
): EnvelopeInput => ({
  eventId,
  timestamp,
  eventType: "Exposure",
  schemaVersion,
  payload: { ...shared, ...dimensions, subjectId, isRepeatExposure },
});

/** Experiments, epochs and variants that have a number; beyond that, numbering starts anew and repeats are forgotten. */
const numberedSites = 10_000;

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const isName = (value: unknown): boolean =>
  typeof value === "string" && value.length <= nameCharacters && namePattern.test(value);

const outcomeProblem = (
  experiment: string,
  { subject, metric, kind, value }: Partial<OutcomeInput>,
): string | undefined => {
  if (!isName(experiment)) return `experiment: found ${JSON.stringify(experiment)}; expected an experiment's name`;
  if (!isName(metric)) return `metric: found ${JSON.stringify(metric)}; expected a metric's name`;
  if (typeof subject !== "string" || subject.length === 0 || subject.length > subjectIdCharacters) {
    return `subject: expected a text of 1 to ${subjectIdCharacters} characters`;
  }
  if (!subject.isWellFormed() || subject.includes("\u0000")) return "subject: has a lone surrogate or U+0000";
  if (kind === "binary") {
    return value === true || value === false || value === 0 || value === 1
      ? undefined
      : `value: found ${String(value)}; expected true, false, 1 or 0`;
  }
  // NaN and Infinity fail the comparison; JSON would turn them into null.
  return typeof value === "number" && Math.abs(value) <= outcomeMagnitude && (kind === "continuous" || value >= 0)
    ? undefined
    : `value: found ${String(value)}; expected a number ${kind === "continuous" ? "either way" : "from 0"} to ${outcomeMagnitude}`;
};

/** Cuts between characters, not through one. */
const cut = (text: string, characters: number): string => text.slice(0, characters).toWellFormed();

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

export const createRecorder = (options: RecorderOptions): Recorder => {
  const { buffer, now, id, onError } = options;
  // One salt for all experiments: a subject's outcome must be kept exactly when its exposure was, whoever sends it.
  const samplingSeed = bucketSeed("proviso", "sampling");
  const isOff = (type: EnvelopeType): boolean => options.off().includes(type);
  const keptBuckets = (): number => Math.round(options.sampling() * bucketCount);
  const isKept = (subjectId: string): boolean => {
    const kept = keptBuckets();
    return kept === bucketCount || bucketOf(samplingSeed, subjectId) < kept;
  };

  const recent = createRecent(options.rememberedExposures);
  const scan: TextScan = { bytes: 0, hash: 0 };
  const sites = new WeakMap<Assignment, Site>();

  // Many exposures share a millisecond, and printing a time costs more than deciding a variant.
  let printedAt = NaN;
  let printed = "";
  const print = (at: number): string => {
    if (at !== printedAt) {
      printed = new Date(at).toISOString();
      printedAt = at;
    }
    return printed;
  };

  const scopeMembers = (): { tenantId?: string; environment?: string } => {
    const { tenant, environment } = options.scope();
    return { ...(tenant !== "" && { tenantId: tenant }), ...(environment !== "" && { environment }) };
  };

  let firstAt = 0;
  const numbers = new Map<string, number>();
  let lastNumber = 0;
  const numberOf = (key: string): number => {
    const known = numbers.get(key);
    if (known !== undefined) return known;
    if (numbers.size >= numberedSites) numbers.clear();
    lastNumber += 1;
    numbers.set(key, lastNumber);
    return lastNumber;
  };

  const makeSite = (assignment: Assignment): Site => {
    const { experiment, variant, subjectType, reason, assignmentPolicy, rulePath, version, digest, epoch } = assignment;
    const weight = bucketCount / keptBuckets();
    const shared = {
      experimentName: experiment,
      variantKey: variant,
      ...scopeMembers(),
      ...(subjectType !== undefined && { subjectType }),
      selectionReason: reason,
      ...(assignmentPolicy !== undefined && { assignmentPolicy }),
      ...(rulePath !== undefined && { rulePath }),
      version,
      digest,
      epoch,
      ...(weight !== 1 && { weight }),
    };
    const sample = exposureEvent(shared, undefined, "", false, emptyId, emptyTime);
    const number = numberOf(JSON.stringify([experiment, epoch, variant]));
    const kept = isOff("Exposure") ? 0 : keptBuckets();
    return { number, shared, bytes: utf8Length(JSON.stringify(sample)), kept };
  };

  function makeExposure(this: PendingExposure): EnvelopeInput {
    const at = firstAt + this.after;
    return exposureEvent(this.site.shared, this.dimensions, this.subjectId, this.isRepeat, id(at), print(at));
  }

  const siteOf = (assignment: Assignment): Site => {
    const known = sites.get(assignment);
    if (known !== undefined) return known;
    const site = makeSite(assignment);
    sites.set(assignment, site);
    return site;
  };

  const put = (body: EventBody): boolean => {
    try {
      const { eventType, payload } = body;
      if (isOff(eventType) || (payload.subjectId !== undefined && !isKept(payload.subjectId))) return false;
      const at = now();
      return buffer.add(enveloped({ eventId: id(at), timestamp: print(at), schemaVersion }, body, scopeMembers()));
    } catch (error) {
      onError(error);
      return false;
    }
  };

  return {
    exposure(assignment, subjectId, attributes) {
      try {
        if (!assignment.exposed) return;
        const site = siteOf(assignment);
        if (site.kept !== bucketCount && bucketOf(samplingSeed, subjectId) >= site.kept) return;
        scanText(subjectId, scan);
        const isRepeat = recent.seenBefore(subjectId, site.number, scan.hash);
        const at = now();
        const dimensions = dimensionsOf(assignment.dimensions, attributes);
        // With the comma before it, which takes the place of one of the braces.
        const more = dimensions ? utf8Length(JSON.stringify(dimensions)) - 1 : 0;
        const bytes = site.bytes + scan.bytes + more - (isRepeat ? 1 : 0);
        if (firstAt === 0) firstAt = at;
        const after = at - firstAt;
        const pending: PendingExposure = { site, subjectId, isRepeat, after, dimensions, bytes, make: makeExposure };
        buffer.defer(pending, at);
      } catch (error) {
        onError(error);
      }
    },

    record: put,

    failure(assignment, subjectId, error, fallback) {
      if (!assignment.exposed) return;
      put({
        eventType: "Error",
        payload: {
          experimentName: assignment.experiment,
          variantKey: assignment.variant,
          subjectId,
          errorName: cut(nameOf(error), 128),
          message: cut(messageOf(error), 1_024),
          ...(fallback !== undefined && { fallback }),
        },
      });
    },

    outcome(experiment, outcome) {
      const problem = outcomeProblem(experiment, outcome ?? {});
      if (problem !== undefined) {
        onError(new TypeError(`outcome ${problem}`));
        return false;
      }
      const { subject, metric, timestamp, eventId, kind, value } = outcome;
      const common = { experimentName: experiment, subjectId: subject, metric };
      return put({
        eventType: "Outcome",
        ...(eventId !== undefined && { eventId }),
        ...(timestamp !== undefined && { timestamp }),
        payload: kind === "binary" ? { ...common, kind, value } : { ...common, kind, value },
      });
    },
  };
};
