/**
 * What no store takes. It stands in one place so that something is refused by every store or by none, and always
 * before anything is written or read.
 */
import { byteLength, findUnstorable } from "../canonical.ts";
import { ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ExperimentRef, Scope } from "../scope.ts";

/** @param path JSON Pointer into what was handed to the store */
export const refusal = (path: string, message: string): ProvisoError =>
  new ProvisoError("invalid-request", `the store refuses ${path}: ${message}`, { errors: [{ path, message }] });

/** An event and a state put a few levels around what a request may hold. */
const wrappingDepth = 16;

/** Text that a database would change under our hands: see {@link findUnstorable}. */
export const refuseUnstorable = (value: unknown): void => {
  const found = findUnstorable(value, limits.jsonDepth + wrappingDepth);
  if (found !== undefined) throw refusal(found.path, found.message);
};

export const refuseLongText = (path: string, text: string, bytesMax: number): void => {
  const bytes = byteLength(text);
  if (bytes > bytesMax) throw refusal(path, `${bytes} bytes, at most ${bytesMax}`);
};

/** @returns milliseconds since the epoch */
export const parseTime = (path: string, time: string): number => {
  const ms = Date.parse(time);
  if (Number.isNaN(ms)) throw refusal(path, "an ISO 8601 time");
  return ms;
};

/** A name that is a part of a key. */
export const checkText = (path: string, name: string): void => {
  if (findUnstorable(name) !== undefined) throw refusal(path, "a name without U+0000 and without lone surrogates");
  if (name.length === 0 || name.length > limits.nameCharacters)
    throw refusal(path, `1 to ${limits.nameCharacters} characters`);
};

const checkName = (part: keyof ExperimentRef, name: string): void => checkText(`/ref/${part}`, name);

/**
 * A store takes any other name, not only what `NameSchema` lets through: its keys must be safe by how they are made.
 * What it cannot keep as it is, though, would be stored under, and read as, another name.
 */
export const checkScope = (scope: Scope): void => {
  checkName("tenant", scope.tenant);
  checkName("environment", scope.environment);
};

/** Like {@link checkScope}, for an experiment. */
export const checkRef = (ref: ExperimentRef): void => {
  checkScope(ref);
  checkName("experiment", ref.experiment);
};

/** An Ed25519 signature as base64url: 64 bytes. The last character has four bits to spare, which are zero: one signature has one text. */
export const signaturePattern = /^[A-Za-z0-9_-]{85}[AQgw]$/;
