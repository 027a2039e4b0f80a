import type * as v from "valibot";
import { holdsSurfaces } from "../../lifecycle.ts";
import { type ExpressionUses, parseExpression } from "./cel.ts";
import { judgeMissing, judgeMissingTelemetry } from "./missing.ts";
import { type EvidenceItem, type PolicyContext, PolicyFailure, type PolicyVerdict } from "./policy.ts";
import type { ExpressionSchema } from "./schema.ts";

type Items = Readonly<Record<string, EvidenceItem>>;

const runningCount = (others: PolicyContext["evidence"]["others"]): number | null =>
  others?.filter(({ state }) => holdsSurfaces(state)).length ?? null;

const evidenceOf = (uses: ExpressionUses, { evidence: { now, telemetry, others } }: PolicyContext): Items => ({
  ...(uses.telemetry && telemetry.status === "available"
    ? {
        exposed: { source: "ledger", at: telemetry.at, value: telemetry.exposed },
        errorRate: { source: "ledger", at: telemetry.at, value: telemetry.worstErrorRate },
      }
    : {}),
  ...(uses.running
    ? { running: { source: "store", at: new Date(now).toISOString(), value: runningCount(others) } }
    : {}),
});

/** The condition holds. Without the evidence that it mentions it is not judged, unless it asks for it itself. */
export const judgeExpression = (
  policy: v.InferOutput<typeof ExpressionSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const parsed = parseExpression(policy.expression);
  if (!parsed.ok) throw new PolicyFailure("the expression cannot be understood");
  const { uses, holds } = parsed.expression;
  const { telemetry, others } = context.evidence;
  if (uses.telemetry && !uses.telemetryAvailable && telemetry.status === "unavailable")
    return judgeMissingTelemetry(policy, context, telemetry, "expression");
  const evidence = evidenceOf(uses, context);
  if (uses.running && others === null)
    return judgeMissing(policy, context, "expression: which experiments run could not be read", evidence);
  return holds(context)
    ? { compliant: true, reason: "the expression holds", evidence }
    : { compliant: false, reason: policy.message ?? "the expression does not hold", evidence };
};
