import { holdsSurfaces } from "../../lifecycle.ts";
import type { PolicyContext } from "./policy.ts";

/**
 * Why a move to Archived draws no conclusion from figures, so that none are needed: an experiment that has not run has
 * nothing to conclude, and "inconclusive" claims nothing. null where figures matter.
 */
export const concludesNothing = ({ from, to, parameters }: PolicyContext): string | null => {
  if (to !== "Archived") return null;
  if (!holdsSurfaces(from) && from !== "RolledBack") return "the experiment has not run, so nothing is concluded";
  return parameters.outcome === "inconclusive" ? "an inconclusive outcome claims nothing" : null;
};
