/**
 * The thin shell around the decider: load → gather evidence → decide → commit, with a bounded retry when a race is
 * lost. Everything that takes time or touches the world is here; nothing is decided here.
 */
import { ProvisoError, type ErrorCode } from "../errors.ts";
import { allowedTransitions, canTransition, isServing, type LifecycleState } from "../lifecycle.ts";
import type { ExperimentRef } from "../scope.ts";
import { refKey } from "../scope.ts";
import type { Actor } from "./actor.ts";
import { presentAnswer } from "./answer.ts";
import { sealEvents } from "./chain.ts";
import type { Decision, Evidence } from "./commands.ts";
import { createBrakes } from "./brakes.ts";
import { decide } from "./decide.ts";
import { withCurrentShape } from "./current-shape.ts";
import { createDenialLimiter } from "./denial-limiter.ts";
import { referencesIn } from "./event-references.ts";
import type { ActorRecord, DomainEvent, EventRecord, PersonalRef } from "./events.ts";
import { eraseAll, type ErasureRequest, personalOf, recordErasure } from "./erase.ts";
import { evolve } from "./evolve.ts";
import { createLocks } from "./locks.ts";
import { createKnownRules } from "./known-rules.ts";
import { createMemory } from "./memory.ts";
import { personalValue } from "./personal.ts";
import { etagOf, type ViewContext } from "./present.ts";
import type { CustomPolicies } from "./policies/custom.ts";
import { type PolicySet, rulesNamed } from "./policy-set.ts";
import { type ExperimentState, peopleOf } from "./state.ts";
import type { Commit, GovernanceStore, Loaded, PersonalValue, Receipt, Snapshot } from "./store.ts";
import { runClock } from "./clock.ts";
import { type DryRun, type DryRunRequest, evaluateMove } from "./dry-run.ts";
import { nextWake } from "./due.ts";
import type { Telemetry } from "./evidence.ts";
import type { CustomGates } from "./custom-gates.ts";
import { lookUp } from "./look-up.ts";
import { namedPeople, withReferences } from "./references.ts";
import { fingerprintOf, parseAnswer, receiptKeyOf } from "./receipts.ts";
import type { CommandInput } from "./request.ts";
import { type Fresh, freshOf, joined } from "../delivery/fresh.ts";
import type { Outbox } from "../delivery/outbox.ts";
import { startTimer } from "../events/timer.ts";
import { type Note, type Observer, unobserved } from "../observe/observer.ts";
import { observedStore } from "../observe/store.ts";

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
  /** What would stand in the way of a move; nothing is written anywhere. */
  evaluate(question: DryRunRequest): Promise<DryRun | null>;
  /**
   * Does what the clock has to do about an experiment: scheduled changes, ramp steps, guardrails, and what a crash has
   * left undelivered. Doing it twice, or early, changes nothing.
   *
   * @returns when to call again, in ms since the epoch; null when only a command can change anything
   */
  tick(ref: ExperimentRef): Promise<number | null>;
  /**
   * Removes what is personal of somebody from one experiment, and records that it happened. Events and state keep
   * references that mean nothing; who was erased and comes back is somebody new.
   *
   * @returns how many values were removed; 0 for somebody who never acted here, and then nothing is recorded
   */
  erase(request: ErasureRequest): Promise<number>;
  /** For whoever has written past this governor, by an import or an archive: look again, and see what time has brought. */
  reload(ref: ExperimentRef): Promise<void>;
}

export interface GovernorOptions {
  readonly store: GovernanceStore;
  readonly policySet: PolicySet;
  readonly telemetry: Telemetry;
  /** Policies of the host, by the name that the policy set calls them by. */
  readonly customPolicies?: CustomPolicies;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Ids of events and proposals; time-ordered UUIDs. */
  readonly id: () => string;
  /** At least 128 random bits, as hex. */
  readonly salt: () => string;
  /** How long an answer is kept under its idempotency key. Default: 24 hours. */
  readonly receiptLifetimeMs?: number;
  /** Gates of type `custom`, by the name that the configuration calls them. */
  readonly customGates?: CustomGates;
  /** How often guardrails are evaluated while an experiment serves. Default: 60 s. */
  readonly guardrailIntervalMs?: number;
  /**
   * Makes sure that `tick` is called no later than this. Called before the commit: an alarm for something that then
   * does not happen is harmless, the reverse is not.
   */
  readonly wake?: (ref: ExperimentRef, at: number) => Promise<void>;
  /** Watches commands, decisions and round trips. */
  readonly observer?: Observer;
  /** Delivers after every commit, without anybody waiting for it. What a crash leaves undelivered, `tick` delivers. */
  readonly outbox?: Outbox;
  /** Keeps work alive that no answer waits for. A platform that ends a process with its last answer needs to be told. */
  readonly background?: (work: Promise<unknown>) => void;
  /** Gets what went wrong with evidence, in full: the record only says that it is missing. */
  readonly report?: (error: unknown) => void;
}

