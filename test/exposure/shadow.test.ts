import { describe, expect, test } from "vitest";
import type { FullTrialOptions } from "../../src/exposure/trial.ts";
import { sameValue } from "../../src/exposure/equal.ts";
import type { ShadowOptions } from "../../src/exposure/shadow.ts";
import { manualClock } from "../events/clock.ts";
import { controlled, treated, world } from "./world.ts";

const setUp = (options: Partial<ShadowOptions> = {}) => {
  const it = world();
  const clock = manualClock();
  const runs: (() => Promise<void>)[] = [];
  const shadow: ShadowOptions = {
    variant: "treatment",
    defer: (run) => void runs.push(run),
    now: clock.now,
    startTimer: clock.startTimer,
    ...options,
  };
  const given: FullTrialOptions = { shadow };
  const runAll = async (): Promise<void> => {
    await Promise.all(runs.splice(0).map((run) => run()));
  };
  return { ...it, given, runAll, runs, limits: clock };
};

describe("in shadow mode", () => {
  test("everybody gets control, the other variant runs unseen, and nobody is exposed", async () => {
    const { experiments, given, runAll, told, sink } = setUp();
    const seen: string[] = [];
    const trial = experiments.trial(
      "checkout",
      {
        control: (n: number) => `private ${n}`,
        treatment: (n: number) => {
          seen.push(`treatment ${n}`);
          return n === 2 ? "private, too" : `private ${n}`;
        },
      },
      given,
    );
    expect([trial.for(treated)(1), trial.for(treated)(2), trial.for(controlled)(2)]).toEqual([
      "private 1",
      "private 2",
      "private 2",
    ]);
    expect(seen).toEqual([]);
    await runAll();
    // Traffic and assignment hold for shadows: the subject of control has none.
    expect(seen).toEqual(["treatment 1", "treatment 2"]);
    expect(trial.shadowed()).toEqual({ same: 1, different: 1, failed: 0, late: 0, skipped: 0 });
    expect(await told()).toEqual(["ShadowDifference different"]);
    expect(sink.events()[0]?.payload).toMatchObject({
      signalType: "ShadowDifference",
      severity: "Info",
      subjectId: treated,
      experimentName: "checkout",
      tenantId: "acme",
      data: { variant: "treatment", control: "answered", shadow: "answered", shadowMs: 0 },
    });
    // The values themselves may be private.
    expect(JSON.stringify(sink.events())).not.toMatch(/private/);
  });

  test("a killed variant runs no shadow", async () => {
    const { experiments, given, runAll, publish } = setUp();
    let ran = 0;
    const trial = experiments.trial("checkout", { control: () => 1, treatment: () => (ran += 1) }, given);
    publish({ killedVariants: ["treatment"] });
    trial.for(treated)();
    publish({ state: "Paused" });
    trial.for(treated)();
    await runAll();
    expect(ran).toBe(0);
  });

  test("methods of objects are shadowed, on their own objects", async () => {
    const { experiments, given, runAll } = setUp();
    const cart = (fee: number) => ({
      total: 0,
      add(cents: number) {
        this.total += cents + fee;
        return this.total;
      },
    });
    const [control, treatment] = [cart(0), cart(1)];
    const trial = experiments.trial("checkout", { control, treatment }, given);
    expect([trial.for(treated).add(10), trial.for(treated).add(10)]).toEqual([10, 20]);
    await runAll();
    expect([control.total, treatment.total]).toEqual([20, 22]);
    expect(trial.shadowed()).toMatchObject({ different: 2 });
  });

  test("classes are refused", () => {
    const { experiments, given } = setUp();
    class A {
      readonly a = 1;
    }
    expect(() => experiments.trial("checkout", { control: A, treatment: A }, given)).toThrow("classes have no shadow");
  });
});

