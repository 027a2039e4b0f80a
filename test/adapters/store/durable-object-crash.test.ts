/**
 * Claims and lists across two objects, either of which can die at any moment: no claim is ever held twice, none is lost,
 * and the registry ends up with what the histories say.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Holding, type HoldingQuestion, openRegistry } from "../../../adapters/store/durable-object-registry.ts";
import { openHistory } from "../../../adapters/store/durable-object.ts";
import { verifyChain } from "../../../src/governance/chain.ts";
import type { Commit, CommitResult } from "../../../src/governance/store.ts";
import { readEvent } from "../../../src/governance/stored.ts";
import type { ExperimentRef } from "../../../src/scope.ts";
import { after, type Base, creation, freshScope, next } from "../../support/governance.ts";
import { type Fault, faults, objectsWorld, openStorage, type World } from "../../support/objects-world.ts";

const claimsHeld = (world: World): ReadonlyMap<string, readonly string[]> => {
  const holders = new Map<string, string[]>();
  for (const experiment of world.experiments()) {
    const tables = world.rows(experiment, "SELECT 1 FROM sqlite_master WHERE name = 'claims'");
    if (tables.length === 0) continue;
    for (const { claim } of world.rows(experiment, "SELECT claim FROM claims"))
      holders.set(String(claim), [...(holders.get(String(claim)) ?? []), experiment]);
  }
  return holders;
};

/** Holds at every moment, whoever has just died. */
const neverHeldTwice = (world: World): void => {
  for (const [claim, holders] of claimsHeld(world)) expect(holders, `holders of ${claim}`).toHaveLength(1);
};

/** Asks until there is an answer, as a caller does that got none. */
const persistently = async (
  world: World,
  ref: ExperimentRef,
  commit: Commit,
  patience: number,
): Promise<CommitResult | null> => {
  for (let attempt = 0; attempt < patience; attempt += 1) {
    try {
      return await world.history(ref.experiment).commit(ref, commit);
    } catch {
      // What became of it is not known: the very same commit may be sent again.
    }
  }
  return null;
};

interface Person {
  /** Builds on what it last saw. */
  act(parts: { readonly take?: readonly string[]; readonly release?: readonly string[] }): Promise<CommitResult | null>;
}

const personOf = (world: World, experiment: string, patience = 6): Person => {
  const ref = { ...world.scope, experiment };
  let base: Base | null = null;
  return {
    async act(parts) {
      const commit: Commit = base === null ? creation(ref, parts) : next(base, parts);
      const result = await persistently(world, ref, commit, patience);
      if (result?.ok === true) base = after(commit, base ?? undefined);
      return result;
    },
  };
};

/** Everything that must hold once the dust has settled. */
const expectWhole = async (world: World): Promise<void> => {
  await world.recover();
  neverHeldTwice(world);
  const held = claimsHeld(world);
  const known = world.rows(null, "SELECT claim, experiment FROM claims ORDER BY claim");
  expect(known.map(({ claim, experiment }) => [claim, experiment])).toEqual(
    [...held].map(([claim, [holder]]) => [claim, holder]).toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  );
  const snapshots: unknown[] = [];
  for (const experiment of world.experiments().toSorted()) {
    if (world.rows(experiment, "SELECT 1 FROM sqlite_master WHERE name = 'snapshots'").length === 0) continue;
    snapshots.push(...world.rows(experiment, "SELECT experiment, lifecycle, revision, state FROM snapshots"));
    const events = world.rows(experiment, "SELECT record FROM events ORDER BY seq");
    expect(verifyChain(events.map(({ record }) => readEvent(String(record))))).toMatchObject({
      valid: true,
      length: events.length,
    });
  }
  expect(world.rows(null, "SELECT experiment, lifecycle, revision, state FROM snapshots ORDER BY experiment")).toEqual(
    snapshots,
  );
  // None is lost: what nobody holds can be had, and what somebody holds cannot.
  const heir = personOf(world, "heir");
  for (const claim of ["x", "y", "z"]) {
    const taking = heir.act({ take: [claim] });
    await world.settle();
    const holder = held.get(claim)?.[0];
    expect(await taking).toEqual(
      holder === undefined ? { ok: true } : { ok: false, conflict: "claimed", claim, holder },
    );
  }
};

/** What a list shows, beside what the histories hold. */
const expectListed = async (world: World): Promise<void> => {
  const listing = world.registry.list(world.scope);
  await world.settle();
  const shown = (await listing).items.map(({ ref, snapshot }) => [ref.experiment, snapshot.revision]);
  const there = world
    .experiments()
    .toSorted()
    .flatMap((experiment) => world.rows(experiment, "SELECT experiment, revision FROM snapshots"));
  expect(shown).toEqual(there.map(({ experiment, revision }) => [experiment, revision]));
};

