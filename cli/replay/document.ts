/** The outcome of a replay as one JSON document: the contract of `proviso replay --json`. */
import type { RejectedRow } from "./encode.ts";
import type { FeedResult } from "./feed.ts";
import type { Results } from "./results.ts";

export interface ReplayOutcome {
  readonly results: Results;
  readonly fed: FeedResult;
  readonly rejected: number;
  /** The first few of them. */
  readonly rejectedRows: readonly RejectedRow[];
}

/** @example JSON.stringify(replayDocument(outcome)) // {"experiment":"cookie-cats","state":"Running", … } */
export const replayDocument = ({
  results,
  fed,
  rejected,
  rejectedRows,
}: ReplayOutcome): Readonly<Record<string, unknown>> => {
  const { chiSquare, sequential, planned } = results.sampleRatio;
  return {
    experiment: results.experimentName,
    state: results.state,
    version: results.version,
    digest: results.digest,
    subjects: Object.fromEntries(results.subjects),
    repeats: results.repeats,
    crossovers: results.crossovers,
    rejected,
    rejectedRows,
    sampleRatio: {
      planned: Object.fromEntries(planned),
      chiSquare,
      sequential: {
        logBayesFactor: sequential.logBayesFactor,
        pValue: sequential.pValue,
        // The p value belongs to these looks; the Bayes factor to the counts alone.
        looks: sequential.looks,
        lookAt: sequential.lookAt,
        ...(sequential.reason === undefined ? {} : { reason: sequential.reason }),
      },
    },
    outcomes: Object.fromEntries(
      Array.from(results.outcomes, ([metric, { kind, arms, contrasts }]) => [
        metric,
        { kind, arms: Object.fromEntries(arms), contrasts },
      ]),
    ),
    signals: results.signals,
    throughput: {
      events: fed.events,
      seconds: fed.seconds,
      perSecond: fed.seconds > 0 ? fed.events / fed.seconds : 0,
    },
  };
};
