/** Signals that follow from results. Only the sequential test raises one; the chi-square test never does. */
import type { SampleRatioReading } from "./sample-ratio.ts";

export interface AnalysisSignal {
  readonly signalType: "SampleRatioMismatch" | "CrossoverRate";
  readonly severity: "Critical" | "Warning";
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Crossovers above this share of subjects are reported: so many blur the comparison. */
const crossoverRateMaximum = 0.01;

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** A sequential test that crossed its level. */
export const mismatchSignal = ({ epoch, planned, subjects, sequential }: SampleRatioReading): AnalysisSignal => {
  const total = Object.values(subjects).reduce((sum, count) => sum + count, 0);
  const arms = Object.entries(subjects).map(([variant, count]) => ({
    variant,
    subjects: count,
    plannedShare: new Map(Object.entries(planned)).get(variant) ?? 0,
    observedShare: count / total,
  }));
  return {
    signalType: "SampleRatioMismatch",
    severity: "Critical",
    message: `Sample ratio mismatch in epoch ${epoch}: ${arms
      .map((arm) => `${arm.variant} ${percent(arm.observedShare)} instead of ${percent(arm.plannedShare)}`)
      .join(", ")}. Results are not trustworthy until its cause is found.`,
    data: {
      epoch,
      pValue: sequential.pValue,
      level: sequential.level,
      logBayesFactor: sequential.logBayesFactor,
      looks: sequential.looks,
      lookAt: sequential.lookAt,
      // The gap itself, so that a huge sample's tiny one can be judged.
      arms: arms.map((arm) => ({ ...arm, deviation: arm.observedShare - arm.plannedShare })),
    },
  };
};

export const crossoverSignals = (crossovers: number, subjects: number): readonly AnalysisSignal[] => {
  const rate = subjects === 0 ? 0 : crossovers / subjects;
  if (rate <= crossoverRateMaximum) return [];
  const message = `${crossovers} of ${subjects} subjects saw another variant later (${percent(rate)}): the difference between the arms is understated.`;
  return [
    {
      signalType: "CrossoverRate",
      severity: "Warning",
      message,
      data: { crossovers, subjects, rate, maximum: crossoverRateMaximum },
    },
  ];
};