describe("a shadow cannot harm the answer", () => {
  test("by what it does to its arguments, or to the result, or control to them", async () => {
    const { experiments, given, runAll } = setUp();
    interface Cart {
      items: string[];
    }
    const seen: string[][] = [];
    const trial = experiments.trial(
      "checkout",
      {
        control: (cart: Cart) => {
          cart.items.push("control was here");
          return cart;
        },
        treatment: (cart: Cart) => {
          seen.push([...cart.items]);
          cart.items.push("control was here");
          return cart;
        },
      },
      given,
    );
    const cart = { items: ["a"] };
    const answer = trial.for(treated)(cart);
    expect(answer).toBe(cart);
    answer.items.push("and the application");
    await runAll();
    expect(cart.items).toEqual(["a", "control was here", "and the application"]);
    // It saw what control was given, and was compared with what control answered.
    expect(seen).toEqual([["a"]]);
    expect(trial.shadowed()).toMatchObject({ same: 1 });
  });

  test("by throwing, rejecting, or throwing what is no error", async () => {
    const { experiments, given, runAll, told } = setUp();
    const failures: (() => unknown)[] = [
      () => {
        throw new RangeError("x");
      },
      () => Promise.reject(new Error("x")),
      () => Promise.reject(null),
    ];
    let turn = 0;
    const trial = experiments.trial<[], unknown>(
      "checkout",
      { control: () => "fine", treatment: () => failures[turn++]?.() },
      given,
    );
    for (const _ of failures) expect(trial.for(treated)()).toBe("fine");
    await runAll();
    expect(trial.shadowed()).toEqual({ same: 0, different: 0, failed: 3, late: 0, skipped: 0 });
    expect(await told()).toEqual(Array.from({ length: 3 }, () => "ShadowDifference failed"));
  });

  test("by never answering: it is given up, and makes room", async () => {
    const { experiments, given, runAll, limits, told } = setUp({ limitMs: 100, maxRunning: 1 });
    const trial = experiments.trial(
      "checkout",
      { control: async () => "fine", treatment: () => new Promise<string>(() => undefined) },
      given,
    );
    expect(await trial.for(treated)()).toBe("fine");
    const running = runAll();
    await limits.advance(99);
    expect(trial.shadowed().late).toBe(0);
    expect(await trial.for(treated)()).toBe("fine");
    expect(trial.shadowed()).toMatchObject({ skipped: 1 });
    await limits.advance(1);
    await running;
    expect(trial.shadowed()).toEqual({ same: 0, different: 0, failed: 0, late: 1, skipped: 1 });
    expect(await trial.for(treated)()).toBe("fine");
    expect(trial.shadowed()).toMatchObject({ skipped: 1 });
    expect(await told()).toEqual(["ShadowDifference late"]);
  });

  test("by what cannot be copied, by a comparison or a description that throws, or by a scheduler that does", async () => {
    const { experiments, given, runAll, told } = setUp({
      compare: () => {
        throw new Error("compare");
      },
      describe: () => {
        throw new Error("describe");
      },
    });
    const trial = experiments.trial("checkout", { control: (x: unknown) => x, treatment: (x: unknown) => x }, given);
    const uncloneable = () => 1;
    expect(trial.for(treated)(uncloneable)).toBe(uncloneable);
    expect(trial.for(treated)(1)).toBe(1);
    await runAll();
    expect(trial.shadowed()).toEqual({ same: 0, different: 1, failed: 0, late: 0, skipped: 1 });
    expect(await told()).toEqual(["ShadowDifference different"]);

    const unscheduled = setUp({
      maxRunning: 1,
      defer: () => {
        throw new Error("defer");
      },
    });
    const other = unscheduled.experiments.trial(
      "checkout",
      { control: () => 1, treatment: () => 2 },
      unscheduled.given,
    );
    expect([other.for(treated)(), other.for(treated)()]).toEqual([1, 1]);
    expect(other.shadowed()).toMatchObject({ skipped: 2 });
  });

  test("by their number", async () => {
    const { experiments, given, runAll, runs } = setUp({ maxRunning: 3 });
    const trial = experiments.trial("checkout", { control: () => 1, treatment: () => 1 }, given);
    for (let n = 0; n < 10; n += 1) expect(trial.for(treated)()).toBe(1);
    expect(runs).toHaveLength(3);
    await runAll();
    expect(trial.shadowed()).toMatchObject({ same: 3, skipped: 7 });
  });

  test("nor hide an error of control, which it is compared with", async () => {
    const { experiments, given, runAll } = setUp();
    const failing = (name: string) => (): Promise<number> => Promise.reject(Object.assign(new Error("x"), { name }));
    const same = experiments.trial("checkout", { control: failing("A"), treatment: failing("A") }, given);
    await expect(same.for(treated)()).rejects.toThrow("x");
    const other = experiments.trial("checkout", { control: failing("A"), treatment: async () => 1 }, given);
    await expect(other.for(treated)()).rejects.toThrow("x");
    await runAll();
    expect(same.shadowed()).toMatchObject({ same: 1 });
    expect(other.shadowed()).toMatchObject({ different: 1 });
  });
});

test("without a scheduler of its own it runs from a timer, after the answer", async () => {
  const { experiments } = world();
  let ran = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const trial = experiments.trial(
    "checkout",
    {
      control: () => 1,
      treatment: () => {
        ran += 1;
        resolve();
        return 1;
      },
    },
    { shadow: { variant: "treatment" } },
  );
  expect(trial.for(treated)()).toBe(1);
  await Promise.resolve();
  expect(ran).toBe(0);
  await promise;
  expect(ran).toBe(1);
});

describe("sameValue", () => {
  test.each<[unknown, unknown]>([
    [
      { a: [1, { b: null }], c: undefined },
      { c: undefined, a: [1, { b: null }] },
    ],
    [NaN, NaN],
    [0, -0],
    [new Date(5), new Date(5)],
    [new Map([["a", { b: 1 }]]), new Map([["a", { b: 1 }]])],
    [new Set([1, 2]), new Set([1, 2])],
    [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
    [new Uint8Array([1]).buffer, new Uint8Array([1]).buffer],
    [new RangeError("a"), new RangeError("a")],
  ])("%o and %o are the same", (a, b) => {
    expect(sameValue(a, b)).toBe(true);
  });

  test.each<[unknown, unknown]>([
    [{ a: 1 }, { a: 1, b: undefined }],
    [
      [1, 2],
      [2, 1],
    ],
    [[], {}],
    [{ __proto__: null, a: 1 }, { a: 2 }],
    [new Date(5), new Date(6)],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Set([1]), new Set([2])],
    [new Uint8Array([1]), new Uint8Array([2])],
    [new RangeError("a"), new TypeError("a")],
    ["1", 1],
    [null, {}],
    [undefined, null],
  ])("%o and %o are not", (a, b) => {
    expect(sameValue(a, b)).toBe(false);
  });

  test("ends, whatever it is given", () => {
    const loop = (): Record<string, unknown> => {
      const made: Record<string, unknown> = {};
      made["self"] = made;
      return made;
    };
    expect(sameValue(loop(), loop())).toBe(false);
  });
});
