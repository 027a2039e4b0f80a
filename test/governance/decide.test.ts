import { describe, expect, test } from "vitest";
import { approver, author, checkout, person, scenario, typesOf } from "../support/scenario.ts";

const manual = { type: "manual", from: "PendingApproval", to: "Approved" } as const;
const quorum = { type: "quorum", from: "Approved", to: "Running", count: 2 } as const;
const denial = (decision: { outcome: string }): unknown =>
  "code" in decision
    ? { code: decision.code, recorded: "record" in decision && decision.record !== null }
    : decision.outcome;

describe("writing versions", () => {
  test("the first one creates the experiment in Draft", () => {
    const { events, state } = scenario().writes();
    expect(typesOf(events())).toEqual(["Created", "VersionWritten"]);
    expect(state()).toMatchObject({ lifecycle: "Draft", latest: { version: 1 }, live: null, epoch: 0, proposals: [] });
  });

  test("createOnly refuses an experiment that exists, and says where it stands", () => {
    const decision = scenario().writes().when({ type: "WriteVersion", configuration: checkout(), createOnly: true });
    expect(decision).toMatchObject({ code: "experiment-exists", details: { state: "Draft", latestVersion: 1 } });
  });

  test("without a salt the first version gets a random one, and later ones keep it", () => {
    const { salt: _salt, ...unsalted } = checkout();
    const scene = scenario();
    scene.given({ type: "WriteVersion", configuration: unsalted, createOnly: false });
    const first = scene.state().latest;
    scene.given({
      type: "WriteVersion",
      configuration: { ...unsalted, description: "the same, explained" },
      createOnly: false,
    });
    expect(first.configuration.salt).toMatch(/^salt-/);
    expect(scene.state().latest.configuration.salt).toBe(first.configuration.salt);
    expect(scene.state().latest.digest).toBe(first.digest);
  });

  test("an archived experiment is reopened: Draft, same history, new salt, new epoch, nothing approved", () => {
    const { salt: _salt, ...unsalted } = checkout();
    const scene = scenario().given({ type: "WriteVersion", configuration: unsalted, createOnly: false });
    const before = scene.moves("PendingApproval").moves("Approved").moves("Archived").state();
    scene.given({ type: "WriteVersion", configuration: unsalted, createOnly: false });
    expect(scene.state()).toMatchObject({
      lifecycle: "Draft",
      latest: { version: 2 },
      live: null,
      epoch: 1,
      approved: [],
    });
    expect(scene.state().latest.configuration.salt).not.toBe(before.latest.configuration.salt);
    expect(typesOf(scene.events())).toContain("Reopened");
  });

  test("a version written beside a running experiment changes nothing that is served", () => {
    const scene = scenario()
      .writes()
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .writes({ traffic: 50 });
    expect(scene.state()).toMatchObject({ lifecycle: "Running", latest: { version: 2 }, live: { version: 1 } });
    scene.moves("Paused").moves("Running");
    expect(scene.state()).toMatchObject({ lifecycle: "Running", live: { version: 1 } });
  });
});

describe("the graph", () => {
  test("a move that it lacks is refused with those it has, and is not a judged attempt", () => {
    const decision = scenario().writes().when({ type: "Transition", to: "Running" });
    expect(decision).toMatchObject({
      code: "invalid-transition",
      details: { currentState: "Draft", allowedTransitions: ["PendingApproval", "Archived"] },
      record: null,
    });
  });

  test("nothing can be done with what does not exist", () => {
    expect(denial(scenario().when({ type: "Transition", to: "Paused" }))).toEqual({
      code: "experiment-not-found",
      recorded: false,
    });
  });
});