/** The turns that matter: creating with a claim, two at once, giving back while another takes, taking again. */
const story = async (
  world: World,
  afterEach: (world: World) => Promise<void> = () => Promise.resolve(),
): Promise<readonly (CommitResult | null)[]> => {
  const [a, b] = [personOf(world, "a"), personOf(world, "b")];
  const results: (CommitResult | null)[] = [];
  const together = async (...acts: readonly Promise<CommitResult | null>[]): Promise<void> => {
    const all = Promise.all(acts);
    await world.settle();
    results.push(...(await all));
    await afterEach(world);
  };
  await together(a.act({ take: ["x"] }), b.act({}));
  await together(a.act({ take: ["y"] }), b.act({ take: ["x", "y", "z"] }));
  await together(a.act({ release: ["x", "y"] }), b.act({ take: ["x"] }));
  await together(b.act({ take: ["x", "z"] }), a.act({ take: ["z"] }));
  await together(b.act({ release: ["x"], take: ["x", "y"] }), a.act({}));
  return results;
};

/** Nobody asks twice, and nobody comes back: only the alarm is left to make it whole. */
const forsaken = async (world: World): Promise<readonly (CommitResult | null)[]> => {
  const results: (CommitResult | null)[] = [];
  for (const parts of [{ take: ["x", "y"] }, { take: ["y", "z"] }, {}]) {
    const acting = personOf(world, `only-${results.length}`, 1).act(parts);
    await world.settle();
    results.push(await acting);
  }
  return results;
};

const first = (): number => 0;

const run = async (
  fault: (step: number) => Fault | null,
  pick: (count: number) => number = first,
  tell: (world: World) => Promise<readonly (CommitResult | null)[]> = story,
): Promise<{ readonly steps: number; readonly results: readonly (CommitResult | null)[] }> => {
  const world = objectsWorld({ scope: freshScope(), fault, pick, watch: neverHeldTwice });
  const results = await tell(world);
  const steps = world.steps();
  await expectWhole(world);
  return { steps, results };
};

describe("objects and their registry", () => {
  test("tell the story when nothing goes wrong", async () => {
    const { results } = await run(() => null);
    expect(results.map((result) => (result?.ok === true ? "ok" : result?.conflict))).toEqual([
      "ok",
      "ok",
      "ok",
      "claimed",
      "ok",
      "ok",
      "ok",
      "claimed",
      "ok",
      "ok",
    ]);
  });

  test("list every commit that was answered, without being told of each", async () => {
    const { results } = await run(
      () => null,
      first,
      (world) => story(world, expectListed),
    );
    expect(results).toHaveLength(10);
  });

  test.each(faults)(
    "hold whatever they promise when, at any one step, this happens: %s",
    async (fault) => {
      const { steps } = await run(() => null);
      expect(steps).toBeGreaterThan(25);
      for (let at = 1; at <= steps; at += 1) await run((step) => (step === at ? fault : null));
    },
    60_000,
  );

  test.each(faults)(
    "become whole by themselves after: %s",
    async (fault) => {
      const { steps } = await run(() => null, first, forsaken);
      expect(steps).toBeGreaterThanOrEqual(10);
      for (let at = 1; at <= steps; at += 1) await run((step) => (step === at ? fault : null), first, forsaken);
    },
    60_000,
  );

  test("hold it when faults come in any number, at any step, with messages in any order", async () => {
    const seeds = fc.record({
      order: fc.array(fc.nat(), { minLength: 20, maxLength: 60 }),
      faults: fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 90 }), fc.constantFrom(...faults)), {
        selector: ([step]) => step,
        maxLength: 12,
      }),
    });
    const asserted = fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const planned = new Map(seed.faults);
        let picks = 0;
        const pick = (count: number): number => {
          picks += 1;
          return count === 0 ? 0 : (seed.order[picks % seed.order.length] ?? 0) % count;
        };
        await run((step) => planned.get(step) ?? null, pick);
      }),
      { numRuns: process.env["PROVISO_PROOF"] === "1" ? 3_000 : 60 },
    );
    await expect(asserted).resolves.toBeUndefined();
  }, 600_000);
});

describe("an experiment, when messages overtake each other", () => {
  test("leaves another mark when the one that it has sent was asked about before it was acknowledged", async () => {
    const ref = { ...freshScope(), experiment: "a" };
    const marks: { readonly mark: string; readonly acknowledge: () => void }[] = [];
    let ids = 0;
    const history = openHistory({
      storage: openStorage(),
      registry: () => ({
        reserve: () => Promise.reject(new Error("nothing is claimed")),
        cancel: () => Promise.resolve(),
        report: () => Promise.reject(new Error("nothing is reported")),
        list: () => Promise.resolve({ items: [], next: null }),
        mark: ({ mark }) => {
          const { promise, resolve } = Promise.withResolvers<boolean>();
          marks.push({ mark, acknowledge: () => resolve(true) });
          return promise;
        },
      }),
      id: () => `mark-${(ids += 1)}`,
      wake: () => Promise.resolve(),
    });
    const created = creation(ref);
    const creating = history.commit(ref, created);
    await expect.poll(() => marks.length).toBe(1);
    const asked = await history.standing({ ref, mark: "mark-1" });
    expect(asked).toMatchObject({ mark: "mark-1", snapshot: { revision: 1 } });
    marks[0]?.acknowledge();
    expect(await creating).toEqual({ ok: true });
    const changing = history.commit(ref, next(after(created)));
    await expect.poll(() => marks.map(({ mark }) => mark)).toEqual(["mark-1", "mark-2"]);
    marks[1]?.acknowledge();
    expect(await changing).toEqual({ ok: true });
    // And none for what comes while that one stands.
    expect(await history.commit(ref, next(after(next(after(created)))))).toMatchObject({ ok: false });
    expect(marks).toHaveLength(2);
  });
});

