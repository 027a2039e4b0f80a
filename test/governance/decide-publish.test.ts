/** Publishing, rolling back and the rules that hold them to what was approved. */
import { describe, expect, test } from "vitest";
import type { Decision } from "../../src/governance/commands.ts";
import { approver, author, person, scenario, typesOf, type Scenario, type World } from "../support/scenario.ts";

const reviewed: World = { gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] };

const running = (world: World = reviewed): Scenario =>
  scenario(world)
    .writes({ surfaces: ["checkout"] })
    .moves("PendingApproval")
    .approves("Approved")
    .moves("Approved")
    .moves("Running");

const codeOf = (decision: Decision): string => (decision.outcome === "deny" ? decision.code : decision.outcome);

const publish = (version: number) => ({ type: "Publish", version }) as const;
const rollBack = (targetVersion: number) => ({ type: "RollBack", targetVersion }) as const;

const approvesOpen = (scene: Scenario, kind: string, by = approver): Decision => {
  const open = scene.state().proposals.find((proposal) => proposal.kind === kind);
  return scene.when({ type: "Say", decision: "approve", changeDigest: open?.changeDigest ?? "" }, { by });
};

describe("publishing", () => {
  test("a new version waits for the gates of its approval, and goes live without leaving Running", () => {
    const scene = running().writes({ traffic: 50 });
    expect(codeOf(scene.when(publish(2)))).toBe("hold");
    expect(scene.state()).toMatchObject({ lifecycle: "Running", live: { version: 1 }, latest: { version: 2 } });
    expect(codeOf(scene.when(publish(2)))).toBe("approval-required");
    expect(codeOf(approvesOpen(scene, "publish"))).toBe("commit");
    expect(codeOf(scene.when(publish(2)))).toBe("commit");
    expect(scene.state()).toMatchObject({ lifecycle: "Running", live: { version: 2 }, epoch: 0, proposals: [] });
  });

  test("an edit after the approval voids it", () => {
    const scene = running().writes({ traffic: 50 });
    scene.when(publish(2));
    approvesOpen(scene, "publish");
    scene.writes({ traffic: 60 });
    expect(codeOf(scene.when(publish(3)))).toBe("hold");
    expect(scene.state().proposals).toHaveLength(1);
    expect(scene.state().live?.version).toBe(1);
  });

  test("a new allocation begins an epoch; new traffic does not", () => {
    const free = scenario().writes().moves("PendingApproval").moves("Approved").moves("Running");
    free.writes({ traffic: 10 }).given(publish(2));
    expect(free.state().epoch).toBe(0);
    free
      .writes({
        variants: [
          { key: "control", control: true },
          { key: "treatment", weight: 3 },
        ],
      })
      .given(publish(3));
    expect(free.state()).toMatchObject({ epoch: 1, earlierPlans: [{ epoch: 0 }] });
  });

  test("applies the difference of the surfaces", () => {
    const scene = running().writes({ surfaces: ["basket"] });
    scene.when(publish(2));
    approvesOpen(scene, "publish");
    expect(scene.when(publish(2))).toMatchObject({
      outcome: "commit",
      claims: { take: ["surface:basket"], release: ["surface:checkout"] },
    });
  });

  test("in Approved it approves the newest content, and nothing is live", () => {
    const scene = scenario(reviewed)
      .writes()
      .moves("PendingApproval")
      .approves("Approved")
      .moves("Approved")
      .writes({ traffic: 50 });
    expect(codeOf(scene.when({ type: "Transition", to: "Running" }))).toBe("approval-stale");
    scene.when(publish(2));
    approvesOpen(scene, "publish");
    scene.given(publish(2));
    expect(scene.state()).toMatchObject({ lifecycle: "Approved", live: null });
    scene.moves("Running");
    expect(scene.state().live?.version).toBe(2);
  });

  test("only the newest version, and only where there is something to publish to", () => {
    const scene = running().writes({ traffic: 50 });
    expect([publish(1), publish(3), publish(0)].map((command) => codeOf(scene.when(command)))).toEqual([
      "unchanged",
      "version-not-found",
      "version-not-found",
    ]);
    scene.writes({ traffic: 60 });
    expect(codeOf(scene.when(publish(2)))).toBe("invalid-transition");
    expect(codeOf(scenario().writes().when(publish(1)))).toBe("invalid-transition");
  });

  test("gates of its own replace those of the approval", () => {
    const world: World = {
      gates: [...(reviewed.gates ?? []), { type: "roleBased", on: "publish", allowedRoles: ["operator"] }],
    };
    const scene = running(world).writes({ traffic: 50 });
    expect(codeOf(scene.when(publish(2), { by: person("editor", ["editor"]) }))).toBe("gate-rejected");
    expect(codeOf(scene.when(publish(2)))).toBe("commit");
  });
});

