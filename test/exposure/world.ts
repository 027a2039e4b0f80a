/** An application's experiments in memory, with a subject for each arm. */
import { memorySink } from "../../adapters/sink/memory.ts";
import { compileRule } from "../../src/evaluation/assign.ts";
import type { ExperimentRule } from "../../src/evaluation/rule-set.ts";
import { staticRules } from "../../src/evaluation/rules.ts";
import { createExperiments, type ExperimentsOptions } from "../../src/exposure/experiments.ts";
import { manualClock } from "../events/clock.ts";
import { rule, ruleSet, subjectFor } from "../evaluation/fixtures.ts";

const assign = compileRule(rule());
export const treated = subjectFor((id) => assign(id).variant === "treatment");
export const controlled = subjectFor((id) => assign(id).variant === "control");

export const world = (change: Partial<ExperimentRule> = {}, options: Partial<ExperimentsOptions> = {}) => {
  const clock = manualClock();
  const sink = memorySink();
  const errors: unknown[] = [];
  let rules = staticRules(ruleSet(rule(change)));
  const experiments = createExperiments({
    rules: {
      current: () => rules.current(),
      refresh: () => rules.refresh(),
      status: () => rules.status(),
      settled: () => rules.settled(),
    },
    sink,
    now: clock.now,
    onError: (error) => errors.push(error),
    ...options,
    buffer: { startTimer: clock.startTimer, random: () => 0, ...options.buffer },
  });
  /** What arrived, short: `Exposure treatment`, `Error treatment RangeError → control`. */
  const told = async (): Promise<readonly string[]> => {
    await experiments.flush();
    return sink.events().map((event) => {
      switch (event.eventType) {
        case "Exposure":
          return `Exposure ${event.payload.variantKey}${event.payload.isRepeatExposure === true ? " again" : ""}`;
        case "Error":
          return `Error ${event.payload.variantKey} ${event.payload.errorName} → ${event.payload.fallback ?? "thrown"}`;
        case "AnalysisSignal":
          return `${event.payload.signalType} ${String(event.payload.data?.["finding"])}`;
        case "Outcome":
        case "Assignment":
          return event.eventType;
        default:
          return event satisfies never;
      }
    });
  };
  return {
    experiments,
    clock,
    sink,
    errors,
    told,
    publish: (next: Partial<ExperimentRule>): void => {
      rules = staticRules(ruleSet(rule(next)));
    },
  };
};
