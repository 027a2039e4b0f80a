/** Old events into a file, behind a signed checkpoint: what stays verifies, is understood, and goes on. */
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { canonicalJson } from "../../src/canonical.ts";
import { checkHistory } from "../../src/governance/check-history.ts";
import { withCurrentShape } from "../../src/governance/current-shape.ts";
import { replay } from "../../src/governance/evolve.ts";
import { exportExperiment } from "../../src/governance/export/export.ts";
import { importExperiment } from "../../src/governance/export/import.ts";
import { checkpointState } from "../../src/governance/export/statements.ts";
import { verifyExport } from "../../src/governance/export/verify.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { archivable, archiveLines, removeArchived } from "../../src/governance/retention.ts";
import { createSigner } from "../../src/governance/signing.ts";
import { stateShape } from "../../src/governance/state.ts";
import { stateAt } from "../../src/governance/state-at.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { readState } from "../../src/governance/stored.ts";
import { observe, wholeHistory } from "../conformance/store/under-test.ts";
import { approver, author, collect, lived } from "../support/lived.ts";

const newSigner = async () => {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new TypeError("a key pair");
  return createSigner(JSON.stringify(await crypto.subtle.exportKey("jwk", pair.privateKey)));
};
const signer = await newSigner();

const linesOf = async (lines: AsyncIterable<string>): Promise<readonly string[]> =>
  (await collect(lines)).map((line) => line.slice(0, -1));

/** A lived history whose first half is archived. */
const archived = async (rounds = 4) => {
  const { store, ref, governance } = await lived({ rounds });
  const history = await wholeHistory(store, ref);
  const whole = await observe(store, ref);
  const full = await linesOf(exportExperiment(store, ref));
  const middle = history[Math.floor(history.length / 2)];
  if (middle === undefined) throw new TypeError("a history");
  const part = await archivable(store, ref, Date.parse(middle.at));
  if (part === null) throw new TypeError("something to archive");
  const archive = await linesOf(archiveLines(store, ref, part, signer));
  expect(await removeArchived(store, ref, part, signer)).toBe(true);
  return { store, ref, governance, history, whole, full, part, archive };
};