describe("rolling back", () => {
  const twoVersions = (): Scenario => {
    const scene = running().writes({ traffic: 50 });
    scene.when(publish(2));
    approvesOpen(scene, "publish");
    return scene.given(publish(2));
  };

  test("to content that has served is live at once, whatever the gates say", () => {
    const scene = twoVersions();
    scene.given({ ...rollBack(1), reason: "why" });
    expect(scene.state()).toMatchObject({
      lifecycle: "Running",
      latest: { version: 3, provenance: { rolledBackFrom: 2, rolledBackTo: 1 } },
      live: { version: 3 },
    });
    expect(scene.state().live?.digest).toBe(scene.state().approved[1]?.digest);
    expect(typesOf(scene.events()).slice(-2)).toEqual(["VersionWritten", "Published"]);
  });

  test("and can stop serving in the same commit", () => {
    const scene = twoVersions();
    scene.given({ ...rollBack(1), transition: "RolledBack" });
    expect(scene.state()).toMatchObject({ lifecycle: "RolledBack", claims: [] });
    expect(typesOf(scene.events()).slice(-3)).toEqual(["VersionWritten", "Published", "Transitioned"]);
  });

  test("to content that was never approved is a draft that waits like any other", () => {
    const scene = running().writes({ traffic: 50 }).writes({ traffic: 60 });
    scene.given(rollBack(2), { by: person("somebody") });
    expect(scene.state()).toMatchObject({ lifecycle: "Running", live: { version: 1 }, latest: { version: 4 } });
    expect(scene.state().proposals).toMatchObject([{ kind: "rollback", version: 4, approvals: [] }]);
    expect(codeOf(scene.when(publish(4)))).toBe("approval-required");
    // Whoever wrote it first cannot be its second pair of eyes, and neither can whoever brought it back.
    expect(codeOf(approvesOpen(scene, "rollback", author))).toBe("gate-rejected");
    expect(codeOf(approvesOpen(scene, "rollback", person("somebody")))).toBe("gate-rejected");
    expect(codeOf(approvesOpen(scene, "rollback"))).toBe("commit");
    scene.given(publish(4));
    expect(scene.state().live?.version).toBe(4);
  });

  test("content that was approved under other rules and never served is gated", () => {
    const scene = scenario(reviewed).writes().moves("PendingApproval").approves("Approved").moves("Approved");
    scene.writes({ traffic: 50 });
    scene.when(publish(2));
    approvesOpen(scene, "publish");
    scene.given(publish(2)).moves("Running");
    scene.under({ gates: [{ type: "quorum", count: 2, from: "PendingApproval", to: "Approved" }] });
    scene.given(rollBack(1));
    expect(scene.state()).toMatchObject({ live: { version: 2 }, latest: { version: 3 } });
    expect(scene.state().proposals).toMatchObject([{ kind: "rollback" }]);
  });

  test("content that a guardrail pulled does not come back by itself", () => {
    const scene = twoVersions();
    const { live, epoch, servingSince } = scene.state();
    const guardrail = {
      metric: "error",
      variant: "treatment",
      why: "",
      figures: {},
      version: live?.version ?? 0,
      epoch,
      since: servingSince ?? "",
    };
    scene.given({ type: "Transition", to: "Paused", guardrail }, { by: person("system:guardrail", [], "service") });
    expect(codeOf(scene.when({ type: "Transition", to: "Running" }))).toBe("approval-stale");
    scene.given(rollBack(2));
    expect(scene.state()).toMatchObject({ live: { version: 2 }, latest: { version: 3 } });
    // What served before is still good.
    scene.given(rollBack(1)).moves("Running");
    expect(scene.state().live?.version).toBe(4);
  });

  test("content that was declined is no longer approved", () => {
    const scene = twoVersions().writes({ surfaces: ["checkout"] });
    scene.when(publish(3));
    const changeDigest = scene.state().proposals[0]?.changeDigest ?? "";
    scene.given({ type: "Say", decision: "decline", changeDigest }, { by: approver });
    scene.given(rollBack(1));
    expect(scene.state().live?.version).toBe(2);
  });

  test("what does not exist, or is archived, is refused", () => {
    expect(codeOf(running().when(rollBack(7)))).toBe("version-not-found");
    const archived = running().moves("Archived");
    expect(codeOf(archived.when(rollBack(1)))).toBe("invalid-transition");
  });

  test("a surface that another experiment holds stops it, and nothing is written", () => {
    const claimed = { claim: "surface:checkout", holder: "other" };
    const scene = twoVersions();
    expect(codeOf(scene.when(rollBack(1), { claimed }))).toBe("surface-claimed");
    expect(scene.state().latest.version).toBe(2);
  });
});

