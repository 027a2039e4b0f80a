/** Events as rows: what of them the ledger counts, and how they travel from the consumer to it. */
import type { Envelope, Exposure } from "../events/envelope.ts";
import type { Sender } from "../events/message.ts";
import type { Dimension, MetricKind } from "../experiment.ts";
import { limits } from "../limits.ts";
import { defaultScope, type ExperimentRef } from "../scope.ts";
import { dimensionReader } from "./dimensions.ts";
import type { MetricSpecs } from "./metric-spec.ts";
import { isUnnamed, type Unnamed } from "./unnamed.ts";

/**
 * `[event id, subject, variant, epoch, event time, from a browser, dimensions]`; times are in ms since 1970. Tuples,
 * because thousands are copied. The sixth is true for an exposure that a browser's key sent; the last, where dimensions
 * are declared, holds their values, each `name=value`.
 */
export type ExposureRow = readonly [
  id: string,
  subject: string,
  variant: string,
  epoch: number,
  time: number,
  fromBrowser?: boolean,
  dimensions?: readonly string[],
];

/** `[event id, subject, metric, kind, event time, value]`; a binary value is 1 or 0. */
export type OutcomeRow = readonly [
  id: string,
  subject: string,
  metric: string,
  kind: MetricKind,
  time: number,
  value: number,
];

/** `[event id, the envelope as JSON text]` of an Assignment that a client sent. */
export type AssignmentRow = readonly [id: string, envelope: string];

/** Events of one experiment, in any order. */
export interface LedgerBatch {
  readonly ref: ExperimentRef;
  readonly exposures: readonly ExposureRow[];
  readonly outcomes: readonly OutcomeRow[];
  readonly assignments: readonly AssignmentRow[];
  /** What came without a subject of its own, and how many events that were; left out: nothing did. */
  readonly unnamed?: Unnamed & { readonly events: number };
  /** What the plan says of the metrics; left out: nothing is declared. */
  readonly metrics?: MetricSpecs;
}

/** The binary metric that Error events are outcomes of, in the arm of the subject's first exposure. */
export const errorMetric = "error";

/** The experiment that an event is about. */
export const refOfEvent = ({ payload }: Envelope): ExperimentRef => ({
  tenant: payload.tenantId ?? defaultScope.tenant,
  environment: payload.environment ?? defaultScope.environment,
  experiment: payload.experimentName,
});

/** When it happened: the payload's own time where it has one, otherwise the envelope's. To the millisecond. */
const timeOf = ({ timestamp, payload }: Envelope): number => Date.parse(payload.timestamp ?? timestamp);

/** Rows of one kind each, and how much text they hold: what a bound on a batch goes by. */
export interface BatchBuilder {
  /** @param sender whose key sent it: guardrails look at what servers sent alone */
  add(event: Envelope, sender?: Sender): void;
  readonly events: number;
  readonly characters: number;
  build(): LedgerBatch;
}

/**
 * Collects events of one experiment.
 *
 * @example
 * const builder = batchBuilder({ tenant: "default", environment: "default", experiment: "checkout" });
 * builder.add(event);
 * await ledger.record(builder.build());
 */
export const batchBuilder = (
  ref: ExperimentRef,
  plan?: { readonly metrics: MetricSpecs; readonly dimensions: readonly Dimension[] },
): BatchBuilder => {
  const dimensions = plan?.dimensions ?? [];
  const dimensionsOf = dimensionReader(dimensions);
  /** As short as it can be: most are of a server, and of experiments without dimensions. */
  const exposureRow = (id: string, payload: Exposure, time: number, sender: Sender): ExposureRow => {
    const { subjectId, variantKey, epoch, attributes } = payload;
    if (dimensions.length > 0)
      return [id, subjectId, variantKey, epoch, time, sender === "browser", dimensionsOf(attributes)];
    return sender === "browser"
      ? [id, subjectId, variantKey, epoch, time, true]
      : [id, subjectId, variantKey, epoch, time];
  };
  const exposures: ExposureRow[] = [];
  const outcomes: OutcomeRow[] = [];
  const assignments: AssignmentRow[] = [];
  let characters = 0;
  const unnamedEpochs = new Set<number>();
  let unnamedOutcomes = false;
  let unnamedEvents = 0;
  /** Anybody can write what a browser sends: nobody must be able to turn results off by it. */
  const setAside = (event: Envelope, sender: Sender): boolean => {
    if (event.metadata === undefined || sender === "browser" || !isUnnamed(event)) return false;
    if (event.eventType === "Outcome" || event.eventType === "Error") unnamedOutcomes = true;
    // The ledger says why it refuses an epoch that is too high.
    else if (event.eventType === "Exposure" && event.payload.epoch <= limits.ledgerEpoch)
      unnamedEpochs.add(event.payload.epoch);
    else return false;
    unnamedEvents += 1;
    return true;
  };
  return {
    add(event, sender = "server") {
      const { eventId, eventType, payload } = event;
      if (setAside(event, sender)) return;
      switch (eventType) {
        case "Exposure":
          characters += payload.subjectId.length + payload.variantKey.length + 60;
          exposures.push(exposureRow(event.eventId, payload, timeOf(event), sender));
          return;
        case "Outcome":
          characters += payload.subjectId.length + payload.metric.length + 80;
          outcomes.push([
            eventId,
            payload.subjectId,
            payload.metric,
            payload.kind,
            timeOf(event),
            Number(payload.value),
          ]);
          return;
        case "Error":
          characters += payload.subjectId.length + 80;
          outcomes.push([eventId, payload.subjectId, errorMetric, "binary", timeOf(event), 1]);
          return;
        case "Assignment": {
          const text = JSON.stringify(event);
          characters += text.length;
          assignments.push([eventId, text]);
          return;
        }
        case "AnalysisSignal":
          // Says something of the experiment, and nothing that a subject did.
          return;
        default:
          eventType satisfies never;
      }
    },
    get events() {
      return exposures.length + outcomes.length + assignments.length + unnamedEvents;
    },
    get characters() {
      return characters;
    },
    build: () => ({
      ref,
      exposures,
      outcomes,
      assignments,
      ...(unnamedEvents === 0
        ? {}
        : { unnamed: { epochs: [...unnamedEpochs], outcomes: unnamedOutcomes, events: unnamedEvents } }),
      ...(plan === undefined ? {} : { metrics: plan.metrics }),
    }),
  };
};
