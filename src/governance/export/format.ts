/**
 * An exported history: NDJSON, one canonical JSON object a line (RFC 8785), UTF-8, `\n` behind every line.
 * `docs/history.md` describes it for readers of other languages.
 *
 * 1. `header`: what follows, and how far it goes.
 * 2. `checkpoint`, where events before it have been archived: the state from which the rest goes on.
 * 3. The events. Ahead of each stands what it is the first to name: one `personal` or `absent` line for each reference
 *    in it, one `rules` or `absent` line for each digest of rules. So a line that is missing is missed at its place.
 * 4. `head`, where a key is configured: the last event, signed.
 * 5. `trailer`: counts, and a digest of every line ahead of it.
 */
import * as v from "valibot";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { limits } from "../../limits.ts";
import { signaturePattern } from "../store-door.ts";

export const formatName = "proviso history";
export const formatVersion = 1;

const Digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "64 lower-case hex digits"));
const Count = v.pipe(v.number(), v.safeInteger("a whole number"), v.minValue(0, "0 or more"));
const Seq = v.pipe(Count, v.minValue(1, "1 or more"));
const Text = v.string();
const Time = v.pipe(
  v.string(),
  v.check((text) => !Number.isNaN(Date.parse(text)), "an ISO 8601 time"),
);

export const SignatureSchema = v.strictObject({
  keyId: v.pipe(Text, v.minLength(1), v.maxLength(limits.keyIdCharacters)),
  value: v.pipe(Text, v.regex(signaturePattern, "64 bytes as base64url")),
});

export const HeadSchema = v.strictObject({ seq: Seq, hash: Digest });

export const HeaderLine = v.strictObject({
  line: v.literal("header"),
  format: v.literal(formatName),
  version: v.literal(formatVersion, `version ${formatVersion} of the format`),
  ref: v.strictObject({ tenant: Text, environment: Text, experiment: Text }),
  /** Events begin behind this one: 0, or the place of the checkpoint. */
  after: Count,
  /** Where the events end. */
  head: v.strictObject({ ...HeadSchema.entries, at: Time }),
  /** Of the state that they lead to, with the event that made it. Absent from a part of a history. */
  revision: v.optional(Seq),
  revisionHash: v.optional(Digest),
});

/** Taken as it is: what the schema library would drop in silence must not get past the comparison with the text. */
const isMembers = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

const Line = v.variant("line", [
  HeaderLine,
  v.strictObject({ line: v.literal("checkpoint"), seq: Seq, hash: Digest, text: Text, signature: SignatureSchema }),
  v.strictObject({
    line: v.literal("personal"),
    kind: v.picklist(["actor", "text"]),
    ref: Text,
    salt: Text,
    value: Text,
  }),
  v.strictObject({ line: v.literal("rules"), digest: Digest, text: Text }),
  /** What was erased, or is older than the keeping of it. */
  v.strictObject({ line: v.literal("absent"), what: v.picklist(["personal", "rules"]), ref: Text }),
  v.strictObject({
    line: v.literal("event"),
    event: v.custom<Readonly<Record<string, unknown>>>(isMembers, "an object"),
  }),
  v.strictObject({ line: v.literal("head"), ...HeadSchema.entries, signature: SignatureSchema }),
  v.strictObject({
    line: v.literal("trailer"),
    lines: Count,
    events: Count,
    personal: Count,
    rules: Count,
    absent: Count,
    head: HeadSchema,
    /** SHA-256 of the header line, with its `\n`: much of a header stands nowhere else. */
    header: Digest,
    /** SHA-256 of every line ahead, each with its `\n`. */
    digest: Digest,
    signature: v.optional(SignatureSchema),
  }),
]);

export const LineSchema = Line;
export type HistoryLine = v.InferOutput<typeof Line>;
export type Header = v.InferOutput<typeof HeaderLine>;
type LineOf<Kind extends HistoryLine["line"]> = Extract<HistoryLine, { line: Kind }>;
export type Trailer = LineOf<"trailer">;

/** The running digest of a file. */
export interface LinesDigest {
  /** @param line without its `\n` */
  add(line: string): void;
  hex(): string;
}

export const createLinesDigest = (): LinesDigest => {
  const hash = sha256.create();
  return {
    add: (line) => void hash.update(utf8ToBytes(`${line}\n`)),
    hex: () => bytesToHex(hash.clone().digest()),
  };
};
