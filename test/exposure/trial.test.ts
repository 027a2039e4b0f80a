import { describe, expect, expectTypeOf, test } from "vitest";
import { manualClock } from "../events/clock.ts";
import { controlled, treated, world } from "./world.ts";

const boom = (): never => {
  throw new RangeError("boom");
};
const three = [
  { key: "control", buckets: 5_000, control: true },
  { key: "treatment", buckets: 5_000, control: false },
];

class Stripe {
  readonly #fee = 3;
  readonly name: string = "stripe";
  calls = 0;
  static readonly region: string = "us";
  static create(): Stripe {
    return new this();
  }
  get fee(): number {
    return this.#fee;
  }
  charge(cents: number): string {
    this.calls += 1;
    return `${this.name} ${cents + this.#fee}`;
  }
  chargeTwice(cents: number): string {
    return `${this.charge(cents)}, ${this.charge(cents)}`;
  }
  async later(cents: number): Promise<string> {
    await Promise.resolve();
    return this.charge(cents);
  }
  *parts(cents: number): Generator<number, string> {
    yield cents / 2;
    yield cents / 2;
    return this.name;
  }
}

class Adyen extends Stripe {
  readonly #rate = 0.1;
  override readonly name = "adyen";
  static override readonly region = "eu";
  override get fee(): number {
    return this.#rate;
  }
  override charge(cents: number): string {
    this.calls += 1;
    return `${this.name} ${cents * (1 + this.#rate)}`;
  }
}

describe("functions", () => {
  test("keep their types, their arguments and `this`", async () => {
    const { experiments, told } = world();
    const trial = experiments.trial("checkout", {
      control(this: { readonly prefix: string } | void, cents: number) {
        return `${this?.prefix ?? ""}${cents}`;
      },
      treatment(this: { readonly prefix: string } | void, cents: number) {
        return `${this?.prefix ?? ""}${cents * 2}`;
      },
    });
    const format = trial.for(treated);
    expectTypeOf(format).toEqualTypeOf<(cents: number) => string>();
    expect(format.call({ prefix: "€" }, 5)).toBe("€10");
    expect(trial.for(controlled)(5)).toBe("5");
    expect(await told()).toEqual(["Exposure treatment", "Exposure control"]);
  });

  test("without a control that can be used are refused at once", () => {
    const { experiments } = world();
    // @ts-expect-error control is not there
    expect(() => experiments.trial("checkout", { treatment: () => 1 })).toThrow(TypeError);
  });

  test("of a variant that has none get control, and an Error event says so, also where errors are thrown", async () => {
    const { experiments, told } = world();
    const trial = experiments.trial("checkout", { control: () => 1, tretment: () => 2 }, { onVariantError: "throw" });
    expect(trial.for(treated)()).toBe(1);
    expect(await told()).toEqual(["Exposure treatment", "Error treatment VariantNotImplemented → control"]);
  });
});

