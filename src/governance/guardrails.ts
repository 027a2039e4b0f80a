/** Guardrails where governance meets them: what they are called, what they were read as, and when they hold a ramp. */
import type { Guardrail } from "../experiment.ts";
import type { GuardrailFinding } from "./events.ts";
import type { ChangeContext, EvidenceItem, PolicyResult } from "./policies/policy.ts";
import { judgeMissing } from "./policies/missing.ts";
import { servesSomebody } from "./serving.ts";
import type { ExperimentState } from "./state.ts";

/** A guardrail, and what follows from what it found. */
export interface GuardrailReading {
  /** {@link guardrailName}. */
  readonly guardrail: string;
  readonly metric: string;
  readonly verdict: "violated" | "safe" | "inconclusive";
  readonly action: "rollBack" | "pause" | "notify" | "none";
  /** The arm that decided it; null where none did. */
  readonly variant: string | null;
  readonly why: string;
  readonly figures: GuardrailFinding["figures"];
}

/** What the guardrails of a serving experiment said when a change was decided. */
export type GuardrailsEvidence =
  | { readonly status: "available"; readonly at: string; readonly readings: readonly GuardrailReading[] }
  | { readonly status: "unavailable"; readonly at: string; readonly reason: string };

/**
 * What a guardrail is called in a history: one metric may have several, such as a notice at 1 % and the brake at 5 %.
 *
 * @example guardrailName({ metric: "error", maximumIncrease: 0.01 }) // "error maximumIncrease 0.01"
 */
export const guardrailName = ({
  metric,
  maximum,
  maximumIncrease,
  relative,
}: Pick<Guardrail, "metric" | "maximum" | "maximumIncrease" | "relative">): string =>
  maximum === undefined
    ? `${metric} maximumIncrease ${String(maximumIncrease)}${relative === true ? " relative" : ""}`
    : `${metric} maximum ${maximum}`;

/** What a guardrail found holds for the version, epoch and start it was found on, and for nothing later. */
export const findingHolds = (state: ExperimentState, { version, epoch, since }: GuardrailFinding): boolean =>
  servesSomebody(state) && state.live?.version === version && state.epoch === epoch && state.servingSince === since;

/** More people would be let in to something that serves: only then do guardrails stand in the way of a change. */
export const isWatchedWidening = ({ servingSince, servedTraffic, trafficAfter }: ChangeContext): boolean =>
  servingSince !== null && trafficAfter > servedTraffic;

/** A guardrail that only notifies stops nothing, and is recorded. */
const severityOf = ({ onViolation }: Guardrail): "Critical" | "Warning" =>
  onViolation === "notify" ? "Warning" : "Critical";

const compliance = { violated: false, safe: true, inconclusive: null } as const;

const judge = (guardrail: Guardrail, context: ChangeContext, evidence: GuardrailsEvidence): PolicyResult => {
  const name = guardrailName(guardrail);
  const policy = `guardrail ${name}`;
  const severity = severityOf(guardrail);
  const { at } = evidence;
  const reading = evidence.status === "available" ? evidence.readings.find((one) => one.guardrail === name) : undefined;
  if (reading === undefined) {
    const why = evidence.status === "available" ? "nothing was read of it" : evidence.reason;
    const verdict = judgeMissing(
      { severity, onMissing: guardrail.onMissing },
      context,
      `telemetry is missing (${why})`,
      { guardrail: { source: "ledger", at, value: null } },
    );
    return { policy, severity, ...verdict };
  }
  const figures = Object.entries(reading.figures).map(([figure, value]): readonly [string, EvidenceItem] => [
    figure,
    { source: "ledger", at, value },
  ]);
  return {
    policy,
    severity,
    compliant: compliance[reading.verdict],
    reason: reading.why,
    evidence: { verdict: { source: "ledger", at, value: reading.verdict }, ...Object.fromEntries(figures) },
  };
};

/**
 * What the guardrails of what serves now say to a change. Violated stops a widening, inconclusive holds it, and what could
 * not be read does as `onMissing` says. Nothing for any other change.
 */
export const guardrailResults = (
  guardrails: readonly Guardrail[],
  context: ChangeContext,
  evidence: GuardrailsEvidence,
): readonly PolicyResult[] =>
  isWatchedWidening(context) ? guardrails.map((guardrail) => judge(guardrail, context, evidence)) : [];
