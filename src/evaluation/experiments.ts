/** The SDK an application uses: rules, assignment, exposure and outcomes in one object. */
import {
  createEventBuffer,
  type EventBuffer,
  type EventBufferHealth,
  type EventBufferOptions,
  type ToldFlushSettings,
  type WaitUntilContext,
} from "../events/buffer.ts";
import { createEventIds } from "../events/event-id.ts";
import { createRecorder, type EventBody, type OutcomeInput } from "../events/exposure.ts";
import type { EventSink } from "../events/sink.ts";
import { holdsSurfaces } from "../lifecycle.ts";
import type { Scope } from "../scope.ts";
import type { Assignment, Enrolled } from "./assign.ts";
import { assignFrom, type RulesStatus, type RuleSource } from "./rules.ts";
import type { Attributes } from "./targeting.ts";
import { createTrial, type Implementations, type Trial, type TrialDependencies, type TrialOptions } from "./trial.ts";

export interface ExperimentsOptions {
  /** Where rules come from. What they say of batches and sampling applies unless it is set here. */
  readonly rules: RuleSource;
  /** Where events go. Without one, evaluation works and nothing is recorded. */
  readonly sink?: EventSink;
  readonly buffer?: Pick<
    EventBufferOptions,
    | "maxEvents"
    | "maxBytes"
    | "flushEvents"
    | "flushBytes"
    | "flushIntervalMs"
    | "attempts"
    | "backoffMs"
    | "backoffMaxMs"
    | "sendTimeoutMs"
    | "random"
    | "startTimer"
  >;
  /**
   * Whether a subject is in an experiment already, by what the application remembers: a cookie, a session, a table. Asked
   * only while an experiment is paused with `stopEnrolment`, on the request's time, so it must be quick. Left out, nobody is
   * known to be in, and everybody gets control.
   */
  readonly enrolled?: Enrolled;
  /** Scope of the events; by default that of the rules. */
  readonly scope?: Partial<Scope>;
  /**
   * Share of subjects whose events are kept, 0 to 1 in steps of 0.0001; by default that of the rules, or else 1. Decided
   * by subject, the same for all arms, so it cannot tilt a ratio. Everything that sends events of an experiment must use
   * the same share, so better set it once, in the DSL.
   */
  readonly sampling?: number;
  /** Exposures remembered to tell repeats from first ones, by experiment, epoch, subject and variant. Default 20,000. */
  readonly rememberedExposures?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Event ids: UUIDs, best of version 7. Gets the time of the event. */
  readonly id?: (at: number) => string;
  /** Hears of everything that went wrong beside the application's calls: nothing of it is thrown. */
  readonly onError?: (error: unknown) => void;
}

export interface ExperimentsHealth {
  readonly status: "healthy" | "degraded" | "unhealthy";
  /** One sentence for people. */
  readonly description: string;
  readonly rules: RulesStatus;
  /** Absent without a sink. */
  readonly events?: EventBufferHealth;
}

export interface Experiments {
  /**
   * Resolves when rules are loaded or could not be. Never rejects: without rules everybody gets control, with reason
   * `ERROR`, and the application runs.
   */
  ready(): Promise<RulesStatus>;
  /** Decides, and records nothing: evaluating is not exposing. Never throws. */
  assign(experiment: string, subjectId: string, attributes?: Attributes): Assignment;
  /**
   * Decides, and records the exposure if the subject was randomised: for code that branches by itself. Call it where the
   * variant is about to be served, not where it might be.
   */
  expose(experiment: string, subjectId: string, attributes?: Attributes): Assignment;
  /**
   * Wraps functions and calls the one a subject is assigned to. Arguments and result keep their types; a synchronous
   * function stays so. A variant without an implementation gets control, and an Error event says so.
   *
   * @example
   * const pay = experiments.trial("checkout", { control: payV1, treatment: payV2 });
   * const receipt = await pay.for("user-42", { country: "US" })(cart);
   */
  trial<A extends readonly unknown[], R>(
    experiment: string,
    implementations: Implementations<A, R>,
    options?: TrialOptions,
  ): Trial<A, R>;
  /**
   * Records what a subject did. Without `experiment` it goes to every experiment of the rules that runs or is paused;
   * name the experiment where there are many.
   *
   * @returns false when it was not taken: malformed (`onError` hears how), not sampled, buffer full, no sink, no experiment
   * @example experiments.outcome({ subject: "user-42", metric: "purchase", kind: "binary", value: true });
   */
  outcome(outcome: OutcomeInput & { readonly experiment?: string }): boolean;
  /**
   * Records any event: an AnalysisSignal of your own, an Assignment. Envelope and scope are filled in; a type that is
   * switched off is not taken, nor is a subject that sampling leaves out.
   */
  record(event: EventBody): boolean;
  /** Records that a subject is being served this assignment, decided before by `assign` for these attributes. */
  exposed(assignment: Assignment, subjectId: string, attributes?: Attributes): void;
  /** Records that the implementation of the assigned variant failed; `fallback` names what was served instead. */
  failed(assignment: Assignment, subjectId: string, error: unknown, fallback?: string): void;
  /** Where the rules come from. */
  readonly rules: RuleSource;
  /** What holds the events; absent without a sink. */
  readonly buffer?: EventBuffer;
  /** Sends what is buffered. True when all of it has arrived. Never rejects. */
  flush(): Promise<boolean>;
  /** In a Worker, once a request: keeps a flush and a refresh of the rules alive after the answer. */
  waitUntil(context: WaitUntilContext): void;
  health(): ExperimentsHealth;
  /** Flushes and stops. Evaluation goes on working; events are no longer taken. */
  close(): Promise<void>;
}

