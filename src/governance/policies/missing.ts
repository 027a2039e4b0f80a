/** What follows when a policy could not see what it judges: one rule for all of them. */
import type { EvidenceItem, PolicyContext, PolicyVerdict } from "./policy.ts";
import type { OnMissing, Severity } from "./schema.ts";

interface Judged {
  readonly severity: Severity;
  readonly onMissing?: OnMissing | undefined;
}

const compliance: Readonly<Record<OnMissing, boolean | null>> = { allow: true, hold: null, deny: false };

/**
 * The verdict without evidence: as `onMissing` says. Left out, a Critical policy holds what lets more people in, and lets
 * everything else pass: keeping an experiment where it is, or ending it, needs no figures.
 *
 * @param what what is missing and why, in our words
 */
export const judgeMissing = (
  { severity, onMissing }: Judged,
  context: Pick<PolicyContext, "trafficAfter" | "servedTraffic">,
  what: string,
  evidence: Readonly<Record<string, EvidenceItem>>,
): PolicyVerdict => {
  const widens = severity === "Critical" && context.trafficAfter > context.servedTraffic;
  const choice = onMissing ?? (widens ? "hold" : "allow");
  return { compliant: compliance[choice], reason: `${what}; onMissing: ${choice}`, evidence };
};

/** The same for the ledger, whose reading says why it is missing. */
export const judgeMissingTelemetry = (
  policy: Judged,
  context: PolicyContext,
  reading: { readonly at: string; readonly reason: string },
  looksAt: string,
): PolicyVerdict =>
  judgeMissing(policy, context, `${looksAt}: telemetry is missing (${reading.reason})`, {
    telemetry: { source: "ledger", at: reading.at, value: null },
  });
