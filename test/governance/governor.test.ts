import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { Actor } from "../../src/governance/actor.ts";
import {
  type CommandAnswer,
  type CommandRequest,
  createGovernor,
  type Governor,
} from "../../src/governance/governor.ts";
import { etagOf } from "../../src/governance/present.ts";
import type { CommandInput } from "../../src/governance/request.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { replay } from "../../src/governance/evolve.ts";
import { checkout, policySetOf, ref, startOfTime, type World } from "../support/scenario.ts";

const ada: Actor = { id: "ada@example.org", kind: "human", roles: ["editor", "operator"] };
const bob: Actor = { id: "bob@example.org", kind: "human", roles: ["approver"] };

const governorOn = (store: GovernanceStore, world: World = {}): Governor => {
  let ids = 0;
  return createGovernor({
    store,
    policySet: policySetOf(world),
    telemetry: {
      read: () =>
        Promise.resolve({ exposed: 0, worstErrorRate: 0, worstVariant: null, subjects: {}, sampleRatio: null }),
    },
    now: () => startOfTime,
    id: () => `id-${(ids += 1)}-${Math.random()}`,
    salt: () => crypto.randomUUID().replaceAll("-", ""),
  });
};

const write: CommandInput = { type: "WriteVersion", configuration: checkout(), createOnly: false };
const move = (to: "PendingApproval" | "Approved" | "Running" | "Ramping" | "Paused" | "Draft"): CommandInput => ({
  type: "Transition",
  to,
});
const request = (command: CommandInput, more: Partial<CommandRequest> = {}): CommandRequest => ({
  ref,
  actor: ada,
  command,
  ...more,
});
const eventsIn = async (store: GovernanceStore) => (await store.history(ref, { limit: 1_000 })).events;
const codeOf = (answer: CommandAnswer): string => (answer.ok ? answer.outcome : answer.code);

/** A store whose commits can be held up, or whose answers can be lost after the commit. */
const troubled = (
  store: GovernanceStore,
  before: () => Promise<void>,
  after: () => void = () => undefined,
): GovernanceStore => ({
  ...store,
  async commit(target, commit) {
    await before();
    const result = await store.commit(target, commit);
    after();
    return result;
  },
});

describe("idempotency keys", () => {
  test("a retry gets the first answer and adds no event", async () => {
    const store = memoryStore();
    const first = await governorOn(store).execute(request(write, { idempotencyKey: "k" }));
    const length = (await eventsIn(store)).length;
    // Another process, so nothing is remembered; and a precondition that no longer holds.
    const again = await governorOn(store).execute(request(write, { idempotencyKey: "k", ifMatch: '"0-none"' }));
    expect(again).toEqual(first);
    expect((await eventsIn(store)).length).toBe(length);
  });

  test("also when the same process remembers the experiment, and the change is already made", async () => {
    const store = memoryStore();
    const governor = governorOn(store);
    await governor.execute(request(write));
    const first = await governor.execute(request(move("PendingApproval"), { idempotencyKey: "k" }));
    expect(await governor.execute(request(move("PendingApproval"), { idempotencyKey: "k" }))).toEqual(first);
    expect((await eventsIn(store)).filter((event) => event.type === "Transitioned")).toHaveLength(1);
  });

  test("a recorded refusal is an answer too; a mere invalid transition is not kept", async () => {
    const store = memoryStore();
    const governor = governorOn(store, {
      gates: [{ type: "roleBased", to: "PendingApproval", allowedRoles: ["release"] }],
    });
    await governor.execute(request(write));
    const refused = await governor.execute(request(move("PendingApproval"), { idempotencyKey: "k" }));
    expect(refused).toMatchObject({ ok: false, code: "gate-rejected" });
    expect(await governor.execute(request(move("PendingApproval"), { idempotencyKey: "k" }))).toEqual(refused);
    expect((await eventsIn(store)).filter((event) => event.type === "ChangeDenied")).toHaveLength(1);
    expect(codeOf(await governor.execute(request(move("Running"), { idempotencyKey: "other" })))).toBe(
      "invalid-transition",
    );
  });

  test("the same key for something else is refused; another person's equal key is another request", async () => {
    const store = memoryStore();
    const governor = governorOn(store);
    await governor.execute(request(write, { idempotencyKey: "k" }));
    expect(codeOf(await governor.execute(request(move("PendingApproval"), { idempotencyKey: "k" })))).toBe(
      "idempotency-key-reused",
    );
    expect(
      codeOf(
        await governor.execute(request(move("PendingApproval"), { idempotencyKey: "k", actor: { ...ada, id: "cy" } })),
      ),
    ).toBe("done");
  });

  test("while the first still runs the second is told so, and later gets its answer", async () => {
    const store = memoryStore();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const governor = governorOn(troubled(store, () => held));
    const first = governor.execute(request(write, { idempotencyKey: "k" }));
    expect(codeOf(await governor.execute(request(write, { idempotencyKey: "k" })))).toBe("request-in-flight");
    release();
    const answered = await first;
    expect(await governor.execute(request(write, { idempotencyKey: "k" }))).toEqual(answered);
  });

  test("an answer that was lost after the commit is found by the retry", async () => {
    const store = memoryStore();
    let lose = true;
    const losing = troubled(
      store,
      () => Promise.resolve(),
      () => {
        if (!lose) return;
        lose = false;
        throw new Error("connection lost");
      },
    );
    const governor = governorOn(losing);
    await expect(governor.execute(request(write, { idempotencyKey: "k" }))).rejects.toThrow("connection lost");
    expect(await governor.execute(request(write, { idempotencyKey: "k" }))).toMatchObject({
      ok: true,
      outcome: "created",
      body: { version: 1 },
    });
    expect((await eventsIn(store)).map((event) => event.type)).toEqual(["Created", "VersionWritten"]);
  });
});

