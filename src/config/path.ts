/** Places in a document, as lists of member names and list positions, and their JSON Pointers (RFC 6901). */
export type Path = readonly (string | number)[];

/** @example pointer(["policies", 0, "a/b"]) // "/policies/0/a~1b"; the whole document is "" */
export const pointer = (path: Path): string =>
  path.map((segment) => `/${String(segment).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

/** A mapping as the readers build it: own members only, never an array. */
export type Mapping = Readonly<Record<string, unknown>>;

export const isMapping = (value: unknown): value is Mapping =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** An own member, or undefined: what a prototype offers is nobody's configuration. */
export const member = (value: unknown, key: string): unknown =>
  isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined;

export const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
