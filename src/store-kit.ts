/**
 * `proviso/store-kit`: what every store of the package is made with, for whoever writes another one (`adapters/README.md`):
 * the port, what is refused at its door, and the form in which things are kept.
 */
export { byCodePoint } from "./code-points.ts";
export { ProvisoError } from "./errors.ts";
export {
  readReceipt,
  type StorableCommit,
  storableCommit,
  type StorableEvent,
  type StorableReceipt,
  storableReceipts,
  type StorableSnapshot,
} from "./governance/storable-commit.ts";
export {
  checkCheckpoint,
  checkPosition,
  storableHistoryQuery,
  storableListQuery,
  storableLoad,
  storablePageQuery,
  storablePersonalQuery,
  storableReceiptsQuery,
  storableRefs,
} from "./governance/storable-query.ts";
export { checkRef, parseTime } from "./governance/store-door.ts";
export {
  type Checkpoint,
  type Commit,
  type CommitResult,
  type GovernanceStore,
  type Head,
  type Loaded,
  type PersonalValue,
  type RuleSet,
  type Snapshot,
  surfaceClaim,
} from "./governance/store.ts";
export { readEvent, readState } from "./governance/stored.ts";
export { type ExperimentRef, type Scope, scopeKey } from "./scope.ts";
