/** Shapes that several answers share, and the problem document. */
import * as v from "valibot";
import { type ErrorCode, errorCodes } from "../../errors.ts";
import { ConfigurationSchema } from "../../experiment.ts";
import { changeKinds } from "../../governance/events.ts";
import { actorKinds } from "../../governance/gates/schema.ts";
import { lifecycleStates } from "../../lifecycle.ts";

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
  missing: v.array(v.string()),
  declinedBy: v.array(person),
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
