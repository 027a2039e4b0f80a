/**
 * Reads published rules at the boundary. Written by hand, because a browser loads it: a schema library would weigh
 * more than the evaluation. `targeting-schema.ts` says the same of a configuration; a test holds the two together.
 */
import { lifecycleStates } from "../lifecycle.ts";
import { maxVariants } from "./bounds.ts";
import { hashVersion } from "./bucket.ts";
import { excerpt, isBoolean, isCount, isList, isNumber, isObject, isText, type Check } from "./guards.ts";
import { bucketCount, ruleSetVersion, type DataPlaneSettings, type ExperimentRule } from "./rule-set.ts";
import { targetingForms, tryCompileTargeting } from "./targeting.ts";

/** An experiment in the rule set that cannot be evaluated. */
export interface UnreadableRule {
  /** Its name, or "" where even that cannot be read. */
  readonly name: string;
  /** JSON Pointer, what is wrong, what is allowed. */
  readonly message: string;
}

export interface ParsedRules {
  readonly tenant: string;
  readonly environment: string;
  readonly experiments: readonly ExperimentRule[];
  readonly dataPlane?: DataPlaneSettings | undefined;
  readonly unreadable: readonly UnreadableRule[];
}

const isWhole: Check = (value) => isCount(value, Number.MAX_SAFE_INTEGER);
const isBuckets = (value: unknown): value is number => isCount(value, bucketCount);

const isVariant = (value: unknown): value is { readonly key: string; readonly buckets: number; control: boolean } =>
  isObject(value) && isText(value.key) && isBuckets(value.buckets) && isBoolean(value.control);

const isVariants: Check = (value) =>
  isList(value) &&
  value.length <= maxVariants &&
  value.every(isVariant) &&
  new Set(value.map(({ key }) => key)).size === value.length &&
  value.filter(({ control }) => control).length === 1 &&
  value.reduce((sum, { buckets }) => sum + buckets, 0) === bucketCount;

const isTextsOrAbsent: Check = (value) => value === undefined || (isList(value) && value.every(isText));
const isExclusion: Check = (value) =>
  isObject(value) && isText(value.group) && isList(value.slots) && value.slots.every(isWhole);

const states: readonly unknown[] = lifecycleStates;

const members: readonly (readonly [name: keyof ExperimentRule, holds: Check, allowed: string])[] = [
  ["name", isText, "expected a text"],
  ["state", (value) => states.includes(value), "expected a lifecycle state"],
  ["version", isWhole, "expected a whole number"],
  ["digest", isText, "expected a text"],
  ["epoch", isWhole, "expected a whole number"],
  ["hashVersion", (value) => value === hashVersion, `expected ${hashVersion}`],
  ["salt", isText, "expected a text"],
  ["subject", isText, "expected a text"],
  [
    "variants",
    isVariants,
    `expected { key, buckets, control }, keys that differ, one control, ${bucketCount} buckets in all, at most ${maxVariants}`,
  ],
  ["trafficBuckets", isBuckets, `expected a whole number, 0 to ${bucketCount}`],
  ["targeting", (value) => value === undefined || tryCompileTargeting(value) !== undefined, targetingForms],
  ["exclusion", (value) => value === undefined || isExclusion(value), "expected { group, slots }"],
  ["assignmentPolicy", isText, "expected a text"],
  ["mode", (value) => value === undefined || value === "stopEnrolment", "expected stopEnrolment"],
  ["killed", (value) => value === undefined || isBoolean(value), "expected true or false"],
  ["killedVariants", isTextsOrAbsent, "expected a list of texts"],
  ["dimensions", isTextsOrAbsent, "expected a list of texts"],
  ["shipped", (value) => value === undefined || isText(value), "expected a text"],
];

/** At most what a timer takes: 2³¹ − 1. */
const isPositive = (value: unknown): value is number => isNumber(value) && value > 0 && value < 2 ** 31;

const isDataPlane = (value: unknown): value is DataPlaneSettings =>
  isObject(value) &&
  [value.flushEvents, value.flushBytes, value.flushIntervalMs].every(isPositive) &&
  isNumber(value.sampling) &&
  value.sampling >= 0 &&
  value.sampling <= 1 &&
  isTextsOrAbsent(value.off);

const problemOf = (value: unknown, index: number): string | undefined => {
  const at = `/experiments/${index}`;
  if (!isObject(value)) return `${at}: found ${excerpt(value)}; expected an object`;
  const wrong = members.find(([name, holds]) => !holds(value[name]));
  return wrong === undefined ? undefined : `${at}/${wrong[0]}: found ${excerpt(value[wrong[0]])}; ${wrong[2]}`;
};

/**
 * Parses what `GET /api/rules` answers. One experiment that cannot be read (because a newer server knows an operator
 * that this client does not) takes no other with it: it is listed under `unreadable`, and its subjects get control.
 *
 * @throws TypeError when it is not a rule set of this version at all
 */
export const parseRuleSet = (input: unknown): ParsedRules => {
  if (!isObject(input)) throw new TypeError(`rule set: found ${excerpt(input)}; expected an object`);
  if (input.ruleSetVersion !== ruleSetVersion) {
    throw new TypeError(`rule set /ruleSetVersion: found ${excerpt(input.ruleSetVersion)}; expected ${ruleSetVersion}`);
  }
  const { tenant, environment, experiments: list, dataPlane } = input;
  if (!isText(tenant) || !isText(environment) || !isList(list)) {
    throw new TypeError("rule set: expected texts at /tenant and /environment, a list at /experiments");
  }
  // Sending by other settings than everybody else's would tilt what is counted, so they are not merely left out.
  if (dataPlane !== undefined && !isDataPlane(dataPlane)) {
    throw new TypeError(`rule set /dataPlane: found ${excerpt(dataPlane)}`);
  }
  const unreadable: UnreadableRule[] = [];
  const seen = new Set<string>();
  const isReadable = (value: unknown, index: number): value is ExperimentRule => {
    const name = isObject(value) && isText(value.name) ? value.name : "";
    const message = seen.has(name)
      ? `/experiments/${index}/name: ${excerpt(name)} is there twice`
      : problemOf(value, index);
    seen.add(name);
    if (message !== undefined) unreadable.push({ name, message });
    return message === undefined;
  };
  return { tenant, environment, experiments: list.filter(isReadable), dataPlane, unreadable };
};
