/** The configuration language: YAML, JSON or code to one checked {@link Dsl}. */
export { defineDsl, type DefineResult } from "./define.ts";
export type { DslError, LocatedError } from "./finding.ts";
export { formatErrors, type FormatOptions } from "./format.ts";
export type { Environment } from "./interpolate.ts";
export { loadDsl, type LoadOptions, type LoadResult } from "./load.ts";
export { type Dsl, type DslInput, DslSchema } from "./schema.ts";
