/** What is signed of an export, and of a checkpoint. */
import * as v from "valibot";
import { canonicalJson } from "../../canonical.ts";
import type { ExperimentRef } from "../../scope.ts";
import type { Signer } from "../signing.ts";
import type { ExperimentState } from "../state.ts";
import type { Checkpoint, Head } from "../store.ts";
import { inPresentShape } from "../older-state.ts";
import { filled, isExperimentState } from "../stored.ts";
import type { Trailer } from "./format.ts";

const place = ({ tenant, environment, experiment }: ExperimentRef) => ({ tenant, environment, experiment });

/** The whole of a file, by the digest of its lines: what was erased before it was made cannot be told from what was taken out since, but by this. */
export const exportStatement = (ref: ExperimentRef, { head, digest }: Pick<Trailer, "head" | "digest">): string =>
  canonicalJson({ purpose: "proviso export 1", ref: place(ref), head, digest });

const purpose = "proviso checkpoint 1";

const CheckpointText = v.strictObject({
  purpose: v.literal(purpose),
  ref: v.strictObject({ tenant: v.string(), environment: v.string(), experiment: v.string() }),
  seq: v.number(),
  hash: v.string(),
  at: v.string(),
  state: v.pipe(v.unknown(), v.transform(filled), v.custom<ExperimentState>(isExperimentState)),
});

export const signCheckpoint = async (
  signer: Signer,
  ref: ExperimentRef,
  { seq, hash, at }: Required<Head>,
  state: ExperimentState,
): Promise<Checkpoint> => {
  const text = canonicalJson({ purpose, ref: place(ref), seq, hash, at, state });
  return { seq, hash, text, signature: await signer.sign(text) };
};

/**
 * The state that a checkpoint holds, in its present shape; null for one that contradicts itself, is of another experiment or
 * of a newer version of Proviso.
 */
export const checkpointState = (
  ref: ExperimentRef,
  { seq, hash, text }: Pick<Checkpoint, "seq" | "hash" | "text">,
): { readonly state: ExperimentState; readonly at: string } | null => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const result = v.safeParse(CheckpointText, value);
  if (!result.success || canonicalJson(value) !== text) return null;
  const found = result.output;
  const agrees = found.seq === seq && found.hash === hash && canonicalJson(found.ref) === canonicalJson(place(ref));
  return agrees && found.state.name === ref.experiment ? { state: inPresentShape(found.state), at: found.at } : null;
};
