/** Request bodies: read within a bound, parsed once, refused with the places that are wrong. */
import * as v from "valibot";
import { findUnstorable } from "../canonical.ts";
import { type LocatedMessage, ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import { messageOf } from "../message-of.ts";

/**
 * The body's text, read chunk by chunk so that a body without a length, or with a false one, cannot fill the memory.
 *
 * @throws ProvisoError `payload-too-large`, as soon as the bound is passed; `invalid-request` for bytes that are not UTF-8
 */
export const readText = async (request: Pick<Request, "headers" | "body">, bytesMax: number): Promise<string> => {
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
    throw new ProvisoError(
      "invalid-request",
      `the body is not JSON: ${messageOf(cause)}`,
      { errors: [{ path: "", message: "JSON" }] },
      { cause },
    );
  }
};

/** RFC 6901. */
const pointerOf = (issue: v.BaseIssue<unknown>): string =>
  (issue.path ?? []).map(({ key }) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

/** A value can be as long as a request, and is quoted. */
const shorten = (text: string): string => (text.length <= 200 ? text : `${text.slice(0, 200).toWellFormed()}…`);

const describe = (issue: v.BaseIssue<unknown>): LocatedMessage => ({
  path: pointerOf(issue),
  message: shorten(
    issue.type === "strict_object" && issue.expected === "never"
      ? `unknown member`
      : issue.received === "undefined"
        ? "missing"
        : issue.kind === "schema"
          ? `expected ${issue.expected ?? issue.message}, found ${issue.received}`
          : `expected ${issue.message}`,
  ),
});

/** Members with these names mean something to every object, and the schema library drops them in silence. */
const reservedMembers = new Set(["__proto__", "constructor", "prototype"]);

const findReservedMember = (input: unknown, path = ""): string | undefined => {
  if (typeof input !== "object" || input === null) return undefined;
  for (const [key, value] of Object.entries(input)) {
    const found = reservedMembers.has(key) ? `${path}/${key}` : findReservedMember(value, `${path}/${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
};

/** A list as long as the input would make the answer larger than the question. */
const refused = (errors: readonly LocatedMessage[]): ProvisoError => {
  const shown = errors.slice(0, limits.reportedErrors);
  const summary = shown.slice(0, 10).map(({ path, message }) => `${path === "" ? "the body" : path}: ${message}`);
  const more = errors.length > summary.length ? [`and ${errors.length - summary.length} more`] : [];
  return new ProvisoError("invalid-request", [...summary, ...more].join("; "), {
    errors: shown,
    errorCount: errors.length,
  });
};

/**
 * A value as its schema says, or `invalid-request` with every place that is wrong.
 *
 * Text that a store would change at rest is refused here, before anything is hashed over it.
 *
 * @param pathOf how places are called, for input that is no body
 */
export const parseInput = <Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  pathOf: (pointer: string) => string = (pointer) => pointer,
): v.InferOutput<Schema> => {
  const fail = (errors: readonly LocatedMessage[]): never => {
    throw refused(errors.map(({ path, message }) => ({ path: pathOf(path), message })));
  };
  const unstorable = findUnstorable(input);
  if (unstorable !== undefined) return fail([{ path: unstorable.path, message: `expected ${unstorable.message}` }]);
  const reserved = findReservedMember(input);
  if (reserved !== undefined) return fail([{ path: reserved, message: "this name is not accepted for a member" }]);
  const result = v.safeParse(schema, input);
  return result.success ? result.output : fail(result.issues.map(describe));
};

/** The body of a request, bounded, parsed and checked. */
export const readJson = async <Schema extends v.GenericSchema>(
  schema: Schema,
  request: Request,
  bytesMax: number,
): Promise<v.InferOutput<Schema>> => parseInput(schema, parseJson(await readText(request, bytesMax)));

/** Like {@link readJson}, for a body that may be left out: it then says nothing. */
export const readOptionalJson = async <Schema extends v.GenericSchema>(
  schema: Schema,
  request: Request,
  bytesMax: number,
): Promise<v.InferOutput<Schema>> => {
  const text = await readText(request, bytesMax);
  const input = text === "" ? {} : parseJson(text);
  // To the schema library a list is an object without members, and says nothing as well.
  if (Array.isArray(input)) throw refused([{ path: "", message: "expected an object, found a list" }]);
  return parseInput(schema, input);
};
