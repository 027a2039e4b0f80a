/** Request bodies: read within a bound, parsed once, refused with the places that are wrong. */
import * as v from "valibot";
import { findUnstorableText } from "../canonical.ts";
import { type LocatedMessage, ProvisoError } from "../errors.ts";

/**
 * The body's text, read chunk by chunk so that a body without a length, or with a false one, cannot fill the memory.
 *
 * @throws ProvisoError `payload-too-large`, as soon as the bound is passed; `invalid-request` for bytes that are not UTF-8
 */
export const readText = async (request: Request, bytesMax: number): Promise<string> => {
  const tooLarge = (): ProvisoError =>
    new ProvisoError("payload-too-large", `a body of at most ${bytesMax} bytes`, { limitBytes: bytesMax });
  if (Number(request.headers.get("content-length") ?? 0) > bytesMax) throw tooLarge();
  if (request.body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  const reader = request.body.getReader();
  let text = "";
  let bytes = 0;
  try {
    for (;;) {
      const chunk = await reader.read();
      if (chunk.done) return text + decoder.decode();
      bytes += chunk.value.byteLength;
      if (bytes > bytesMax) {
        await reader.cancel();
        throw tooLarge();
      }
      text += decoder.decode(chunk.value, { stream: true });
    }
  } catch (cause) {
    if (cause instanceof TypeError)
      throw new ProvisoError("invalid-request", "the body is not UTF-8 text", {}, { cause });
    throw cause;
  }
};

/** Parses JSON text; `invalid-request` says what the parser said. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ProvisoError(
      "invalid-request",
      `the body is not JSON: ${reason}`,
      { errors: [{ path: "", message: "JSON" }] },
      { cause },
    );
  }
};

/** RFC 6901. */
const pointerOf = (issue: v.BaseIssue<unknown>): string =>
  (issue.path ?? []).map(({ key }) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

const describe = (issue: v.BaseIssue<unknown>): LocatedMessage => ({
  path: pointerOf(issue),
  message:
    issue.type === "strict_object" && issue.expected === "never"
      ? `unknown member`
      : issue.kind === "schema"
        ? `expected ${issue.expected ?? issue.message}, found ${issue.received}`
        : `expected ${issue.message}`,
});

/**
 * A value as its schema says, or `invalid-request` with every place that is wrong.
 *
 * Text that a store would change at rest is refused here, before anything is hashed over it.
 */
export const parseInput = <Schema extends v.GenericSchema>(schema: Schema, input: unknown): v.InferOutput<Schema> => {
  const unstorable = findUnstorableText(input);
  if (unstorable !== undefined) {
    throw new ProvisoError("invalid-request", "text with U+0000 or half a surrogate pair", {
      errors: [{ path: unstorable, message: "expected well-formed text without U+0000" }],
    });
  }
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  const errors = result.issues.map(describe);
  const summary = errors.map(({ path, message }) => `${path === "" ? "the body" : path}: ${message}`).join("; ");
  throw new ProvisoError("invalid-request", summary, { errors });
};

/** The body of a request, bounded, parsed and checked. */
export const readJson = async <Schema extends v.GenericSchema>(
  schema: Schema,
  request: Request,
  bytesMax: number,
): Promise<v.InferOutput<Schema>> => parseInput(schema, parseJson(await readText(request, bytesMax)));