describe("a registry, when messages overtake each other", () => {
  /** With answers of holders prepared, one after another; `meanwhile` happens while the question is on its way. */
  const registry = (
    ...answers: readonly { readonly answer: Holding; readonly meanwhile?: () => Promise<unknown> }[]
  ) => {
    const scope = freshScope();
    const asked: HoldingQuestion[] = [];
    const opened = openRegistry({
      storage: openStorage(),
      async holding(question) {
        const prepared = answers[asked.length];
        asked.push(question);
        await prepared?.meanwhile?.();
        if (prepared === undefined) throw new Error("nobody expected this question");
        return prepared.answer;
      },
      standing: () => Promise.reject(new Error("nobody is marked")),
    });
    const ref = (experiment: string): ExperimentRef => ({ ...scope, experiment });
    return {
      asked,
      reserve: (experiment: string, attempt: string, seq: number, claims: readonly string[]) =>
        opened.reserve({ ref: ref(experiment), attempt, seq, claims }),
      report: (experiment: string, seq: number, claimsSeq: number, claims: readonly string[] | null) =>
        opened.report({ ref: ref(experiment), seq, claimsSeq, claims, snapshot: null, mark: null }),
    };
  };

  test("an older report of what is held does not undo a newer one", async () => {
    const { report, reserve } = registry();
    expect(await report("a", 5, 5, ["x"])).toBe(true);
    expect(await report("a", 4, 4, ["x", "y"])).toBe(false);
    expect(await reserve("b", "b1", 3, ["y"])).toEqual({ ok: true });
    expect(await report("a", 5, 5, ["x"])).toBe(true);
  });

  test("a report from before an answer does not bring back what the answer said is gone", async () => {
    const { report, reserve } = registry({ answer: { claimsSeq: 9, held: [] } });
    expect(await report("a", 7, 7, ["x"])).toBe(true);
    expect(await reserve("b", "b1", 3, ["x"])).toEqual({ ok: true });
    expect(await report("a", 8, 8, ["x"])).toBe(false);
    expect(await report("a", 9, 9, [])).toBe(true);
  });

  test("an answer about one attempt says nothing of the next", async () => {
    const world = registry(
      {
        answer: { claimsSeq: 0, held: [] },
        // The first attempt was given up, and while that is being said the second is made.
        meanwhile: () => world.reserve("a", "a2", 3, ["x"]),
      },
      { answer: { claimsSeq: 3, held: ["x"] } },
    );
    expect(await world.reserve("a", "a1", 3, ["x"])).toEqual({ ok: true });
    expect(await world.reserve("b", "b1", 3, ["x"])).toEqual({ ok: false, claim: "x", holder: "a" });
    expect(world.asked.map(({ attempts }) => attempts)).toEqual([["a1"], ["a2"]]);
  });

  test("an answer from before a report does not undo the report", async () => {
    const world = registry(
      { answer: { claimsSeq: 2, held: [] }, meanwhile: () => world.report("a", 4, 4, ["x"]) },
      { answer: { claimsSeq: 4, held: ["x"] } },
    );
    expect(await world.reserve("a", "a1", 3, ["x"])).toEqual({ ok: true });
    expect(await world.reserve("b", "b1", 3, ["x"])).toEqual({ ok: false, claim: "x", holder: "a" });
  });

  test("a report decides the attempts for places it has reached, and no other", async () => {
    const world = registry({ answer: { claimsSeq: 0, held: [] } });
    await world.reserve("a", "a1", 3, ["x"]);
    await world.reserve("a", "a2", 5, ["y"]);
    expect(await world.report("a", 4, 0, null)).toBe(true);
    expect(await world.reserve("b", "b1", 3, ["x"])).toEqual({ ok: true });
    expect(world.asked).toEqual([]);
    expect(await world.reserve("b", "b2", 3, ["y"])).toEqual({ ok: true });
    expect(world.asked.map(({ attempts }) => attempts)).toEqual([["a2"]]);
  });

  test("a holder that does not answer is not robbed", async () => {
    const world = registry();
    await world.report("a", 5, 5, ["x"]);
    await expect(world.reserve("b", "b1", 3, ["x"])).rejects.toThrow("nobody expected");
    expect(await world.report("a", 6, 6, ["x"])).toBe(true);
  });
});
