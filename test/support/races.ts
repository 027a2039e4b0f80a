/**
 * Many clients over several governors ("processes") and one store, what they asked and were told with the times of
 * both, and the model by which it is judged: what the life of one experiment is for somebody who waits for each answer.
 */
import { createGovernor, type Governor } from "../../src/governance/governor.ts";
import { etagOf } from "../../src/governance/present.ts";
import type { CommandInput } from "../../src/governance/request.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { ProvisoError } from "../../src/errors.ts";
import type { ExperimentRef } from "../../src/scope.ts";
import { freshScope } from "./governance.ts";
import type { Model, Operation } from "./linearizable.ts";
import { checkout, policySetOf } from "./scenario.ts";

type Moving = "Running" | "Ramping" | "Paused";
const moving: readonly Moving[] = ["Running", "Ramping", "Paused"];

export type Asked =
  | { readonly kind: "read" }
  | {
      readonly kind: "write" | Moving;
      /** The same for an attempt and its twin, which asks the same at the same time elsewhere. */
      readonly key: string;
      readonly ifMatch: string | null;
    };

export type Told =
  | { readonly kind: "state"; readonly lifecycle: string; readonly version: number; readonly etag: string }
  | { readonly kind: "done"; readonly revision: unknown; readonly version: unknown; readonly etag: string }
  | { readonly kind: "refused"; readonly code: string };

export type RaceOperation = Operation<Asked, Told>;

/** What can be known of one experiment. */
export interface Known {
  readonly lifecycle: string;
  readonly version: number;
  readonly revision: number;
  readonly etag: string;
  /** Answers that were kept under their keys. */
  readonly kept: ReadonlyMap<string, string>;
}

const nextStates: Readonly<Record<string, readonly string[]>> = {
  Running: ["Ramping", "Paused"],
  Ramping: ["Running", "Paused"],
  Paused: ["Running", "Ramping"],
};

const isPossible = (known: Known, kind: "write" | Moving): boolean =>
  kind === "write" || (nextStates[known.lifecycle]?.includes(kind) ?? false);

const made = (known: Known, kind: "write" | Moving, told: Told & { kind: "done" }): Known => ({
  lifecycle: kind === "write" ? known.lifecycle : kind,
  version: known.version + (kind === "write" ? 1 : 0),
  revision: known.revision + 1,
  etag: told.etag,
  kept: known.kept,
});

/** One experiment, told by the rules of `docs/governance.md` and not by the code that implements them. */
export const experimentModel = (initial: Known): Model<Known, Asked, Told> => ({
  initial,
  next: (known, operation) => {
    const { input, output } = operation;
    if (output === null) throw new TypeError("every client of this race asks until it is answered");
    if (input.kind === "read")
      return output.kind === "state" &&
        output.lifecycle === known.lifecycle &&
        output.version === known.version &&
        output.etag === known.etag
        ? [known]
        : [];
    if (output.kind === "state") return [];
    // Whatever else has changed, a twin gets the answer that is kept under its key.
    const kept = known.kept.get(input.key);
    if (kept !== undefined) return JSON.stringify(output) === kept ? [known] : [];
    const matches = input.ifMatch === null || input.ifMatch === known.etag;
    const possible = isPossible(known, input.kind);
    if (output.kind === "refused") {
      if (output.code === "precondition-failed") return matches ? [] : [known];
      if (output.code !== "invalid-transition" || !matches) return [];
      // A start must not undo a pause that it has not seen. A process may not have seen one that was there before, and
      // then refuses what could go through; who names the state by its ETag is never refused so.
      const isUnseen = known.lifecycle === "Paused" && input.kind !== "write" && input.ifMatch === null;
      return !possible || isUnseen ? [known] : [];
    }
    if (!matches || !possible) return [];
    const next = made(known, input.kind, output);
    const isRight =
      output.revision === next.revision &&
      output.etag.startsWith(`"${next.revision}-`) &&
      output.etag !== known.etag &&
      (input.kind !== "write" || output.version === next.version);
    return isRight ? [{ ...next, kept: new Map([...known.kept, [input.key, JSON.stringify(output)]]) }] : [];
  },
  keyOf: ({ lifecycle, version, revision, etag, kept }) =>
    [lifecycle, version, revision, etag, [...kept.keys()].toSorted().join()].join("|"),
});

export interface Race {
  readonly experiments: readonly {
    readonly ref: ExperimentRef;
    readonly initial: Known;
    readonly record: readonly RaceOperation[];
  }[];
}

export interface RaceOptions {
  readonly clients: number;
  readonly commands: number;
  readonly experiments: number;
  readonly processes: number;
  readonly seed: number;
}

/** Numbers that look random and are the same in every run: xorshift32. */
const numbersFrom = (seed: number): ((below: number) => number) => {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
};

const pick = <Value>(values: readonly Value[], random: (below: number) => number): Value => {
  const value = values[random(values.length)];
  if (value === undefined) throw new TypeError("nothing to pick from");
  return value;
};

/** A store whose answers come in any order: each call begins and ends a little later, and some answers are lost. */
const jittery = (store: GovernanceStore, random: (below: number) => number): GovernanceStore => {
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, random(3)));
  const lost = (): void => {
    if (random(50) === 0) throw new ProvisoError("store-unavailable", "an answer of the race was lost");
  };
  return {
    ...store,
    async load(ref, options) {
      await pause();
      const loaded = await store.load(ref, options);
      await pause();
      return loaded;
    },
    async commit(ref, commit) {
      await pause();
      const result = await store.commit(ref, commit);
      await pause();
      lost();
      return result;
    },
  };
};