/** A lost race is decided anew on the new base; after this many the store is so busy that waiting is the better answer. */
const attemptsMax = 5;
const dayMs = 86_400_000;
const minuteMs = 60_000;
/** A delivery begins with the end of its commit. If it has not been made by now, nobody is making it. */
const undeliveredAfterMs = 10_000;
/** Between two deliveries of one experiment that is changed all the time; a change by itself is delivered at once. */
const deliveryPauseMs = 200;
/** During a burst positions are written this often; a process that dies delivers again what it delivered since. */
const settleAfterMs = 2_000;

/** The delivery of one experiment while it goes on. */
interface DeliveryRun {
  /** What was committed meanwhile; `read` where the store must be asked for it, null where nothing was. */
  waiting: Fresh | "read" | null;
}

/** A function, because the compiler does not see that somebody else sets it during an `await`. */
const isAskedAgain = ({ waiting }: DeliveryRun): boolean => waiting !== null;

const waitingWith = ({ waiting }: DeliveryRun, fresh: Fresh | null): Fresh | "read" => {
  if (fresh === null || waiting === "read") return "read";
  return waiting === null ? fresh : (joined(waiting, fresh) ?? "read");
};

/** Holds the process: what is still undelivered is to be delivered by it. */
const pause = (ms: number): Promise<void> => new Promise((resolve) => void startTimer(resolve, ms, true));

interface Attempt {
  readonly loaded: Loaded | null;
  /** False when `loaded` came from this governor's memory: a refusal decided on it must be decided again. */
  readonly fresh: boolean;
}

/** A command on its way through, and what its attempts so far have taught. */
interface Errand {
  readonly request: CommandRequest;
  readonly key: string;
  readonly receiptKey: string | null;
  readonly brake: boolean;
  /** When it was given: brakes with a higher number came after it. */
  readonly order: number;
  /** The lifecycle state in which the command was given; null until it is known. */
  seen: LifecycleState | null;
  /** What the store refused to give in the last attempt. */
  claimed: Evidence["claimed"];
  /** Commits that lost their race so far. */
  lost: number;
}

/** What one attempt decided, ready to be written. */
interface Draft {
  readonly commit: Commit;
  readonly answer: CommandAnswer;
  readonly after: Loaded | null;
  /** For whoever is told of it; null where they have to read it. */
  readonly fresh: Fresh | null;
}

