/** A history that has seen everything: approvals, refusals, comments, versions, rollbacks, ramps, erased people. */
import { memoryStore } from "../../adapters/store/memory.ts";
import type { Actor } from "../../src/governance/actor.ts";
import { type By, createGovernance, type Governance } from "../../src/governance/governance.ts";
import type { EventType } from "../../src/governance/events.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import type { ExperimentRef } from "../../src/scope.ts";

const by = (id: string, ...roles: readonly string[]): By => {
  const actor: Actor = { id, kind: "human", roles };
  return { actor };
};
export const author = by("author@example.com", "editor", "operator");
export const approver = by("approver@example.com", "approver");
export const outsider = by("outsider@example.com", "viewer", "marketing");

export const variants = [{ key: "control", control: true }, { key: "treatment" }];

export const lived = async (
  options: {
    readonly store?: GovernanceStore;
    readonly ref?: ExperimentRef;
    readonly rounds?: number;
    readonly surfaces?: readonly string[];
  } = {},
): Promise<{ store: GovernanceStore; ref: ExperimentRef; governance: Governance; now: () => number }> => {
  const { store = memoryStore(), rounds = 1, surfaces = ["cart", "home"] } = options;
  const ref = options.ref ?? { tenant: "default", environment: "default", experiment: "checkout" };
  let time = Date.parse("2026-11-21T12:00:00Z");
  let ids = 0;
  const governance = createGovernance({
    store,
    now: () => (time += 1_000),
    id: () => `00000000-0000-7000-8000-${String((ids += 1)).padStart(12, "0")}`,
    salt: () => (ids += 1).toString(16).padStart(32, "0"),
    gates: [
      { type: "manual", from: "PendingApproval", to: "Approved" },
      { type: "roleBased", to: "Running", allowedRoles: ["operator"] },
    ],
    policies: [{ type: "trafficLimit", maxTrafficPercentage: 50 }],
    telemetry: {
      read: () =>
        Promise.resolve({ exposed: 7, worstErrorRate: 0, worstVariant: null, subjects: {}, sampleRatio: null }),
    },
  });
  const approve = async (reason: string): Promise<void> => {
    const open = (await store.load(ref))?.snapshot.state.proposals ?? [];
    for (const { changeDigest } of open) await governance.approve(ref, { changeDigest, reason }, approver);
  };
  await governance.define(ref, { variants, traffic: 25, surfaces: [...surfaces] }, author, "the first — «one»");
  await governance.submit(ref, { reason: "please", metadata: { ticket: "AB-1", "'": '"' } }, author);
  const [open] = (await store.load(ref))?.snapshot.state.proposals ?? [];
  await governance.comment(ref, open?.id ?? "", "looks good 😀", approver);
  await approve("read it");
  await governance.transition(ref, "Approved", {}, author);
  await governance.transition(
    ref,
    "Running",
    { reason: "not allowed" },
    { actor: { ...outsider.actor, roles: ["editor"] } },
  );
  await governance.transition(ref, "Running", { reason: "go" }, author);
  for (let round = 1; round <= rounds; round += 1) {
    await governance.revise(
      ref,
      { variants, traffic: 25 + round / 100, surfaces: surfaces.slice(0, 1) },
      author,
      `round ${round}`,
    );
    await governance.publish(ref, round + 1, { reason: "try" }, author);
    await approve("again");
    await governance.publish(ref, round + 1, {}, author);
    await governance.pause(ref, author, "a look");
    await governance.transition(ref, "Running", {}, author);
  }
  // More than the policy allows: refused, and recorded.
  await governance.revise(ref, { variants, traffic: 90 }, author);
  await governance.publish(ref, rounds + 2, {}, author);
  await approve("too much");
  await governance.publish(ref, rounds + 2, {}, author);
  await governance.rollBack(ref, { targetVersion: 1, reason: "back" }, approver);
  await governance.rollBack(ref, { targetVersion: 1, reason: "back" }, author);
  return { store, ref, governance, now: () => time };
};

/** What a test of a lived history relies on having been there. */
export const livedTypes: readonly EventType[] = [
  "Created",
  "VersionWritten",
  "ProposalOpened",
  "ProposalCommented",
  "ApprovalGiven",
  "ProposalEnded",
  "Transitioned",
  "ChangeDenied",
  "Published",
];

/** `Array.fromAsync`, which the compiler's library does not have yet. */
export const collect = async <Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> => {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
};