const worse = { healthy: 0, degraded: 1, unhealthy: 2 } as const;

const rulesHealth = (rules: RulesStatus): Pick<ExperimentsHealth, "status" | "description"> => {
  const because = rules.error === undefined ? "" : `: ${rules.error}`;
  if (rules.state === "empty") return { status: "unhealthy", description: `no rules loaded${because}` };
  if (rules.state === "stale") return { status: "degraded", description: `rules are stale${because}` };
  if (rules.unreadable.length > 0) {
    return { status: "degraded", description: `${rules.unreadable.length} of ${rules.experiments} rules unreadable` };
  }
  return { status: "healthy", description: `rules of ${rules.experiments} experiments` };
};

const scopeOf = (rules: RuleSource): Scope => {
  const { tenant, environment } = rules.current();
  return { tenant, environment };
};

/**
 * @throws RangeError for a `sampling` outside its range
 * @example
 * const experiments = createExperiments({
 *   rules: httpRules({ url: "https://experiments.example" }),
 *   sink: httpSink({ url: "https://experiments.example" }),
 * });
 * await experiments.ready();
 */
export const createExperiments = (options: ExperimentsOptions): Experiments => {
  const { rules, sink, now = Date.now, sampling, rememberedExposures = 20_000, enrolled } = options;
  if (sampling !== undefined && !(sampling >= 0 && sampling <= 1)) {
    throw new RangeError(`sampling: found ${sampling}; expected a share from 0 to 1`);
  }
  const onError = (error: unknown): void => {
    try {
      options.onError?.(error);
    } catch {
      // A reporter that fails has nowhere to report to.
    }
  };

  const flushSettings = (): ToldFlushSettings | undefined => rules.current().dataPlane;
  const buffer =
    sink === undefined ? undefined : createEventBuffer({ flushSettings, ...options.buffer, sink, now, onError });
  const recorder =
    buffer === undefined
      ? undefined
      : createRecorder({
          buffer,
          scope: () => ({ ...scopeOf(rules), ...options.scope }),
          off: () => rules.current().dataPlane?.off ?? [],
          sampling: () => sampling ?? rules.current().dataPlane?.sampling ?? 1,
          rememberedExposures,
          now,
          id: options.id ?? createEventIds(),
          onError,
        });

  const assign = (experiment: string, subjectId: string, attributes?: Attributes): Assignment =>
    assignFrom(rules.current(), experiment, subjectId, attributes, enrolled);

  const parts: TrialDependencies = {
    assign,
    exposed: (assignment, subjectId, attributes) => recorder?.exposure(assignment, subjectId, attributes),
    failed: (assignment, subjectId, error, fallback) => recorder?.failure(assignment, subjectId, error, fallback),
  };

  return {
    ready: () => (rules.current().state === "empty" ? rules.refresh() : Promise.resolve(rules.status())),

    ...parts,

    expose(experiment, subjectId, attributes) {
      const assignment = assign(experiment, subjectId, attributes);
      recorder?.exposure(assignment, subjectId, attributes);
      return assignment;
    },

    trial: (experiment, implementations, trialOptions) => createTrial(parts, experiment, implementations, trialOptions),

    record: (event) => recorder?.record(event) ?? false,
    rules,
    ...(buffer && { buffer }),

    outcome(input) {
      if (recorder === undefined) return false;
      try {
        const { experiment, ...outcome } = input;
        if (experiment !== undefined) return recorder.outcome(experiment, outcome);
        const names = rules.current().rules.filter(({ state }) => holdsSurfaces(state));
        const taken = names.map(({ name }) => recorder.outcome(name, outcome));
        return taken.length > 0 && taken.every(Boolean);
      } catch (error) {
        onError(error);
        return false;
      }
    },

    flush: () => buffer?.flush() ?? Promise.resolve(true),

    waitUntil(context) {
      buffer?.waitUntil(context);
      context.waitUntil(rules.settled());
    },

    health() {
      const rulesStatus = rules.status();
      const events = buffer?.health();
      const ofRules = rulesHealth(rulesStatus);
      const ofEvents = events ?? { status: "healthy" as const, description: "no sink: nothing is recorded" };
      return {
        status: worse[ofRules.status] >= worse[ofEvents.status] ? ofRules.status : ofEvents.status,
        description: `${ofRules.description}; ${ofEvents.description}`,
        rules: rulesStatus,
        ...(events && { events }),
      };
    },

    close: () => buffer?.close() ?? Promise.resolve(),
  };
};
