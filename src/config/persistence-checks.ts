/** Rules of `governance.persistence` that look at several members, or at what this version can open. */
import type { Check } from "./check.ts";
import { keptBack } from "./credentials.ts";
import { type Finding, quote } from "./finding.ts";
import { items, member, type Path } from "./path.ts";
import { mirrorParts, type PersistenceType, persistenceTypeOf } from "./persistence.ts";

interface Place {
  readonly path: Path;
  readonly value: unknown;
  readonly type: PersistenceType | undefined;
}

const root = ["governance", "persistence"];

const placed = (path: Path, value: unknown): Place => ({ path, value, type: persistenceTypeOf(value) });

/** The store, and the parts of a mirror. */
const places = (dsl: unknown): readonly Place[] => {
  const value = member(member(dsl, "governance"), "persistence");
  if (value === undefined) return [];
  const whole = placed(root, value);
  if (whole.type !== "mirror") return [whole];
  return [
    whole,
    placed([...root, "primary"], member(value, "primary")),
    ...items(member(value, "followers")).map((part, index) => placed([...root, "followers", index], part)),
  ];
};

const foreignParts: Check = (dsl, { isFile }) =>
  places(dsl).flatMap(({ path, type }) =>
    !isFile || path.length === root.length || type === undefined || type === "mirror" || mirrorParts.includes(type)
      ? []
      : [
          {
            path: [...path, "type"],
            at: "value",
            what: `found a part of a mirror of type ${type}`,
            allowed: `${mirrorParts.join(", ")}: the Worker keeps the others in objects, each with one experiment`,
          },
        ],
  );

/** Which members say how to get in, of which exactly one is needed. */
const credentials: Readonly<Partial<Record<PersistenceType, readonly string[]>>> = {
  upstash: ["token", "secret"],
  postgres: ["connectionString", "secret", "hyperdrive"],
};

const oneCredential: Check = (dsl) =>
  places(dsl).flatMap(({ path, value, type }): readonly Finding[] => {
    const members = type === undefined ? undefined : credentials[type];
    if (members === undefined) return [];
    const [first, second] = members.filter((name) => member(value, name) !== undefined);
    const allowed = `one of ${members.join(", ")}`;
    if (first === undefined)
      return [{ path, at: "value", what: `found a store of type ${type} without a way in`, allowed }];
    if (second === undefined) return [];
    const what = `found ${quote(second)} beside ${quote(first)}`;
    return [{ path: [...path, second], at: "key", what, allowed }];
  });

/** A store that follows itself would count as two. */
const sameParts: Check = (dsl) => {
  const [, ...parts] = places(dsl);
  return parts.flatMap(({ path, value, type }, index) => {
    const earlier = parts.slice(0, index).some((part) => part.type === type && isSame(part.value, value));
    return earlier
      ? [{ path, at: "value", what: "found the same store again", allowed: "a primary and followers that differ" }]
      : [];
  });
};

const isSame = (left: unknown, right: unknown): boolean => {
  const members = ["database", "url", "prefix", "connectionString", "secret", "hyperdrive", "schema", "name"];
  return members.every((name) => member(left, name) === member(right, name));
};

const idleDatabase: Check = (dsl, { describe }) =>
  places(dsl).flatMap(({ path, value, type }) =>
    type === "memory" && member(value, "database") !== undefined
      ? [
          {
            path: [...path, "database"],
            at: "value",
            what: `found the database ${describe([...path, "database"])} beside type memory`,
            allowed: "only with type d1",
          },
        ]
      : [],
  );

const writtenSecrets: Check = (dsl, { isFile, describe }) =>
  places(dsl).flatMap(({ path, value }) =>
    ["token", "connectionString"].flatMap((name) => {
      const here = [...path, name];
      return isFile && member(value, name) !== undefined && describe(here) === keptBack
        ? [{ path: here, at: "value", what: "found a secret in the file", allowed: `"\${NAME}", or secret: NAME` }]
        : [];
    }),
  );

export const persistenceErrors: readonly Check[] = [foreignParts, oneCredential, sameParts];
export const persistenceWarnings: readonly Check[] = [idleDatabase, writtenSecrets];
