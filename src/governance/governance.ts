/** The governance of an application that imports it: every command, without HTTP. */
import { uuidv7 } from "uuidv7";
import * as v from "valibot";
import { defineDsl, type DslInput } from "../config/index.ts";
import { ProvisoError } from "../errors.ts";
import { ConfigurationSchema, type ConfigurationInput } from "../experiment.ts";
import { lifecycleStates, type LifecycleState, type PauseMode } from "../lifecycle.ts";
import { limits } from "../limits.ts";
import { defaultScope, ExperimentNameSchema, type ExperimentRef, NameSchema, type Scope, scopeKey } from "../scope.ts";
import type { Actor } from "./actor.ts";
import { withCurrentShape } from "./current-shape.ts";
import { checkHistory, type HistoryVerification } from "./check-history.ts";
import type { CustomGates } from "./custom-gates.ts";
import type { Outcome } from "./events.ts";
import { createOutbox } from "../delivery/outbox.ts";
import type { Subscriber } from "../delivery/subscriber.ts";
import { type ErasedPage, eraseInScope } from "./erase.ts";
import type { Telemetry } from "./evidence.ts";
import { exportExperiment, type ExportOptions } from "./export/export.ts";
import { importExperiment, type Imported, type ImportOptions } from "./export/import.ts";
import type { GateInput } from "./gates/schema.ts";
import { withHostFunctions } from "./host-rules.ts";
import { type CommandAnswer, createGovernor, type GovernorOptions } from "./governor.ts";
import type { CustomPolicies } from "./policies/custom.ts";
import type { PolicyInput } from "./policies/schema.ts";
import type { PolicySet } from "./policy-set.ts";
import { presentSnapshot } from "./present.ts";
import { promote } from "./promote.ts";
import type { CommandInput } from "./request.ts";
import type { GovernanceStore, HistoryPage, HistoryQuery } from "./store.ts";

export interface GovernanceOptions extends Partial<
  Pick<
    GovernorOptions,
    "now" | "id" | "salt" | "receiptLifetimeMs" | "guardrailIntervalMs" | "wake" | "background" | "report" | "observer"
  >
> {
  readonly store: GovernanceStore;
  readonly gates?: readonly GateInput[];
  readonly policies?: readonly PolicyInput[];
  readonly breakGlass?: NonNullable<DslInput["governance"]>["breakGlass"];
  /** Functions behind gates and policies of type `custom`, by the names that the rules call them. */
  readonly customGates?: CustomGates;
  readonly customPolicies?: CustomPolicies;
  /** Who is told of what happens: webhooks, audit sinks, whatever reads the log. */
  readonly subscribers?: readonly Subscriber[];
  /** Left out: nothing is measured, and policies that ask for measurements say that they are missing. */
  readonly telemetry?: Telemetry;
}

/** Who asks, and what they saw. The application vouches for the actor. */
export interface By {
  readonly actor: Actor;
  /** The ETag of the last answer: refuse the change when something else has happened since. */
  readonly ifMatch?: string;
  /** Names this attempt: asked again under the same key, it answers as it did, and does nothing twice. */
  readonly idempotencyKey?: string;
}

/** An experiment by name, in the default scope or in another. */
export type Named = string | ({ readonly experiment: string } & Partial<Scope>);

interface Asking {
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Open the proposal and wait, even where the change could be made at once. */
  readonly propose?: boolean;
}

interface Saying {
  /** The digest of the change that was looked at: an approval counts for nothing else. */
  readonly changeDigest: string;
  readonly reason?: string;
}

interface ErasingEverywhere {
  /** Left out: the default scope. */
  readonly scope?: Scope;
  readonly reason?: string;
  /** From the last page's `next`. */
  readonly after?: string;
  /** Experiments looked at in one call; at most 100. */
  readonly limit?: number;
}

interface ScheduledMove {
  /** ISO 8601. */
  readonly at: string;
  readonly to: LifecycleState;
  readonly outcome?: Outcome;
  readonly variant?: string;
  readonly mode?: PauseMode;
}

const measuresNothing: Telemetry = {
  read: () => Promise.reject(new Error("no telemetry was given to createGovernance")),
};

