import { canonicalJson } from "../canonical.ts";
import type { SettledConfiguration } from "../experiment.ts";

/**
 * What an epoch depends on: two configurations with equal keys put every subject into the same variant. Traffic is
 * not in it, because it changes how many are in, never who is where.
 */
export const allocationOf = ({
  variants,
  salt,
  targeting,
  exclusion,
  assignmentPolicy,
  subject,
}: SettledConfiguration): string =>
  canonicalJson({
    variants: variants.map(({ key, weight }) => ({ key, weight })),
    salt,
    targeting,
    exclusion,
    assignmentPolicy,
    subject,
  });
