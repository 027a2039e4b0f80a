/** Canonical JSON (RFC 8785) and SHA-256: the two functions on which every digest and hash in Proviso rests. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import canonicalize from "canonicalize";

/** Anything JSON can say. Digests are taken of these only, so nothing can hide in a prototype or a getter. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * Canonical JSON text of a value: keys sorted by UTF-16 code units, numbers as ECMAScript prints them, members
 * that are `undefined` left out.
 *
 * @throws TypeError for values that JSON cannot say (NaN, Infinity, functions)
 * @example canonicalJson({ b: 1, a: [true, null] }) // '{"a":[true,null],"b":1}'
 */
export const canonicalJson = (value: unknown): string => {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("canonical JSON: undefined has no JSON form");
  return text;
};

/** SHA-256 of a text's UTF-8 bytes, as 64 lower-case hex digits. */
export const sha256Hex = (text: string): string => bytesToHex(sha256(utf8ToBytes(text)));

/** SHA-256, hex, of the canonical JSON of a value: two values have one digest exactly when JSON cannot tell them apart. */
export const digestOf = (value: unknown): string => sha256Hex(canonicalJson(value));

/**
 * Finds text that a store would change under our hands: D1 and Postgres alter U+0000 and lone surrogates, and a
 * hash over text that changes at rest proves nothing. Such text is refused at the door.
 *
 * @returns the JSON Pointer of the first such string (a key or a value), or undefined
 */
export const findUnstorableText = (value: unknown, path = ""): string | undefined => {
  if (typeof value === "string") return value.includes("\u0000") || !value.isWellFormed() ? path : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, member] of Object.entries(value)) {
    const memberPath = `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (key.includes("\u0000") || !key.isWellFormed()) return memberPath;
    const found = findUnstorableText(member, memberPath);
    if (found !== undefined) return found;
  }
  return undefined;
};

const utf8 = new TextEncoder();

/** Length of a text in UTF-8 bytes: what limits in bytes are measured by. */
export const byteLength = (text: string): number => utf8.encode(text).length;
