/**
 * What a fault between any two steps may leave: one effect for each command that was asked for, and nothing half. A
 * store's test gives it a way to make one: `describeFaults("d1", makeStore)`. `stores-complete.test.ts` fails for an
 * adapter without that call.
 */
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/canonical.ts";
import { verifyChain } from "../../src/governance/chain.ts";
import { replay } from "../../src/governance/evolve.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { type FaultyStore, faultyStore, type StoreFault } from "../support/faulty-store.ts";
import { denial, denied, freshScope } from "../support/governance.ts";
import {
  governedWorld,
  type Process,
  type ProcessOptions,
  proposalsIn,
  type Reply,
} from "../support/governed-world.ts";

const rules: ProcessOptions = { gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] };

type Headers = Record<string, string>;
type Step = (process: Process, key: Headers) => Promise<Reply>;

const variants = [{ key: "control", control: true }, { key: "treatment" }];
const written = (traffic: number) => ({ configuration: { salt: "pepper", variants, traffic, surfaces: ["header"] } });

/** From nothing to a running experiment that was changed, paused and rolled back. */
const steps: readonly Step[] = [
  ({ author }, key) => author.post("/versions", written(100), key),
  ({ author }, key) => author.move("PendingApproval", { reason: "it is ready" }, key),
  async ({ author, approver }, key) => {
    const proposals = await author.get("/proposals");
    if (proposals.status !== 200) return proposals;
    const [open] = proposalsIn(proposals);
    return approver.post("/approvals", { decision: "approve", changeDigest: open?.changeDigest ?? "" }, key);
  },
  ({ author }, key) => author.move("Approved", {}, key),
  ({ author }, key) => author.move("Running", {}, key),
  ({ author }, key) => author.post("/versions", written(50), key),
  // Held: a proposal is opened.
  ({ author }, key) => author.post("/versions/2/publish", {}, key),
  ({ author }, key) => author.move("Paused", {}, key),
  ({ author }, key) => author.post("/versions/rollback", { targetVersion: 1 }, key),
];

/** A retry may come to the process that failed, or to another one that remembers nothing. */
type Retry = "the same process" | "another process";

/** A client gives up at some time; it must not have to. */
const attemptsMax = 5;

const play = async (
  makeStore: () => Promise<GovernanceStore>,
  call?: number,
  fault?: StoreFault,
  retry: Retry = "the same process",
) => {
  const store = await makeStore();
  const world = governedWorld(store, freshScope());
  const foreign = new Set<string>();
  /** Somebody else's attempt is recorded in between: the head moves, the state does not. */
  const meanwhile = async (): Promise<void> => {
    const loaded = await store.load(world.ref);
    if (loaded === null) return;
    const commit = denial({ head: loaded.head }, { drafts: [denied()] });
    expect(await store.commit(world.ref, commit)).toEqual({ ok: true });
    for (const { id } of commit.events) foreign.add(id);
  };
  let faulty: FaultyStore | undefined;
  const through = (inner: GovernanceStore): GovernanceStore =>
    (faulty ??= faultyStore(inner, {
      meanwhile,
      ...(call === undefined ? {} : { call }),
      ...(fault === undefined ? {} : { fault }),
    }));
  const first = world.start({ ...rules, through });
  let process = first;
  const answers: (readonly unknown[])[] = [];
  for (const [index, step] of steps.entries()) {
    const key = { "idempotency-key": `step-${index}` };
    const earlier = faulty?.calls.length ?? 0;
    let reply = await step(process, key);
    for (let attempt = 1; attempt < attemptsMax && reply.status >= 500; attempt += 1) {
      if (retry === "another process") process = world.start({ ...rules, through });
      reply = await step(process, key);
    }
    const { status, code, body } = reply;
    answers.push([status, code, body["newState"], body["version"], body["newVersion"], body["isLive"]]);
    // Once more, where the fault was and all is done: the answer is the same, and nothing happens.
    if (call !== undefined && call > earlier && call <= (faulty?.calls.length ?? 0)) {
      const again = await step(world.start(rules), key);
      expect([again.status, again.code]).toEqual([status, code]);
    }
  }
  const events = (await world.history()).filter(({ id }) => !foreign.has(id));
  return { answers, types: events.map(({ type }) => type), calls: faulty?.calls ?? [], store, world };
};

const expectWhole = async ({ store, world }: Awaited<ReturnType<typeof play>>): Promise<void> => {
  const events = await world.history();
  const loaded = await store.load(world.ref);
  expect(verifyChain(events)).toMatchObject({
    valid: true,
    length: events.length,
    head: { seq: loaded?.head.seq, hash: loaded?.head.hash },
  });
  expect(canonicalJson(replay(events))).toBe(canonicalJson(loaded?.snapshot.state));
  const holders = await store.list(world.ref, { surface: "header" });
  expect(holders.items.map(({ ref }) => ref.experiment)).toEqual(["checkout"]);
  expect((await store.list(world.ref, { states: ["Paused"] })).items).toHaveLength(1);
  expect((await store.list(world.ref)).items).toHaveLength(1);
};

/** Every kind of fault, and who is asked again. */
export const faultCases: readonly (readonly [StoreFault, Retry])[] = [
  ["fail", "the same process"],
  ["fail", "another process"],
  ["lose", "the same process"],
  ["lose", "another process"],
  ["delay", "the same process"],
];

/**
 * Runs the whole once without a fault, and then once more for each call to the store that it saw.
 *
 * @returns how many runs had a fault
 */
export const tryFaults = async (
  makeStore: () => Promise<GovernanceStore>,
  fault: StoreFault,
  retry: Retry,
): Promise<number> => {
  const dry = await play(makeStore);
  await expectWhole(dry);
  const { answers, types, calls } = dry;
  expect(answers.map(([status]) => status)).toEqual([201, 200, 201, 200, 200, 201, 202, 200, 201]);
  expect(calls.filter((method) => method === "commit")).toHaveLength(steps.length);
  expect(calls.length).toBeGreaterThan(steps.length);
  for (let call = 1; call <= calls.length; call += 1) {
    const played = await play(makeStore, call, fault, retry);
    expect({ call, answers: played.answers, types: played.types }).toEqual({ call, answers, types });
    expect(played.calls.length).toBeGreaterThanOrEqual(call);
    await expectWhole(played);
  }
  return calls.length;
};

export const describeFaults = (name: string, makeStore: () => Promise<GovernanceStore>): void => {
  describe(`faults on ${name}`, () => {
    test.for(faultCases)(
      "%s at every await, one after another, and a retry by %s: one effect",
      { timeout: 120_000 },
      async ([fault, retry]) => {
        await expect(tryFaults(makeStore, fault, retry)).resolves.toBeGreaterThan(steps.length);
      },
    );
  });
};