describe("races", () => {
  test("20 governors on one store: one winner, and everybody else is judged on the new state", async () => {
    const store = memoryStore();
    await governorOn(store).execute(request(write));
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => governorOn(store).execute(request(move("PendingApproval")))),
    );
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
    expect(answers.filter((answer) => !answer.ok).map(codeOf)).toEqual(
      Array.from({ length: 19 }, () => "invalid-transition"),
    );
    expect((await eventsIn(store)).filter((event) => event.type === "Transitioned")).toHaveLength(1);
  });

  test("two first versions at once: one creates, the other is version 2", async () => {
    const store = memoryStore();
    const answers = await Promise.all([
      governorOn(store).execute(request(write)),
      governorOn(store).execute(request(write)),
    ]);
    expect(answers.map((answer) => (answer.ok ? String(answer.body["version"]) : answer.code)).toSorted()).toEqual([
      "1",
      "2",
    ]);
  });

  test("what a governor remembers may be old: a change made elsewhere is seen", async () => {
    const store = memoryStore();
    const [here, elsewhere] = [governorOn(store), governorOn(store)];
    await here.execute(request(write));
    await elsewhere.execute(request(move("PendingApproval")));
    expect(codeOf(await here.execute(request(move("Approved"))))).toBe("done");
  });

  test("a lost race is decided anew: a policy that passed on the old base refuses on the new one", async () => {
    const store = memoryStore();
    await governorOn(store).execute(request(write));
    await governorOn(store).execute(request(move("PendingApproval")));
    let interfere = true;
    const racing = troubled(store, async () => {
      if (!interfere) return;
      interfere = false;
      await governorOn(store).execute(
        request({ ...write, configuration: checkout({ traffic: 100, surfaces: ["cart"] }) }),
      );
    });
    const world: World = { policies: [{ type: "trafficLimit", to: ["approved"], maxTrafficPercentage: 50 }] };
    const narrow: CommandInput = { ...write, configuration: checkout({ traffic: 50 }) };
    await governorOn(store).execute(request(narrow));
    const answer = await governorOn(racing, world).execute(request(move("Approved")));
    expect(codeOf(answer)).toBe("policy-violation");
    expect((await store.load(ref))?.snapshot.state.lifecycle).toBe("PendingApproval");
  });

  test("a store that always loses the race is given up on, after a bounded number of attempts", async () => {
    const store = memoryStore();
    await governorOn(store).execute(request(write));
    let commits = 0;
    const losing: GovernanceStore = {
      ...store,
      commit: () => Promise.resolve({ ok: false, conflict: "stale" } as const).finally(() => (commits += 1)),
    };
    await expect(governorOn(losing).execute(request(move("PendingApproval")))).rejects.toMatchObject({
      code: "store-unavailable",
    });
    expect(commits).toBe(5);
  });

  const running = async (store: GovernanceStore) => {
    for (const command of [write, move("PendingApproval"), move("Approved"), move("Running")])
      await governorOn(store).execute(request(command));
  };
  const movesIn = async (store: GovernanceStore): Promise<readonly string[]> =>
    (await eventsIn(store)).flatMap((event) =>
      event.type === "Transitioned" ? [`${event.data.from}→${event.data.to}`] : [],
    );

  test("a brake overtakes a change that waits for evidence, and is not undone by it", async () => {
    const store = memoryStore();
    await running(store);
    const { promise: slow, resolve: release } = Promise.withResolvers<void>();
    const governor = createGovernor({
      store,
      policySet: policySetOf({ policies: [{ type: "errorRate", to: ["ramping"], maxErrorRate: 0.1 }] }),
      telemetry: {
        read: () =>
          slow.then(() => ({ exposed: 0, worstErrorRate: 0, worstVariant: null, subjects: {}, sampleRatio: null })),
      },
      now: () => startOfTime,
      id: () => crypto.randomUUID(),
      salt: () => crypto.randomUUID(),
    });
    const ramp: CommandInput = { type: "Transition", to: "Ramping" };
    const waiting = governor.execute(request(ramp));
    const queued = governor.execute(request(ramp, { actor: { ...ada, id: "cy" } }));
    expect(codeOf(await governor.execute(request(move("Paused"))))).toBe("done");
    release();
    // Both were asked for while it ran; nobody who asked had seen the pause.
    expect([codeOf(await waiting), codeOf(await queued)]).toEqual(["invalid-transition", "invalid-transition"]);
    expect((await movesIn(store)).at(-1)).toBe("Running→Paused");
    // Asked again, with the pause in sight, it goes.
    expect(codeOf(await governor.execute(request(ramp)))).toBe("done");
  });

  test("a brake waits for the commit under way and for nothing else, however busy the experiment is", async () => {
    const inner = memoryStore();
    await running(inner);
    const hop = () => new Promise<void>((resolve) => setTimeout(resolve, 2));
    const distant: GovernanceStore = {
      ...inner,
      load: (target, options) => hop().then(() => inner.load(target, options)),
      commit: (target, commit) =>
        hop()
          .then(() => inner.commit(target, commit))
          .then((result) => hop().then(() => result)),
    };
    const governor = governorOn(distant);
    const done = new AbortController();
    const writers = Array.from({ length: 4 }, async () => {
      while (!done.signal.aborted) await governor.execute(request(write));
    });
    const answers: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      answers.push(codeOf(await governor.execute(request(move("Paused")))));
      answers.push(codeOf(await governor.execute(request(move("Running")))));
    }
    done.abort();
    await Promise.all(writers);
    expect(new Set(answers)).toEqual(new Set(["done"]));
  });

  test("a pause of another process is not undone by whoever has not seen it, and is by whoever names it", async () => {
    const store = memoryStore();
    const [one, other] = [governorOn(store), governorOn(store)];
    await one.execute(request(write));
    for (const to of ["PendingApproval", "Approved", "Running"] as const) await one.execute(request(move(to)));
    const paused = await other.execute(request(move("Paused")));
    // The first process still remembers Running, and cannot know when the pause came.
    expect(codeOf(await one.execute(request(move("Ramping"))))).toBe("invalid-transition");
    expect(codeOf(await one.execute(request(move("Ramping"))))).toBe("done");
    await other.execute(request(move("Paused")));
    const { etag } = paused.ok ? paused : { etag: "" };
    expect(codeOf(await one.execute(request(move("Running"), { ifMatch: etag })))).toBe("precondition-failed");
    const loaded = await store.load(ref);
    const present = loaded === null ? "" : etagOf(loaded.snapshot);
    expect(codeOf(await one.execute(request(move("Running"), { ifMatch: present })))).toBe("done");
  });
});

