/** What differs between two versions: a patch for machines, and a list for people. */
import { createPatch } from "rfc6902";
import { canonicalJson } from "../canonical.ts";
import type { SettledConfiguration } from "../experiment.ts";

export interface ConfigurationChange {
  readonly kind: "added" | "removed" | "modified";
  /** RFC 6901; into the newer version, and for what was removed into the older one. */
  readonly path: string;
  readonly old?: unknown;
  readonly new?: unknown;
}

export interface ConfigurationDiff {
  readonly changes: readonly ConfigurationChange[];
  /** RFC 6902: applied to the older version it gives the newer one. */
  readonly patch: readonly unknown[];
}

type Members = Readonly<Record<string, unknown>>;

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const segment = (key: string | number): string => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;

/** Members by which the items of a list are known: one that moves down is not another one. */
const keyMembers: ReadonlyMap<string, string> = new Map([
  ["/variants", "key"],
  ["/metrics", "name"],
  ["/guardrails", "metric"],
]);

/** What an item is called; undefined where the list has no names. */
const nameIn = (path: string, item: unknown): string | undefined => {
  if (path === "/surfaces") return typeof item === "string" ? item : undefined;
  const member = keyMembers.get(path);
  const name = member !== undefined && isMembers(item) ? item[member] : undefined;
  return typeof name === "string" ? name : undefined;
};

/** The names of a list's items; null where one has none, or two share one: the list is then compared by place. */
const namesOf = (path: string, items: readonly unknown[]): readonly string[] | null => {
  const names = items.map((item) => nameIn(path, item)).filter((name) => name !== undefined);
  return names.length === items.length && new Set(names).size === names.length ? names : null;
};

const shared = (list: readonly string[], other: readonly string[]): readonly string[] =>
  list.filter((name) => other.includes(name));

const compareNamed = (
  path: string,
  before: readonly unknown[],
  after: readonly unknown[],
  names: { readonly before: readonly string[]; readonly after: readonly string[] },
): readonly ConfigurationChange[] => {
  const removed = names.before.flatMap((name, index): readonly ConfigurationChange[] =>
    names.after.includes(name) ? [] : [{ kind: "removed", path: `${path}${segment(index)}`, old: before[index] }],
  );
  const rest = names.after.flatMap((name, index): readonly ConfigurationChange[] => {
    const here = `${path}${segment(index)}`;
    const was = names.before.indexOf(name);
    return was === -1 ? [{ kind: "added", path: here, new: after[index] }] : compare(here, before[was], after[index]);
  });
  const order = { old: shared(names.before, names.after), new: shared(names.after, names.before) };
  // The order of variants is the order of their buckets, so it is a change of its own.
  const moved: readonly ConfigurationChange[] =
    canonicalJson(order.old) === canonicalJson(order.new) ? [] : [{ kind: "modified", path, ...order }];
  return [...removed, ...rest, ...moved];
};

const compareMembers = (path: string, before: Members, after: Members): readonly ConfigurationChange[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted().flatMap((key) => {
    const here = `${path}${segment(key)}`;
    if (!Object.hasOwn(after, key)) return [{ kind: "removed", path: here, old: before[key] }];
    if (!Object.hasOwn(before, key)) return [{ kind: "added", path: here, new: after[key] }];
    return compare(here, before[key], after[key]);
  });

const compare = (path: string, before: unknown, after: unknown): readonly ConfigurationChange[] => {
  if (canonicalJson(before) === canonicalJson(after)) return [];
  if (isMembers(before) && isMembers(after)) return compareMembers(path, before, after);
  if (Array.isArray(before) && Array.isArray(after)) {
    const names = { before: namesOf(path, before), after: namesOf(path, after) };
    if (names.before !== null && names.after !== null)
      return compareNamed(path, before, after, { before: names.before, after: names.after });
  }
  return [{ kind: "modified", path, old: before, new: after }];
};

/**
 * Compares two versions. Variants, metrics, guardrails and surfaces are known by name: one that is put before another
 * is one addition.
 *
 * @example diffConfigurations(first, second).changes // [{ kind: "modified", path: "/traffic", old: 25, new: 50 }]
 */
export const diffConfigurations = (before: SettledConfiguration, after: SettledConfiguration): ConfigurationDiff => ({
  changes: compare("", before, after),
  patch: createPatch(before, after),
});