const hexDigits = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The rules as the DSL checks them: what a file may not say, code may not either. */
const rulesOf = (options: GovernanceOptions): PolicySet => {
  const { gates = [], policies = [], breakGlass, customGates = {}, customPolicies = {} } = options;
  const defined = defineDsl({
    governance: {
      approvalGates: [...gates],
      policies: [...policies],
      ...(breakGlass === undefined ? {} : { breakGlass }),
    },
  });
  if (!defined.ok) {
    const errors = defined.errors.map(({ path, message }) => ({ path, message }));
    const sentences = errors.map(({ path, message }) => `${path} ${message}`).join("; ");
    throw new ProvisoError("invalid-dsl", `these rules are not valid: ${sentences}`, { errors });
  }
  const { approvalGates, policies: checked, breakGlass: glass } = defined.value.governance;
  const set = { gates: approvalGates, policies: checked, ...(glass === undefined ? {} : { breakGlass: glass }) };
  return withHostFunctions(set, customGates, customPolicies);
};

const parsed = <Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> => {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const errors = result.issues.map((issue) => ({
    path: (issue.path ?? []).map(({ key }) => `/${String(key)}`).join(""),
    message: issue.message,
  }));
  throw new ProvisoError("invalid-request", errors.map(({ path, message }) => `${path} ${message}`).join("; "), {
    errors,
  });
};

const RefSchema = v.object({ tenant: NameSchema, environment: NameSchema, experiment: ExperimentNameSchema });

const refOf = (named: Named): ExperimentRef =>
  parsed(RefSchema, { ...defaultScope, ...(typeof named === "string" ? { experiment: named } : named) });

/**
 * Governance over a store, in this process. Everything that the HTTP API can do is a method here, and says the same.
 *
 * A refusal is an answer, with a `code`; what is thrown is a {@link ProvisoError} for input that is not valid, or for a
 * store that does not answer.
 *
 * @example
 * const governance = createGovernance({ store: memoryStore(), gates: [{ type: "manual", to: "Approved" }] });
 * const by = { actor: { id: "author@example.com", kind: "human", roles: ["editor"] } } as const;
 * await governance.define("checkout", { variants: [{ key: "control", control: true }, { key: "treatment" }] }, by);
 * await governance.transition("checkout", "PendingApproval", {}, by); // { ok: true, outcome: "done", body: { … } }
 */