describe("objects", () => {
  const setUp = (options = {}) => {
    const it = world();
    const stripe = new Stripe();
    const adyen = new Adyen();
    const trial = it.experiments.trial<Stripe>("checkout", { control: stripe, treatment: adyen }, options);
    return { ...it, stripe, adyen, trial };
  };

  test("methods run on their own object, private members included, and so do the calls they make themselves", () => {
    const { trial, stripe, adyen } = setUp();
    expect(trial.for(controlled).charge(100)).toBe("stripe 103");
    expect(trial.for(treated).chargeTwice(100)).toBe("adyen 110.00000000000001, adyen 110.00000000000001");
    expect([stripe.calls, adyen.calls]).toEqual([1, 2]);
    expectTypeOf(trial.for(treated)).toEqualTypeOf<Stripe>();
  });

  test("getters, values, `in`, keys, `instanceof`, and writing", () => {
    const { trial, adyen } = setUp();
    const served = trial.for(treated);
    expect([served.fee, served.name]).toEqual([0.1, "adyen"]);
    expect("fee" in served).toBe(true);
    expect(Object.keys(served)).toEqual(Object.keys(adyen));
    expect(Object.entries(served)).toEqual(Object.entries(adyen));
    expect(served).toBeInstanceOf(Adyen);
    served.calls = 7;
    expect(adyen.calls).toBe(7);
    expect(Reflect.get(served, "charge")).toBe(Reflect.get(served, "charge"));
  });

  test("an exposure is recorded at the first use, and not by looking", async () => {
    const { trial, told } = setUp();
    const served = trial.for(treated);
    expect(Object.getPrototypeOf(served) === Adyen.prototype).toBe(true);
    expect(Reflect.get(served, "charge")).toBeTypeOf("function");
    // Awaiting looks for `then`; printing looks for symbols.
    expect((await Promise.resolve(served)) === served).toBe(true);
    expect(await told()).toEqual([]);
    served.charge(1);
    served.charge(1);
    expect(await told()).toEqual(["Exposure treatment"]);
  });

  test("reading a value is a use", async () => {
    const { trial, told } = setUp();
    expect(trial.for(treated).name).toBe("adyen");
    expect(await told()).toEqual(["Exposure treatment"]);
  });

  test("promises and generators keep their results", async () => {
    const { trial } = setUp();
    expect(await trial.for(treated).later(100)).toBe("adyen 110.00000000000001");
    const parts = trial.for(treated).parts(10);
    expect([parts.next(), parts.next(), parts.next()]).toEqual([
      { value: 5, done: false },
      { value: 5, done: false },
      { value: "adyen", done: true },
    ]);
  });

  test("a method that only control has is control's, and told; a method that nobody has is not there", async () => {
    const { experiments, told } = world();
    interface Api {
      readonly old?: () => string;
      readonly both: () => string;
      readonly none?: () => string;
    }
    const control: Api = { old: () => "old", both: () => "control" };
    const trial = experiments.trial<Api>("checkout", { control, treatment: { both: () => "treatment" } });
    const served = trial.for(treated);
    expect([served.both(), served.old?.(), served.none]).toEqual(["treatment", "old", undefined]);
    expect(await told()).toEqual(["Exposure treatment", "Error treatment VariantNotImplemented → control"]);
  });

  test("a failing method is answered by control's, with the same arguments; a failing getter too", async () => {
    const { experiments, told } = world();
    const control = {
      get price() {
        return 1;
      },
      pay: (cents: number) => `control ${cents}`,
    };
    const treatment = {
      get price() {
        return boom();
      },
      pay: (cents: number) => (cents > 0 ? boom() : ""),
    };
    const served = experiments.trial<typeof control>("checkout", { control, treatment }).for(treated);
    expect([served.pay(5), served.price]).toEqual(["control 5", 1]);
    expect(await told()).toEqual([
      "Exposure treatment",
      "Error treatment RangeError → control",
      "Error treatment RangeError → control",
    ]);
  });

  test("a brake works at once, between two calls on one object", async () => {
    const { trial, publish, told } = setUp();
    const served = trial.for(treated);
    expect(served.charge(100)).toMatch(/^adyen/);
    publish({ killedVariants: ["treatment"] });
    expect(served.charge(100)).toMatch(/^stripe/);
    publish({ killed: true });
    expect(served.charge(100)).toMatch(/^stripe/);
    expect(await told()).toEqual(["Exposure treatment"]);
  });
});

