/**
 * Where an experiment lives. Every store key, message and route carries a whole {@link ExperimentRef},
 * so that two tenants can never meet in one row.
 */
import * as v from "valibot";
import { limits } from "./limits.ts";

/** A tenant's environment. Both parts default to `default`. */
export interface Scope {
  readonly tenant: string;
  readonly environment: string;
}

/** One experiment in one scope: the identity of one aggregate with one history. */
export interface ExperimentRef extends Scope {
  readonly experiment: string;
}

export const defaultScope: Scope = { tenant: "default", environment: "default" };

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Names of tenants, environments and experiments. The alphabet leaves out every separator that a key, a path or
 * a query could give a meaning to (`:`, `/`, `%`, `'`), so no name can reach into another one's keys.
 */
export const NameSchema = v.pipe(
  v.string(),
  v.maxLength(limits.nameCharacters, `at most ${limits.nameCharacters} characters`),
  v.regex(namePattern, "letters, digits, '.', '_' and '-', beginning with a letter or digit"),
  v.check((name) => name !== "__proto__", "a name other than __proto__"),
);

/** Names that routes beside `/{name}` have. */
const reservedNames: readonly string[] = ["proposals", "import", "erasures"];

/** Names of experiments: {@link NameSchema} without those that paths of the API already mean something by. */
export const ExperimentNameSchema = v.pipe(
  NameSchema,
  v.check((name) => !reservedNames.includes(name), `a name other than ${reservedNames.join(", ")}`),
);

/** True for a string that {@link NameSchema} accepts. */
export const isName = (value: string): boolean => v.is(NameSchema, value);

/**
 * A key for maps and object names. JSON of the three parts is injective for *any* strings, also for names that
 * were never checked.
 *
 * @example refKey({ tenant: "default", environment: "default", experiment: "a" }) // '["default","default","a"]'
 */
export const refKey = (ref: ExperimentRef): string => JSON.stringify([ref.tenant, ref.environment, ref.experiment]);

/** Like {@link refKey}, for a scope. */
export const scopeKey = (scope: Scope): string => JSON.stringify([scope.tenant, scope.environment]);
