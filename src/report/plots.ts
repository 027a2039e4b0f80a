/** The plots of a report: subjects by arm, each effect with its confidence sequence, and the sample ratio over time. */
import { epochAlpha } from "../science/srm-verdict.ts";
import type { Chart } from "./chart.ts";
import { alphaOf } from "./facts.ts";
import type { ContrastDocument, ResultsDocument } from "./results.ts";
import { levelOf } from "./sections.ts";
import { count, printable, significant } from "./text.ts";

/** The end of a day, UTC: what a day's figures are as of. */
const endOf = (day: string): number => Date.parse(`${day}T00:00:00Z`) + 86_400_000;

const armsPlot = (results: ResultsDocument): Chart => {
  const { days = [], epoch } = results;
  const variants = [...new Set(days.flatMap(({ subjects }) => [...subjects.keys()]))];
  const lines = variants.map((variant) => {
    let total = 0;
    const points = days.map(({ day, subjects }) => {
      total += subjects.get(variant) ?? 0;
      const words = `${printable(variant)}, up to the end of ${day}: ${count(total)} subjects`;
      return { time: endOf(day), value: total, words };
    });
    return { label: printable(variant), points };
  });
  const last = lines.map(({ label, points }) => `${label} ${count(points.at(-1)?.value ?? 0)}`).join(", ");
  return {
    id: "arms",
    title: `${printable(results.experimentName)}: subjects by arm, epoch ${epoch}`,
    description: `Distinct subjects by the day of their first exposure, added up, UTC. At the end: ${last === "" ? "nobody" : last}.`,
    unit: "subjects",
    scale: "number",
    lines,
    levels: [{ value: 0, label: "" }],
    empty: "Nobody has been exposed in this epoch yet.",
  };
};

const words = (value: number, binary: boolean): string =>
  binary ? `${(value * 100).toFixed(3)} percentage points` : significant(value, 4);

const effectPlot = (
  results: ResultsDocument,
  metric: string,
  kind: string,
  contrasts: readonly ContrastDocument[],
  id: string,
): Chart => {
  const binary = kind === "binary";
  const level = levelOf(alphaOf(results));
  const control = printable(contrasts[0]?.control ?? "control");
  const lines = contrasts.map(({ variant, series = [] }) => ({
    label: printable(variant),
    points: series.map(({ day, subjects, difference, interval }) => ({
      time: endOf(day),
      value: difference,
      interval,
      words: `${printable(variant)}, up to the end of ${day}, ${count(subjects)} subjects: ${
        difference === null ? "no difference can be told" : words(difference, binary)
      }${interval === null ? "" : `, ${level} confidence sequence ${words(interval[0], binary)} to ${words(interval[1], binary)}`}`,
    })),
  }));
  const last = lines.flatMap(({ points }) => points.at(-1)?.words ?? []).join("; ");
  return {
    id,
    title: `${printable(metric)}: difference from ${control}`,
    description: `${printable(metric)}, variant minus ${control}, over everybody first exposed up to the end of each day (UTC), with what has been counted of them by now. The band is the ${level} confidence sequence, which may be looked at at any time; where there is none it may not be shown yet. ${last === "" ? "" : `At the end: ${last}.`}`,
    unit: binary ? "difference, percentage points" : "difference",
    scale: binary ? "share" : "number",
    lines,
    levels: [{ value: 0, label: "no difference" }],
    empty: results.withheld ?? "No difference can be told yet.",
  };
};

const sampleRatioPlot = (results: ResultsDocument): Chart => {
  const { sampleRatioSeries = [], sampleRatio } = results;
  const levels = new Map((sampleRatio.byEpoch ?? []).map(({ epoch, sequential }) => [epoch, sequential.level]));
  levels.set(results.epoch, sampleRatio.sequential.level);
  const lines = sampleRatioSeries
    .filter(({ looks }) => looks.length > 0)
    .map(({ epoch, looks }) => ({
      label: `epoch ${epoch}`,
      steps: true as const,
      points: looks.map(([minute, pValue]) => {
        const time = minute * 60_000;
        return {
          time,
          value: pValue,
          words: `epoch ${epoch}, ${new Date(time).toISOString().slice(0, 16)}Z: p = ${significant(pValue)}`,
        };
      }),
    }));
  const shown = [...levels].filter(([epoch]) => sampleRatioSeries.some((one) => one.epoch === epoch));
  const { mismatch, looks, pValue, level } = sampleRatio.sequential;
  return {
    id: "sample-ratio",
    title: `${printable(results.experimentName)}: sample ratio, anytime-valid p`,
    description: `Running minimum of the p value of the sequential sample ratio test, at each stored checkpoint (logarithmic). A line that reaches the level of its epoch is a sample ratio mismatch. Epoch ${results.epoch}: ${looks} looks, p = ${pValue === null ? "unknown" : significant(pValue)}, level ${significant(level)}: ${mismatch ? "a mismatch" : "no mismatch"}.`,
    unit: "p (logarithmic)",
    scale: "probability",
    lines,
    levels: (shown.length === 0 ? [[results.epoch, epochAlpha(1)] as const] : shown).map(([epoch, value]) => ({
      value,
      label: `level of epoch ${epoch}`,
    })),
    empty: "No checkpoint has been looked at yet.",
  };
};

/**
 * Plots in the order of the report. Their ids are of this code and not of the data: `arms`, `effect-1` …, `sample-ratio`.
 *
 * @throws TypeError for a minute or a figure beyond what dates and charts can hold
 */
export const plotsOf = (results: ResultsDocument): readonly Chart[] => {
  const effects = Array.from(results.outcomes, ([metric, { kind, contrasts, primary }]) => ({
    metric,
    kind,
    primary: primary === true,
    // Withheld contrasts have no series; that there is something to see, and why it is not shown, is told all the same.
    contrasts: results.withheld == null ? contrasts.filter(({ series }) => series !== undefined) : contrasts,
  }))
    .filter(({ contrasts, primary }) => contrasts.length > 0 && (results.withheld == null || primary))
    .toSorted((a, b) => Number(b.primary) - Number(a.primary))
    .map(({ metric, kind, contrasts }, index) => effectPlot(results, metric, kind, contrasts, `effect-${index + 1}`));
  return [armsPlot(results), ...effects, sampleRatioPlot(results)];
};