describe("preconditions", () => {
  test("If-Match: the present tag passes, an old one is refused with the present one; * wants existence", async () => {
    const store = memoryStore();
    const governor = governorOn(store);
    expect(codeOf(await governor.execute(request(write, { ifMatch: "*" })))).toBe("precondition-failed");
    const first = await governor.execute(request(write));
    if (!first.ok) throw new Error("not created");
    const second = await governor.execute(request(write, { ifMatch: first.etag }));
    expect(second.ok).toBe(true);
    const third = await governor.execute(request(write, { ifMatch: first.etag }));
    expect(third).toMatchObject({
      ok: false,
      code: "precondition-failed",
      details: { current: second.ok ? second.etag : "" },
    });
    expect(codeOf(await governor.execute(request(write, { ifMatch: "*" })))).toBe("created");
  });

  test("another person's refused attempt moves the log and disturbs nobody's tag", async () => {
    const store = memoryStore();
    const governor = governorOn(store, {
      gates: [{ type: "roleBased", to: "PendingApproval", allowedRoles: ["operator"] }],
    });
    const first = await governor.execute(request(write));
    expect(codeOf(await governor.execute(request(move("PendingApproval"), { actor: bob })))).toBe("gate-rejected");
    expect((await eventsIn(store)).at(-1)?.type).toBe("ChangeDenied");
    expect(
      codeOf(await governor.execute(request(move("PendingApproval"), { ifMatch: first.ok ? first.etag : "" }))),
    ).toBe("done");
  });
});

