/**
 * The thin shell around the decider: load → gather evidence → decide → commit, with a bounded retry when a race is
 * lost. Everything that takes time or touches the world is here; nothing is decided here.
 */
import { ProvisoError, type ErrorCode } from "../errors.ts";
import type { ExperimentRef } from "../scope.ts";
import { refKey } from "../scope.ts";
import type { Actor } from "./actor.ts";
import { presentAnswer } from "./answer.ts";
import { sealEvents } from "./chain.ts";
import type { Command, Decision, Evidence } from "./commands.ts";
import { decide } from "./decide.ts";
import { createDenialLimiter } from "./denial-limiter.ts";
import type { ActorRecord, DomainEvent, PersonalRef } from "./events.ts";
import { evolve } from "./evolve.ts";
import { createLocks } from "./locks.ts";
import { personalValue } from "./personal.ts";
import { etagOf, type ViewContext } from "./present.ts";
import type { PolicySet } from "./policy-set.ts";
import { type ExperimentState, peopleOf } from "./state.ts";
import type { CommitResult, GovernanceStore, Loaded, PersonalValue, Receipt, Snapshot } from "./store.ts";
import { gatherEvidence, type Telemetry } from "./evidence.ts";
import { fingerprintOf, parseAnswer, receiptKeyOf } from "./receipts.ts";
import type { CommandInput } from "./request.ts";

/** One request to change something, as it left the boundary: parsed, authenticated, and not yet judged. */
export interface CommandRequest {
  readonly ref: ExperimentRef;
  readonly actor: Actor;
  readonly command: CommandInput;
  /** The strong ETag the caller saw; a change is refused when it is no longer the present one. */
  readonly ifMatch?: string;
  readonly idempotencyKey?: string;
}

/** Stored under the idempotency key exactly like this, so a retry gets the same answer. */
export type CommandAnswer =
  | {
      readonly ok: true;
      readonly outcome: "created" | "done" | "held" | "unchanged";
      readonly etag: string;
      readonly body: Readonly<Record<string, unknown>>;
      /** Path below the experiment of what the command made, e.g. `versions/2`. */
      readonly location?: string;
    }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

export interface Governor {
  execute(request: CommandRequest): Promise<CommandAnswer>;
}

export interface GovernorOptions {
  readonly store: GovernanceStore;
  readonly policySet: PolicySet;
  readonly telemetry: Telemetry;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Ids of events and proposals; time-ordered UUIDs. */
  readonly id: () => string;
  /** At least 128 random bits, as hex. */
  readonly salt: () => string;
  /** How long an answer is kept under its idempotency key. Default: 24 hours. */
  readonly receiptLifetimeMs?: number;
}

/** A lost race is decided anew on the new base; after this many the store is so busy that waiting is the better answer. */
const attemptsMax = 5;
const dayMs = 86_400_000;

interface Attempt {
  readonly loaded: Loaded | null;
  /** False when `loaded` came from this governor's memory: a refusal decided on it must be decided again. */
  readonly fresh: boolean;
}