const governorOver = (store: GovernanceStore, time: number): Governor =>
  createGovernor({
    store,
    policySet: policySetOf({}),
    telemetry: {
      read: () =>
        Promise.resolve({ exposed: 0, worstErrorRate: 0, worstVariant: null, subjects: {}, sampleRatio: null }),
    },
    now: () => time,
    id: () => crypto.randomUUID(),
    salt: () => crypto.randomUUID().replaceAll("-", ""),
  });

const attemptsMax = 200;

const commandOf = (kind: "write" | Moving, traffic: number, experiment: string): CommandInput =>
  kind === "write"
    ? { type: "WriteVersion", configuration: checkout({ name: experiment, traffic }), createOnly: false }
    : { type: "Transition", to: kind };

export const runRace = async (store: GovernanceStore, options: RaceOptions): Promise<Race> => {
  const { clients, commands, experiments, processes, seed } = options;
  const scope = freshScope();
  const time = Date.parse("2026-11-21T12:00:00Z");
  const refs = Array.from({ length: experiments }, (_, index) => ({ ...scope, experiment: `race-${index}` }));
  const actorOf = (client: number) => ({
    id: `client-${client}@example.com`,
    kind: "human" as const,
    roles: ["editor", "operator"],
  });

  const starter = governorOver(store, time);
  const started = refs.map(async (ref) => {
    const setUp: readonly CommandInput[] = [
      commandOf("write", 100, ref.experiment),
      ...(["PendingApproval", "Approved", "Running"] as const).map((to): CommandInput => ({ type: "Transition", to })),
    ];
    for (const command of setUp) {
      const answer = await starter.execute({ ref, actor: actorOf(0), command });
      if (!answer.ok) throw new Error(`${command.type}: ${answer.message}`);
    }
  });
  await Promise.all(started);
  const read = async (ref: ExperimentRef): Promise<Told & { readonly kind: "state" }> => {
    const loaded = await store.load(ref);
    if (loaded === null) throw new Error("an experiment of the race is gone");
    const { state } = loaded.snapshot;
    return { kind: "state", lifecycle: state.lifecycle, version: state.latest.version, etag: etagOf(loaded.snapshot) };
  };
  const initial = await Promise.all(
    refs.map(async (ref): Promise<Known> => {
      const { lifecycle, version, etag } = await read(ref);
      return { lifecycle, version, etag, revision: Number(etag.slice(1).split("-")[0]), kept: new Map() };
    }),
  );

  let clock = 0;
  const records = refs.map((): RaceOperation[] => []);
  const recorded = async (experiment: number, input: Asked, work: () => Promise<Told>): Promise<Told> => {
    const invokedAt = (clock += 1);
    const output = await work();
    records[experiment]?.push({ invokedAt, answeredAt: (clock += 1), input, output });
    return output;
  };

  const random = numbersFrom(seed);
  const governors = Array.from({ length: processes }, () => governorOver(jittery(store, random), time));

  /** Asks until there is an answer, as a client does that has a key. */
  const submit = async (
    ref: ExperimentRef,
    client: number,
    { kind, key, ifMatch }: Extract<Asked, { key: string }>,
    traffic: number,
  ): Promise<Told> => {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const request = {
        ref,
        actor: actorOf(client),
        command: commandOf(kind, traffic, ref.experiment),
        idempotencyKey: key,
        ...(ifMatch === null ? {} : { ifMatch }),
      };
      const answer = await pick(governors, random)
        .execute(request)
        .catch((error: unknown) => {
          if (error instanceof ProvisoError && error.code === "store-unavailable") return null;
          throw error;
        });
      if (answer === null || (!answer.ok && answer.code === "request-in-flight")) continue;
      return answer.ok
        ? {
            kind: "done",
            revision: answer.body["revision"],
            version: answer.body["version"] ?? null,
            etag: answer.etag,
          }
        : { kind: "refused", code: answer.code };
    }
    throw new Error("a client of the race got no answer");
  };

  let left = commands;
  const client = async (number: number): Promise<void> => {
    /** ETags that this client has seen last. */
    const seen = new Map<number, string>();
    while (left > 0) {
      left -= 1;
      const experiment = random(experiments);
      const ref = refs[experiment];
      if (ref === undefined) throw new TypeError("no such experiment");
      if (random(5) === 0) {
        const told = await recorded(experiment, { kind: "read" }, () => read(ref));
        if (told.kind !== "refused") seen.set(experiment, told.etag);
        continue;
      }
      const asked: Asked = {
        kind: random(2) === 0 ? "write" : pick(moving, random),
        key: `${number}-${left}`,
        ifMatch: random(4) === 0 ? (seen.get(experiment) ?? null) : null,
      };
      // No two versions are alike, so that each is an effect.
      const traffic = (1 + left) / 100;
      const twins = random(10) === 0 ? 2 : 1;
      const told = await Promise.all(
        Array.from({ length: twins }, () => recorded(experiment, asked, () => submit(ref, number, asked, traffic))),
      );
      for (const one of told) if (one.kind === "done") seen.set(experiment, one.etag);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));

  return {
    experiments: refs.map((ref, index) => {
      const before = initial[index];
      const record = records[index];
      if (before === undefined || record === undefined) throw new TypeError("an experiment without a record");
      return { ref, initial: before, record };
    }),
  };
};
