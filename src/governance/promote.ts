/** Carrying a version from one environment to another: its content and where it comes from, and no approval. */
import { ProvisoError } from "../errors.ts";
import type { ExperimentRef } from "../scope.ts";
import type { CommandAnswer, CommandRequest, Governor } from "./governor.ts";
import type { GovernanceStore } from "./store.ts";

export interface Promotion extends Omit<CommandRequest, "command"> {
  readonly version: number;
  readonly environment: string;
  readonly changeDescription?: string;
}

/**
 * Writes the version into the target as its newest one, which is a draft there: the gates of the target apply to
 * whatever is done with it.
 *
 * @param request `ref` is where the version comes from; `ifMatch` and `idempotencyKey` are about the target
 */
export const promote = async (
  { ref, version, environment, changeDescription, ...by }: Promotion,
  store: GovernanceStore,
  governor: (ref: ExperimentRef) => Governor,
): Promise<CommandAnswer> => {
  if (environment === ref.environment)
    throw new ProvisoError("invalid-request", "a version is promoted to another environment", {
      errors: [{ path: "/environment", message: `an environment other than ${environment}` }],
    });
  const [page, source] = await Promise.all([store.history(ref, { version, limit: 1 }), store.load(ref)]);
  const [event] = page.events;
  if (event?.type !== "VersionWritten")
    throw new ProvisoError("version-not-found", `there is no version ${version} of ${ref.experiment}`);
  const { configuration, digest } = event.data;
  const authors = source?.snapshot.state.written.find((content) => content.digest === digest)?.by ?? [];
  const people = new Map([...page.people, ...(source?.people ?? [])]);
  // Whoever has been erased there is nobody who could approve here.
  const contentBy = [...new Set([...authors, event.actor.ref])].flatMap((author) => people.get(author) ?? []);
  const target = { ...ref, environment };
  return governor(target).execute({
    ...by,
    ref: target,
    command: {
      type: "WriteVersion",
      configuration,
      createOnly: false,
      provenance: { kind: "promotion", environment: ref.environment, version, digest, contentBy },
      ...(changeDescription === undefined ? {} : { changeDescription }),
    },
  });
};