describe("what stays in the store", () => {
  test("is the checkpoint's event and everything behind it", async () => {
    const { store, ref, history, part, whole } = await archived();
    expect(await wholeHistory(store, ref)).toEqual(history.slice(part.head.seq - 1));
    expect(part.head.seq).toBeGreaterThan(5);
    const now = await observe(store, ref, { actor: author.actor.id });
    expect(now.loaded).toEqual((await observe(store, ref, { actor: author.actor.id })).loaded);
    expect(now.loaded?.snapshot).toEqual(whole.loaded?.snapshot);
  });

  test("verifies from the checkpoint, and its signature is checked", async () => {
    const { store, ref, history, part, governance } = await archived();
    const from = part.head.seq;
    const good = { valid: true, length: history.length, firstInvalid: null, from };
    expect(await checkHistory(store, ref, signer)).toMatchObject(good);
    expect(await governance.verify(ref)).toMatchObject(good);
    expect(await checkHistory(store, ref, signer)).toMatchObject({
      checkpoint: { keyId: signer.keyId, checked: true },
    });
    // A key that has been changed since says nothing; one that only calls itself the same does not pass.
    const other = await newSigner();
    expect(await checkHistory(store, ref, other)).toMatchObject({ ...good, checkpoint: { checked: false } });
    const impostor = { ...other, keyId: signer.keyId };
    expect(await checkHistory(store, ref, impostor)).toMatchObject({ valid: false, firstInvalid: from });
    const events = await wholeHistory(store, ref);
    const forge = (change: (events: typeof history) => typeof history): GovernanceStore => ({
      ...store,
      history: (_ref, { after = 0 } = {}) =>
        Promise.resolve({
          events: change(events).filter(({ seq }) => seq > after),
          next: null,
          people: new Map(),
        }),
    });
    const changed = (index: number) =>
      forge((all) => all.map((event, at) => (at === index ? { ...event, id: "x" } : event)));
    expect(await checkHistory(changed(0), ref)).toMatchObject({ valid: false, firstInvalid: from });
    expect(await checkHistory(changed(3), ref)).toMatchObject({ valid: false, firstInvalid: from + 3 });
    expect(
      await checkHistory(
        forge((all) => all.slice(1)),
        ref,
      ),
    ).toMatchObject({ valid: false, firstInvalid: from });
  });

  test("tells of the past since the checkpoint, and says that the rest is archived", async () => {
    const { store, ref, history, part } = await archived();
    for (const seq of [part.head.seq, part.head.seq + 3, history.length]) {
      const past = await stateAt(store, ref, { seq });
      expect(canonicalJson(past.state)).toBe(canonicalJson(replay(history.slice(0, seq))));
    }
    await expect(stateAt(store, ref, { seq: part.head.seq - 1 })).rejects.toMatchObject({ code: "not-found" });
    await expect(stateAt(store, ref, { time: 0 })).rejects.toMatchObject({ code: "not-found" });
  });

  test("can be governed as before, archived again, and rebuilt in another shape", async () => {
    const { store, ref, governance } = await archived();
    expect(await governance.pause(ref, author)).toMatchObject({ ok: true });
    const history = await wholeHistory(store, ref);
    const part = await archivable(store, ref, Infinity);
    expect(part?.head.seq).toBe(history.at(-1)?.seq);
    if (part === null) return;
    expect(await removeArchived(store, ref, part, signer)).toBe(true);
    expect(await wholeHistory(store, ref)).toEqual(history.slice(-1));
    // Again: there is nothing left.
    expect(await archivable(store, ref, Infinity)).toBeNull();
    const snapshot = (await store.load(ref))?.snapshot;
    const outdated: GovernanceStore = {
      ...store,
      load: async (where, options) => {
        const loaded = await store.load(where, options);
        if (loaded === null) return null;
        return {
          ...loaded,
          snapshot: { ...loaded.snapshot, state: { ...loaded.snapshot.state, shape: 0, lifecycle: "Draft" } },
        };
      },
    };
    expect((await withCurrentShape(outdated).load(ref))?.snapshot).toEqual(snapshot);
    expect(await createGovernance({ store }).transition(ref, "Running", {}, author)).toMatchObject({ ok: true });
  });

  test("goes on from a checkpoint whose state has the first shape, as code of then has signed it", async () => {
    const { store, ref, part } = await archived();
    const before = await store.load(ref);
    const kept = await store.checkpoint(ref);
    if (kept === null || before === null) throw new TypeError("a checkpoint and a snapshot");
    const later = [
      "shape",
      "written",
      "servingSince",
      "liveSince",
      "paused",
      "frozen",
      "signals",
      "notified",
      "earlierPlans",
    ];
    const ofThen = (state: object): object =>
      Object.fromEntries(Object.entries(state).filter(([member]) => !later.includes(member)));
    const Text = v.record(v.string(), v.unknown());
    const signed = v.parse(Text, JSON.parse(kept.text));
    const text = canonicalJson({ ...signed, state: ofThen(part.state) });
    const old = { ...kept, text, signature: await signer.sign(text) };
    const aged: GovernanceStore = {
      ...store,
      checkpoint: () => Promise.resolve(old),
      load: async (where, options) => {
        const loaded = await store.load(where, options);
        if (loaded === null || loaded.head.seq !== before.head.seq) return loaded;
        const state = readState(canonicalJson(ofThen(loaded.snapshot.state)));
        return { ...loaded, snapshot: { ...loaded.snapshot, state } };
      },
    };
    expect(checkpointState(ref, old)?.state).toMatchObject({ shape: stateShape, lifecycle: part.state.lifecycle });
    const { state } = (await withCurrentShape(aged).load(ref))?.snapshot ?? {};
    expect(state).toMatchObject({ shape: stateShape, lifecycle: before.snapshot.state.lifecycle });
    expect(state?.latest).toEqual(before.snapshot.state.latest);
    expect(state?.approved).toEqual(before.snapshot.state.approved);
    expect(await checkHistory(aged, ref, signer)).toMatchObject({ valid: true, checkpoint: { checked: true } });
    const governance = createGovernance({ store: aged });
    expect(await governance.pause(ref, author)).toMatchObject({ ok: true });
    expect((await store.load(ref))?.snapshot.state).toMatchObject({
      shape: stateShape,
      lifecycle: "Paused",
      paused: "control",
    });
    const file = await linesOf(exportExperiment(aged, ref, { signer }));
    expect(await verifyExport(file, { key: signer })).toMatchObject({ valid: true });
  });

  test("keeps no personal value that only archived events name, and knows everybody it still names", async () => {
    const { store, ref, whole, part } = await archived();
    const left = new Set((await observe(store, ref)).personal.map((value) => value.ref));
    const gone = whole.personal.filter((value) => !left.has(value.ref));
    expect(gone.map(({ value }) => value)).toContain("the first — «one»");
    const rest = JSON.stringify([await wholeHistory(store, ref), part.state, (await store.load(ref))?.snapshot.state]);
    for (const value of gone) expect(rest).not.toContain(value.ref);
    for (const value of left) expect(rest).toContain(value);
    // Nobody becomes somebody new by it.
    for (const { actor } of [author, approver])
      expect((await store.load(ref, { actor: actor.id }))?.actor).not.toBeNull();
  });
});