export const createGovernor = (options: GovernorOptions): Governor => {
  const { store, policySet, telemetry, now, id, salt, receiptLifetimeMs = dayMs } = options;
  const locks = createLocks();
  const denials = createDenialLimiter();
  const inFlight = new Set<string>();
  /** The last thing this process knows of an experiment. Right or not, the commit finds out. */
  const remembered = new Map<string, Loaded>();
  const rememberedMax = 64;

  const remember = (key: string, loaded: Loaded): void => {
    remembered.delete(key);
    remembered.set(key, loaded);
    const oldest = remembered.keys().next();
    if (remembered.size > rememberedMax && oldest.done !== true) remembered.delete(oldest.value);
  };

  const attempt = async (
    request: CommandRequest,
    from: Attempt,
    receiptKey: string | null,
  ): Promise<CommandAnswer | "again"> => {
    const { loaded, fresh } = from;
    const key = refKey(request.ref);
    if (loaded?.receipt != null) {
      return loaded.receipt.fingerprint === fingerprintOf(request)
        ? parseAnswer(loaded.receipt.answer)
        : refusal("idempotency-key-reused", "this idempotency key was used for another request");
    }
    const mismatch = checkPrecondition(request, loaded?.snapshot ?? null);
    if (mismatch !== null) return fresh ? mismatch : "again";

    const personal: PersonalValue[] = [];
    const refOf = (kind: PersonalValue["kind"], value: string): PersonalRef => {
      const row = personalValue(kind, salt(), value);
      personal.push(row);
      return row.ref;
    };
    const actor: ActorRecord = {
      ref: loaded?.actor ?? refOf("actor", request.actor.id),
      kind: request.actor.kind,
      roles: request.actor.roles.toSorted(),
    };
    const command = withReferences(request.command, (text) => refOf("text", text));
    const state = loaded?.snapshot.state ?? null;
    const gathered = await gatherEvidence({
      ref: request.ref,
      state,
      command,
      policySet,
      store,
      telemetry,
      now: now(),
    });
    const evidence: Evidence = {
      ...gathered,
      ref: request.ref,
      actor,
      policySet,
      proposalId: id(),
      randomSalt: `${request.ref.experiment}-${salt().slice(0, 16)}`,
    };
    const decision = decide(state, command, evidence);

    const events = eventsOf(decision, () => fresh && denials.take(key, request.actor.id, evidence.now));
    // What is refused, or found done already, on remembered state is decided again on fresh state: it may have
    // changed elsewhere, and a retry must find the receipt of its first attempt before anything is judged.
    if (!fresh && events.length === 0) return "again";
    const people = new Map([...(loaded?.people ?? []), [actor.ref, request.actor.id]]);
    const context: ViewContext = { ref: request.ref, people, policySet, now: evidence.now, asker: actor };
    if (events.length === 0) return presentAnswer(request, decision, state, loaded?.snapshot ?? null, context);

    const at = new Date(evidence.now).toISOString();
    const records = sealEvents(
      loaded?.head ?? "new",
      events.map((event) => ({ ...event, id: id(), at, actor })),
    );
    const next = records.reduce<ExperimentState | null>((current, record) => evolve(current, record), state);
    const last = records.at(-1);
    if (next === null || last === undefined) throw new TypeError("governor: a decision led to no state");
    const changed = next !== state;
    const snapshot: Snapshot | null = changed
      ? { state: next, revision: (loaded?.snapshot.revision ?? 0) + 1, revisionHash: last.hash }
      : (loaded?.snapshot ?? null);
    const answer = presentAnswer(request, decision, state, snapshot, context);
    const receipt: Receipt | null =
      receiptKey === null
        ? null
        : {
            key: receiptKey,
            fingerprint: fingerprintOf(request),
            answer: JSON.stringify(answer),
            expiresAt: new Date(evidence.now + receiptLifetimeMs).toISOString(),
          };
    const result = await store.commit(request.ref, {
      expect: loaded?.head ?? "new",
      events: records,
      ...(changed && snapshot !== null ? { snapshot, people: peopleOf(next) } : {}),
      personal,
      claims: decision.outcome === "commit" ? decision.claims : { take: [], release: [] },
      receipt,
    });
    if (result.ok) {
      if (snapshot !== null)
        remember(key, {
          snapshot,
          head: { seq: last.seq, hash: last.hash, at: last.at },
          receipt: null,
          actor: null,
          people,
        });
      return answer;
    }
    remembered.delete(key);
    return conflictAnswer(result);
  };

  const load = async (request: CommandRequest, receiptKey: string | null): Promise<Attempt> => {
    const loaded = await store.load(request.ref, {
      actor: request.actor.id,
      now: new Date(now()).toISOString(),
      ...(receiptKey === null ? {} : { receipt: receiptKey }),
    });
    if (loaded !== null) remember(refKey(request.ref), { ...loaded, receipt: null });
    return { loaded, fresh: true };
  };

  /** From memory where this actor's reference is known; a person seen for the first time costs a reading. */
  const recall = (request: CommandRequest): Attempt | null => {
    const known = remembered.get(refKey(request.ref));
    if (known === undefined) return null;
    const actor = [...known.people].find(([, value]) => value === request.actor.id)?.[0];
    return actor === undefined ? null : { loaded: { ...known, actor }, fresh: false };
  };

  const run = async (request: CommandRequest, receiptKey: string | null): Promise<CommandAnswer> => {
    const recalled = recall(request);
    if (recalled !== null) {
      const answer = await attempt(request, recalled, receiptKey);
      if (answer !== "again") return answer;
    }
    for (let attempts = 0; attempts < attemptsMax; attempts += 1) {
      const answer = await attempt(request, await load(request, receiptKey), receiptKey);
      if (answer !== "again") return answer;
    }
    throw new ProvisoError(
      "store-unavailable",
      `the experiment is changing too fast: ${attemptsMax} attempts lost their race`,
      { retryAfterSeconds: 1 },
    );
  };

  return {
    async execute(request) {
      const inTurn = (task: () => Promise<CommandAnswer>): Promise<CommandAnswer> =>
        isBrake(request.command) ? task() : locks.run(refKey(request.ref), task);
      if (request.idempotencyKey === undefined) return inTurn(() => run(request, null));
      const receiptKey = receiptKeyOf(request.actor.id, request.idempotencyKey);
      const flight = JSON.stringify([refKey(request.ref), receiptKey]);
      if (inFlight.has(flight))
        return refusal("request-in-flight", "the first request with this idempotency key is still running");
      inFlight.add(flight);
      try {
        return await inTurn(() => run(request, receiptKey));
      } finally {
        inFlight.delete(flight);
      }
    },
  };
};