describe("an approval that makes the change", () => {
  const world: World = {
    gates: [{ type: "quorum", count: 2, from: "PendingApproval", to: "Approved", whenApproved: "commit" }],
  };

  test("the last one that was missing does, on behalf of whoever proposed it", () => {
    const scene = scenario(world).writes().moves("PendingApproval").approves("Approved");
    expect(scene.state().lifecycle).toBe("PendingApproval");
    scene.approves("Approved", { by: person("second") });
    expect(scene.state()).toMatchObject({ lifecycle: "Approved", proposals: [] });
    expect(typesOf(scene.events()).slice(-3)).toEqual(["ApprovalGiven", "Transitioned", "ProposalEnded"]);
  });

  test("stands where a policy refuses the change, and the refusal is written beside it", () => {
    const scene = scenario({
      ...world,
      policies: [{ type: "trafficLimit", maxTrafficPercentage: 5, to: ["Approved"] }],
    })
      .writes()
      .moves("PendingApproval")
      .approves("Approved")
      .approves("Approved", { by: person("second") });
    expect(scene.state().lifecycle).toBe("PendingApproval");
    expect(typesOf(scene.events()).slice(-2)).toEqual(["ApprovalGiven", "ChangeDenied"]);
    expect(scene.state().proposals[0]?.approvals).toHaveLength(2);
  });

  test("a declined proposal is not made, however many agree", () => {
    const scene = scenario(world).writes().moves("PendingApproval");
    const { changeDigest } = scene.proposalTo("Approved");
    scene.given({ type: "Say", decision: "decline", changeDigest }, { by: person("third") });
    scene.approves("Approved").approves("Approved", { by: person("second") });
    expect(scene.state().lifecycle).toBe("PendingApproval");
  });
});

describe("distinct teams", () => {
  const world: World = { gates: [{ type: "quorum", count: 2, distinctTeams: true, to: "Approved" }] };
  const member = (name: string, ...teams: readonly string[]) =>
    person(name, ["approver", ...teams.map((team) => `team.${team}`)]);

  test.each([
    ["two of one team", [member("a", "x"), member("b", "x")], "approval-required"],
    ["one of two teams", [member("a", "x", "y")], "approval-required"],
    ["without a team", [member("a"), member("b")], "approval-required"],
    ["two teams", [member("a", "x"), member("b", "y")], "commit"],
    ["one in both, and one of the first", [member("a", "x", "y"), member("b", "x")], "commit"],
  ])("%s", (_title, people, expected) => {
    const scene = scenario(world).writes().moves("PendingApproval");
    for (const by of people) scene.approves("Approved", { by });
    expect(codeOf(scene.when({ type: "Transition", to: "Approved" }))).toBe(expected);
  });
});

