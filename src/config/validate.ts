/** From something that was read to a whole {@link Dsl}, or to everything that is wrong with it. */
import { crossCheck } from "./cross-checks.ts";
import { type Finding, quote, type Reading } from "./finding.ts";
import { expectation, isBeneath, parseUnderstood } from "./issues.ts";
import { nearest } from "./nearest.ts";
import { isMapping, type Path } from "./path.ts";
import { type Dsl, DslSchema, rootKey } from "./schema.ts";
import { compareShape } from "./shape.ts";

export interface Validated {
  /** Undefined exactly when there are errors. */
  readonly value: Dsl | undefined;
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

const sections = Object.keys(DslSchema.entries);

/** Where a key of a section belongs, for one that was put into another. */
const homes: ReadonlyMap<string, string> = new Map([
  ...sections.map((section): [string, string] => [section, section]),
  ...Object.keys(DslSchema.entries.governance.wrapped.entries).map((key): [string, string] => [
    key,
    `governance.${key}`,
  ]),
  ...Object.keys(DslSchema.entries.dataPlane.wrapped.entries).map((key): [string, string] => [key, `dataPlane.${key}`]),
]);

const withHome = (finding: Finding): Finding => {
  const key = finding.path.at(-1);
  const home = typeof key === "string" ? homes.get(key) : undefined;
  const isUnplaced = finding.at === "key" && finding.suggestion === undefined && home !== undefined;
  return isUnplaced ? { ...finding, suggestion: { text: home, quoted: true } } : finding;
};

interface Unwrapped {
  readonly value: unknown;
  readonly root: Path;
  readonly findings: readonly Finding[];
}

/** Takes off the optional root key, also where it is the only key and plainly misspelled. */
const unwrap = (value: unknown): Unwrapped => {
  if (!isMapping(value)) return { value, root: [], findings: [] };
  const keys = Object.keys(value);
  if (Object.hasOwn(value, rootKey)) {
    const findings = keys
      .filter((key) => key !== rootKey)
      .map((key): Finding => ({
        path: [key],
        at: "key",
        what: `found the key ${quote(key)} beside ${rootKey}`,
        found: quote(key),
        allowed: `everything under ${rootKey}, or ${sections.join(", ")} without it`,
      }));
    return { value: value[rootKey], root: [rootKey], findings };
  }
  const [only] = keys;
  if (only === undefined || keys.length > 1 || nearest(only, [...sections, rootKey]) !== rootKey)
    return { value, root: [], findings: [] };
  const misspelled: Finding = {
    path: [only],
    at: "key",
    what: `unknown key ${quote(only)}`,
    found: quote(only),
    allowed: [rootKey, ...sections].join(", "),
    suggestion: { text: rootKey, quoted: true },
  };
  return { value: value[only], root: [only], findings: [misspelled] };
};

/** Every finding of every check: the shape, the values, the rules between parts. */
export const validate = (reading: Reading): Validated => {
  if (reading.value === undefined) return { value: undefined, errors: reading.findings, warnings: [] };
  const unwrapped = unwrap(reading.value);
  const shape = compareShape(DslSchema, unwrapped.value, unwrapped.root, reading, expectation);
  const parsed = parseUnderstood(DslSchema, shape, reading);
  const crossed = crossCheck(shape.understood, reading, shape.toSource);
  const readable = (finding: Finding): boolean => !isBeneath(finding.path, reading.unreadable);
  const errors = [
    ...reading.findings,
    ...unwrapped.findings,
    ...shape.findings.map(withHome),
    ...parsed.findings,
    ...crossed.errors.filter(readable),
  ];
  const value = errors.length === 0 ? parsed.value : undefined;
  return { value, errors, warnings: crossed.warnings.filter(readable) };
};