describe("approval binds to content", () => {
  test("moving to PendingApproval opens the proposal at once", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval");
    expect(scene.proposalTo("Approved")).toMatchObject({
      from: "PendingApproval",
      version: 1,
      proposedBy: { ref: "author" },
      approvals: [],
    });
  });

  test("asking again before anybody agreed is refused with the proposal and what is missing", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval");
    expect(scene.when({ type: "Transition", to: "Approved" })).toMatchObject({
      code: "approval-required",
      details: {
        proposal: scene.proposalTo("Approved").id,
        missing: ["manual: 0 of 1 approvals by approver"],
        declinedBy: [],
      },
      record: null,
    });
  });

  test("approved, then made by asking again; the proposal is spent", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval")
      .approves("Approved")
      .moves("Approved");
    expect(scene.state()).toMatchObject({
      lifecycle: "Approved",
      proposals: [],
      approved: [{ digest: scene.state().latest.digest }],
    });
    expect(scene.events().at(-1)).toMatchObject({ type: "ProposalEnded", data: { end: "committed" } });
  });

  test("approve, edit, start: the approval is void, and new content waits for its own", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval")
      .approves("Approved");
    const seen = scene.proposalTo("Approved").changeDigest;
    scene.writes({ traffic: 50 });
    expect(scene.proposalTo("Approved").changeDigest).not.toBe(seen);
    expect(denial(scene.when({ type: "Transition", to: "Approved" }))).toEqual({
      code: "approval-required",
      recorded: false,
    });
    expect(denial(scene.when({ type: "Say", decision: "approve", changeDigest: seen }, { by: approver }))).toEqual({
      code: "approval-stale",
      recorded: false,
    });
  });

  test("edited after Approved: it does not start, and the attempt is recorded", () => {
    const scene = scenario().writes().moves("PendingApproval").moves("Approved").writes({ traffic: 50 });
    expect(denial(scene.when({ type: "Transition", to: "Running" }))).toEqual({
      code: "approval-stale",
      recorded: true,
    });
    expect(scene.writes({}).moves("Running").state().lifecycle).toBe("Running");
  });

  test("prose voids nothing", () => {
    const scene = scenario()
      .writes()
      .moves("PendingApproval")
      .moves("Approved")
      .writes({ description: "a typo mended" });
    expect(scene.moves("Running").state().live).toMatchObject({ version: 2 });
  });

  test("other rules void what was given under the old ones", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval")
      .approves("Approved");
    const { changeDigest } = scene.proposalTo("Approved");
    scene.under({ gates: [{ ...manual, roles: ["approver", "security"] }] });
    expect(scene.when({ type: "Transition", to: "Approved" }).outcome).toBe("hold");
    expect(scene.proposalTo("Approved").changeDigest).not.toBe(changeDigest);
    expect(scene.proposalTo("Approved").approvals).toEqual([]);
  });

  test("the same change proposed a second time starts with no approvals", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval")
      .approves("Approved")
      .moves("Draft")
      .moves("PendingApproval");
    expect(scene.proposalTo("Approved").approvals).toEqual([]);
    expect(denial(scene.when({ type: "Transition", to: "Approved" }))).toEqual({
      code: "approval-required",
      recorded: false,
    });
  });

  test("a proposal that a gate lets expire no longer counts", () => {
    const scene = scenario({ gates: [{ ...manual, expiresAfter: "1h" }] })
      .writes()
      .moves("PendingApproval")
      .approves("Approved");
    expect(scene.when({ type: "Transition", to: "Approved" }, { at: 3_600_000 }).outcome).toBe("hold");
    expect(scene.proposalTo("Approved").approvals).toEqual([]);
    expect(scene.events().some((event) => event.type === "ProposalEnded" && event.data.end === "expired")).toBe(true);
  });
});

