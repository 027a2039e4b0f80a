/** A place that has histories: a store that this process opens, or a server that answers for one. */
import type { Imported } from "../../src/governance/export/import.ts";
import type { ErasedPage } from "../../src/governance/erase.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";

export interface ImportProgress {
  readonly done: number;
  readonly of: number;
}

export interface Place {
  /** How messages call it; no credentials. */
  readonly name: string;
  /** Names of the experiments of a scope. */
  list(scope: Scope): AsyncIterable<string>;
  /** NDJSON, each line with its `\n`. */
  export(ref: ExperimentRef): AsyncIterable<string>;
  /** @param lines without their line ends */
  import(lines: AsyncIterable<string>, onProgress?: (progress: ImportProgress) => void): Promise<Imported>;
  erase(scope: Scope, person: string, reason: string | undefined, after: string | undefined): Promise<ErasedPage>;
  /** The store itself; null for a server. */
  readonly store: GovernanceStore | null;
  close(): Promise<void>;
}
