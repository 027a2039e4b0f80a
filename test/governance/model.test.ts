/**
 * Random people do random things under rules that change, in several processes over one store. Whatever they did, the
 * history alone must show that nothing was made without the approvals that its gates wanted, for exactly that change.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { canonicalJson } from "../../src/canonical.ts";
import type { Actor } from "../../src/governance/actor.ts";
import { verifyChain } from "../../src/governance/chain.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import { replay } from "../../src/governance/evolve.ts";
import type { GateInput } from "../../src/governance/gates/schema.ts";
import { createGovernance, type By, type Governance } from "../../src/governance/governance.ts";
import { applicable } from "../../src/governance/policy-set.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { lifecycleStates, type LifecycleState } from "../../src/lifecycle.ts";
import { startOfTime } from "../support/scenario.ts";

const ref = { tenant: "default", environment: "default", experiment: "checkout" };

/** Two sets of rules; how many must agree to content under each. */
const rules: readonly { readonly wanted: number; readonly gates: readonly GateInput[] }[] = [
  { wanted: 1, gates: [{ type: "manual", name: "content", from: "PendingApproval", to: "Approved" }] },
  {
    wanted: 2,
    gates: [
      { type: "quorum", name: "content", count: 2, from: "PendingApproval", to: "Approved", whenApproved: "commit" },
      { type: "roleBased", to: "Running", allowedRoles: ["operator"] },
    ],
  },
];

const people: readonly Actor[] = [
  { id: "a@example.com", kind: "human", roles: ["editor", "operator", "approver"] },
  { id: "b@example.com", kind: "human", roles: ["editor", "approver"] },
  { id: "c@example.com", kind: "human", roles: ["approver"] },
  { id: "e@example.com", kind: "human", roles: ["approver"] },
  { id: "f@example.com", kind: "human", roles: ["approver", "operator"] },
  { id: "d@example.com", kind: "agent", roles: ["editor", "operator", "approver"] },
];

type Step =
  | { readonly type: "write"; readonly traffic: number }
  | { readonly type: "move"; readonly to: LifecycleState }
  | { readonly type: "publish" | "pause" | "kill" | "revive" | "tick" | "forward" }
  | { readonly type: "rollBack"; readonly version: number }
  | { readonly type: "say"; readonly decision: "approve" | "decline" | "withdraw" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("write" as const),
      traffic: fc.oneof(fc.constantFrom(10, 20), fc.integer({ min: 1, max: 99 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("move" as const), to: fc.constantFrom(...lifecycleStates) }) },
  { weight: 12, arbitrary: fc.record({ type: fc.constant("forward" as const) }) },
  {
    weight: 14,
    arbitrary: fc.record({
      type: fc.constant("say" as const),
      decision: fc.constantFrom(
        "approve" as const,
        "approve" as const,
        "approve" as const,
        "decline" as const,
        "withdraw" as const,
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constantFrom("publish" as const, "pause" as const, "kill" as const, "revive" as const, "tick" as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant("rollBack" as const), version: fc.integer({ min: 1, max: 6 }) }),
  },
);

const turn = fc.record({
  step,
  person: fc.nat(people.length - 1),
  process: fc.nat(2),
  /** Null: those of the turn before. Rules that change at every turn leave no time to agree to anything. */
  rules: fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(rules.length - 1) }),
});

const onwards: Partial<Record<LifecycleState, LifecycleState>> = {
  Draft: "PendingApproval",
  PendingApproval: "Approved",
  Approved: "Running",
  Paused: "Running",
  RolledBack: "Draft",
  Rejected: "Draft",
};

const act = async (governance: Governance, store: GovernanceStore, taken: Step, by: By): Promise<void> => {
  const state = (await store.load(ref))?.snapshot.state;
  switch (taken.type) {
    case "write": {
      const variants = [{ key: "control", control: true }, { key: "treatment" }];
      await governance.revise("checkout", { variants, salt: "pepper", traffic: taken.traffic, surfaces: ["page"] }, by);
      return;
    }
    case "move":
      await governance.transition("checkout", taken.to, {}, by);
      return;
    case "forward": {
      const to = state === undefined ? undefined : onwards[state.lifecycle];
      if (to !== undefined) await governance.transition("checkout", to, {}, by);
      return;
    }
    case "publish":
      if (state !== undefined) await governance.publish("checkout", state.latest.version, {}, by);
      return;
    case "pause":
      await governance.pause("checkout", by);
      return;
    case "kill":
      await governance.kill("checkout", by);
      return;
    case "revive":
      await governance.revive("checkout", by);
      return;
    case "tick":
      await governance.tick();
      return;
    case "rollBack":
      await governance.rollBack("checkout", { targetVersion: taken.version }, by);
      return;
    case "say": {
      const changeDigest = state?.proposals.at(-1)?.changeDigest;
      if (changeDigest === undefined) return;
      const say = { approve: governance.approve, decline: governance.decline, withdraw: governance.withdraw };
      await say[taken.decision]("checkout", { changeDigest }, by);
      return;
    }
    default:
      taken satisfies never;
  }
};

interface Open {
  readonly changeDigest: string;
  readonly proposer: string;
  readonly words: Map<string, "approve" | "decline">;
}