describe("classes", () => {
  const setUp = (options = {}) => {
    const it = world();
    const trial = it.experiments.trial<typeof Stripe>("checkout", { control: Stripe, treatment: Adyen }, options);
    return { ...it, trial };
  };

  test("are constructed by assignment, and their instances are real ones", async () => {
    const { trial, told } = setUp();
    const Payments = trial.for(treated);
    expect(await told()).toEqual([]);
    const payments = new Payments();
    expectTypeOf(payments).toEqualTypeOf<Stripe>();
    expect(payments).toBeInstanceOf(Adyen);
    expect(payments).toBeInstanceOf(Payments);
    expect(payments.charge(100)).toMatch(/^adyen/);
    expect(payments.fee).toBe(0.1);
    payments.calls += 1;
    expect(payments.calls).toBe(2);
    expect(new (trial.for(controlled))().charge(100)).toBe("stripe 103");
    expect(await told()).toEqual(["Exposure treatment", "Exposure control"]);
  });

  test("static members and methods are those of the assigned class", () => {
    const { trial } = setUp();
    expect([trial.for(controlled).region, trial.for(treated).region]).toEqual(["us", "eu"]);
    expect(trial.for(treated).create()).toBeInstanceOf(Adyen);
    expect(trial.for(treated).prototype).toBe(Adyen.prototype);
  });

  test("can be extended", () => {
    const { trial } = setUp();
    class Tracked extends trial.for(treated) {
      readonly #log: string[] = [];
      override charge(cents: number): string {
        this.#log.push("charge");
        return `${this.#log.length}: ${super.charge(cents)}`;
      }
    }
    const tracked = new Tracked();
    expect(tracked.charge(100)).toBe("1: adyen 110.00000000000001");
    expect(tracked).toBeInstanceOf(Tracked);
    expect(tracked).toBeInstanceOf(Adyen);
  });

  test("a constructor that fails is answered by control's; a method that fails later is told, and thrown", async () => {
    class Broken extends Stripe {
      constructor() {
        super();
        boom();
      }
    }
    class Late extends Stripe {
      override charge(): string {
        return boom();
      }
      override async later(): Promise<string> {
        await Promise.resolve();
        return boom();
      }
    }
    const { experiments, told } = world();
    const broken = experiments.trial<typeof Stripe>("checkout", { control: Stripe, treatment: Broken });
    expect(new (broken.for(treated))().charge(100)).toBe("stripe 103");
    const late = new (experiments
      .trial<typeof Stripe>("checkout", { control: Stripe, treatment: Late })
      .for(treated))();
    expect(() => late.charge(1)).toThrow(RangeError);
    await expect(late.later(1)).rejects.toThrow(RangeError);
    expect(await told()).toEqual([
      "Exposure treatment",
      "Error treatment RangeError → control",
      "Exposure treatment again",
      "Error treatment RangeError → thrown",
      "Error treatment RangeError → thrown",
    ]);
  });
});

describe("semantics", () => {
  const used = async (semantics: "onFirstUse" | "onDecision" | "explicit") => {
    const { experiments, told, publish } = world();
    const trial = experiments.trial("checkout", { control: () => 1, treatment: () => 2 }, { semantics });
    const served = trial.for(treated);
    const decided = await told();
    served();
    served();
    const afterUse = await told();
    trial.exposed(treated);
    const afterSaying = await told();
    publish({ epoch: 2 });
    served();
    return { decided, afterUse, afterSaying, afterNewEpoch: await told() };
  };

  test("onFirstUse: at the first call, and again in a new epoch", async () => {
    expect(await used("onFirstUse")).toEqual({
      decided: [],
      afterUse: ["Exposure treatment"],
      afterSaying: ["Exposure treatment", "Exposure treatment again"],
      afterNewEpoch: ["Exposure treatment", "Exposure treatment again", "Exposure treatment"],
    });
  });

  test("onDecision: when it is decided", async () => {
    const seen = await used("onDecision");
    expect(seen.decided).toEqual(["Exposure treatment"]);
    expect(seen.afterUse).toEqual(["Exposure treatment"]);
    expect(seen.afterNewEpoch).toHaveLength(3);
  });

  test("explicit: when it is said, and at no other time", async () => {
    expect(await used("explicit")).toEqual({
      decided: [],
      afterUse: [],
      afterSaying: ["Exposure treatment"],
      afterNewEpoch: ["Exposure treatment"],
    });
  });

  test("whoever was not randomised is exposed by none", async () => {
    for (const semantics of ["onFirstUse", "onDecision", "explicit"] as const) {
      const { experiments, told } = world({ trafficBuckets: 0 });
      const trial = experiments.trial("checkout", { control: () => 1, treatment: () => 2 }, { semantics });
      expect(trial.for(treated)()).toBe(1);
      trial.exposed(treated);
      expect(await told()).toEqual([]);
    }
  });
});

