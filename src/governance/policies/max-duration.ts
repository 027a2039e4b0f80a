import type * as v from "valibot";
import { parseDuration } from "../../duration.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { MaxDurationSchema } from "./schema.ts";

/** The experiment has not served, without a break, for longer than `maxDuration`. What does not serve has no age. */
export const judgeMaxDuration = (
  policy: v.InferOutput<typeof MaxDurationSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const { now } = context.evidence;
  const servedMs = context.servingSince === null ? 0 : now - context.servingSince;
  const evidence = { servedMs: { source: "lifecycle", at: new Date(now).toISOString(), value: servedMs } };
  // A duration that cannot be read is refused by the schema; here it allows nothing.
  return servedMs <= (parseDuration(policy.maxDuration) ?? -1)
    ? { compliant: true, reason: `it has served no longer than ${policy.maxDuration}`, evidence }
    : { compliant: false, reason: `it has served for longer than ${policy.maxDuration}`, evidence };
};