/** Walks through a history, and says what it shows that must not be. It knows nothing of how decisions are made. */
const wrongs = (
  events: readonly EventRecord[],
  wantedOf: (policySetDigest: string) => number | undefined,
): readonly string[] => {
  const found: string[] = [];
  const open = new Map<string, Open>();
  const kinds = new Map<string, string>();
  let authors = new Set<string>();
  /** Who has ever written some content: posting it again makes nobody its only author. */
  const writers = new Map<string, ReadonlySet<string>>();
  let approvedDigests = new Set<string>();
  const agreed = (changeDigest: string): readonly string[] =>
    [...open.values()]
      .filter((proposal) => proposal.changeDigest === changeDigest)
      .flatMap(({ proposer, words }) =>
        [...words.values()].includes("decline")
          ? []
          : [...words].flatMap(([who, word]) =>
              word === "approve" && who !== proposer && !authors.has(who) && kinds.get(who) === "human" ? [who] : [],
            ),
      );
  for (const event of events) {
    kinds.set(event.actor.ref, event.actor.kind);
    switch (event.type) {
      case "VersionWritten": {
        const by = new Set([...(writers.get(event.data.digest) ?? []), event.actor.ref]);
        writers.set(event.data.digest, by);
        authors = new Set([...authors, ...by]);
        break;
      }
      case "Reopened":
        approvedDigests = new Set();
        break;
      case "ProposalOpened":
        open.set(event.data.proposal, {
          changeDigest: event.data.changeDigest,
          proposer: event.actor.ref,
          words: new Map(),
        });
        break;
      case "ApprovalGiven":
        open.get(event.data.proposal)?.words.set(event.actor.ref, "approve");
        break;
      case "ApprovalDeclined":
        open.get(event.data.proposal)?.words.set(event.actor.ref, "decline");
        break;
      case "ApprovalWithdrawn":
        open.get(event.data.proposal)?.words.delete(event.actor.ref);
        break;
      case "Transitioned":
      case "Published": {
        const { data } = event;
        const approves = event.type === "Published" || data.to === "Approved";
        const comesBack = event.type === "Published" && data.kind === "rollback" && data.gates.length === 0;
        if (approves && !comesBack) {
          const wanted = wantedOf(data.policySetDigest);
          if (wanted === undefined) found.push(`${event.seq}: decided by rules that there are not`);
          else if (agreed(data.changeDigest).length < wanted) found.push(`${event.seq}: made without its approvals`);
          approvedDigests.add(data.digest);
          authors = new Set();
        }
        if (comesBack && !approvedDigests.has(data.digest)) found.push(`${event.seq}: came back unapproved`);
        const serves = event.type === "Transitioned" && (data.to === "Running" || data.to === "Ramping");
        if (serves && !approvedDigests.has(data.digest)) found.push(`${event.seq}: serves what nobody approved`);
        break;
      }
      case "ProposalEnded":
        open.delete(event.data.proposal);
        break;
      case "Created":
      case "ProposalCommented":
      case "RampAdvanced":
      case "RampHeld":
      case "RampEnded":
      case "ScheduleSet":
      case "ScheduleCleared":
      case "ScheduleFired":
      case "Killed":
      case "Revived":
      case "GuardrailBroken":
      case "SignalRaised":
      case "SignalsCleared":
      case "Erased":
      case "ChangeDenied":
        break;
      default:
        event satisfies never;
    }
  }
  return found;
};

test(
  "no change without its approvals, for exactly its digest; every history leads to what is stored",
  async () => {
    let made = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { minLength: 40, maxLength: 120, size: "max" }), async (turns) => {
        const store = memoryStore();
        const now = (): number => startOfTime;
        /** Three processes, each of which has every set of rules at some time. */
        const processes = [0, 1, 2].map(() => rules.map(({ gates }) => createGovernance({ store, gates, now })));
        let inForce = 0;
        for (const { step: taken, person, process, rules: changed } of turns) {
          inForce = changed ?? inForce;
          const governance = processes[process]?.[inForce];
          const actor = people[person];
          if (governance !== undefined && actor !== undefined) await act(governance, store, taken, { actor });
        }
        const loaded = await store.load(ref);
        if (loaded === null) return;
        const { events } = await store.history(ref, { limit: 1_000 });
        expect(verifyChain(events)).toMatchObject({ valid: true, length: events.length });
        expect(canonicalJson(replay(events))).toBe(canonicalJson(loaded.snapshot.state));
        const digests = new Map<string, number>();
        for (const { wanted, gates } of rules) {
          const { policySet } = createGovernance({ store, gates });
          digests.set(applicable(policySet, "transition", "PendingApproval", "Approved").digest, wanted);
          for (const state of lifecycleStates) {
            digests.set(applicable(policySet, "publish", state, state).digest, wanted);
            digests.set(applicable(policySet, "rollback", state, state).digest, wanted);
          }
        }
        expect(wrongs(events, (digest) => digests.get(digest))).toEqual([]);
        made += events.filter(
          ({ type, data }) => type === "Published" || (type === "Transitioned" && data.to === "Running"),
        ).length;
      }),
      { numRuns: process.env["PROVISO_PROOF"] === undefined ? 100 : 2_000 },
    );
    // A model in which nothing is ever made proves nothing.
    expect(made).toBeGreaterThan(30);
  },
  process.env["PROVISO_PROOF"] === undefined ? 60_000 : 1_200_000,
);