describe("errors", () => {
  const variants = {
    control: () => "control",
    treatment: (): string => boom(),
    spare: () => "spare",
  };

  test("fall back to control, to a named variant, or are thrown", async () => {
    const { experiments, told } = world();
    const answer = (onVariantError: "control" | "throw" | { variant: string }) =>
      experiments.trial("checkout", variants, { onVariantError }).for(treated);
    expect(answer("control")()).toBe("control");
    expect(answer({ variant: "spare" })()).toBe("spare");
    expect(answer({ variant: "nobody" })()).toBe("control");
    // It cannot answer for itself.
    expect(answer({ variant: "treatment" })()).toBe("control");
    expect(answer("throw")).toThrow(RangeError);
    const errors = (await told()).filter((line) => line.startsWith("Error"));
    expect(errors).toEqual([
      "Error treatment RangeError → control",
      "Error treatment RangeError → spare",
      "Error treatment RangeError → control",
      "Error treatment RangeError → control",
      "Error treatment RangeError → thrown",
    ]);
  });

  test("of control are told and thrown, whatever the policy", async () => {
    const { experiments, told } = world();
    const trial = experiments.trial("checkout", { control: (): string => boom(), treatment: () => "treatment" });
    expect(trial.for(controlled)).toThrow(RangeError);
    expect(await told()).toEqual(["Exposure control", "Error control RangeError → thrown"]);
  });

  test("of both are the application's, and told once for the treatment", async () => {
    const { experiments, told } = world();
    const trial = experiments.trial("checkout", { control: (): string => boom(), treatment: (): string => boom() });
    expect(trial.for(treated)).toThrow(RangeError);
    expect(await told()).toEqual(["Exposure treatment", "Error treatment RangeError → control"]);
  });

  test("of somebody who was not randomised are told to nobody", async () => {
    const { experiments, told } = world({ state: "Paused" });
    const trial = experiments.trial("checkout", { control: (): string => boom(), treatment: () => "treatment" });
    expect(trial.for(treated)).toThrow(RangeError);
    expect(await told()).toEqual([]);
  });

  test("of a promise come later, and a synchronous answer stays one", async () => {
    const { experiments, told } = world();
    const trial = experiments.trial("checkout", {
      control: async () => "control",
      treatment: async (): Promise<string> => boom(),
    });
    const answer = trial.for(treated)();
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toBe("control");
    expect(await told()).toEqual(["Exposure treatment", "Error treatment RangeError → control"]);
    expect(experiments.trial("checkout", { control: () => 1, treatment: () => 2 }).for(treated)()).toBe(2);
  });
});

describe("generators", () => {
  const counting = function* (upTo: number): Generator<number, string, string | undefined> {
    for (let n = 1; n <= upTo; n += 1) {
      const said = yield n;
      if (said === "stop") return "stopped";
    }
    return "done";
  };
  const failingAt = (at: number) =>
    function* (upTo: number): Generator<number, string, string | undefined> {
      for (let n = 1; n <= upTo; n += 1) {
        if (n === at) boom();
        yield n * 10;
      }
      return "treated";
    };

  test("pass values both ways, can be returned and thrown into, and are generators still", () => {
    const { experiments } = world();
    const count = experiments.trial("checkout", { control: counting, treatment: counting }).for(treated);
    const made = count(5);
    expect([made.next(), made.next("on"), made.next("stop")]).toEqual([
      { value: 1, done: false },
      { value: 2, done: false },
      { value: "stopped", done: true },
    ]);
    const early = count(5);
    early.next();
    expect(early.return("enough")).toEqual({ value: "enough", done: true });
    const thrown = count(5);
    thrown.next();
    expect(() => thrown.throw(new TypeError("from outside"))).toThrow("from outside");
    expect(Object.prototype.toString.call(made)).toBe("[object Generator]");
    expect([...count(3)]).toEqual([1, 2, 3]);
  });

  test("that fail before the first item are answered by control's", async () => {
    const { experiments, told } = world();
    const count = experiments.trial("checkout", { control: counting, treatment: failingAt(1) }).for(treated);
    expect([...count(3)]).toEqual([1, 2, 3]);
    expect(await told()).toEqual(["Exposure treatment", "Error treatment RangeError → control"]);
  });

  test("that fail later fail: what was yielded cannot be taken back", async () => {
    const { experiments, told } = world();
    const count = experiments.trial("checkout", { control: counting, treatment: failingAt(3) }).for(treated);
    const seen: number[] = [];
    expect(() => seen.push(...count(3))).toThrow(RangeError);
    const made = count(3);
    expect([made.next().value, made.next().value]).toEqual([10, 20]);
    expect(await told()).toEqual(["Exposure treatment", "Error treatment RangeError → thrown"]);
  });

  test("of promises do the same", async () => {
    const { experiments, told } = world();
    const stream = async function* (upTo: number): AsyncGenerator<number> {
      for (let n = 1; n <= upTo; n += 1) yield n;
    };
    const failing = (at: number) =>
      async function* (upTo: number): AsyncGenerator<number> {
        for (let n = 1; n <= upTo; n += 1) {
          if (n === at) boom();
          yield n * 10;
        }
      };
    const collect = async (items: AsyncIterable<number>): Promise<readonly number[]> => {
      const seen: number[] = [];
      try {
        for await (const item of items) seen.push(item);
      } catch {
        seen.push(-1);
      }
      return seen;
    };
    const trial = (treatment: typeof stream) =>
      experiments.trial("checkout", { control: stream, treatment }).for(treated);
    expect(await collect(trial(stream)(3))).toEqual([1, 2, 3]);
    expect(await collect(trial(failing(1))(3))).toEqual([1, 2, 3]);
    expect(await collect(trial(failing(3))(3))).toEqual([10, 20, -1]);
    expect((await told()).filter((line) => line.startsWith("Error"))).toEqual([
      "Error treatment RangeError → control",
      "Error treatment RangeError → thrown",
    ]);
  });
});

