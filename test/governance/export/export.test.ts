/** A history out of one store and into another: the same bytes, the same state, the same ETag. */
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../../adapters/store/memory.ts";
import { canonicalJson } from "../../../src/canonical.ts";
import { replay } from "../../../src/governance/evolve.ts";
import { exportExperiment } from "../../../src/governance/export/export.ts";
import { importExperiment } from "../../../src/governance/export/import.ts";
import { splitLines } from "../../../src/governance/export/lines.ts";
import { verifyExport } from "../../../src/governance/export/verify.ts";
import { createGovernance } from "../../../src/governance/governance.ts";
import { etagOf } from "../../../src/governance/present.ts";
import type { GovernanceStore } from "../../../src/governance/store.ts";
import { limits } from "../../../src/limits.ts";
import type { ExperimentRef } from "../../../src/scope.ts";
import { observe } from "../../conformance/store/under-test.ts";
import { configuration, creation } from "../../support/governance.ts";
import { author, collect, lived, livedTypes, variants } from "../../support/lived.ts";

const textOf = async (store: GovernanceStore, ref: ExperimentRef): Promise<string> =>
  (await collect(exportExperiment(store, ref))).join("");

const Members = v.record(v.string(), v.unknown());
const linesIn = (text: string): readonly string[] => text.split("\n").slice(0, -1);

const utf8 = new TextEncoder();
/** The text as bytes, in chunks of any size. */
async function* bytesOf(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = utf8.encode(text);
  for (let from = 0; from < bytes.length; from += size) yield bytes.slice(from, from + size);
}

describe("an export", () => {
  test("of a lived history holds, and every kind of event is in it", async () => {
    const { store, ref } = await lived();
    const lines = linesIn(await textOf(store, ref));
    for (const type of livedTypes) expect(lines.some((line) => line.includes(`"type":"${type}"`))).toBe(true);
    const head = (await store.load(ref))?.head;
    expect(await verifyExport(lines)).toEqual({
      valid: true,
      length: head?.seq,
      head: { seq: head?.seq, hash: head?.hash },
      firstInvalid: null,
      ref,
      after: 0,
      signedBy: [],
      signaturesChecked: false,
    });
  });

  test("has every rule that was in force and every value, each once and ahead of what names it", async () => {
    const { store, ref } = await lived();
    const lines = linesIn(await textOf(store, ref)).map((line) => v.parse(Members, JSON.parse(line)));
    const kinds = lines.map(({ line }) => line);
    expect(kinds[0]).toBe("header");
    expect(kinds.at(-1)).toBe("trailer");
    expect(kinds).not.toContain("absent");
    const { rules, personal } = await observe(store, ref);
    expect(rules.length).toBeGreaterThan(3);
    expect(lines.flatMap(({ line, digest, text }) => (line === "rules" ? [{ digest, text }] : []))).toEqual(
      expect.arrayContaining([...rules]),
    );
    const exported = lines
      .filter(({ line }) => line === "personal")
      .map(({ kind, ref: of, salt, value }) => ({ kind, ref: of, salt, value }));
    expect(exported.toSorted((left, right) => (String(left["ref"]) < String(right["ref"]) ? -1 : 1))).toEqual(personal);
  });

  test("of nothing is refused", async () => {
    await expect(textOf(memoryStore(), { tenant: "a", environment: "b", experiment: "c" })).rejects.toMatchObject({
      code: "experiment-not-found",
    });
  });
});

