/** What a report says in words, whatever it is written in. */
import { printable, significant } from "./text.ts";
import { effectIn, levelOf, pointsOf, withheldIn } from "./sections.ts";
import type { ContrastDocument, OutcomeDocument, ResultsDocument } from "./results.ts";

export const alphaOf = ({ plan }: ResultsDocument): number => plan?.plan?.alpha ?? 0.05;

/** The arm that others are compared with: as the contrasts say, or the first. */
export const controlIn = ({ outcomes, subjects }: ResultsDocument): string =>
  [...outcomes.values()].flatMap(({ contrasts }) => contrasts)[0]?.control ?? [...subjects.keys()][0] ?? "";

/** What was fixed before the start, and how far it has come. */
export const planFacts = ({ plan, fixedHorizon }: ResultsDocument): readonly string[] => {
  if (plan === undefined) return [];
  if (plan === null) return ["The experiment has not started: nothing is frozen yet."];
  const { frozenAt, version, digest, plan: frozen } = plan;
  const when = `${printable(frozenAt)}, with version ${version}`;
  const done =
    fixedHorizon?.fraction == null ? "" : ` ${Math.floor(fixedHorizon.fraction * 100)} % of it has been fulfilled.`;
  const reading =
    fixedHorizon?.status === "final"
      ? " Fixed-horizon p values may be read now, once."
      : " Fixed-horizon p values are early: go by what may be looked at at any time.";
  if (digest === null) return [`The experiment started without a plan (${when}).${reading}`];
  const hypothesis = frozen?.hypothesis;
  return [
    `Frozen ${when}, digest ${printable(digest).slice(0, 16)}.${done}${reading}`,
    ...(hypothesis === undefined ? [] : [`Hypothesis: ${printable(hypothesis)}`]),
  ];
};

const marks = { added: "added", changed: "changed", removed: "taken away" } as const;

export const metricMarks = ({ primary, afterStart }: OutcomeDocument): readonly string[] => [
  ...(primary === undefined ? [] : [primary ? "primary" : "exploratory"]),
  ...(afterStart === undefined ? [] : [`${marks[afterStart]} after the start`]),
];

/** Everything that is declared otherwise than at the start. */
export const afterStartFacts = ({ afterStart }: ResultsDocument): readonly string[] =>
  afterStart === undefined
    ? []
    : (
        [
          ["metric", afterStart.metrics],
          ["dimension", afterStart.dimensions],
          ["guardrail", afterStart.guardrails],
        ] as const
      ).flatMap(([what, changes]) =>
        Array.from(changes, ([name, change]) => `${what} ${printable(name)}: ${marks[change]} after the start`),
      );

/** What there is to say of one contrast besides its fixed-horizon test. */
export const contrastFacts = (
  results: ResultsDocument,
  contrast: ContrastDocument,
  kind: OutcomeDocument["kind"],
  unicode: boolean,
): readonly string[] => {
  if (withheldIn(results) !== null) return [];
  const { sequential, adjustedPValue, relativeDifference, adjusted } = contrast;
  const show = effectIn(kind, unicode);
  const facts: string[] = [];
  if (sequential !== undefined) {
    const { difference, interval, pValue } = sequential;
    facts.push(
      interval === null || difference === null
        ? `at any look: not shown (${printable(sequential.reason ?? "no reason is given")})`
        : `at any look: ${show(difference)}${pointsOf(kind)}, ${levelOf(alphaOf(results))} confidence sequence ${show(interval[0])} to ${show(interval[1])}, p = ${significant(pValue ?? 1)}`,
    );
  }
  if (relativeDifference?.value != null) {
    const { value, interval } = relativeDifference;
    const share = effectIn("binary", unicode);
    facts.push(
      `relative: ${share(value)} %${interval === null ? "" : ` (${share(interval[0])} to ${share(interval[1])} %)`}`,
    );
  }
  if (adjusted !== undefined) {
    const { covariate, difference, interval, pValue, varianceReduction } = adjusted;
    const by = `adjusted by ${printable(covariate)} (CUPED)`;
    facts.push(
      difference === null || interval === null
        ? `${by}: not tested (${printable(adjusted.reason ?? "no reason is given")})`
        : `${by}: ${show(difference)}${pointsOf(kind)}, ${levelOf(alphaOf(results))} interval ${show(interval[0])} to ${show(interval[1])}, p = ${significant(pValue ?? 1)}${varianceReduction === null ? "" : `, ${significant(varianceReduction * 100)} % of the variance taken away`}`,
    );
  }
  if (adjustedPValue != null && adjustedPValue !== contrast.pValue)
    facts.push(`p corrected for several comparisons: ${significant(adjustedPValue)}`);
  return facts;
};