describe("the archive", () => {
  test("verifies by itself, signed, and so does what stayed", async () => {
    const { store, ref, archive, part } = await archived();
    const { seq, hash } = part.head;
    expect(await verifyExport(archive, { key: signer, head: { seq, hash } })).toMatchObject({
      valid: true,
      length: seq,
    });
    const rest = await linesOf(exportExperiment(store, ref, { signer }));
    expect(await verifyExport(rest, { key: signer, head: { seq, hash } })).toMatchObject({ valid: true, after: seq });
    expect(await verifyExport(rest, { head: { seq: seq - 1, hash } })).toMatchObject({ valid: false });
    const other = await newSigner();
    const checkpoint = rest.findIndex((line) => line.includes('"line":"checkpoint"')) + 1;
    expect(checkpoint).toBeGreaterThan(1);
    expect(await verifyExport(rest, { key: other })).toMatchObject({
      valid: false,
      firstInvalid: { line: checkpoint },
    });
    for (const index of rest.keys()) {
      const line = rest[index] ?? "";
      if (index % 7 !== 0 || !line.includes("checkpoint")) continue;
      expect(
        await verifyExport(rest.with(index, line.replace("proviso checkpoint", "proviso  checkpoint"))),
      ).toMatchObject({
        firstInvalid: { line: index + 1 },
      });
    }
  });

  test("and what stayed make the whole again, in another store", async () => {
    const { store, ref, archive, full, whole } = await archived();
    const rest = await linesOf(exportExperiment(store, ref));
    const target = memoryStore();
    await expect(importExperiment(target, rest)).rejects.toMatchObject({
      code: "invalid-request",
      details: { line: 1 },
    });
    await importExperiment(target, archive);
    await importExperiment(target, rest);
    expect(await linesOf(exportExperiment(target, ref))).toEqual(full);
    expect(await observe(target, ref)).toEqual(whole);
  });

  test("is not made of what is younger, nor of an experiment without a version", async () => {
    const { store, ref } = await lived();
    expect(await archivable(store, ref, 0)).toBeNull();
    expect(await archivable(memoryStore(), ref, Infinity)).toBeNull();
    const [first] = await wholeHistory(store, ref);
    expect(await archivable(store, ref, Date.parse(first?.at ?? "") + 1)).toMatchObject({ head: { seq: 2 } });
  });

  test("of a checkpoint that was tampered with is not believed", async () => {
    const { store, ref } = await archived();
    const checkpoint = await store.checkpoint(ref);
    if (checkpoint === null) throw new TypeError("a checkpoint");
    expect(checkpointState(ref, checkpoint)).not.toBeNull();
    for (const text of ["", "{}", checkpoint.text.replace('"lifecycle":"', '"lifecycle":"x'), ` ${checkpoint.text}`])
      expect(checkpointState(ref, { ...checkpoint, text })).toBeNull();
    expect(checkpointState({ ...ref, tenant: "other" }, checkpoint)).toBeNull();
    expect(checkpointState(ref, { ...checkpoint, seq: checkpoint.seq + 1 })).toBeNull();
  });
});