export const createGovernor = (options: GovernorOptions): Governor => {
  const { observer = unobserved } = options;
  const store = observedStore(withCurrentShape(options.store), observer);
  const { policySet, telemetry, now, id, salt, receiptLifetimeMs = dayMs, report = () => undefined } = options;
  const { customGates = {}, customPolicies = {}, guardrailIntervalMs = minuteMs, wake, outbox } = options;
  const { background = () => undefined } = options;
  /** One command after another through evidence and decision … */
  const turns = createLocks();
  /** … and one commit after another. A brake takes no turn: it waits for the commit under way and for nothing else. */
  const commits = createLocks();
  const denials = createDenialLimiter();
  const inFlight = new Set<string>();
  const memory = createMemory();
  const knownRules = createKnownRules();
  /** Commands and brakes of this process in the order they came, and the last brake of each experiment. */
  let order = 0;
  const brakes = createBrakes();

  /** Experiments whose delivery is under way. */
  const delivering = new Map<string, DeliveryRun>();

  /** A burst of commits is delivered in few runs, so that deliveries do not take the store from the commands. */
  const deliverUntilDone = async (ref: ExperimentRef, to: Outbox, run: DeliveryRun): Promise<void> => {
    let settledAt = now();
    try {
      for (;;) {
        const { waiting } = run;
        run.waiting = null;
        const at = await to.drain(ref, waiting === "read" || waiting === null ? undefined : waiting);
        if (at !== null) await wake?.(ref, at);
        await pause(deliveryPauseMs);
        if (!isAskedAgain(run) || now() - settledAt >= settleAfterMs) {
          await to.settle(ref);
          settledAt = now();
        }
        if (!isAskedAgain(run)) return;
      }
    } finally {
      delivering.delete(refKey(ref));
    }
  };

  /** Nobody waits for it, and what fails is reported. The alarm that was set before the commit knows of it as well. */
  const deliver = (ref: ExperimentRef, fresh: Fresh | null): void => {
    if (outbox === undefined) return;
    const running = delivering.get(refKey(ref));
    if (running !== undefined) {
      running.waiting = waitingWith(running, fresh);
      return;
    }
    const run: DeliveryRun = { waiting: fresh ?? "read" };
    delivering.set(refKey(ref), run);
    background(deliverUntilDone(ref, outbox, run).catch(report));
  };

  const load = async ({ request, key, receiptKey }: Errand): Promise<Attempt> => {
    const loaded = await store.load(request.ref, {
      actor: request.actor.id,
      now: new Date(now()).toISOString(),
      ...(receiptKey === null ? {} : { receipt: receiptKey }),
    });
    if (loaded === null) knownRules.forget(key);
    else memory.set(key, { ...loaded, receipt: null });
    return { loaded, fresh: true };
  };

  /** Decides on what was loaded: an answer that writes nothing, a draft of what is to be written, or `again`. */
  const draft = async (errand: Errand, { loaded, fresh }: Attempt): Promise<Draft | CommandAnswer | "again"> => {
    const { request, key, receiptKey } = errand;
    if (loaded?.receipt != null) {
      return loaded.receipt.fingerprint === fingerprintOf(request)
        ? parseAnswer(loaded.receipt.answer)
        : refusal("idempotency-key-reused", "this idempotency key was used for another request");
    }
    const state = loaded?.snapshot.state ?? null;
    const mismatch =
      checkPrecondition(request, loaded?.snapshot ?? null) ?? checkBrake(errand, state, brakes.last(key));
    if (mismatch !== null) return fresh ? mismatch : "again";

    const personal: PersonalValue[] = [];
    const refOf = (kind: PersonalValue["kind"], value: string): PersonalRef => {
      const row = personalValue(kind, salt(), value);
      personal.push(row);
      return row.ref;
    };
    const { kind, roles } = request.actor;
    const actor: ActorRecord = {
      ref: loaded?.actor ?? refOf("actor", request.actor.id),
      kind,
      roles: roles.toSorted(),
    };
    const named = new Map([...(await namedPeople(store, request)), [request.actor.id, actor.ref]]);
    const command = withReferences(request.command, {
      text: (text) => refOf("text", text),
      actor: (name) => {
        const ref = named.get(name) ?? refOf("actor", name);
        named.set(name, ref);
        return ref;
      },
    });
    const lookedUp = await observer.run("evidence", { type: command.type }, () =>
      lookUp({
        ref: request.ref,
        state,
        command,
        actor,
        policySet,
        customGates,
        customPolicies,
        store,
        telemetry,
        report,
        now: now(),
      }),
    );
    const evidence: Evidence = {
      ...lookedUp,
      ref: request.ref,
      actor,
      policySet,
      claimed: errand.claimed,
      proposalId: id(),
      randomSalt: `${request.ref.experiment}-${salt().slice(0, 16)}`,
    };
    const decision = observer.run("decision", { type: command.type }, (note) => {
      const decided = decide(state, command, evidence);
      note({ outcome: decided.outcome });
      return decided;
    });

    const events = eventsOf(decision, () => fresh && denials.take(key, request.actor.id, evidence.now));
    // What is refused, or found done already, on remembered state is decided again on fresh state: it may have
    // changed elsewhere, and a retry must find the receipt of its first attempt before anything is judged.
    if (!fresh && events.length === 0) return "again";
    const texts = command.type === "Comment" ? personal.map(({ ref, value }): [string, string] => [ref, value]) : [];
    const people = new Map([...(loaded?.people ?? []), ...texts, [actor.ref, request.actor.id]]);
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
    const head = { seq: last.seq, hash: last.hash, at: last.at };
    const known = new Map([...people, ...personal.map(({ ref, value }): [PersonalRef, string] => [ref, value])]);
    return {
      answer,
      after: snapshot === null ? null : { snapshot, head, receipt: null, actor: null, people },
      fresh: outbox === undefined || snapshot === null ? null : freshOf(records, known, snapshot),
      commit: {
        expect: loaded?.head ?? "new",
        events: records,
        ...(changed && snapshot !== null ? { snapshot, people: peopleOf(next) } : {}),
        personal: takenUp(personal, records),
        claims: decision.outcome === "commit" ? decision.claims : { take: [], release: [] },
        receipt,
        rules: knownRules.missing(key, rulesNamed(policySet, records)),
      },
    };
  };

  const write = async (errand: Errand, { commit, answer, after, fresh }: Draft): Promise<CommandAnswer | "again"> => {
    const { key, request } = errand;
    const known = memory.get(key);
    // A brake that came between has made this commit stale: there is no need to ask the store.
    if (known !== undefined && (commit.expect === "new" || known.head.seq > commit.expect.seq)) {
      // Or what is remembered is of another store than this has become; the next look tells.
      memory.delete(key);
      knownRules.forget(key);
      return "again";
    }
    const at =
      after === null
        ? null
        : nextWake(after.snapshot.state, now(), guardrailIntervalMs, telemetry.signals !== undefined);
    if (at !== null && wake !== undefined) await wake(request.ref, at);
    if (outbox !== undefined && wake !== undefined) await wake(request.ref, now() + undeliveredAfterMs);
    const result = await store.commit(request.ref, commit).catch((error: unknown) => {
      // It may have been made all the same.
      deliver(request.ref, null);
      throw error;
    });
    if (result.ok) {
      deliver(request.ref, fresh);
      if (after !== null) memory.set(key, after);
      knownRules.note(key, commit.rules ?? []);
      if (errand.brake) brakes.note(key, (order += 1));
      return answer;
    }
    memory.delete(key);
    knownRules.forget(key);
    errand.lost += 1;
    if (result.conflict === "claimed") errand.claimed = { claim: result.claim, holder: result.holder };
    return "again";
  };

  const attempt = async (errand: Errand, from: Attempt): Promise<CommandAnswer | "again"> => {
    const drafted = await draft(errand, from);
    if (drafted === "again" || "ok" in drafted) return drafted;
    return errand.brake ? write(errand, drafted) : commits.run(errand.key, () => write(errand, drafted));
  };

  const run = async (errand: Errand): Promise<CommandAnswer> => {
    const recalled = memory.recall(errand.key, errand.request.actor.id);
    if (recalled !== null) {
      const answer = await attempt(errand, { loaded: recalled, fresh: false });
      if (answer !== "again") return answer;
    }
    for (let attempts = 0; attempts < attemptsMax; attempts += 1) {
      const answer = await attempt(errand, await load(errand));
      if (answer !== "again") return answer;
    }
    throw tooBusy();
  };

  const inTurn = (errand: Errand): Promise<CommandAnswer> =>
    errand.brake ? commits.run(errand.key, () => run(errand), true) : turns.run(errand.key, () => run(errand));

  const executeSeen = async (request: CommandRequest, note: Note): Promise<CommandAnswer> => {
    const key = refKey(request.ref);
    const { idempotencyKey } = request;
    const receiptKey = idempotencyKey === undefined ? null : receiptKeyOf(request.actor.id, idempotencyKey);
    const seen = memory.get(key)?.snapshot.state.lifecycle ?? null;
    const errand: Errand = {
      request,
      key,
      receiptKey,
      brake: isBrake(request.command),
      order: (order += 1),
      seen,
      claimed: null,
      lost: 0,
    };
    const answering = async (): Promise<CommandAnswer> => {
      try {
        return await inTurn(errand);
      } finally {
        if (errand.lost > 0) note({ retries: errand.lost });
      }
    };
    if (receiptKey === null) return answering();
    const flight = JSON.stringify([key, receiptKey]);
    if (inFlight.has(flight))
      return refusal("request-in-flight", "the first request with this idempotency key is still running");
    inFlight.add(flight);
    try {
      return await answering();
    } finally {
      inFlight.delete(flight);
    }
  };

  const execute = (request: CommandRequest): Promise<CommandAnswer> => {
    const { ref, command, actor } = request;
    return observer.run("command", { type: command.type, actorKind: actor.kind, ...ref }, async (note) => {
      const answer = await executeSeen(request, note);
      note(answer.ok ? { outcome: answer.outcome } : { outcome: "denied", code: answer.code });
      return answer;
    });
  };

  const forget = (key: string): void => {
    memory.delete(key);
    knownRules.forget(key);
  };

  const erase = (request: ErasureRequest): Promise<number> => {
    const key = refKey(request.ref);
    return turns.run(key, async () => {
      const refs = await personalOf(store, request.ref, request.person);
      if (refs.length === 0) return 0;
      if (outbox !== undefined && wake !== undefined) await wake(request.ref, now() + undeliveredAfterMs);
      for (let attempts = 0; attempts < attemptsMax; attempts += 1) {
        const result = await commits.run(key, () => recordErasure({ store, now, id, salt }, request, refs.length));
        // What is remembered has the values, and another head.
        forget(key);
        if (!result.ok) continue;
        // Nothing of the erased person is delivered from memory.
        deliver(request.ref, null);
        await eraseAll(store, request.ref, refs);
        return refs.length;
      }
      throw tooBusy();
    });
  };

  return {
    execute,
    erase,
    reload: async (ref) => {
      forget(refKey(ref));
      await wake?.(ref, now());
    },
    evaluate: (question) =>
      evaluateMove(question, { store, policySet, customGates, customPolicies, telemetry, now, report }),
    async tick(ref) {
      const undelivered = outbox?.drain(ref);
      const clock = await runClock(ref, { store, telemetry, now, report, guardrailIntervalMs, execute }).catch(
        async (error: unknown) => {
          await undelivered;
          throw error;
        },
      );
      const times = [clock, (await undelivered) ?? null].filter((time) => time !== null);
      return times.length === 0 ? null : Math.min(...times);
    },
  };
};

