/** Gates as a configuration names them: who must agree to which change. `evaluate.ts` judges them. */
import * as v from "valibot";
import { DurationSchema, parseDuration } from "../../duration.ts";
import { parseState, lifecycleStates, type LifecycleState } from "../../lifecycle.ts";
import { NameSchema } from "../../scope.ts";

/** A lifecycle state in any letter case. */
export const StateSchema = v.pipe(
  v.string(lifecycleStates.join(", ")),
  v.rawTransform(({ dataset, addIssue, NEVER }): LifecycleState => {
    const state = parseState(dataset.value);
    if (state !== undefined) return state;
    addIssue({
      message: lifecycleStates.join(", "),
      expected: lifecycleStates.join(" | "),
      received: JSON.stringify(dataset.value),
    });
    return NEVER;
  }),
);

/** Who is behind a principal. An agent may propose; what needs a person says `actorKinds: [human]`. */
export const actorKinds = ["human", "service", "agent"] as const;
export type ActorKind = (typeof actorKinds)[number];

/** Kinds of change that may have gates of their own. Reviving uses those of resuming. */
const gatedKinds = ["transition", "publish", "rollback", "rampStep"] as const;

const appliesTo = {
  name: v.optional(NameSchema),
  /** What is gated. Publishing and rolling back without gates of their own use those of PendingApproval → Approved. */
  on: v.optional(v.picklist(gatedKinds, gatedKinds.join(", ")), "transition"),
  /** From-state; left out: any. */
  from: v.optional(StateSchema),
  /** For a transition, and for nothing else. */
  to: v.optional(StateSchema),
};

/** `commit`: the change is made as soon as all gates agree; `ask`: by asking again. */
export const whenApprovedChoices = ["ask", "commit"] as const;

const agreement = {
  /** Neither the proposer nor anyone who wrote a version since the last approved digest counts. */
  fourEyes: v.optional(v.boolean(), true),
  expiresAfter: v.optional(DurationSchema),
  whenApproved: v.optional(v.picklist(whenApprovedChoices, whenApprovedChoices.join(", ")), "ask"),
  actorKinds: v.optional(
    v.pipe(v.array(v.picklist(actorKinds, actorKinds.join(", "))), v.minLength(1, "at least one kind")),
    ["human"],
  ),
};

const roles = v.pipe(v.array(NameSchema), v.minLength(1, "at least one role"), v.maxLength(32, "at most 32 roles"));

/** Everybody may; the change is recorded all the same. */
export const AutomaticGateSchema = v.strictObject({ type: v.literal("automatic"), ...appliesTo });
/** One person agrees. */
export const ManualGateSchema = v.strictObject({
  type: v.literal("manual"),
  ...appliesTo,
  ...agreement,
  roles: v.optional(roles, ["approver"]),
});
/** Judges the asker: the wrong role is refused at once and opens no proposal. */
export const RoleBasedGateSchema = v.strictObject({ type: v.literal("roleBased"), ...appliesTo, allowedRoles: roles });
/** Several different people agree. */
export const QuorumGateSchema = v.strictObject({
  type: v.literal("quorum"),
  ...appliesTo,
  ...agreement,
  count: v.pipe(v.number(), v.integer("a whole number"), v.minValue(1, "1 to 20"), v.maxValue(20, "1 to 20")),
  roles: v.optional(roles, ["approver"]),
  /** Each approval that counts comes from another team: a role that begins with `team.`, such as `team.payments`. */
  distinctTeams: v.optional(v.boolean(), false),
});
/** A function of the host, registered under this name. One that throws or is late refuses. */
export const CustomGateSchema = v.strictObject({
  type: v.literal("custom"),
  ...appliesTo,
  gate: NameSchema,
  /** Of the function: another version voids what was approved. */
  version: v.optional(v.pipe(v.string(), v.minLength(1, "at least one character"), v.maxLength(64, "at most 64"))),
  /** Handed to the function. */
  parameters: v.optional(v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]))),
  timeLimit: v.optional(
    v.pipe(
      DurationSchema,
      v.check(
        (text) => (parseDuration(text) ?? 0) > 0 && (parseDuration(text) ?? 0) <= 10_000,
        "more than 0, at most 10s",
      ),
    ),
    "1s",
  ),
});

/** Kinds of change that leave the state as it is. */
const staying: readonly string[] = ["publish", "rollback", "rampStep"];

/** A gate on pausing or rolling back would hold the brake, so there is none. */
export const GateSchema = v.pipe(
  v.variant("type", [AutomaticGateSchema, ManualGateSchema, RoleBasedGateSchema, QuorumGateSchema, CustomGateSchema]),
  v.forward(
    // A partial check, so that an error elsewhere in the gate does not hide this one.
    v.partialCheck(
      [["to"]],
      (gate) => gate.to !== "Paused" && gate.to !== "RolledBack",
      "a state other than Paused and RolledBack: the brake never waits for a gate",
    ),
    ["to"],
  ),
  v.forward(
    v.partialCheck(
      [["on"], ["to"]],
      (gate) => gate.on !== "transition" || gate.to !== undefined,
      "a target state, as every gate on a transition has",
    ),
    ["to"],
  ),
  v.forward(
    v.partialCheck(
      [["on"], ["to"]],
      (gate) => !staying.includes(gate.on) || gate.to === undefined,
      "no target state on publish, rollback and rampStep: they stay in their state",
    ),
    ["to"],
  ),
);

export type Gate = v.InferOutput<typeof GateSchema>;
export type GateInput = v.InferInput<typeof GateSchema>;
