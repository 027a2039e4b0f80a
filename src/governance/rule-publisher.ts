/** Tells the published rules of a scope what an experiment serves now. A subscriber of the log like any other. */
import type { Subscriber } from "../delivery/subscriber.ts";
import type { ExperimentRef } from "../scope.ts";
import type { EventType } from "./events.ts";
import { type Publication, publicationOf } from "./publish.ts";
import type { GovernanceStore } from "./store.ts";

/** Events that may change what is served. A kind that is added does not compile until it says so here. */
const changesRules: Readonly<Record<EventType, boolean>> = {
  Created: false,
  Reopened: true,
  VersionWritten: false,
  ProposalOpened: false,
  ApprovalGiven: false,
  ApprovalDeclined: false,
  ApprovalWithdrawn: false,
  ProposalEnded: false,
  ProposalCommented: false,
  Transitioned: true,
  Published: true,
  RampAdvanced: true,
  RampHeld: false,
  RampEnded: true,
  ScheduleSet: false,
  ScheduleCleared: false,
  ScheduleFired: false,
  Killed: true,
  Revived: true,
  GuardrailBroken: false,
  SignalRaised: false,
  SignalsCleared: false,
  Erased: false,
  ChangeDenied: false,
};

export interface RulePublisherOptions {
  readonly store: Pick<GovernanceStore, "load">;
  /** Resolves when the publication is kept. */
  readonly publish: (ref: ExperimentRef, publication: Publication) => Promise<void>;
}

/**
 * What is published is the present state, not that of the event: catching up is one publication, not a replay. A state
 * that is older than what is published already is ignored there, by its revision.
 */
export const rulePublisher = ({ store, publish }: RulePublisherOptions): Subscriber => ({
  name: "rules",
  wants: ({ type }) => changesRules[type],
  async deliver({ ref, snapshot }) {
    const present = snapshot ?? (await store.load(ref))?.snapshot;
    if (present !== undefined) await publish(ref, publicationOf(present));
  },
});
