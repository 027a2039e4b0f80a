/**
 * Published rules: what evaluation reads, and the wire format of `GET /api/rules`. They hold only what deciding a
 * variant needs, so a browser may see them: no history, no people, no prose.
 */
import type { EnvelopeType } from "../events/envelope.ts";
import type { LifecycleState } from "../lifecycle.ts";
import type { Targeting } from "./targeting-schema.ts";

export const ruleSetVersion = 1;

/** Number of buckets a subject can fall into; one is 0.01 percent. */
export const bucketCount = 10_000;

/** A group of experiments shares this many slots; one is 100 buckets, a percent of the group's subjects. */
export const exclusionSlots = 100;

export interface VariantRule {
  readonly key: string;
  /** How many of the 10,000 buckets are this variant's; the counts of all variants add up to 10,000. */
  readonly buckets: number;
  readonly control: boolean;
  readonly payload?: unknown;
}

export interface ExperimentRule {
  readonly name: string;
  readonly state: LifecycleState;
  /** The live version, its digest and epoch: what an exposure says it was served by. */
  readonly version: number;
  readonly digest: string;
  readonly epoch: number;
  /** Bucketing algorithm; 1 is murmur3 32-bit over UTF-8. */
  readonly hashVersion: 1;
  readonly salt: string;
  readonly subject: string;
  /** In the order of the configuration, which is the order of the buckets. */
  readonly variants: readonly VariantRule[];
  /** Buckets that are inside the traffic, 0 to 10,000. */
  readonly trafficBuckets: number;
  readonly targeting?: Targeting;
  /**
   * The experiment shares its subjects with others of a group. Its slots are its own; the traffic fills them in this
   * order, so that raising it lets subjects in and moves none.
   */
  readonly exclusion?: { readonly group: string; readonly slots: readonly number[] };
  readonly assignmentPolicy: string;
  /** Attributes that results show apart: exposures carry the subject's values of these, and of no others. */
  readonly dimensions?: readonly string[];
  /** Paused, and whoever is in stays in: only subjects that the application says are in get what they have. */
  readonly mode?: "stopEnrolment";
  /** A kill switch is on: everybody gets control. */
  readonly killed?: boolean;
  /** Whoever is drawn for one of these gets control, and is not exposed. */
  readonly killedVariants?: readonly string[];
  /** The experiment is over, and this variant is what everybody gets. */
  readonly shipped?: string;
}

/** How the applications of a scope send their events: set in one place, the DSL, and published with the rules. */
export interface DataPlaneSettings {
  /** A batch goes when this many events wait, … */
  readonly flushEvents: number;
  /** … when they have this many bytes as JSON, … */
  readonly flushBytes: number;
  /** … or when the oldest has waited this long. */
  readonly flushIntervalMs: number;
  /** Share of subjects whose events are kept, the same for all arms. */
  readonly sampling: number;
  /** Types of events that are not wanted; left out: all are. */
  readonly off?: readonly EnvelopeType[];
}

export interface RuleSet {
  readonly ruleSetVersion: typeof ruleSetVersion;
  readonly tenant: string;
  readonly environment: string;
  readonly experiments: readonly ExperimentRule[];
  readonly dataPlane?: DataPlaneSettings;
}
