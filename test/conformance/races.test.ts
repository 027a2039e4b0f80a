/** What `describeRaces` is worth: doctored records and stores that break a promise are found out. */
import { beforeAll, describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { checkLinearizable } from "../support/linearizable.ts";
import { experimentModel, type Known, type Race, type RaceOperation, runRace, type Told } from "../support/races.ts";
import { expectLinearizable } from "./races.suite.ts";

const options = { clients: 16, commands: 240, experiments: 2, processes: 4, seed: 7 };

type Made = RaceOperation & { readonly output: Told & { readonly kind: "done" } };
const isMade = (operation: RaceOperation): operation is Made => operation.output?.kind === "done";
const isRead = (operation: RaceOperation): boolean => operation.input.kind === "read";

describe("a doctored record", () => {
  let initial: Known;
  let record: readonly RaceOperation[];
  /** Each change once, in the order in which they came. */
  let changes: readonly Made[];
  beforeAll(async () => {
    const store = memoryStore();
    const race = await runRace(store, options);
    await expectLinearizable(store, race);
    const [first] = race.experiments;
    if (first === undefined) throw new TypeError("a race without experiments");
    ({ initial, record } = first);
    const byRevision = new Map(
      record.filter(isMade).map((operation) => [Number(operation.output.revision), operation]),
    );
    changes = [...byRevision].toSorted(([left], [right]) => left - right).map(([, operation]) => operation);
  });

  const nth = (index: number): Made => {
    const found = changes[index];
    if (found === undefined) throw new TypeError("too few changes");
    return found;
  };
  const found = (doctored: readonly RaceOperation[]): boolean =>
    !checkLinearizable(experimentModel(initial), doctored).ok;
  const replaced = (old: RaceOperation, by: Partial<RaceOperation>): readonly RaceOperation[] =>
    record.map((operation) => (operation === old ? { ...operation, ...by } : operation));
  /** Those that were told of one change: the operation, and its twin. */
  const told = ({ output }: Made) =>
    record.filter((operation) => isMade(operation) && operation.output.revision === output.revision);

  test("as it is, is explained", () => {
    expect(changes.length).toBeGreaterThan(30);
    expect(found(record)).toBe(false);
  });

  const doctors: Readonly<Record<string, () => readonly RaceOperation[]>> = {
    "with another revision in one answer": () => {
      const change = nth(10);
      return replaced(change, { output: { ...change.output, revision: Number(change.output.revision) + 1 } });
    },
    "with two answers exchanged": () => {
      const [one, other] = [nth(10), nth(20)];
      return record.map((operation) =>
        operation === one
          ? { ...operation, output: other.output }
          : operation === other
            ? { ...operation, output: one.output }
            : operation,
      );
    },
    "without one of its changes": () => record.filter((operation) => !told(nth(10)).includes(operation)),
    "with a change that came ahead of its request": () => {
      const [change, later] = [nth(10), nth(12)];
      const last = Math.max(...told(later).map(({ answeredAt }) => answeredAt));
      const early = told(change);
      return record.map((operation) =>
        early.includes(operation) ? { ...operation, invokedAt: last + 0.1, answeredAt: last + 0.2 } : operation,
      );
    },
    "with a change that nobody allowed": () => {
      const refused = record.find(({ output }) => output?.kind === "refused");
      const last = nth(changes.length - 1);
      if (refused === undefined) throw new TypeError("nothing was refused");
      return replaced(refused, { output: last.output });
    },
    "with a change that is said to be refused": () =>
      record.map((operation) =>
        told(nth(10)).includes(operation)
          ? { ...operation, output: { kind: "refused" as const, code: "invalid-transition" } }
          : operation,
      ),
    "with a precondition that fails without a reason": () => {
      const change = changes.find(({ input }) => input.kind === "write" && input.ifMatch === null) ?? nth(0);
      return record.map((operation) =>
        told(change).includes(operation)
          ? { ...operation, output: { kind: "refused" as const, code: "precondition-failed" } }
          : operation,
      );
    },
    "with a read of what was long gone": () => {
      const read = record.findLast(isRead);
      if (read === undefined) throw new TypeError("nothing was read");
      const { lifecycle, version, etag } = initial;
      return replaced(read, { output: { kind: "state", lifecycle, version, etag } });
    },
    "with a read of what was still to come": () => {
      const read = record.find(isRead);
      const last = record.findLast(isRead);
      if (read === undefined || last === undefined) throw new TypeError("nothing was read");
      return replaced(read, { output: last.output });
    },
  };

  test.each(Object.keys(doctors))("%s, is found out", (name) => {
    const doctored = doctors[name]?.() ?? record;
    expect(doctored).not.toEqual(record);
    expect(found(doctored)).toBe(true);
  });
});

describe("a store", () => {
  const raced = async (store: GovernanceStore): Promise<Race> => runRace(store, options);

  test("that keeps its promises passes", async () => {
    const store = memoryStore();
    expect(await expectLinearizable(store, await raced(store))).toBeGreaterThan(50);
  });

  const broken: Readonly<Record<string, (store: GovernanceStore) => GovernanceStore>> = {
    "answers some reads from a replica that is behind": (store) => {
      const behind = new Map<string, Awaited<ReturnType<GovernanceStore["load"]>>>();
      let count = 0;
      return {
        ...store,
        load: async (ref, query) => {
          count += 1;
          const old = behind.get(ref.experiment);
          if (count % 20 === 0 && old !== undefined) return old;
          const loaded = await store.load(ref, query);
          if (count % 50 === 1) behind.set(ref.experiment, loaded);
          return loaded;
        },
      };
    },
    "forgets receipts": (store) => ({
      ...store,
      commit: (ref, commit) => store.commit(ref, { ...commit, receipt: null }),
    }),
    "says now and then that it wrote, and did not": (store) => {
      let count = 0;
      return {
        ...store,
        commit: async (ref, commit) => {
          count += commit.expect === "new" ? 0 : 1;
          return count % 30 === 29 ? { ok: true } : store.commit(ref, commit);
        },
      };
    },
  };

  test.each(Object.entries(broken))("that %s is found out", async (_, break_) => {
    const store = break_(memoryStore());
    const judged = raced(store).then((race) => expectLinearizable(store, race));
    await expect(judged).rejects.toThrow(/expected/);
  });
});