describe("who counts", () => {
  const pending = () =>
    scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval");
  const say = (scene: ReturnType<typeof scenario>, decision: "approve" | "decline" | "withdraw") =>
    ({ type: "Say", decision, changeDigest: scene.proposalTo("Approved").changeDigest }) as const;

  test("not the proposer, and the attempt is recorded", () => {
    const scene = pending();
    expect(denial(scene.when(say(scene, "approve"), { by: author }))).toEqual({
      code: "gate-rejected",
      recorded: true,
    });
  });

  test("nobody who wrote a version since the last approval, also when somebody else posts it again", () => {
    const scene = scenario({ gates: [manual] })
      .writes({}, { by: author })
      .writes({}, { by: person("launderer") })
      .moves("PendingApproval", { by: person("proposer") });
    for (const name of ["author", "launderer", "proposer"]) {
      expect(denial(scene.when(say(scene, "approve"), { by: person(name) }))).toEqual({
        code: "gate-rejected",
        recorded: true,
      });
    }
    expect(scene.when(say(scene, "approve"), { by: person("somebody-else") }).outcome).toBe("commit");
  });

  test("nobody who wrote the same content before, also when other content was approved in between", () => {
    const given = pending()
      .writes({ traffic: 10 }, { by: person("first") })
      .writes({ traffic: 20 }, { by: person("second") })
      .approves("Approved", { by: person("third") })
      .moves("Approved")
      .moves("Draft")
      .writes({ traffic: 10 }, { by: person("second") })
      .moves("PendingApproval", { by: person("second") });
    const { changeDigest } = given.proposalTo("Approved");
    const approvedBy = (name: string) =>
      given.when({ type: "Say", decision: "approve", changeDigest }, { by: person(name, ["approver"]) });
    expect(approvedBy("first")).toMatchObject({ outcome: "deny", code: "gate-rejected" });
    expect(approvedBy("second")).toMatchObject({ outcome: "deny", code: "gate-rejected" });
    expect(approvedBy("third")).toMatchObject({ outcome: "commit" });
  });

  test("an approver without the gate's role, or of another kind, is refused", () => {
    const scene = pending();
    expect(denial(scene.when(say(scene, "approve"), { by: person("visitor", ["viewer"]) }))).toMatchObject({
      code: "gate-rejected",
    });
    expect(denial(scene.when(say(scene, "approve"), { by: person("robot", ["approver"], "agent") }))).toMatchObject({
      code: "gate-rejected",
    });
  });

  test("each person once, whatever they repeat and whatever roles they hold", () => {
    const scene = scenario({ gates: [{ ...quorum, roles: ["approver", "security"] }] })
      .writes()
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running");
    expect(scene.state().lifecycle).toBe("Approved");
    scene.approves("Running", { by: person("one", ["approver", "security"]) });
    const { changeDigest } = scene.proposalTo("Running");
    expect(scene.when({ type: "Say", decision: "approve", changeDigest }, { by: person("one", ["security"]) })).toEqual(
      { outcome: "unchanged" },
    );
    expect(denial(scene.when({ type: "Transition", to: "Running" }))).toEqual({
      code: "approval-required",
      recorded: false,
    });
    expect(
      scene
        .approves("Running", { by: person("two") })
        .moves("Running")
        .state().lifecycle,
    ).toBe("Running");
  });

  test("a decline blocks until that person withdraws it", () => {
    const scene = pending().approves("Approved");
    scene.given(say(scene, "decline"), { by: person("sceptic") });
    expect(scene.when({ type: "Transition", to: "Approved" })).toMatchObject({
      code: "approval-required",
      details: { declinedBy: ["sceptic"], missing: [] },
    });
    expect(denial(scene.when(say(scene, "withdraw"), { by: person("other") }))).toMatchObject({
      code: "approval-stale",
    });
    scene.given(say(scene, "withdraw"), { by: person("sceptic") });
    expect(scene.moves("Approved").state().lifecycle).toBe("Approved");
  });

  test("changing one's mind replaces one's word", () => {
    const scene = pending();
    scene.given(say(scene, "decline"), { by: approver }).given(say(scene, "approve"), { by: approver });
    expect(scene.proposalTo("Approved").approvals).toMatchObject([{ actor: { ref: "approver" }, decision: "approve" }]);
  });

  test("a role gate judges the asker, opens no proposal and records the attempt", () => {
    const scene = scenario({ gates: [{ type: "roleBased", to: "Running", allowedRoles: ["operator"] }] })
      .writes()
      .moves("PendingApproval")
      .moves("Approved");
    expect(denial(scene.when({ type: "Transition", to: "Running" }, { by: person("editor", ["editor"]) }))).toEqual({
      code: "gate-rejected",
      recorded: true,
    });
    expect(scene.state().proposals).toEqual([]);
    expect(scene.moves("Running", { by: person("operator", ["operator"]) }).state().lifecycle).toBe("Running");
  });
});

