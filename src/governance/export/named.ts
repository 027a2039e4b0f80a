/** What an event names, and so must stand ahead of it in an export: whoever writes one and whoever reads it go by this. */
import { actorsIn, referencesIn, rulesIn } from "../event-references.ts";
import type { EventRecord, PersonalRef } from "../events.ts";
import { actorsOf, type ExperimentState, peopleOf } from "../state.ts";

export interface Named {
  readonly what: "personal" | "rules";
  readonly ref: string;
  /** Of a personal value. */
  readonly kind?: "actor" | "text";
}

const named = (
  refs: readonly PersonalRef[],
  actors: readonly PersonalRef[],
  rules: readonly string[],
): readonly Named[] => [
  ...refs.map((ref): Named => ({ what: "personal", ref, kind: actors.includes(ref) ? "actor" : "text" })),
  ...rules.map((ref): Named => ({ what: "rules", ref })),
];

/** What an event must have ahead of it, in this order, unless something before it has named it already. */
export const namedBy = (event: EventRecord): readonly Named[] =>
  named(referencesIn(event), actorsIn(event), rulesIn(event));

/** Like {@link namedBy}, for the state at a checkpoint. */
export const namedByState = (state: ExperimentState): readonly Named[] =>
  named(peopleOf(state), actorsOf(state), [
    ...new Set([
      ...state.approved.map(({ policySetDigest }) => policySetDigest),
      ...state.proposals.map(({ policySetDigest }) => policySetDigest),
    ]),
  ]);

/** A key for a set: digests of rules and references are both 64 hex digits. */
export const namedKey = ({ what, ref }: Pick<Named, "what" | "ref">): string => `${what} ${ref}`;
