/** Experiments that the DSL declares: written as versions, so that they wait for approval like anybody's. */
import { canonicalJson } from "../canonical.ts";
import type { Configuration } from "../experiment.ts";
import type { Scope } from "../scope.ts";
import type { Actor } from "./actor.ts";
import type { CommandAnswer, Governor } from "./governor.ts";
import { etagOf } from "./present.ts";
import type { ExperimentState } from "./state.ts";
import type { GovernanceStore } from "./store.ts";

/** Writes versions and nothing else: a file cannot approve what it says. */
const declarer: Actor = { id: "system:dsl", kind: "service", roles: ["editor"] };

export interface DeclaredExperiments {
  readonly store: GovernanceStore;
  readonly governor: (ref: Scope & { readonly experiment: string }) => Governor;
  readonly scope: Scope;
  readonly experiments: readonly Configuration[];
  /** Also write a new version of an experiment that exists and reads differently now. */
  readonly enableAutoVersioning: boolean;
}

/** Several isolates of one deployment start at once, and each finds the same to do. */
const doneByAnother: readonly string[] = ["experiment-exists", "precondition-failed"];

type Refused = Extract<CommandAnswer, { ok: false }>;

const differs = (declared: Configuration, state: ExperimentState): boolean => {
  const { configuration } = state.latest;
  return canonicalJson({ ...declared, salt: declared.salt ?? configuration.salt }) !== canonicalJson(configuration);
};

/**
 * Creates what is declared and does not exist. An archived experiment stays archived: bringing it back is a decision.
 *
 * Two processes may do this at once: the one that comes second finds the experiment there, and that is as good.
 *
 * @returns what was refused, and why
 */
export const writeDeclared = async (options: DeclaredExperiments): Promise<readonly Refused[]> => {
  const { store, governor, scope, experiments, enableAutoVersioning } = options;
  const refused: Refused[] = [];
  for (const configuration of experiments) {
    const ref = { ...scope, experiment: configuration.name };
    const loaded = await store.load(ref);
    const state = loaded?.snapshot.state;
    if (
      state === undefined ||
      (enableAutoVersioning && state.lifecycle !== "Archived" && differs(configuration, state))
    ) {
      const command = { type: "WriteVersion", configuration, createOnly: state === undefined } as const;
      const based = loaded === null ? {} : { ifMatch: etagOf(loaded.snapshot) };
      const answer = await governor(ref).execute({ ref, actor: declarer, command, ...based });
      if (!answer.ok && !doneByAnother.includes(answer.code)) refused.push(answer);
    }
  }
  return refused;
};
