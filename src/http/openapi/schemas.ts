/** Shapes that several answers share, and the problem document. */
import * as v from "valibot";
import { type ErrorCode, errorCodes } from "../../errors.ts";
import { ConfigurationSchema } from "../../experiment.ts";
import { changeKinds, outcomes } from "../../governance/events.ts";
import { actorKinds } from "../../governance/gates/schema.ts";
import { severities } from "../../governance/policies/schema.ts";
import { lifecycleStates, pauseModes } from "../../lifecycle.ts";

export const members = v.record(v.string(), v.unknown());
export const count = v.pipe(v.number(), v.integer(), v.minValue(0));
export const time = v.pipe(v.string(), v.isoTimestamp());
export const digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
/** A person, or null once they were erased. */
export const person = v.nullable(v.string());
export const State = v.picklist(lifecycleStates);
/** `after` for the next page; null at the end. */
export const next = v.nullable(count);

export const LocatedError = v.object({
  path: v.pipe(v.string(), v.description("JSON Pointer into the body; `?name` for a query parameter")),
  message: v.string(),
});

/** RFC 9457. Members beside these follow from the code. */
export const Problem = v.looseObject({
  type: v.pipe(v.string(), v.description("`urn:proviso:problem:` and the code")),
  title: v.string(),
  status: v.pipe(v.number(), v.integer()),
  detail: v.string(),
  code: v.picklist(errorCodes),
  errors: v.optional(v.array(LocatedError)),
});

export type ProblemDocument<Code extends ErrorCode> = Omit<v.InferOutput<typeof Problem>, "code"> & {
  readonly code: Code;
};

export const Proposal = v.object({
  id: v.string(),
  kind: v.picklist(changeKinds),
  fromState: State,
  targetState: State,
  version: count,
  digest,
  changeDigest: v.pipe(digest, v.description("What an approval must name")),
  parameters: v.pipe(
    v.object({
      step: v.exactOptional(count),
      at: v.exactOptional(time),
      outcome: v.exactOptional(v.picklist(outcomes)),
      variant: v.exactOptional(v.string()),
    }),
    v.description("What else the change says of itself; part of its digest"),
  ),
  proposedBy: person,
  proposedAt: time,
  expiresAt: v.nullable(time),
  approvals: v.array(
    v.object({
      actor: person,
      kind: v.picklist(actorKinds),
      roles: v.array(v.string()),
      decision: v.picklist(["approve", "decline"]),
      timestamp: time,
    }),
  ),
  comments: v.array(v.object({ actor: person, timestamp: time, text: person })),
  missing: v.array(v.string()),
  declinedBy: v.array(person),
});

/** Where a ramp stands. */
export const Ramp = v.object({
  step: v.pipe(count, v.description("Counted from 0")),
  steps: count,
  traffic: v.number(),
  since: time,
  nextAt: v.pipe(v.nullable(time), v.description("When the next step is asked for; null: when somebody advances it")),
  startedBy: person,
  held: v.pipe(
    v.nullable(v.object({ code: v.string(), why: v.nullable(v.string()) })),
    v.description("Why it does not go on by itself"),
  ),
});

/** A change that waits for its time. */
export const ScheduledChange = v.object({
  id: v.string(),
  at: time,
  targetState: State,
  outcome: v.exactOptional(v.picklist(outcomes)),
  variant: v.exactOptional(v.string()),
  mode: v.exactOptional(v.picklist(pauseModes)),
  scheduledBy: person,
});

/** What kill switches have stopped. */
export const Killed = v.object({ experiment: v.boolean(), variants: v.array(v.string()) });

/** How an experiment ended. */
export const Conclusion = v.object({
  outcome: v.picklist(outcomes),
  variant: v.exactOptional(v.string()),
  resultsDigest: v.nullable(digest),
  warning: v.exactOptional(v.object({ signalType: v.string(), message: v.string(), data: members })),
  at: v.exactOptional(time),
});

/** What was fixed of the analysis when the experiment started. */
export const FrozenPlan = v.object({
  frozenAt: time,
  version: count,
  digest: v.pipe(v.nullable(digest), v.description("Of the plan alone; null: it started without one")),
  plan: v.nullable(members),
});

/** One policy's answer. */
export const Evaluation = v.object({
  policyName: v.string(),
  isCompliant: v.pipe(v.nullable(v.boolean()), v.description("null: the evidence did not suffice to say")),
  reason: v.string(),
  severity: v.picklist(severities),
  timestamp: time,
});

/** What waits after a change was held. */
export const Held = v.object({
  experimentName: v.string(),
  state: State,
  revision: count,
  proposal: v.nullable(Proposal),
});

/** A configuration as it is stored: defaults filled in, salt settled. */
export const Configuration = ConfigurationSchema;