/** What a command brought and no event has taken up is not kept: nobody could find it again to erase it. */
const takenUp = (personal: readonly PersonalValue[], records: readonly EventRecord[]): readonly PersonalValue[] => {
  const taken = new Set(records.flatMap((record) => referencesIn(record)));
  return personal.filter(({ ref }) => taken.has(ref));
};

const tooBusy = (): ProvisoError =>
  new ProvisoError(
    "store-unavailable",
    `the experiment is changing too fast: ${attemptsMax} attempts lost their race`,
    { retryAfterSeconds: 1 },
  );

const brakeStates: readonly (LifecycleState | undefined)[] = ["Paused", "RolledBack"];

/** What stops or goes back overtakes whatever waits. A rollback that also starts something is no brake. */
const isBrake = (command: CommandInput): boolean => {
  if (command.type === "Transition") return brakeStates.includes(command.to);
  if (command.type === "RollBack") return command.transition === undefined || brakeStates.includes(command.transition);
  return command.type === "Kill" || (command.type === "Ramp" && command.action !== "advance");
};

/**
 * A start that was asked for before a brake must not undo it: whoever asked had not seen it. Brakes of this process are
 * known by their order; one of another process shows in the state that the first attempt saw. That state may have been
 * remembered and old, and then a start is refused once that could have gone through: the safe mistake of the two.
 */
const checkBrake = (errand: Errand, state: ExperimentState | null, lastBrake: number): CommandAnswer | null => {
  const { command } = errand.request;
  if (state === null || command.type !== "Transition") return null;
  // On a state from which the move is impossible the command cannot have been meant: that was old knowledge.
  if (errand.seen === null || !canTransition(errand.seen, command.to)) errand.seen = state.lifecycle;
  if (state.lifecycle !== "Paused" || !isServing(command.to)) return null;
  // Whoever names the very state that is paused has seen the pause.
  if (errand.request.ifMatch !== undefined && errand.request.ifMatch !== "*") return null;
  if (errand.seen === "Paused" && lastBrake < errand.order) return null;
  return refusal("invalid-transition", "the experiment was paused and this had not seen it: look, and ask again", {
    currentState: state.lifecycle,
    allowedTransitions: allowedTransitions(state.lifecycle),
  });
};

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