describe("evidence that fails", () => {
  test("its message reaches the host's report, and neither the answer nor the history", async () => {
    const store = memoryStore();
    const reported: unknown[] = [];
    for (const command of [write, move("PendingApproval"), move("Approved")])
      await governorOn(store).execute(request(command));
    const governor = createGovernor({
      store,
      policySet: policySetOf({ policies: [{ type: "errorRate", maxErrorRate: 0.1 }] }),
      telemetry: { read: () => Promise.reject(new Error("postgres://svc:hunter2@db\u0000")) },
      now: () => startOfTime,
      id: () => crypto.randomUUID(),
      salt: () => crypto.randomUUID(),
      report: (error) => reported.push(error),
    });
    const answer = await governor.execute(request(move("Running")));
    expect(codeOf(answer)).toBe("evidence-inconclusive");
    expect(JSON.stringify([answer, await eventsIn(store)])).not.toContain("hunter2");
    expect(reported).toHaveLength(1);
  });
});

describe("the record", () => {
  test("the history alone leads to the stored state, and no personal value is in it", async () => {
    const store = memoryStore();
    const governor = governorOn(store, { gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] });
    await governor.execute(request({ ...write, changeDescription: "Ada's secret plan" }));
    await governor.execute(
      request({
        type: "Transition",
        to: "PendingApproval",
        reason: "because Ada says so",
        metadata: { ticket: "SECRET-1" },
      }),
    );
    const loaded = await store.load(ref);
    const changeDigest = loaded?.snapshot.state.proposals[0]?.changeDigest ?? "";
    await governor.execute(
      request({ type: "Say", decision: "approve", changeDigest, reason: "Bob agrees" }, { actor: bob }),
    );
    await governor.execute(request(move("Approved")));
    const events = await eventsIn(store);
    expect(replay(events)).toEqual((await store.load(ref))?.snapshot.state);
    const text = JSON.stringify(events);
    for (const personal of ["ada@", "bob@", "Ada", "Bob", "SECRET"]) expect(text).not.toContain(personal);
    const { people } = await store.history(ref, { limit: 1_000 });
    expect([...people.values()]).toEqual(
      expect.arrayContaining(["ada@example.org", "bob@example.org", "Bob agrees", '{"ticket":"SECRET-1"}']),
    );
  });

  test("one person has one reference in an experiment, in every process", async () => {
    const store = memoryStore();
    await governorOn(store).execute(request(write));
    await governorOn(store).execute(request(move("PendingApproval")));
    await governorOn(store).execute(request(write, { actor: bob }));
    const refs = (await eventsIn(store)).map((event) => event.actor.ref);
    expect(new Set(refs).size).toBe(2);
  });

  test("refusals are recorded up to a bound, and given beyond it", async () => {
    const store = memoryStore();
    const governor = governorOn(store, {
      gates: [{ type: "roleBased", to: "PendingApproval", allowedRoles: ["operator"] }],
    });
    await governor.execute(request(write));
    const answers: string[] = [];
    for (let attempt = 0; attempt < 30; attempt += 1)
      answers.push(codeOf(await governor.execute(request(move("PendingApproval"), { actor: bob }))));
    expect(new Set(answers)).toEqual(new Set(["gate-rejected"]));
    expect((await eventsIn(store)).filter((event) => event.type === "ChangeDenied")).toHaveLength(20);
  });

  test("two experiments that start on one surface: the second is told who holds it", async () => {
    const store = memoryStore();
    const other = { ...ref, experiment: "pricing" };
    const both = [ref, other];
    for (const target of both) {
      const configuration = checkout({ name: target.experiment, surfaces: ["cart"] });
      for (const command of [{ ...write, configuration }, move("PendingApproval"), move("Approved")])
        await governorOn(store).execute({ ref: target, actor: ada, command });
    }
    const answers = await Promise.all(
      both.map((target) => governorOn(store).execute({ ref: target, actor: ada, command: move("Running") })),
    );
    expect(answers.map(codeOf).toSorted()).toEqual(["done", "surface-claimed"]);
    const loser = answers.find((answer) => !answer.ok);
    expect(loser).toMatchObject({ details: { claim: "surface:cart" } });
    const histories = await Promise.all(both.map((target) => store.history(target, { types: ["ChangeDenied"] })));
    expect(histories.flatMap((page) => page.events)).toMatchObject([{ data: { code: "surface-claimed" } }]);
  });
});

