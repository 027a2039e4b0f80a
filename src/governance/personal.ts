/**
 * Personal values and the references that stand for them in the history. Only the reference is hashed, so a value
 * and its salt can be erased later while the chain still verifies.
 */
import { digestOf } from "../canonical.ts";
import type { PersonalRef } from "./events.ts";
import type { PersonalValue } from "./store.ts";

/** SHA-256 over salt and value. Without the salt, guessing the value and comparing digests leads nowhere. */
export const personalRef = (salt: string, value: string): PersonalRef => digestOf({ salt, value });

/** Builds the row that goes beside the chain. `salt` is at least 128 random bits, as hex. */
export const personalValue = (kind: PersonalValue["kind"], salt: string, value: string): PersonalValue => ({
  ref: personalRef(salt, value),
  kind,
  salt,
  value,
});
