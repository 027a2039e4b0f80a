/** A configuration written as code: the same schema and rules as the file, without places in one. */
import { limits } from "../limits.ts";
import { withoutCredentials } from "./credentials.ts";
import {
  describeValue,
  type DslError,
  type Finding,
  isStorable,
  quote,
  type Reading,
  storableText,
  toDslError,
} from "./finding.ts";
import { items, member, type Path, pointer } from "./path.ts";
import type { Dsl, DslInput } from "./schema.ts";
import { validate } from "./validate.ts";

export type DefineResult =
  | { readonly ok: true; readonly value: Dsl; readonly warnings: readonly DslError[] }
  | { readonly ok: false; readonly errors: readonly DslError[]; readonly warnings: readonly DslError[] };

const isPlainObject = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
};

const valueAt = (root: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (value, segment) => (typeof segment === "number" ? items(value)[segment] : member(value, segment)),
    root,
  );

/** Copies what JSON can say. A copy cannot change after it was checked, and a getter is asked once. */
const readValue = (input: unknown): Reading => {
  const findings: Finding[] = [];
  const unreadable = new Set<string>();
  const open = new Set<object>();
  let values = 0;

  const refuse = (path: Path, found: string, allowed: string): null => {
    findings.push({ path, at: "value", found, allowed });
    unreadable.add(pointer(path));
    return null;
  };

  const copyObject = (value: object, path: Path): unknown => {
    if (Array.isArray(value)) return Array.from(value, (item: unknown, index) => copy(item ?? null, [...path, index]));
    if (!isPlainObject(value)) return refuse(path, "an object of a class", "plain objects, lists and scalars");
    const result: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(value)) {
      const isProto = key === "__proto__";
      if (isProto || !isStorable(key)) {
        const allowed = isProto ? "a key other than __proto__" : storableText;
        findings.push({ path: [...path, key], at: "key", found: quote(key), allowed });
      } else if (entry !== undefined) result[key] = copy(entry, [...path, key]);
    }
    return result;
  };

  const copy = (value: unknown, path: Path): unknown => {
    values += 1;
    // Objects that share members can unfold without end; a file of the largest size holds no more values than this.
    if (values > limits.dslBytes) {
      const tooMany = values === limits.dslBytes + 1;
      return tooMany ? refuse(path, "one value more", `at most ${limits.dslBytes} values`) : null;
    }
    if (typeof value === "string") return isStorable(value) ? value : refuse(path, quote(value), storableText);
    if (value === null || typeof value === "boolean") return value;
    if (typeof value === "number") {
      if (!Number.isFinite(value)) return refuse(path, String(value), "a finite number");
      // JSON has no -0, and a digest could not tell it from 0.
      return value === 0 ? 0 : value;
    }
    if (typeof value !== "object") return refuse(path, describeValue(value), "what JSON can say");
    if (open.has(value)) return refuse(path, "a cycle", "objects that do not hold themselves");
    if (path.length > limits.dslDepth) return refuse(path, describeValue(value), `at most ${limits.dslDepth} levels`);
    open.add(value);
    const result = copyObject(value, path);
    open.delete(value);
    return result;
  };

  const value = copy(input, []);
  const describe = (path: Path): string => describeValue(valueAt(value, path));
  return withoutCredentials({ value, findings, unreadable, isFile: false, describe, isSecret: () => false });
};

/**
 * Checks a configuration that was written as code, for those who embed the SDK. `${NAME}` means nothing here: code
 * has its own ways to reach the environment.
 *
 * @example
 * const result = defineDsl({ governance: { approvalGates: [{ type: "manual", to: "Approved" }] } });
 * if (result.ok) result.value.governance.approvalGates[0]?.type; // "manual"
 */
export const defineDsl = (input: DslInput): DefineResult => {
  const reading = readValue(input);
  const { value, errors, warnings } = validate(reading);
  const worded = (findings: readonly Finding[]): readonly DslError[] =>
    findings.map((finding) => toDslError(finding, reading));
  return value === undefined
    ? { ok: false, errors: worded(errors), warnings: worded(warnings) }
    : { ok: true, value, warnings: worded(warnings) };
};
