/** What the server's and the web's provider share. */
import {
  ErrorCode,
  type EvaluationContext,
  type ResolutionDetails,
  type TrackingEventDetails,
} from "@openfeature/core";
import type { Assignment } from "../evaluation/assign.ts";
import type { Experiments } from "../evaluation/experiments.ts";
import { attributesOf, flagMetadata, type FlagType, resolveFlag } from "./flag.ts";
import { type RulesEvent, type WatchOptions, watchRules } from "./watch.ts";

export interface ProviderOptions extends Pick<WatchOptions, "watchMs" | "startTimer" | "now"> {
  readonly experiments: Pick<Experiments, "assign" | "exposed" | "outcome" | "ready" | "flush" | "rules">;
  /**
   * When evaluating a flag exposes its subject. `onEvaluation` (the default): whoever asks for a value is about to use it.
   * `explicit`: when the application says so, by `experiments.expose`.
   */
  readonly exposure?: "onEvaluation" | "explicit";
}

const codes = {
  PROVIDER_NOT_READY: ErrorCode.PROVIDER_NOT_READY,
  FLAG_NOT_FOUND: ErrorCode.FLAG_NOT_FOUND,
  PARSE_ERROR: ErrorCode.PARSE_ERROR,
  TARGETING_KEY_MISSING: ErrorCode.TARGETING_KEY_MISSING,
  INVALID_CONTEXT: ErrorCode.INVALID_CONTEXT,
  TYPE_MISMATCH: ErrorCode.TYPE_MISMATCH,
  GENERAL: ErrorCode.GENERAL,
} as const;

export interface ProviderCore {
  initialize(): Promise<void>;
  onClose(): Promise<void>;
  track(name: string, context: EvaluationContext, details: TrackingEventDetails): void;
  resolve<T>(type: FlagType, flagKey: string, defaultValue: T, context: EvaluationContext): ResolutionDetails<T>;
}

const details = (assignment: Assignment) => ({
  variant: assignment.variant,
  reason: assignment.reason,
  flagMetadata: flagMetadata(assignment),
});

/** @param emit hears of changes of the rules between `initialize` and `onClose` */
export const createProviderCore = (
  { experiments, exposure = "onEvaluation", ...timing }: ProviderOptions,
  emit: (event: RulesEvent) => void,
): ProviderCore => {
  const watch = watchRules({ ...timing, rules: experiments.rules, emit });
  let closings = 0;
  function resolve<T>(
    type: FlagType,
    flagKey: string,
    defaultValue: T,
    context: EvaluationContext,
  ): ResolutionDetails<T>;
  // The overload says what holds but TypeScript cannot see: a value has the type that was asked for, or is the default.
  function resolve(
    type: FlagType,
    flagKey: string,
    defaultValue: unknown,
    context: EvaluationContext,
  ): ResolutionDetails<unknown> {
    const { targetingKey = "" } = context;
    const attributes = attributesOf(context);
    const assignment = experiments.assign(flagKey, targetingKey, attributes);
    const resolved = resolveFlag(assignment, type);
    watch.look();
    if ("errorCode" in resolved) {
      const { errorCode, errorMessage } = resolved;
      return { value: defaultValue, reason: "ERROR", errorCode: codes[errorCode], errorMessage };
    }
    if (exposure === "onEvaluation" && assignment.exposed) {
      experiments.exposed(assignment, targetingKey, attributes);
    }
    return { value: resolved.value ?? defaultValue, ...details(assignment) };
  }

  return {
    async initialize() {
      const before = closings;
      const { state, error } = await experiments.ready();
      // Replaced by another provider while it waited: nobody would close it again.
      if (closings === before) watch.begin();
      // The SDK tells its listeners. Evaluation works by whatever arrives later, and then they are told of that.
      if (state === "empty") throw new Error(error ?? "no rules have been loaded");
    },
    async onClose() {
      closings += 1;
      watch.end();
      await experiments.flush();
    },
    /** A tracked event is an outcome: a number with a value, and otherwise that it happened. */
    track(metric, { targetingKey = "" }, { value }) {
      experiments.outcome(
        value === undefined
          ? { subject: targetingKey, metric, kind: "binary", value: true }
          : { subject: targetingKey, metric, kind: "continuous", value },
      );
    },
    resolve,
  };
};
