/** Canonical JSON (RFC 8785) and SHA-256: the two functions on which every digest and hash in Proviso rests. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import canonicalize from "canonicalize";
import { limits } from "./limits.ts";

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

const pointerToken = (key: string): string => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;

const isStorableText = (text: string): boolean => !text.includes("\u0000") && text.isWellFormed();

interface Place {
  readonly value: unknown;
  readonly key: string;
  readonly parent: Place | null;
  readonly depth: number;
}

/** JSON Pointer of a place. Built for what is refused alone: the walk carries none, since nearly all it walks passes. */
const pathOf = (place: Place): string => {
  let path = "";
  for (let at = place; at.parent !== null; at = at.parent) path = pointerToken(at.key) + path;
  return path;
};

/**
 * Finds what a store would change under our hands, or cannot hold: D1 and Postgres alter U+0000 and lone surrogates,
 * and a hash over text that changes at rest proves nothing; JSON has no NaN and no Infinity, though `1e400` parses as
 * one; and deeper nesting than `depthMax` is more than SQLite's JSON and small stacks take. It is refused at
 * the door. The walk does not recurse, so a hostile depth costs no stack.
 *
 * @returns the JSON Pointer of the first such place and what was wanted there, or undefined
 */
export const findUnstorable = (
  root: unknown,
  depthMax: number = limits.jsonDepth,
): { readonly path: string; readonly message: string } | undefined => {
  const stack: Place[] = [{ value: root, key: "", parent: null, depth: 0 }];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    const { value, depth } = place;
    if (typeof value === "string" && !isStorableText(value)) return { path: pathOf(place), message: wellFormed };
    if (typeof value === "number" && !Number.isFinite(value))
      return { path: pathOf(place), message: "a number that JSON can say" };
    if (typeof value !== "object" || value === null) continue;
    if (depth >= depthMax) return { path: pathOf(place), message: `at most ${depthMax} levels of nesting` };
    for (const [key, member] of Object.entries(value).toReversed()) {
      const inside: Place = { value: member, key, parent: place, depth: depth + 1 };
      if (!isStorableText(key)) return { path: pathOf(inside), message: wellFormed };
      if (typeof member !== "boolean" && member !== null) stack.push(inside);
    }
  }
  return undefined;
};

const wellFormed = "text without U+0000 and without lone surrogates";

const utf8 = new TextEncoder();

/** Length of a text in UTF-8 bytes: what limits in bytes are measured by. */
export const byteLength = (text: string): number => utf8.encode(text).length;
