import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CliFailure } from "../../cli/failure.ts";
import {
  comparePlan,
  describePlan,
  equalWeights,
  parsePlanned,
  planVariants,
  samePlan,
} from "../../cli/replay/plan.ts";

describe("parsePlanned", () => {
  test("reads keys and weights; a key may hold an equals sign", () => {
    expect(parsePlanned("gate_30=1, gate_40=2.5")).toEqual([
      ["gate_30", 1],
      ["gate_40", 2.5],
    ]);
    expect(parsePlanned("a=b=1,ключ=.5")).toEqual([
      ["a=b", 1],
      ["ключ", 0.5],
    ]);
  });

  test.each([
    ["", '"" is not KEY=WEIGHT'],
    ["a", '"a" is not KEY=WEIGHT'],
    ["a=1,", '"" is not KEY=WEIGHT'],
    ["a=1,b=-1", '"b=-1" is not KEY=WEIGHT'],
    ["a=1,b=NaN", '"b=NaN" is not KEY=WEIGHT'],
    ["=1,b=1", '"=1" is not KEY=WEIGHT'],
    ["a=1,a=2", "names a twice"],
    ["a=1", "at least two"],
    ["a=0,b=0", "gives every variant the weight 0"],
    ["__proto__=1,b=1", "a key other than __proto__"],
    [`${"k".repeat(65)}=1,b=1`, "at most 64 characters"],
  ])("refuses %j", (text, message) => {
    expect(() => parsePlanned(text)).toThrow(message);
    expect(() => parsePlanned(text)).toThrow(CliFailure);
  });
});

describe("planVariants", () => {
  test("control is the first, unless another one is named", () => {
    const weights = parsePlanned("a=1,b=3");
    expect(planVariants(weights, undefined)).toEqual([
      { key: "a", weight: 1, control: true },
      { key: "b", weight: 3 },
    ]);
    expect(describePlan(planVariants(weights, "b"))).toBe("a=1, b=3 (control)");
  });

  test("a control that is no variant is refused with the nearest one", () => {
    expect(() => planVariants(parsePlanned("gate_30=1,gate_40=1"), "gate30")).toThrow(
      "--control gate30 is none of the variants gate_30, gate_40; did you mean gate_30?",
    );
  });
});

test("equal weights need at least two variants, and no more than an experiment can have", () => {
  expect(equalWeights(["b", "a"])).toEqual([
    ["b", 1],
    ["a", 1],
  ]);
  expect(() => equalWeights([])).toThrow("no variant");
  expect(() => equalWeights(["a"])).toThrow("one variant (a)");
  expect(() => equalWeights(Array.from({ length: 101 }, (_, index) => `v${index}`))).toThrow("is it the right column?");
});

describe("samePlan", () => {
  const plan = (text: string, control?: string) => planVariants(parsePlanned(text), control);

  test("compares buckets, not weights, and looks at no order", () => {
    expect(samePlan(plan("a=1,b=1"), plan("b=50,a=50", "a"))).toBe(true);
    expect(samePlan(plan("a=1,b=1"), plan("a=1,b=2"))).toBe(false);
    expect(samePlan(plan("a=1,b=1"), plan("a=1,b=1", "b"))).toBe(false);
    expect(samePlan(plan("a=1,b=1"), plan("a=1,c=1"))).toBe(false);
    expect(samePlan(plan("a=1,b=1"), plan("a=1,b=1,c=0"))).toBe(false);
  });

  test("scaling all weights changes nothing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 50 }), (weight, scale) => {
        expect(samePlan(plan(`a=${weight},b=1`), plan(`a=${weight * scale},b=${scale}`))).toBe(true);
      }),
    );
  });
});

describe("comparePlan", () => {
  const found = (entries: Record<string, number>) => new Map(Object.entries(entries));

  test("says nothing when the file shows what was planned", () => {
    expect(comparePlan(["a", "b"], found({ b: 1, a: 2 }))).toEqual([]);
  });

  test("warns of arms without rows and of rows without an arm", () => {
    expect(comparePlan(["control", "treatment"], found({ control: 5, xylophone: 2 }))).toEqual([
      "no row has the variant treatment",
      "2 rows have the variant xylophone, which is not planned: a sample ratio mismatch at once",
    ]);
  });

  test("takes a misspelled key for a mistake", () => {
    expect(() => comparePlan(["gate_30", "gate_40"], found({ gate_30: 1, gate40: 1 }))).toThrow(
      "no row has the variant gate_40; did you mean gate40?",
    );
  });
});