describe("policies", () => {
  const approved = (world: Parameters<typeof scenario>[0], traffic = 100) =>
    scenario(world).writes({ traffic }).moves("PendingApproval").moves("Approved");

  test("a Critical violation refuses, with the violation, and is recorded; a Warning is only recorded", () => {
    const limit = { type: "trafficLimit", maxTrafficPercentage: 50 } as const;
    const decision = approved({ policies: [limit] }).when({ type: "Transition", to: "Running" });
    expect(decision).toMatchObject({
      code: "policy-violation",
      details: { violations: [{ policyName: "trafficLimit", isCompliant: false, severity: "Critical" }] },
    });
    const scene = approved({ policies: [{ ...limit, severity: "Warning" }] }).moves("Running");
    expect(scene.events().find((event) => event.type === "Transitioned" && event.data.to === "Running")).toMatchObject({
      data: { policies: [{ policy: "trafficLimit", compliant: false, severity: "Warning" }] },
    });
  });

  test("missing telemetry holds what widens traffic", () => {
    const telemetry = { status: "unavailable", at: "2026-11-21T12:00:00.000Z", reason: "no answer" } as const;
    const scene = approved({ policies: [{ type: "errorRate", maxErrorRate: 0.01 }] });
    expect(denial(scene.when({ type: "Transition", to: "Running" }, { telemetry }))).toEqual({
      code: "evidence-inconclusive",
      recorded: true,
    });
  });

  test("conflicting experiments: refused while one runs, and each pair is claimed with the start", () => {
    const scene = approved({
      policies: [{ type: "conflictPrevention", conflictingExperiments: ["checkout", "pricing"] }],
    });
    const others = [{ name: "pricing", state: "Paused" }] as const;
    expect(denial(scene.when({ type: "Transition", to: "Running" }, { others }))).toMatchObject({
      code: "policy-violation",
    });
    expect(scene.when({ type: "Transition", to: "Running" })).toMatchObject({
      claims: { take: ['conflict:["checkout","pricing"]'], release: [] },
    });
  });

  test("a conflict that is only warned of claims nothing", () => {
    const scene = approved({
      policies: [{ type: "conflictPrevention", severity: "Warning", conflictingExperiments: ["pricing"] }],
    });
    const others = [{ name: "pricing", state: "Running" }] as const;
    expect(scene.when({ type: "Transition", to: "Running" }, { others })).toMatchObject({
      outcome: "commit",
      claims: { take: [] },
    });
  });

  test("surfaces: claimed on start, kept while paused, released by rolling back", () => {
    const scene = scenario()
      .writes({ surfaces: ["cart", "header"] })
      .moves("PendingApproval")
      .moves("Approved");
    expect(scene.when({ type: "Transition", to: "Ramping" })).toMatchObject({
      claims: { take: ["surface:cart", "surface:header"], release: [] },
    });
    expect(scene.when({ type: "Transition", to: "Paused" })).toMatchObject({ claims: { take: [], release: [] } });
    expect(scene.when({ type: "Transition", to: "RolledBack" })).toMatchObject({
      claims: { take: [], release: ["surface:cart", "surface:header"] },
    });
    expect(scene.state().claims).toEqual([]);
  });

  test("what was claimed is released, whatever the rules of today say", () => {
    const scene = approved({ policies: [{ type: "conflictPrevention", conflictingExperiments: ["pricing"] }] })
      .moves("Running")
      .under({});
    expect(scene.when({ type: "Transition", to: "RolledBack" })).toMatchObject({
      claims: { release: ['conflict:["checkout","pricing"]'] },
    });
  });
});

describe("conflicts are kept apart from both sides", () => {
  const keepApart = { type: "conflictPrevention" as const, conflictingExperiments: ["checkout"] };
  const policies = [keepApart];
  const ready = (world: Parameters<typeof scenario>[0] = { policies }) =>
    scenario(world).writes().moves("PendingApproval").moves("Approved");

  test("what is listed does not start beside anything that runs, and claims its pairs with all that could start", () => {
    const others = [{ name: "banner", state: "Running" }] as const;
    expect(denial(ready().when({ type: "Transition", to: "Running" }, { others }))).toMatchObject({
      code: "policy-violation",
    });
    const approved = [{ name: "banner", state: "Approved" }] as const;
    expect(ready().when({ type: "Transition", to: "Running" }, { others: approved })).toMatchObject({
      claims: { take: ['conflict:["banner","checkout"]'] },
    });
  });

  test("`experiments` says beside which", () => {
    const scene = ready({ policies: [{ ...keepApart, experiments: ["pricing"] }] });
    const others = [{ name: "banner", state: "Running" }] as const;
    expect(scene.when({ type: "Transition", to: "Running" }, { others })).toMatchObject({
      claims: { take: ['conflict:["checkout","pricing"]'] },
    });
  });

  test("a pair that only the second move keeps apart is claimed with that move", () => {
    const scene = ready({ policies: [{ ...keepApart, to: ["Running"], experiments: ["pricing"] }] }).moves("Ramping");
    expect(scene.when({ type: "Transition", to: "Running" })).toMatchObject({
      claims: { take: ['conflict:["checkout","pricing"]'] },
    });
  });

  test("when what runs cannot be read, the start is held", () => {
    expect(denial(ready().when({ type: "Transition", to: "Running" }, { others: null }))).toEqual({
      code: "evidence-inconclusive",
      recorded: true,
    });
  });
});

