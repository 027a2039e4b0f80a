/** Both sample ratio tests on the counts of one epoch. */
import { chiSquareSampleRatio, type ChiSquare } from "../science/chi-square-srm.ts";
import { logBayesFactor } from "../science/sequential-srm.ts";
import { normalizeShares } from "../science/shares.ts";
import { epochAlpha, type SequentialReading } from "../science/srm-verdict.ts";
import type { ArmCount } from "./counts.ts";
import { sampleRatioOff } from "./unnamed.ts";
import { byVariant, distinct, subjectsIn, type Ground, type PlannedArm } from "./ground.ts";

export interface SequentialSampleRatio extends SequentialReading {
  /** A look after every subject, or at every stored checkpoint. */
  readonly lookAt: "subject" | "checkpoint";
  readonly mismatch: boolean;
}

export interface SampleRatioReading {
  readonly epoch: number;
  /** Share by variant, adding up to 1. A variant that was counted but not planned has 0. */
  readonly planned: Readonly<Record<string, number>>;
  readonly subjects: Readonly<Record<string, number>>;
  readonly chiSquare: ChiSquare;
  readonly sequential: SequentialSampleRatio;
}

const sequentialReading = (
  ground: Ground,
  epoch: number,
  plan: readonly PlannedArm[],
  level: number,
): SequentialSampleRatio => {
  const { counts } = ground;
  const isPlanned = new Set(plan.map((arm) => arm.variant));
  // One more arm, planned at 0, stands for every variant that is not in the plan.
  const shares = [...plan.map((arm) => arm.share), 0];
  const countsOf = (arms: readonly ArmCount[]): readonly number[] => {
    const ofEpoch = arms.filter((arm) => arm.epoch === epoch);
    const unplanned = ofEpoch.filter((arm) => !isPlanned.has(arm.variant));
    return [
      ...plan.map((arm) => subjectsIn(ofEpoch, arm.variant)),
      unplanned.reduce((sum, arm) => sum + arm.subjects, 0),
    ];
  };
  // Looks at subjects do not say which epoch each belonged to, so they describe a single epoch only.
  const subjectLooks = ground.epochs.length === 1 ? counts.subjectLooks : undefined;
  const looked = subjectLooks ??
    counts.checkpointLooks.find((looks) => looks.epoch === epoch) ?? { looks: 0, pValue: 1 };
  const logFactor = logBayesFactor(countsOf(counts.arms), shares);
  const impossible = logFactor === Infinity;
  const pValue = impossible ? 0 : looked.pValue;
  return {
    // JSON has no infinity: the reason says it.
    logBayesFactor: impossible ? null : logFactor,
    pValue,
    looks: looked.looks,
    lookAt: subjectLooks === undefined ? "checkpoint" : "subject",
    level,
    mismatch: pValue <= level,
    ...(impossible ? { reason: "a subject in an arm whose planned share is 0" } : {}),
  };
};

const sharesOf = (variants: readonly string[], plan: readonly PlannedArm[]): readonly number[] => {
  const shareOf = new Map(plan.map((arm) => [arm.variant, arm.share]));
  return variants.map((variant) => shareOf.get(variant) ?? 0);
};

const plannedOf = (variants: readonly string[], plan: readonly PlannedArm[]): SampleRatioReading["planned"] => {
  const shares = normalizeShares(sharesOf(variants, plan));
  const normalized = new Map(variants.map((variant, place) => [variant, shares[place]]));
  return byVariant(variants, (variant) => normalized.get(variant) ?? 0);
};

/** Planned shares against distinct subjects, within one epoch. */
export const sampleRatioOf = (ground: Ground, epoch: number): SampleRatioReading => {
  const { counts, plans, epochs } = ground;
  const level = epochAlpha(epoch - Math.min(...epochs, ...plans.keys()) + 1);
  const plan = plans.get(epoch);
  const counted = counts.arms.filter((arm) => arm.epoch === epoch && arm.subjects > 0).map((arm) => arm.variant);
  const variants = distinct([...(plan ?? []).map((arm) => arm.variant), ...counted]);
  const subjects = byVariant(variants, (variant) => subjectsIn(counts.arms, variant, epoch));
  const off = sampleRatioOff(counts, epoch);
  if (plan === undefined || off !== undefined) {
    const reason = off ?? `the planned shares of epoch ${epoch} are not known`;
    const untested = { pValue: null, reason };
    return {
      epoch,
      planned: plan === undefined ? {} : plannedOf(variants, plan),
      subjects,
      chiSquare: { ...untested, statistic: null, degreesOfFreedom: null },
      sequential: { ...untested, logBayesFactor: null, looks: 0, lookAt: "checkpoint", level, mismatch: false },
    };
  }
  return {
    epoch,
    planned: plannedOf(variants, plan),
    subjects,
    chiSquare: chiSquareSampleRatio(
      variants.map((variant) => subjectsIn(counts.arms, variant, epoch)),
      sharesOf(variants, plan),
    ),
    sequential: sequentialReading(ground, epoch, plan, level),
  };
};
