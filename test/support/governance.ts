/** Valid commits for tests of stores and chains: real states, events sealed as the governor seals them. */
import { canonicalJson, digestOf, sha256Hex } from "../../src/canonical.ts";
import type { SettledConfiguration } from "../../src/experiment.ts";
import { type EventDraft, sealEvents } from "../../src/governance/chain.ts";
import type { ActorRecord, Change } from "../../src/governance/events.ts";
import { personalValue } from "../../src/governance/personal.ts";
import { type ExperimentState, stateShape } from "../../src/governance/state.ts";
import type {
  Checkpoint,
  Commit,
  Head,
  PersonalValue,
  Receipt,
  RuleSet,
  Snapshot,
} from "../../src/governance/store.ts";
import type { ExperimentRef, Scope } from "../../src/scope.ts";

export const at = "2026-11-02T09:00:00.000Z";
/** A time after {@link at}, for things that happen later. */
export const later = (minutes: number): string => new Date(Date.parse(at) + minutes * 60_000).toISOString();

/** A scope that no other test uses: stores of one test file may share a database. */
export const freshScope = (): Scope => ({ tenant: `tenant-${crypto.randomUUID()}`, environment: "test" });

export const freshRef = (experiment = "checkout"): ExperimentRef => ({ ...freshScope(), experiment });

export const author: PersonalValue = personalValue("actor", "00112233445566778899aabbccddeeff", "author@example.com");

export const actorOf = (person: PersonalValue): ActorRecord => ({ ref: person.ref, kind: "human", roles: ["editor"] });

export const configuration = (changes: Partial<SettledConfiguration> = {}): SettledConfiguration => ({
  name: "checkout",
  subject: "user",
  salt: "checkout-salt",
  variants: [
    { key: "control", weight: 1, control: true },
    { key: "treatment", weight: 1 },
  ],
  traffic: 100,
  assignmentPolicy: "bestEffort",
  ...changes,
});

const change: Change = {
  kind: "transition",
  from: "Draft",
  to: "PendingApproval",
  version: 1,
  digest: "d".repeat(64),
  changeDigest: "c".repeat(64),
  policySetDigest: "e".repeat(64),
  parameters: {},
};

/** What every draft needs besides its type and data; a new id each time. */
export const stamp = (
  time = at,
  person: PersonalValue = author,
): { readonly id: string; readonly at: string; readonly actor: ActorRecord } => ({
  id: crypto.randomUUID(),
  at: time,
  actor: actorOf(person),
});

export const transitioned = (reason?: PersonalValue, time?: string): EventDraft => ({
  type: "Transitioned",
  data: {
    ...change,
    gates: [],
    policies: [],
    liveVersion: null,
    claims: [],
    ...(reason === undefined ? {} : { reason: reason.ref }),
  },
  ...stamp(time),
});

export const denied = (time?: string): EventDraft => ({
  type: "ChangeDenied",
  data: { ...change, attempt: "make", code: "policy-violation", gates: [], policies: [] },
  ...stamp(time),
});

export const versionWritten = (
  version: number,
  written: SettledConfiguration = configuration(),
  changeDescription?: PersonalValue,
): EventDraft => ({
  type: "VersionWritten",
  data: {
    version,
    digest: digestOf(written),
    configuration: written,
    ...(changeDescription === undefined ? {} : { changeDescription: changeDescription.ref }),
  },
  ...stamp(),
});

export const receipt = (key: string, expiresAt = later(60), answer = '{"ok":true}'): Receipt => ({
  key,
  fingerprint: digestOf(["fingerprint", key]),
  answer,
  expiresAt,
});

/** A definition of rules, another one for each name. */
export const ruleSet = (name: string): RuleSet => {
  const text = canonicalJson({ kind: "transition", gates: [], policies: [{ type: "timeWindow", name }] });
  return { digest: sha256Hex(text), text };
};

