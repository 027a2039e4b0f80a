import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type Assign, compileRule } from "../../src/evaluation/assign.ts";
import { bucket, hashVersion } from "../../src/evaluation/bucket.ts";
import { exclusionSlots } from "../../src/evaluation/rule-set.ts";
import { chooseSlots, slotClaim, slotsIn, slotsNeeded } from "../../src/governance/exclusion.ts";
import { rule, subjectFor } from "./fixtures.ts";

const Golden = v.strictObject({
  specVersion: v.literal(1),
  hashVersion: v.literal(1),
  description: v.string(),
  vectors: v.array(
    v.strictObject({
      group: v.string(),
      slots: v.array(v.number()),
      subjectId: v.string(),
      bucket: v.number(),
      place: v.nullable(v.number()),
    }),
  ),
});
const golden = v.parse(
  Golden,
  JSON.parse(readFileSync(new URL("../conformance/vectors/exclusion.json", import.meta.url), "utf8")),
);

describe("golden vectors of exclusion", () => {
  test("are of this algorithm, with subjects inside and outside", () => {
    expect(golden.hashVersion).toBe(hashVersion);
    const inside = golden.vectors.filter(({ place }) => place !== null).length;
    expect(inside).toBeGreaterThan(50);
    expect(golden.vectors.length - inside).toBeGreaterThan(50);
  });

  test("give every subject its bucket, and its place among the experiment's slots", () => {
    for (const { group, slots, subjectId, bucket: expected, place } of golden.vectors) {
      expect(bucket(group, "exclusion", subjectId)).toBe(expected);
      // The place shows where the traffic lets the subject in: at the bucket above it, and not one below.
      const at = (trafficBuckets: number) =>
        compileRule(rule({ exclusion: { group, slots }, trafficBuckets }))(subjectId);
      const shut = { exposed: false, reason: "DEFAULT", rulePath: place === null ? "/exclusion" : "/trafficBuckets" };
      expect(at(place ?? 10_000)).toMatchObject(shut);
      expect(at(place === null ? 10_000 : place + 1).exposed).toBe(place !== null);
    }
  });
});

describe("the order of deciding", () => {
  const group = "page";
  const outsider = subjectFor((id) => bucket(group, "exclusion", id) >= 100);
  const exclusion = { group, slots: [0] };
  const targeting = { attribute: "plan", equals: "pro" };

  test("is kill switch, lifecycle, targeting, exclusion, traffic", () => {
    const decide = (change: Parameters<typeof rule>[0], attributes = { plan: "pro" }) =>
      compileRule(rule({ exclusion, targeting, trafficBuckets: 0, ...change }))(outsider, attributes).rulePath;
    expect(decide({ killed: true, state: "Paused" })).toBe("/killed");
    expect(decide({ state: "Paused" })).toBe("/state");
    expect(decide({}, { plan: "free" })).toBe("/targeting");
    expect(decide({})).toBe("/exclusion");
    expect(decide({ exclusion: { group, slots: [Math.floor(bucket(group, "exclusion", outsider) / 100)] } })).toBe(
      "/trafficBuckets",
    );
  });

  test("an experiment without a slot serves nobody", () => {
    const assign = compileRule(rule({ exclusion: { group, slots: [] } }));
    expect(Array.from({ length: 500 }, (_, n) => assign(`user-${n}`).exposed)).not.toContain(true);
  });
});

/** Experiments of one group as the store would let them be: each takes slots that nobody else has. */
interface Entrant {
  readonly name: string;
  readonly traffic: number;
  readonly slots: readonly number[];
}

const group = "checkout-tests";
const content = (name: string, traffic: number) => ({ salt: `salt of ${name}`, traffic, exclusion: { group } });
const admit = (running: readonly Entrant[], name: string, traffic: number): readonly Entrant[] => {
  const others = running.filter((entrant) => entrant.name !== name);
  const held = running.find((entrant) => entrant.name === name)?.slots ?? [];
  const taken = others.flatMap(({ slots }) => slots);
  const choice = chooseSlots(content(name, traffic), held, taken);
  return choice.ok ? [...others, { name, traffic, slots: choice.slots }] : running;
};
const compiled = ({ name, traffic, slots }: Entrant, served = traffic): Assign =>
  compileRule(
    rule({ name, salt: `salt of ${name}`, exclusion: { group, slots }, trafficBuckets: Math.round(served * 100) }),
  );
const subjects = Array.from({ length: 2_000 }, (_, n) => `user-${n}`);
const serving = (running: readonly Entrant[]): ReadonlyMap<string, string> => {
  const served = new Map<string, string>();
  for (const entrant of running) {
    const assign = compiled(entrant);
    for (const id of subjects) {
      const { exposed, variant } = assign(id);
      if (!exposed) continue;
      if (served.has(id)) throw new Error(`${id} is in ${entrant.name} and ${served.get(id) ?? ""}`);
      served.set(id, `${entrant.name}/${variant}`);
    }
  }
  return served;
};