describe("an import", () => {
  test.each([1, 60])("gives back the same experiment: bytes, state, revision, ETag (%i rounds)", async (rounds) => {
    const { store, ref } = await lived({ rounds });
    const text = await textOf(store, ref);
    const target = memoryStore();
    const { written } = await importExperiment(target, splitLines(bytesOf(text, 1_000)));
    expect(await textOf(target, ref)).toBe(text);
    const [source, copy] = [await observe(store, ref), await observe(target, ref)];
    expect(written).toBe(source.history.length);
    expect(copy).toEqual(source);
    expect(copy.loaded === null || source.loaded === null).toBe(false);
    if (copy.loaded === null || source.loaded === null) return;
    expect(etagOf(copy.loaded.snapshot)).toBe(etagOf(source.loaded.snapshot));
    expect(canonicalJson(copy.loaded.snapshot.state)).toBe(canonicalJson(replay(copy.history)));
    // Claims are held again.
    expect((await target.list(ref, { surface: "cart" })).items).toHaveLength(1);
    // And the experiment goes on where it stood.
    expect(await createGovernance({ store: target }).pause(ref, author)).toMatchObject({ ok: true });
  });

  test("of erased people brings nobody back, and gives the same bytes", async () => {
    const { store, ref } = await lived();
    const { values } = await store.personal(ref, { limit: 100 });
    await store.erase(
      ref,
      values.filter((_, index) => index % 2 === 0).map((value) => value.ref),
    );
    const text = await textOf(store, ref);
    expect(text).toContain('"line":"absent"');
    const target = memoryStore();
    await importExperiment(target, linesIn(text));
    expect(await textOf(target, ref)).toBe(text);
    expect(await observe(target, ref)).toEqual(await observe(store, ref));
  });

  test("goes on where it stopped, wherever that was", async () => {
    const { store, ref } = await lived({ rounds: 60 });
    const lines = linesIn(await textOf(store, ref));
    const whole = await observe(store, ref);
    expect(whole.history.length).toBeGreaterThan(3 * limits.commitEvents);
    const target = memoryStore();
    let commits = 0;
    for (const stopAfter of [1, 0, 2, 99]) {
      let left = stopAfter;
      const breaking: GovernanceStore = {
        ...target,
        commit: async (where, commit) => {
          if (left === 0) throw new Error("the connection is gone");
          left -= 1;
          commits += 1;
          return target.commit(where, commit);
        },
      };
      const outcome = await importExperiment(breaking, lines).then(
        () => "done",
        (error: unknown) => String(error),
      );
      expect(outcome).toBe(stopAfter < 99 ? "Error: the connection is gone" : "done");
      // What there is so far is a whole experiment as it stood then.
      const so = await observe(target, ref);
      expect(canonicalJson(so.loaded?.snapshot.state)).toBe(canonicalJson(replay(so.history)));
    }
    expect(commits).toBe(Math.ceil(whole.history.length / limits.commitEvents));
    expect(await observe(target, ref)).toEqual(whole);
    // Once more there is nothing to do.
    expect(await importExperiment(target, lines)).toMatchObject({ written: 0 });
    expect(await observe(target, ref)).toEqual(whole);
  });

  test("finds nothing to do in a target that has gone on since", async () => {
    const { store, ref, governance } = await lived();
    const lines = linesIn(await textOf(store, ref));
    await governance.pause(ref, author);
    const before = await observe(store, ref);
    expect(await importExperiment(store, lines)).toMatchObject({ written: 0 });
    expect(await observe(store, ref)).toEqual(before);
  });

  test("leaves a target with another history as it is", async () => {
    const { store, ref } = await lived();
    const lines = linesIn(await textOf(store, ref));
    const shorter = memoryStore();
    await createGovernance({ store: shorter }).define(ref, { variants }, author);
    const { store: longer } = await lived({ rounds: 3 });
    for (const target of [shorter, longer]) {
      const before = await observe(target, ref);
      await expect(importExperiment(target, lines)).rejects.toMatchObject({ code: "experiment-exists" });
      expect(await observe(target, ref)).toEqual(before);
    }
  });

  test("is refused where another experiment holds what this one needs, and can be tried again", async () => {
    const { store, ref } = await lived();
    const lines = linesIn(await textOf(store, ref));
    const target = memoryStore();
    const rival = { ...ref, experiment: "rival" };
    await lived({ store: target, ref: rival });
    await expect(importExperiment(target, lines)).rejects.toMatchObject({
      code: "surface-claimed",
      details: { holder: "rival" },
    });
    expect(await target.load(ref)).toBeNull();
    await createGovernance({ store: target }).conclude(rival, { outcome: "revert" }, author);
    expect(await importExperiment(target, lines)).toMatchObject({
      written: (await store.load(ref))?.head.seq,
    });
  });

  test("lets nobody in who may not, before anything is read of the target", async () => {
    const { store, ref } = await lived();
    const lines = linesIn(await textOf(store, ref));
    const target = memoryStore();
    const allow = (): never => {
      throw new Error("keep out");
    };
    await expect(importExperiment(target, lines, { allow })).rejects.toThrow("keep out");
    expect(await target.load(ref)).toBeNull();
  });

  test("refuses a file that was cut off before it is whole", async () => {
    const { store, ref } = await lived();
    const lines = linesIn(await textOf(store, ref));
    for (const cut of [0, 1, 2, lines.length - 1]) {
      const target = memoryStore();
      await expect(importExperiment(target, lines.slice(0, cut))).rejects.toMatchObject({
        code: "invalid-request",
        details: { line: cut + 1 },
      });
      expect(await target.load(ref)).toBeNull();
    }
  });

  test("refuses what serving would trip over, however well it is hashed", async () => {
    const ref = { tenant: "default", environment: "default", experiment: "checkout" };
    const broken = memoryStore();
    await broken.commit(ref, creation(ref, { configuration: configuration({ variants: [] }) }));
    const target = memoryStore();
    await expect(importExperiment(target, linesIn(await textOf(broken, ref)))).rejects.toMatchObject({
      code: "invalid-request",
      details: { seq: 2 },
    });
    expect(await target.load(ref)).toBeNull();
  });
});

describe("lines", () => {
  const split = async (text: string, size: number, bytesMax?: number): Promise<readonly string[]> =>
    collect(splitLines(bytesOf(text, size), bytesMax === undefined ? {} : { bytesMax }));

  test.each([1, 2, 3, 7, 1_000])("come the same from chunks of %i bytes", async (size) => {
    const lines = ["", "é😀", '{"a":"\u2028"}', "x".repeat(50), "\uFEFFmark", "last"];
    expect(await split(`${lines.join("\n")}\n`, size)).toEqual(lines);
    expect(await split(lines.join("\n"), size)).toEqual(lines);
  });

  test("that are too long, too many, or no text are refused with their number", async () => {
    const long = `ok\n${"x".repeat(limits.historyLineBytes + 1)}`;
    await expect(split(long, 65_536)).rejects.toMatchObject({ code: "invalid-request", details: { line: 2 } });
    await expect(split("ok\n".repeat(100), 10, 100)).rejects.toMatchObject({
      code: "payload-too-large",
      details: { limitBytes: 100 },
    });
    const bad = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array([0x6f, 0x0a, 0xff, 0xfe, 0x0a]);
    };
    await expect(collect(splitLines(bad()))).rejects.toMatchObject({ details: { line: 2 } });
  });
});