/** Pausing and rolling back overtake whatever waits for evidence: the commit keeps them in order, not the lock. */
const isBrake = (command: CommandInput): boolean =>
  command.type === "Transition" && (command.to === "Paused" || command.to === "RolledBack");

const refusal = (code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): CommandAnswer => ({
  ok: false,
  code,
  message,
  details,
});

const checkPrecondition = (request: CommandRequest, snapshot: Snapshot | null): CommandAnswer | null => {
  if (request.ifMatch === undefined) return null;
  const current = snapshot === null ? null : etagOf(snapshot);
  if (request.ifMatch === "*" ? current !== null : request.ifMatch.split(",").some((tag) => tag.trim() === current))
    return null;
  return refusal("precondition-failed", "the experiment has changed since you read it", { current });
};

/** What is written: the events of a decision, or the record of a refusal while its author may still fill the log. */
const eventsOf = (decision: Decision, mayRecordDenial: () => boolean): readonly DomainEvent[] => {
  if (decision.outcome === "commit" || decision.outcome === "hold") return decision.events;
  return decision.outcome === "deny" && decision.record !== null && mayRecordDenial() ? [decision.record] : [];
};

const conflictAnswer = (result: Exclude<CommitResult, { ok: true }>): CommandAnswer | "again" =>
  result.conflict === "claimed"
    ? refusal("surface-claimed", `${result.claim} is held by ${result.holder}`, {
        claim: result.claim,
        holder: result.holder,
      })
    : "again";

/** Free text leaves the command before it reaches the decider: only its reference is ever hashed. */
const withReferences = (input: CommandInput, refOf: (text: string) => PersonalRef): Command => {
  switch (input.type) {
    case "WriteVersion": {
      const { changeDescription, ...rest } = input;
      return changeDescription === undefined ? rest : { ...rest, changeDescription: refOf(changeDescription) };
    }
    case "Transition": {
      const { reason, metadata, ...rest } = input;
      return {
        ...rest,
        ...(reason === undefined ? {} : { reason: refOf(reason) }),
        ...(metadata === undefined ? {} : { metadata: refOf(JSON.stringify(metadata)) }),
      };
    }
    case "Say": {
      const { reason, ...rest } = input;
      return reason === undefined ? rest : { ...rest, reason: refOf(reason) };
    }
    default:
      return input satisfies never;
  }
};
