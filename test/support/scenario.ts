/** Given / when / then on the pure core: no store, no clock, no promise. */
import * as v from "valibot";
import { type Configuration, ConfigurationSchema, type ConfigurationInput } from "../../src/experiment.ts";
import type { Command, Decision, Evidence } from "../../src/governance/commands.ts";
import { decide } from "../../src/governance/decide.ts";
import type { ActorRecord, DomainEvent, EventType } from "../../src/governance/events.ts";
import { evolve } from "../../src/governance/evolve.ts";
import { type ActorKind, type GateInput, GateSchema } from "../../src/governance/gates/schema.ts";
import type { LedgerReading, OtherExperiment } from "../../src/governance/policies/policy.ts";
import { type PolicyInput, PolicySchema } from "../../src/governance/policies/schema.ts";
import type { GuardrailReading, GuardrailsEvidence } from "../../src/governance/guardrails.ts";
import type { PolicySet } from "../../src/governance/policy-set.ts";
import type { ExperimentState } from "../../src/governance/state.ts";
import type { LifecycleState } from "../../src/lifecycle.ts";

export const ref = { tenant: "default", environment: "default", experiment: "checkout" };
export const startOfTime = Date.parse("2026-11-21T12:00:00Z");

export const checkout = (changes: Partial<ConfigurationInput> = {}): Configuration =>
  v.parse(ConfigurationSchema, {
    name: "checkout",
    salt: "pepper",
    variants: [{ key: "control", control: true }, { key: "treatment" }],
    ...changes,
  });

/** A person's reference is simply their name here. */
export const person = (
  name: string,
  roles: readonly string[] = ["approver", "editor", "operator"],
  kind: ActorKind = "human",
): ActorRecord => ({
  ref: name,
  kind,
  roles,
});

export const author = person("author");
export const approver = person("approver");

export interface World {
  readonly breakGlass?: PolicySet["breakGlass"];
  readonly gates?: readonly GateInput[];
  readonly policies?: readonly PolicyInput[];
}

export const policySetOf = ({ gates = [], policies = [], breakGlass }: World): PolicySet => ({
  ...(breakGlass === undefined ? {} : { breakGlass }),
  gates: gates.map((gate) => v.parse(GateSchema, gate)),
  policies: policies.map((policy) => v.parse(PolicySchema, policy)),
});

const guardrailsEvidence = (readings: readonly GuardrailReading[] | undefined, now: number): GuardrailsEvidence => {
  const at = new Date(now).toISOString();
  return readings === undefined
    ? { status: "unavailable", at, reason: "nobody reads them here" }
    : { status: "available", at, readings };
};

export interface Step {
  readonly by?: ActorRecord;
  /** Milliseconds since the start of time. */
  readonly at?: number;
  readonly others?: readonly OtherExperiment[] | null;
  readonly telemetry?: LedgerReading;
  readonly claimed?: Evidence["claimed"];
  readonly customGates?: Evidence["customGates"];
  readonly takenSlots?: Evidence["takenSlots"];
  /** What guardrails say; left out, nobody reads them. */
  readonly guardrails?: readonly GuardrailReading[];
  readonly warning?: Evidence["conclusionWarning"];
}

export interface Scenario {
  readonly state: () => ExperimentState;
  readonly events: () => readonly DomainEvent[];
  /** The one open proposal for a move to this state. */
  readonly proposalTo: (to: LifecycleState) => ExperimentState["proposals"][number];
  readonly when: (command: Command, step?: Step) => Decision;
  /** Like `when`, and fails unless it was committed or held. */
  readonly given: (command: Command, step?: Step) => Scenario;
  readonly writes: (changes?: Partial<ConfigurationInput>, step?: Step) => Scenario;
  readonly moves: (to: LifecycleState, step?: Step) => Scenario;
  readonly approves: (to: LifecycleState, step?: Step) => Scenario;
  /** From here on other rules are in force. */
  readonly under: (world: World) => Scenario;
}

export const scenario = (initial: World = {}): Scenario => {
  let policySet = policySetOf(initial);
  let state: ExperimentState | null = null;
  let ids = 0;
  const events: DomainEvent[] = [];
  const written: NonNullable<Evidence["target"]>[] = [];

  /** What the store would give for a rollback. */
  const targetOf = (command: Command): Evidence["target"] => {
    if (command.type !== "RollBack") return null;
    const found = written.find(({ version }) => version === command.targetVersion);
    return found ?? null;
  };

  const evidenceFor = (
    command: Command,
    {
      by = author,
      at = 0,
      others = [],
      telemetry,
      claimed = null,
      customGates = {},
      takenSlots = null,
      guardrails,
      warning = null,
    }: Step,
  ): Evidence => {
    const now = startOfTime + at;
    const available: LedgerReading = {
      status: "available",
      at: new Date(now).toISOString(),
      exposed: 0,
      worstErrorRate: 0,
      worstVariant: null,
      subjects: {},
      sampleRatio: null,
    };
    ids += 1;
    return {
      ref,
      actor: by,
      policySet,
      now,
      others,
      claimed,
      takenSlots,
      guardrails: guardrailsEvidence(guardrails, startOfTime + at),
      telemetry: telemetry ?? available,
      custom: {},
      customGates,
      target: targetOf(command),
      resultsDigest: null,
      conclusionWarning: warning,
      proposalId: `proposal-${ids}`,
      randomSalt: `salt-${ids}`,
    };
  };

  const scene: Scenario = {
    state() {
      if (state === null) throw new Error("scenario: nothing was written yet");
      return state;
    },
    events: () => events,
    proposalTo(to) {
      const found = scene.state().proposals.filter((proposal) => proposal.to === to);
      const [only] = found;
      if (only === undefined || found.length > 1) throw new Error(`scenario: ${found.length} proposals to ${to}`);
      return only;
    },
    when(command, step = {}) {
      const evidence = evidenceFor(command, step);
      const decision = decide(state, command, evidence);
      const happened: readonly DomainEvent[] =
        decision.outcome === "commit" || decision.outcome === "hold"
          ? decision.events
          : decision.outcome === "deny" && decision.record !== null
            ? [decision.record]
            : [];
      for (const event of happened) {
        state = evolve(state, { ...event, at: new Date(evidence.now).toISOString(), actor: evidence.actor });
        events.push(event);
        if (event.type === "VersionWritten") {
          const { version, digest, configuration } = event.data;
          written.push({ version, digest, configuration, author: evidence.actor.ref });
        }
      }
      return decision;
    },
    given(command, step) {
      const decision = scene.when(command, step);
      if (decision.outcome === "deny")
        throw new Error(`scenario: ${command.type} was refused: ${decision.code} ${decision.message}`);
      return scene;
    },
    writes: (changes, step) =>
      scene.given({ type: "WriteVersion", configuration: checkout(changes), createOnly: false }, step),
    moves: (to, step) => scene.given({ type: "Transition", to }, step),
    approves: (to, step) =>
      scene.given(
        { type: "Say", decision: "approve", changeDigest: scene.proposalTo(to).changeDigest },
        { by: approver, ...step },
      ),
    under(world) {
      policySet = policySetOf(world);
      return scene;
    },
  };
  return scene;
};

export const typesOf = (events: readonly DomainEvent[]): readonly EventType[] => events.map((event) => event.type);