/** A checkpoint as far as a store looks at one. */
export const checkpointAt = ({ seq, hash }: Head, signed = "A".repeat(86)): Checkpoint => ({
  seq,
  hash,
  text: canonicalJson({ seq, hash, state: { quotes: "' \" -- é😀" } }),
  signature: { keyId: "key-1", value: signed },
});

/** What a test may want to be different about a commit. */
export interface Parts {
  readonly drafts?: readonly EventDraft[];
  /** Members of the state that differ from the one before. */
  readonly change?: Partial<ExperimentState>;
  readonly personal?: readonly PersonalValue[];
  readonly take?: readonly string[];
  readonly release?: readonly string[];
  readonly receipt?: Receipt | null;
  readonly rules?: readonly RuleSet[];
}

/** The last thing that is known of an experiment: what the next commit is built on. */
export interface Base {
  readonly snapshot: Snapshot;
  readonly head: Head;
}

const stateOf = (ref: ExperimentRef, written: SettledConfiguration): ExperimentState => ({
  shape: stateShape,
  name: ref.experiment,
  lifecycle: "Draft",
  since: at,
  servingSince: null,
  latest: { version: 1, digest: digestOf(written), configuration: written },
  live: null,
  liveSince: null,
  paused: null,
  epoch: 0,
  approved: [],
  earlierPlans: [],
  authorsSinceApproval: [author.ref],
  written: [{ digest: digestOf(written), by: [author.ref] }],
  proposals: [],
  claims: [],
  ramp: null,
  schedule: [],
  killed: { experiment: false, variants: [] },
  conclusion: null,
  frozen: null,
  signals: [],
  notified: [],
  createdAt: at,
  updatedAt: at,
  updatedBy: author.ref,
});

const commitOf = (
  expect: Head | "new",
  drafts: readonly EventDraft[],
  next: { readonly state: ExperimentState; readonly revision: number } | null,
  parts: Parts,
): Commit => {
  const events = sealEvents(expect, drafts);
  return {
    expect,
    events,
    ...(next === null ? {} : { snapshot: { ...next, revisionHash: events.at(-1)?.hash ?? "" } }),
    personal: parts.personal ?? [],
    claims: { take: parts.take ?? [], release: parts.release ?? [] },
    receipt: parts.receipt ?? null,
    ...(parts.rules === undefined ? {} : { rules: parts.rules }),
  };
};

/** The commit that creates an experiment. */
export const creation = (
  ref: ExperimentRef,
  parts: Parts & { readonly configuration?: SettledConfiguration } = {},
): Commit => {
  const { tenant, environment, experiment } = ref;
  const written = parts.configuration ?? configuration();
  const drafts: readonly EventDraft[] = parts.drafts ?? [
    { type: "Created", data: { tenant, environment, experiment }, ...stamp() },
    versionWritten(1, written),
  ];
  const state = { ...stateOf(ref, written), ...parts.change };
  return commitOf("new", drafts, { state, revision: 1 }, { ...parts, personal: [author, ...(parts.personal ?? [])] });
};

/** A commit that changes the state. */
export const next = (base: Base, parts: Parts = {}): Commit =>
  commitOf(
    base.head,
    parts.drafts ?? [transitioned()],
    { state: { ...base.snapshot.state, ...parts.change }, revision: base.snapshot.revision + 1 },
    parts,
  );

/** A commit that only the log sees. */
export const denial = (base: Pick<Base, "head">, parts: Omit<Parts, "change"> = {}): Commit =>
  commitOf(base.head, parts.drafts ?? [denied()], null, parts);

/** What a store knows after it took a commit that was built on `base`; a creation is built on nothing. */
export const after = (commit: Commit, base?: Base): Base => {
  const last = commit.events.at(-1);
  const snapshot = commit.snapshot ?? base?.snapshot;
  if (last === undefined || snapshot === undefined) throw new TypeError("a commit without events, or without a state");
  return { snapshot, head: { seq: last.seq, hash: last.hash, at: last.at } };
};