describe("proposals", () => {
  test("propose waits for approvals even where nothing asks for them", () => {
    const scene = scenario().writes();
    expect(codeOf(scene.when({ type: "Transition", to: "Archived", propose: true }))).toBe("hold");
    expect(scene.when({ type: "Transition", to: "Archived", propose: true })).toMatchObject({
      outcome: "hold",
      events: [],
    });
    expect(scene.state().proposals).toHaveLength(1);
    expect(codeOf(scene.when({ type: "Transition", to: "Archived" }))).toBe("commit");
  });

  test("take comments, and end when whoever made them takes them back", () => {
    const scene = running().writes({ traffic: 50 });
    scene.when(publish(2));
    const id = scene.state().proposals[0]?.id ?? "";
    scene.given({ type: "Comment", proposal: id, text: "ref" }, { by: approver });
    expect(scene.state().proposals[0]?.comments).toMatchObject([{ actor: { ref: "approver" }, text: "ref" }]);
    expect(codeOf(scene.when({ type: "WithdrawProposal", proposal: id }, { by: approver }))).toBe("gate-rejected");
    scene.given({ type: "WithdrawProposal", proposal: id });
    expect(scene.state().proposals).toEqual([]);
    expect(codeOf(scene.when({ type: "Comment", proposal: id, text: "ref" }))).toBe("proposal-not-found");
  });

  test("the same change proposed again starts without approvals", () => {
    const scene = running().writes({ traffic: 50 });
    scene.when(publish(2));
    approvesOpen(scene, "publish");
    scene.given({ type: "WithdrawProposal", proposal: scene.state().proposals[0]?.id ?? "" });
    expect(codeOf(scene.when(publish(2)))).toBe("hold");
    expect(scene.state().proposals[0]?.approvals).toEqual([]);
    expect(codeOf(scene.when(publish(2)))).toBe("approval-required");
  });
});

describe("breaking the glass", () => {
  const world: World = {
    ...reviewed,
    breakGlass: { roles: ["admin"] },
    policies: [{ type: "trafficLimit", maxTrafficPercentage: 5 }],
  };
  const admin = person("admin", ["admin"]);

  test("goes past gates, approvals and policies, and the history says so", () => {
    const scene = scenario(world).writes().moves("PendingApproval");
    const glass = { type: "Transition", breakGlass: true, reason: "why" } as const;
    expect(codeOf(scene.when({ ...glass, to: "Approved" }))).toBe("gate-rejected");
    scene.given({ ...glass, to: "Approved" }, { by: admin }).given({ ...glass, to: "Running" }, { by: admin });
    expect(scene.events().at(-1)).toMatchObject({
      type: "Transitioned",
      data: { breakGlass: true, policies: [{ policy: "trafficLimit", compliant: false }] },
    });
  });

  test("takes a reason, a configured role and a transition that exists", () => {
    const scene = scenario(world).writes();
    expect(codeOf(scene.when({ type: "Transition", to: "PendingApproval", breakGlass: true }, { by: admin }))).toBe(
      "invalid-request",
    );
    expect(
      codeOf(scene.when({ type: "Transition", to: "Running", breakGlass: true, reason: "why" }, { by: admin })),
    ).toBe("invalid-transition");
    const without = scenario(reviewed).writes();
    expect(
      codeOf(
        without.when({ type: "Transition", to: "PendingApproval", breakGlass: true, reason: "why" }, { by: admin }),
      ),
    ).toBe("gate-rejected");
  });
});