const step = fc.record({
  name: fc.constantFrom("a", "b", "c", "d", "e"),
  traffic: fc.oneof(
    fc.constantFrom(0, 100, 50, 0.01),
    fc.integer({ min: 0, max: 10_000 }).map((n) => n / 100),
  ),
  ends: fc.boolean(),
});

describe("experiments of one group", () => {
  test("never share a subject, and what one does moves nobody of another", () => {
    let shared = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 2, maxLength: 12 }), (steps) => {
        let running: readonly Entrant[] = [];
        let before = serving(running);
        for (const { name, traffic, ends } of steps) {
          running = ends ? running.filter((entrant) => entrant.name !== name) : admit(running, name, traffic);
          const after = serving(running);
          for (const [id, where] of before) {
            // Whoever was in another experiment is there still, in the same arm.
            if (!where.startsWith(`${name}/`) && after.get(id) !== where) throw new Error(`${id} left ${where}`);
          }
          shared = Math.max(shared, new Set([...after.values()].map((where) => where.split("/")[0])).size);
          before = after;
        }
      }),
      { numRuns: 60 },
    );
    expect(shared).toBeGreaterThan(1);
  });

  test("raising the traffic, by a ramp or a new version, moves nobody already in", () => {
    let raised = 0;
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 10_000 }), { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 0, max: 40 }),
        (shares, other) => {
          let running = admit([], "other", other);
          let inside = new Map<string, string>();
          for (const traffic of shares.map((n) => n / 100).toSorted((a, b) => a - b)) {
            running = admit(running, "own", traffic);
            const own = running.find(({ name }) => name === "own");
            if (own === undefined || own.traffic !== traffic) return; // more than is free: refused, nothing changes
            const ramping = compiled(own, traffic / 2);
            const assign = compiled(own);
            const next = new Map<string, string>();
            for (const id of subjects) {
              const { exposed, variant } = assign(id);
              if (exposed) next.set(id, variant);
              if (ramping(id).exposed && !exposed) throw new Error(`${id} left with a ramp step`);
            }
            for (const [id, variant] of inside) {
              if (next.get(id) !== variant) throw new Error(`${id} left ${variant} with a new version`);
            }
            if (next.size > inside.size && inside.size > 0) raised += 1;
            inside = next;
          }
        },
      ),
      { numRuns: 40 },
    );
    expect(raised).toBeGreaterThan(10);
  });

  test("get the traffic that they ask for, evenly split whatever their slots", () => {
    const running = [30, 45, 25].reduce<readonly Entrant[]>((all, traffic, n) => admit(all, `e${n}`, traffic), []);
    const ids = Array.from({ length: 40_000 }, (_, n) => `subject-${n}`);
    for (const entrant of running) {
      const assign = compiled(entrant);
      const answers = ids.map((id) => assign(id)).filter(({ exposed }) => exposed);
      const share = entrant.traffic / 100;
      const deviation = Math.sqrt(ids.length * share * (1 - share));
      expect(Math.abs(answers.length - ids.length * share)).toBeLessThan(5 * deviation);
      const treated = answers.filter(({ variant }) => variant === "treatment").length;
      expect(Math.abs(treated - answers.length / 2)).toBeLessThan(2.5 * Math.sqrt(answers.length));
    }
    // Full: there is no slot left, and the refusal says how many there are.
    expect(
      chooseSlots(
        content("late", 1),
        [],
        running.flatMap(({ slots }) => slots),
      ),
    ).toEqual({
      ok: false,
      needed: 1,
      available: 0,
    });
  });

  test("need a slot for each percent that is begun, and give back the last ones first", () => {
    const needed = (traffic: number) => slotsNeeded({ traffic, exclusion: { group } });
    expect([0, 0.01, 1, 1.01, 29, 33.33, 100].map(needed)).toEqual([0, 1, 1, 2, 29, 34, 100]);
    expect(slotsNeeded({ traffic: 100, exclusion: undefined })).toBe(0);
    const ten = chooseSlots(content("a", 10), [], []);
    const slots = ten.ok ? ten.slots : [];
    expect(new Set(slots).size).toBe(10);
    expect(chooseSlots(content("a", 4), slots, [])).toEqual({ ok: true, slots: slots.slice(0, 4) });
    const more = chooseSlots(content("a", exclusionSlots), slots, []);
    expect(more.ok && more.slots.slice(0, 10)).toEqual(slots);
  });

  test("are kept apart from groups with a longer name, and their claims keep their order", () => {
    const claims = [7, 3, 5].map((slot) => slotClaim("page", slot));
    expect(slotsIn(["surface:page", ...claims, slotClaim("page-2", 9), slotClaim("pag", 1)], "page")).toEqual([
      7, 3, 5,
    ]);
  });
});
