/**
 * Many clients on few experiments, through several processes over one store: what they were told must be explained by
 * some order of what they asked. A store's test gives it a way to make one: `describeRaces("d1", makeStore)`.
 * `stores-complete.test.ts` fails for an adapter without that call.
 */
import { describe, expect, inject, test } from "vitest";
import { canonicalJson } from "../../src/canonical.ts";
import { verifyChain } from "../../src/governance/chain.ts";
import { replay } from "../../src/governance/evolve.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { checkLinearizable } from "../support/linearizable.ts";
import { experimentModel, type Race, runRace } from "../support/races.ts";
import type { Provided } from "../support/provided.ts";
import { wholeHistory } from "./store/under-test.ts";

/** 2,000 commands where it is proved (`npm run proof`), a tenth of it in every run. */
const inProof: Provided["proof"] = inject("proof");
const commands = inProof ? 2_000 : 200;

/** Every answer is explained, and the history says the same as the answers. @returns how many had an effect */
export const expectLinearizable = async (store: GovernanceStore, { experiments }: Race): Promise<number> => {
  let effects = 0;
  for (const { ref, initial, record } of experiments) {
    const verdict = checkLinearizable(experimentModel(initial), record);
    // What cannot be explained, behind the longest order that could be.
    expect(verdict.ok ? [] : [verdict.explained.slice(-3), verdict.stuck]).toEqual([]);
    const keys = new Set(
      record.flatMap(({ input, output }) => ("key" in input && output?.kind === "done" ? input.key : [])),
    );
    const events = await wholeHistory(store, ref);
    const loaded = await store.load(ref);
    expect(verifyChain(events)).toMatchObject({
      valid: true,
      head: { seq: loaded?.head.seq, hash: loaded?.head.hash },
    });
    expect(canonicalJson(replay(events))).toBe(canonicalJson(loaded?.snapshot.state));
    expect(loaded?.snapshot.revision).toBe(initial.revision + keys.size);
    // Each change that was answered is one event, and there is none besides.
    const changes = events.filter(({ type }) => type === "VersionWritten" || type === "Transitioned");
    expect(changes.slice(setUpChanges)).toHaveLength(keys.size);
    effects += keys.size;
  }
  return effects;
};

/** A version, and three transitions to Running. */
const setUpChanges = 4;

export const describeRaces = (name: string, makeStore: () => Promise<GovernanceStore>): void => {
  describe(`races on ${name}`, () => {
    test(
      "32 clients on 8 experiments through 4 processes: some order explains every answer",
      { timeout: 600_000 },
      async () => {
        const store = await makeStore();
        const race = await runRace(store, { clients: 32, commands, experiments: 8, processes: 4, seed: 20_261_125 });
        const operations = race.experiments.reduce((sum, { record }) => sum + record.length, 0);
        expect(operations).toBeGreaterThanOrEqual(commands);
        expect(await expectLinearizable(store, race)).toBeGreaterThan(commands / 4);
      },
    );
  });
};
