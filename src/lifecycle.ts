/** The states of an experiment and the moves between them: the whole graph, and nothing that looks outside it. */
export const lifecycleStates = [
  "Draft",
  "PendingApproval",
  "Approved",
  "Running",
  "Ramping",
  "Paused",
  "RolledBack",
  "Rejected",
  "Archived",
] as const;

export type LifecycleState = (typeof lifecycleStates)[number];

const transitions: Readonly<Record<LifecycleState, readonly LifecycleState[]>> = {
  Draft: ["PendingApproval", "Archived"],
  PendingApproval: ["Approved", "Rejected", "Draft"],
  Approved: ["Running", "Ramping", "Draft", "Archived"],
  Running: ["Ramping", "Paused", "RolledBack", "Archived"],
  Ramping: ["Running", "Paused", "RolledBack", "Archived"],
  Paused: ["Running", "Ramping", "RolledBack", "Archived"],
  RolledBack: ["Draft", "Archived"],
  Rejected: ["Draft", "Archived"],
  Archived: [],
};

/** States reachable in one move. Archived has none: a new version reopens it instead. */
export const allowedTransitions = (from: LifecycleState): readonly LifecycleState[] => transitions[from];

export const canTransition = (from: LifecycleState, to: LifecycleState): boolean => transitions[from].includes(to);

/** Treatments are served only here; everywhere else a subject gets control. */
export const isServing = (state: LifecycleState): boolean => state === "Running" || state === "Ramping";

/** Surfaces stay claimed while the experiment could serve again without a new approval. */
export const holdsSurfaces = (state: LifecycleState): boolean => isServing(state) || state === "Paused";

const byLowerCase = /* @__PURE__ */ new Map(
  /* @__PURE__ */ lifecycleStates.map((state) => [state.toLowerCase(), state]),
);

/**
 * Reads a state name in any letter case.
 *
 * @example parseState("pendingapproval") // "PendingApproval"
 * @returns the canonical name, or undefined for anything that is not a state
 */
export const parseState = (name: string): LifecycleState | undefined => byLowerCase.get(name.toLowerCase());

/**
 * What a pause does. `control`: everybody gets control. `stopEnrolment`: whoever is in stays in, and nobody new enters; who
 * is in only the application can know (see `enrolled` of `createExperiments`).
 */
export const pauseModes = ["control", "stopEnrolment"] as const;
export type PauseMode = (typeof pauseModes)[number];
