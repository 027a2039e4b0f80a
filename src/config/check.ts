/** What a rule between parts of a configuration is given, and gives. */
import type { Finding } from "./finding.ts";
import type { Path } from "./path.ts";

/** Paths in these findings are those of the understood value. */
export type Check = (dsl: unknown, context: Context) => readonly Finding[];

export interface Context {
  /** The configuration stands in a file, not in code. */
  readonly isFile: boolean;
  /** From a path in the understood value to the path in the file. */
  readonly toSource: (path: Path) => Path;
  /** What may be shown of the value at a path. */
  readonly describe: (path: Path) => string;
  readonly isSecret: (path: Path) => boolean;
}