export const createGovernance = (options: GovernanceOptions) => {
  const store = withCurrentShape(options.store);
  const { telemetry = measuresNothing, now = Date.now, id = uuidv7 } = options;
  const policySet = rulesOf(options);
  const { subscribers = [], report = () => undefined } = options;
  const outbox = createOutbox({ store, subscribers, now, random: Math.random, report, observer: options.observer });
  /** Scopes that this process has gone through from end to end: from then on it knows what it has not delivered. */
  const caughtUp = new Set<string>();
  const governor = createGovernor({
    ...options,
    ...(subscribers.length === 0 ? {} : { outbox }),
    policySet,
    telemetry,
    now,
    id,
    salt: options.salt ?? (() => hexDigits(crypto.getRandomValues(new Uint8Array(16)))),
  });

  const send = (named: Named, command: CommandInput, by: By): Promise<CommandAnswer> =>
    governor.execute({ ...by, ref: refOf(named), command });

  const write =
    (createOnly: boolean) =>
    (
      named: Named,
      configuration: Omit<ConfigurationInput, "name">,
      by: By,
      changeDescription?: string,
    ): Promise<CommandAnswer> => {
      const { experiment } = refOf(named);
      const command = {
        type: "WriteVersion",
        configuration: parsed(ConfigurationSchema, { ...configuration, name: experiment }),
        createOnly,
        ...(changeDescription === undefined ? {} : { changeDescription }),
      } as const;
      return send(named, command, by);
    };

  const say =
    (decision: "approve" | "decline" | "withdraw") =>
    (named: Named, saying: Saying, by: By): Promise<CommandAnswer> =>
      send(named, { type: "Say", decision, ...saying }, by);

  const ramp =
    (action: "hold" | "advance" | "abort") =>
    (named: Named, by: By, reason?: string): Promise<CommandAnswer> =>
      send(named, { type: "Ramp", action, ...(reason === undefined ? {} : { reason }) }, by);

  const transition = (named: Named, to: LifecycleState, asking: Asking, by: By): Promise<CommandAnswer> =>
    send(named, { type: "Transition", to, ...asking }, by);

  return {
    policySet,
    governor,
    /** Creates the experiment in Draft with its first version. */
    define: write(true),
    /** Writes the next version. */
    revise: write(false),
    /** Puts the newest version to its approvers: the move to PendingApproval. */
    submit: (named: Named, asking: Asking, by: By) => transition(named, "PendingApproval", asking, by),
    /** Opens a proposal for a move, also where it could be made at once. */
    propose: (named: Named, to: LifecycleState, asking: Asking, by: By) =>
      transition(named, to, { ...asking, propose: true }, by),
    approve: say("approve"),
    decline: say("decline"),
    /** Takes back what one has said. */
    withdraw: say("withdraw"),
    withdrawProposal: (named: Named, proposal: string, by: By) =>
      send(named, { type: "WithdrawProposal", proposal }, by),
    comment: (named: Named, proposal: string, text: string, by: By) =>
      send(named, { type: "Comment", proposal, text }, by),
    transition,
    /** Makes the newest version live without leaving the state. */
    publish: (named: Named, version: number, asking: Asking, by: By) =>
      send(named, { type: "Publish", version, ...asking }, by),
    /** A new version with the content of an old one; live at once where that is still approved. */
    rollBack: (
      named: Named,
      target: { readonly targetVersion: number; readonly transition?: LifecycleState } & Omit<Asking, "propose">,
      by: By,
    ) => send(named, { type: "RollBack", ...target }, by),
    /** Everybody gets control; with `stopEnrolment` whoever is in stays in, and nobody new enters. */
    pause: (named: Named, by: By, reason?: string, mode?: PauseMode) =>
      send(
        named,
        {
          type: "Transition",
          to: "Paused",
          ...(reason === undefined ? {} : { reason }),
          ...(mode === undefined ? {} : { mode }),
        },
        by,
      ),
    /** Replaces what was scheduled. */
    schedule: (named: Named, changes: readonly ScheduledMove[], by: By, reason?: string) =>
      send(named, { type: "Schedule", changes, ...(reason === undefined ? {} : { reason }) }, by),
    unschedule: (named: Named, by: By) => send(named, { type: "Schedule", changes: [] }, by),
    ramp: {
      start: (named: Named, asking: Asking, by: By) => transition(named, "Ramping", asking, by),
      hold: ramp("hold"),
      advance: ramp("advance"),
      /** Pauses, and forgets the step. */
      abort: ramp("abort"),
    },
    /** Ends an experiment that has run. */
    conclude: (named: Named, end: { readonly outcome: Outcome; readonly variant?: string } & Asking, by: By) =>
      send(named, { type: "Transition", to: "Archived", ...end }, by),
    /** Puts away an experiment that never ran. */
    archive: (named: Named, asking: Asking, by: By) => transition(named, "Archived", asking, by),
    /** Past gates and policies: takes one of the roles under `breakGlass`, and a reason. */
    breakGlass: (
      named: Named,
      change: ({ readonly to: LifecycleState } | { readonly publish: number }) & { readonly reason: string },
      by: By,
    ) =>
      send(
        named,
        "to" in change
          ? { type: "Transition", to: change.to, reason: change.reason, breakGlass: true }
          : { type: "Publish", version: change.publish, reason: change.reason, breakGlass: true },
        by,
      ),
    /** Serves control at once: instead of the experiment, or of one variant. */
    kill: (named: Named, by: By, target: { readonly variant?: string; readonly reason?: string } = {}) =>
      send(named, { type: "Kill", ...target }, by),
    revive: (named: Named, by: By, target: { readonly variant?: string; readonly reason?: string } = {}) =>
      send(named, { type: "Revive", ...target }, by),
    /** Carries a version to another environment, where it is a draft. */
    promote: (named: Named, version: number, environment: string, by: By) =>
      promote(
        { ...by, ref: refOf(named), version, environment: parsed(NameSchema, environment) },
        store,
        () => governor,
      ),
    /** The experiment as `GET /{name}` shows it; null when there is none. */
    get: async (named: Named, { actor }: Pick<By, "actor">): Promise<Readonly<Record<string, unknown>> | null> => {
      const ref = refOf(named);
      const loaded = await store.load(ref, { actor: actor.id });
      if (loaded === null) return null;
      const asker = { ref: loaded.actor ?? "", kind: actor.kind, roles: actor.roles };
      return presentSnapshot(loaded.snapshot, { ref, people: loaded.people, policySet, now: now(), asker });
    },
    history: (named: Named, query?: HistoryQuery): Promise<HistoryPage> => store.history(refOf(named), query),
    /** Whether the history holds together. */
    verify: (named: Named): Promise<HistoryVerification> => checkHistory(store, refOf(named)),
    /** One experiment's history as NDJSON, line by line; `verifyExport` and `importExperiment` read it. */
    export: (named: Named, exporting?: ExportOptions): AsyncIterable<string> =>
      exportExperiment(store, refOf(named), exporting),
    /** Brings an exported history in, or goes on with one that came in part. */
    import: async (lines: AsyncIterable<string> | Iterable<string>, importing?: ImportOptions): Promise<Imported> => {
      const imported = await importExperiment(store, lines, importing);
      await governor.reload(imported.ref);
      return imported;
    },
    /** Removes what is personal of somebody from one experiment: their id, and what they wrote. */
    erase: (named: Named, person: string, by: Pick<By, "actor">, reason?: string): Promise<number> =>
      governor.erase({ ref: refOf(named), actor: by.actor, person, ...(reason === undefined ? {} : { reason }) }),
    /** The same in every experiment of a scope, a page of experiments at a time. */
    eraseEverywhere: (
      person: string,
      by: Pick<By, "actor">,
      { scope = defaultScope, reason, ...page }: ErasingEverywhere = {},
    ): Promise<ErasedPage> =>
      eraseInScope(
        { store, governor: () => governor },
        scope,
        { actor: by.actor, person, ...(reason === undefined ? {} : { reason }) },
        page,
      ),
    /** Removes expired receipts in a scope. Commits do so too, but not every experiment has another. */
    sweep: async (scope: Scope = defaultScope): Promise<void> => {
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(scope, {
          limit: limits.heavyPageRows,
          ...(cursor === null ? {} : { cursor }),
        });
        for (const { ref } of page.items) await store.sweep(ref, new Date(now()).toISOString());
        cursor = page.next;
      } while (cursor !== null);
    },
    /**
     * Does what time has brought about in one scope: scheduled changes, ramp steps, guardrails, and deliveries that are
     * to be tried again or that a crash has left. A host without alarms calls it on a timer; twice does nothing twice.
     *
     * @returns when to call again, in ms since the epoch; null when only a command can change anything
     */
    tick: async (scope: Scope = defaultScope): Promise<number | null> => {
      const wakes: (number | null)[] = [];
      const key = scopeKey(scope);
      const goesThroughAll = subscribers.length > 0 && !caughtUp.has(key);
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<GovernanceStore["list"]>> = await store.list(scope, {
          ...(goesThroughAll ? {} : { states: lifecycleStates.filter((state) => state !== "Archived") }),
          limit: limits.heavyPageRows,
          ...(cursor === null ? {} : { cursor }),
        });
        for (const { ref } of page.items) wakes.push(await governor.tick(ref));
        cursor = page.next;
      } while (cursor !== null);
      caughtUp.add(key);
      // The clock has nothing to do with what is archived; a subscriber that is away may still have to hear of it.
      const behind = outbox.troubles().filter(({ ref }) => scopeKey(ref) === key);
      for (const { ref } of behind) wakes.push(await outbox.drain(ref));
      const times = wakes.filter((time) => time !== null);
      return times.length === 0 ? null : Math.min(...times);
    },
    /** Subscribers that do not take what they are given, as far as this process knows. */
    troubles: () => outbox.troubles(),
  };
};

export type Governance = ReturnType<typeof createGovernance>;