describe("the rules behind a decision", () => {
  const gates: World["gates"] = [{ type: "roleBased", to: "PendingApproval", allowedRoles: ["editor"] }];

  /** Digests that events name, against the definitions that the store has. */
  const named = async (store: GovernanceStore): Promise<readonly string[]> =>
    (await eventsIn(store)).flatMap(({ data }) => [
      ...("policySetDigest" in data ? [data.policySetDigest] : []),
      ...("approvedUnder" in data ? [data.approvedUnder] : []),
    ]);
  const written = async (store: GovernanceStore): Promise<readonly string[]> =>
    (await store.rules(ref)).rules.map(({ digest }) => digest);
  const sorted = (digests: readonly string[]): readonly string[] => [...new Set(digests)].toSorted();

  const counting = (store: GovernanceStore) => {
    const carried: number[] = [];
    return {
      carried,
      store: {
        ...store,
        commit: (target: typeof ref, commit: Parameters<GovernanceStore["commit"]>[1]) => {
          carried.push(commit.rules?.length ?? 0);
          return store.commit(target, commit);
        },
      },
    };
  };

  test("are stored with every event that names them, those of denials too", async () => {
    const store = memoryStore();
    const governor = governorOn(store, { gates });
    await governor.execute(request(write));
    expect(await written(store)).toEqual([]);
    expect(codeOf(await governor.execute(request(move("PendingApproval"), { actor: bob })))).toBe("gate-rejected");
    expect(await written(store)).toEqual(sorted(await named(store)));
    for (const to of ["PendingApproval", "Approved", "Running"] as const) await governor.execute(request(move(to)));
    await governor.execute(
      request({ type: "WriteVersion", configuration: checkout({ traffic: 7 }), createOnly: false }),
    );
    await governor.execute(request({ type: "Publish", version: 2 }));
    expect((await eventsIn(store)).at(-1)?.type).toBe("Published");
    expect((await named(store)).length).toBeGreaterThan(5);
    expect(await written(store)).toEqual(sorted(await named(store)));
  });

  test("are carried by a commit once, as long as the process remembers", async () => {
    const { store, carried } = counting(memoryStore());
    const governor = governorOn(store, { gates });
    await governor.execute(request(write));
    for (let round = 0; round < 2; round += 1) {
      await governor.execute(request(move("PendingApproval")));
      await governor.execute(request(move("Draft")));
    }
    expect(carried).toEqual([0, 2, 0, 0, 0]);
    // Another process knows nothing, and costs nothing but the statements.
    await governorOn(store, { gates }).execute(request(move("PendingApproval")));
    expect(carried.at(-1)).toBe(2);
    expect(await written(store)).toEqual(sorted(await named(store)));
  });

  test("are stored even when the process is wrong about the store", async () => {
    let present = memoryStore();
    // The database is restored from nothing while the process runs.
    const store: GovernanceStore = {
      ...present,
      load: (target, options) => present.load(target, options),
      commit: (target, commit) => present.commit(target, commit),
    };
    const governor = governorOn(store, { gates });
    await governor.execute(request(write));
    await governor.execute(request(move("PendingApproval")));
    present = memoryStore();
    await governorOn(present, { gates }).execute(request(write));
    await governor.execute(request(move("PendingApproval")));
    expect((await present.history(ref)).events.at(-1)?.type).toBe("ProposalOpened");
    expect(await written(present)).toEqual(sorted(await named(present)));
  });

  test("are stored by a commit whose first attempt was lost", async () => {
    const store = memoryStore();
    let lose = true;
    const governor = governorOn(
      troubled(
        store,
        async () => {
          if (!lose) return;
          lose = false;
          await governorOn(store).execute(request(write));
        },
        () => undefined,
      ),
      { gates },
    );
    await governor.execute(request(write));
    await governor.execute(request(move("PendingApproval")));
    expect(await written(store)).toEqual(sorted(await named(store)));
  });
});
