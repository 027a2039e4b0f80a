import type * as v from "valibot";
import { concludesNothing } from "./concluding.ts";
import { judgeMissingTelemetry } from "./missing.ts";
import type { PolicyContext, PolicyVerdict } from "./policy.ts";
import type { SampleRatioSchema } from "./schema.ts";

/**
 * No sample ratio mismatch, by the test that may be looked at at any time. Before its first checkpoint there is nothing
 * to hold against the experiment.
 */
export const judgeSampleRatio = (
  policy: v.InferOutput<typeof SampleRatioSchema>,
  context: PolicyContext,
): PolicyVerdict => {
  const exempt = concludesNothing(context);
  if (exempt !== null) return { compliant: true, reason: exempt, evidence: {} };
  const { telemetry } = context.evidence;
  if (telemetry.status === "unavailable") return judgeMissingTelemetry(policy, context, telemetry, "sample ratio");
  const { at, sampleRatio } = telemetry;
  if (sampleRatio === null) {
    const evidence = { sampleRatioMismatch: { source: "ledger", at, value: null } };
    return { compliant: true, reason: "the sample ratio has not been tested yet", evidence };
  }
  const evidence = {
    sampleRatioMismatch: { source: "ledger", at, value: sampleRatio.mismatch },
    pValue: { source: "ledger", at, value: sampleRatio.pValue },
  };
  return sampleRatio.mismatch
    ? { compliant: false, reason: `sample ratio mismatch, p = ${sampleRatio.pValue}`, evidence }
    : { compliant: true, reason: `no sample ratio mismatch, p = ${sampleRatio.pValue}`, evidence };
};