describe("time limits", () => {
  const setUp = (
    limitMs: number | Record<string, number>,
    treatment: () => Promise<string>,
    onVariantError?: "throw",
  ) => {
    const it = world();
    const clock = manualClock();
    const trial = it.experiments.trial(
      "checkout",
      { control: async () => "control", treatment },
      { limitMs, startTimer: clock.startTimer, ...(onVariantError && { onVariantError }) },
    );
    return { ...it, trial, limits: clock };
  };
  const never = () => new Promise<string>(() => undefined);

  test("a late treatment is answered by control, exactly at the limit, and told", async () => {
    const { trial, limits, told } = setUp({ treatment: 100 }, never);
    let answered: string | undefined;
    const answer = trial
      .for(treated)()
      .then((value) => (answered = value));
    await limits.advance(99);
    expect(answered).toBeUndefined();
    await limits.advance(1);
    await answer;
    expect(answered).toBe("control");
    expect(await told()).toEqual(["Exposure treatment", "Error treatment VariantTimeout → control"]);
  });

  test("what comes after the limit is heard by nobody, a rejection included", async () => {
    const { promise, reject } = Promise.withResolvers<string>();
    const { trial, limits, told } = setUp(100, () => promise, "throw");
    const answer = trial
      .for(treated)()
      .catch((error: unknown) => String(error));
    await limits.advance(100);
    expect(await answer).toBe("VariantTimeout: no answer within 100 ms");
    reject(new Error("late"));
    await limits.advance(1);
    expect(await told()).toEqual(["Exposure treatment", "Error treatment VariantTimeout → thrown"]);
  });

  test("one in time leaves no timer behind", async () => {
    const { trial, limits } = setUp(100, async () => "treatment");
    expect(await trial.for(treated)()).toBe("treatment");
    await limits.advance(0);
    expect(limits.pending()).toEqual([]);
  });

  test("an async generator's next item may take so long, and no longer", async () => {
    const { experiments, told } = world();
    const clock = manualClock();
    const stuck = async function* (): AsyncGenerator<number> {
      yield 1;
      await new Promise(() => undefined);
    };
    const items = experiments
      .trial("checkout", { control: stuck, treatment: stuck }, { limitMs: 50, startTimer: clock.startTimer })
      .for(treated)();
    expect(await items.next()).toEqual({ value: 1, done: false });
    const second = items.next().catch((error: unknown) => String(error));
    await clock.advance(50);
    expect(await second).toBe("VariantTimeout: no answer within 50 ms");
    expect(await told()).toEqual(["Exposure treatment", "Error treatment VariantTimeout → thrown"]);
  });
});

test("variants may be called what every object has", async () => {
  const variants = [
    { key: "control", buckets: 0, control: true },
    { key: "constructor", buckets: 10_000, control: false },
  ];
  const { experiments, told } = world({ variants });
  expect(experiments.trial("checkout", { control: () => 1 }).for(treated)()).toBe(1);
  expect(await told()).toEqual(["Exposure constructor", "Error constructor VariantNotImplemented → control"]);
});

test("what was shipped is served to everybody, and exposes nobody", async () => {
  const { experiments, told } = world({ state: "Archived", shipped: "treatment", variants: three });
  const trial = experiments.trial<Stripe>("checkout", { control: new Stripe(), treatment: new Adyen() });
  expect(trial.for(controlled).charge(100)).toMatch(/^adyen/);
  expect(await told()).toEqual([]);
});