describe("what the record says of a refusal", () => {
  test("a claim that somebody else holds", () => {
    const scene = scenario()
      .writes({ surfaces: ["cart"] })
      .moves("PendingApproval")
      .moves("Approved");
    const claimed = { claim: "surface:cart", holder: "pricing" };
    expect(denial(scene.when({ type: "Transition", to: "Running" }, { claimed }))).toEqual({
      code: "surface-claimed",
      recorded: true,
    });
    expect(scene.events().at(-1)).toMatchObject({
      type: "ChangeDenied",
      data: { attempt: "make", code: "surface-claimed" },
    });
  });

  test("an approval that cannot count, and why", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval");
    scene.when(
      { type: "Say", decision: "approve", changeDigest: scene.proposalTo("Approved").changeDigest, reason: "mine" },
      { by: author },
    );
    expect(scene.events().at(-1)).toMatchObject({
      data: { attempt: "approve", reason: "mine", gates: [{ satisfied: false }] },
    });
  });

  test("and of a change: whose approvals counted", () => {
    const scene = scenario({ gates: [manual] })
      .writes()
      .moves("PendingApproval")
      .approves("Approved")
      .moves("Approved");
    const approved = scene.events().find((event) => event.type === "Transitioned" && event.data.to === "Approved");
    expect(approved).toMatchObject({
      data: { gates: [{ gate: "manual", satisfied: true, approvedBy: ["approver"] }] },
    });
  });
});

describe("the rules for approving change after Approved", () => {
  test("what was approved under the old ones does not start; what runs may be paused and resumed", () => {
    const scene = scenario()
      .writes()
      .moves("PendingApproval")
      .moves("Approved")
      .under({ gates: [manual] });
    expect(denial(scene.when({ type: "Transition", to: "Running" }))).toEqual({
      code: "approval-stale",
      recorded: true,
    });
    scene
      .under({})
      .moves("Running")
      .under({ gates: [manual] });
    expect(scene.moves("Paused").moves("Running").state().lifecycle).toBe("Running");
  });
});

describe("the brake", () => {
  test("neither gate nor policy applies to pausing and rolling back", () => {
    const closed = { type: "timeWindow", allowedStartTime: "00:00", allowedEndTime: "00:01" } as const;
    const scene = scenario()
      .writes()
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .under({ policies: [closed] });
    expect(denial(scene.when({ type: "Transition", to: "Archived" }))).toEqual({
      code: "policy-violation",
      recorded: true,
    });
    expect(scene.moves("Paused").moves("RolledBack").state().lifecycle).toBe("RolledBack");
  });
});

describe("epochs", () => {
  const restarted = (changes: Parameters<typeof checkout>[0]) =>
    scenario()
      .writes()
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .moves("RolledBack")
      .moves("Draft")
      .writes(changes)
      .moves("PendingApproval")
      .moves("Approved")
      .moves("Running")
      .state().epoch;

  test("the epoch rises with the allocation", () => {
    expect(
      restarted({
        variants: [
          { key: "control", control: true },
          { key: "treatment", weight: 3 },
        ],
      }),
    ).toBe(1);
    expect(restarted({ targeting: { attribute: "country", equals: "US" } })).toBe(1);
  });

  test("the plan of an epoch that is over is kept for its sample ratio", () => {
    const scene = scenario().writes().moves("PendingApproval").moves("Approved").moves("Running").moves("RolledBack");
    scene.moves("Draft").writes({ salt: "another" }).moves("PendingApproval").moves("Approved").moves("Running");
    const halves = [
      { key: "control", weight: 1 },
      { key: "treatment", weight: 1 },
    ];
    expect(scene.state()).toMatchObject({ epoch: 1, earlierPlans: [{ epoch: 0, variants: halves }] });
    scene.moves("Archived").writes({
      variants: [
        { key: "control", control: true },
        { key: "treatment", weight: 3 },
      ],
    });
    expect(scene.state()).toMatchObject({ epoch: 2, earlierPlans: [{ epoch: 0 }, { epoch: 1, variants: halves }] });
  });

  test("traffic and payloads leave it alone", () => {
    expect(restarted({ traffic: 10 })).toBe(0);
    expect(
      restarted({
        variants: [
          { key: "control", control: true, payload: 1 },
          { key: "treatment", payload: { a: null } },
        ],
      }),
    ).toBe(0);
  });
});
