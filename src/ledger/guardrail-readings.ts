/** From the state of an experiment to what must be counted for its guardrails, and from the counts to what they say. */
import { controlOf } from "../experiment.ts";
import { planInForce } from "../governance/frozen-plan.ts";
import { guardrailName, type GuardrailReading } from "../governance/guardrails.ts";
import { servesSomebody } from "../governance/serving.ts";
import type { ExperimentState } from "../governance/state.ts";
import { guardrailAlpha, guardrailVerdicts, type GuardrailVerdict, watchedMetrics } from "./guardrails.ts";
import { livePlan } from "./plan.ts";
import type { Watch, WatchCounts } from "./watch.ts";

/**
 * What the guardrails of an experiment look at: subjects first exposed since it last started and since its live version
 * went live, in the live epoch. Null while it does not serve or has none.
 */
export const watchOf = (state: ExperimentState): Watch | null => {
  const { live, liveSince, servingSince, epoch } = state;
  const guardrails = live?.configuration.guardrails ?? [];
  if (!servesSomebody(state) || servingSince === null || guardrails.length === 0) return null;
  const since = Math.max(Date.parse(servingSince), liveSince === null ? 0 : Date.parse(liveSince));
  return { epoch, since, metrics: [...watchedMetrics(guardrails)] };
};

/** Three significant digits: people compare these with a bound. */
const short = (value: number): string => String(Number(value.toPrecision(3)));

/** JSON has no infinity. */
const finite = (value: number | null): number | null => (value === null || !Number.isFinite(value) ? null : value);

const unitOf = ({ guardrail: { maximum, relative } }: GuardrailVerdict, control: string): string =>
  maximum !== undefined ? "" : relative === true ? ` of ${control}'s, as a share of it,` : ` above ${control}'s`;

const wordsOf = (verdict: GuardrailVerdict, control: string): string => {
  const { decisive, bound, guardrail } = verdict;
  if (decisive === null) return `${guardrail.metric}: there is no arm besides ${control} to look at`;
  const { variant, estimate, lower, upper, reason } = decisive;
  const what = `${guardrail.metric} in ${variant}`;
  if (lower === null || upper === null) return `${what}: ${reason ?? "nothing can be said yet"}`;
  const cut =
    decisive.cut === 0
      ? ""
      : ` (${decisive.cut} of its subjects are beyond the cap and count as ${guardrail.cap ?? ""})`;
  const seen = estimate === null || !Number.isFinite(estimate) ? "beyond all measure" : short(estimate);
  const range = `${seen}${unitOf(verdict, control)}`;
  switch (verdict.verdict) {
    case "violated":
      return `${what} is ${range}, at least ${short(lower)} at any look: beyond ${bound}${cut}`;
    case "safe":
      return `${what} is ${range}, at most ${short(upper)} at any look: within ${bound}${cut}`;
    case "inconclusive":
      return `${what} is ${range}, between ${short(lower)} and ${Number.isFinite(upper) ? short(upper) : "anything"} at any look: not known to be within ${bound}${cut}`;
    default:
      return verdict.verdict satisfies never;
  }
};

const actionOf = ({ verdict, guardrail, controlBreaks }: GuardrailVerdict): GuardrailReading["action"] => {
  if (verdict !== "violated") return "none";
  // Going back serves everybody control, which is no better: a person has to look.
  return guardrail.onViolation === "rollBack" && controlBreaks ? "pause" : guardrail.onViolation;
};

const readingOf = (verdict: GuardrailVerdict, control: string): GuardrailReading => {
  const { guardrail, decisive, bound } = verdict;
  const action = actionOf(verdict);
  const helpless = verdict.verdict === "violated" && verdict.controlBreaks;
  return {
    guardrail: guardrailName(guardrail),
    metric: guardrail.metric,
    verdict: verdict.verdict,
    action,
    variant: decisive?.variant ?? null,
    why: helpless
      ? `${wordsOf(verdict, control)}; ${control} is beyond it too, so rolling back cannot help`
      : wordsOf(verdict, control),
    figures: {
      estimate: finite(decisive?.estimate ?? null),
      lower: finite(decisive?.lower ?? null),
      upper: finite(decisive?.upper ?? null),
      bound,
      subjects: decisive?.subjects ?? 0,
      cut: decisive?.cut ?? 0,
      method: decisive?.method ?? null,
      alpha: guardrailAlpha,
      controlBreaks: verdict.controlBreaks,
    },
  };
};

/**
 * What the guardrails of a serving experiment say.
 *
 * @param counts of {@link watchOf} this state
 * @param sampleRatioHolds false under a sample ratio mismatch
 * @example
 * const watch = watchOf(state);
 * if (watch !== null) guardrailReadings(state, await ledger.watched(watch)); // [{ guardrail: "error maximum 0.05", verdict: "safe", … }]
 */
export const guardrailReadings = (
  state: ExperimentState,
  counts: WatchCounts,
  sampleRatioHolds = true,
): readonly GuardrailReading[] => {
  if (state.live === null) return [];
  const { configuration } = state.live;
  const control = controlOf(configuration).key;
  const plannedSubjects = planInForce(state)?.sample;
  return guardrailVerdicts({
    guardrails: configuration.guardrails ?? [],
    counts,
    planned: livePlan(state).arms,
    control,
    sampleRatioHolds,
    excluding: new Set(
      (configuration.metrics ?? []).filter(({ missing }) => missing === "exclude").map(({ name }) => name),
    ),
    ...(plannedSubjects === undefined ? {} : { plannedSubjects }),
  }).map((verdict) => readingOf(verdict, control));
};
