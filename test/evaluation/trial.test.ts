import { describe, expect, expectTypeOf, test } from "vitest";
import { compileRule, type Assign, type Assignment } from "../../src/evaluation/assign.ts";
import { createTrial, type Implementations, type TrialOptions } from "../../src/evaluation/trial.ts";
import { rule, subjectFor } from "./fixtures.ts";

interface Failure {
  readonly variant: string;
  readonly name: string;
  readonly fallback: string | undefined;
}

const setup = (start: Assign = compileRule(rule())) => {
  let assign = start;
  const exposures: Assignment[] = [];
  const failures: Failure[] = [];
  const dependencies = {
    assign: (_: string, subjectId: string, attributes?: Readonly<Record<string, unknown>>) =>
      assign(subjectId, attributes),
    exposed: (assignment: Assignment) => void exposures.push(assignment),
    failed: (assignment: Assignment, _: string, error: unknown, fallback?: string) =>
      void failures.push({ variant: assignment.variant, name: error instanceof Error ? error.name : "?", fallback }),
  };
  return {
    exposures,
    failures,
    publish: (next: Assign): void => {
      assign = next;
    },
    trial: <A extends readonly unknown[], R>(implementations: Implementations<A, R>, options?: TrialOptions) =>
      createTrial(dependencies, "checkout", implementations, options),
  };
};

const assign = compileRule(rule());
const treated = subjectFor((id) => assign(id).variant === "treatment");
const controlled = subjectFor((id) => assign(id).variant === "control");
const boom = (): never => {
  throw new RangeError("boom");
};

describe("dispatch", () => {
  test("calls the implementation of the subject's variant, with the arguments, and returns its result", () => {
    const { trial } = setup();
    const price = trial({
      control: (cents: number, currency: string) => `${cents} ${currency}`,
      treatment: (cents: number, currency: string) => `${currency} ${cents}`,
    });
    expect(price.for(controlled)(100, "EUR")).toBe("100 EUR");
    expect(price.for(treated)(100, "EUR")).toBe("EUR 100");
  });

  test("hands the attributes to the decision", () => {
    const { trial } = setup(compileRule(rule({ targeting: { attribute: "country", equals: "CA" } })));
    const where = trial({ control: () => "control", treatment: () => "treatment" });
    expect(where.for(treated, { country: "CA" })()).toBe("treatment");
    expect(where.for(treated, { country: "US" })()).toBe("control");
    expect(where.for(treated)()).toBe("control");
  });

  test("takes `control` for the control variant, whatever its key; its own key wins", () => {
    const variants = [
      { key: "gate_30", buckets: 5_000, control: true },
      { key: "gate_40", buckets: 5_000, control: false },
    ];
    const { trial, failures } = setup(compileRule(rule({ variants })));
    expect(trial({ control: () => 30, gate_40: () => 40 }).for(controlled)()).toBe(30);
    expect(trial({ control: () => 0, gate_30: () => 30, gate_40: () => 40 }).for(controlled)()).toBe(30);
    expect(failures).toEqual([]);
  });

  test("does not find implementations that objects merely inherit", () => {
    const variants = [
      { key: "control", buckets: 0, control: true },
      { key: "constructor", buckets: 10_000, control: false },
    ];
    const { trial, failures } = setup(compileRule(rule({ variants })));
    expect(trial({ control: () => "control" }).for(treated)()).toBe("control");
    expect(failures).toMatchObject([{ variant: "constructor", name: "VariantNotImplemented" }]);
  });

  test("keeps types: arguments, results, synchronous or not", async () => {
    const { trial } = setup();
    const sync = trial({ control: (n: number) => n + 1, treatment: (n: number) => n + 2 });
    expectTypeOf(sync.for(treated)).toEqualTypeOf<(n: number) => number>();
    expect(sync.for(treated)(1)).toBe(3);
    const later = trial({ control: async (n: number) => n + 1, treatment: async (n: number) => n + 2 });
    expectTypeOf(later.for(treated)).toEqualTypeOf<(n: number) => Promise<number>>();
    expect(await later.for(treated)(1)).toBe(3);
    const either = trial({ control: () => ({ total: 1 }), treatment: () => ({ total: 2, discount: 1 }) });
    expectTypeOf(either.for(treated)()).toHaveProperty("total");
    // @ts-expect-error a text is no number
    sync.for(treated)("1");
    // @ts-expect-error there must be a control
    expect(() => trial({ treatment: (n: number) => n })).toThrow("trial of checkout: control must be a function");
  });
});

describe("exposure on first use", () => {
  test("making the function exposes nobody", () => {
    const { trial, exposures } = setup();
    trial({ control: () => 1, treatment: () => 2 }).for(treated);
    expect(exposures).toEqual([]);
  });

  test("the first call records it, in either arm; later calls of the function do not", () => {
    const { trial, exposures } = setup();
    const both = trial({ control: () => 1, treatment: () => 2 });
    for (const subject of [treated, controlled]) {
      const call = both.for(subject);
      call();
      call();
    }
    expect(exposures.map(({ variant }) => variant)).toEqual(["treatment", "control"]);
  });

  test("a change of the assignment is seen at the next call, and recorded", () => {
    const { trial, exposures, publish } = setup();
    const call = trial({ control: () => 1, treatment: () => 2 }).for(treated);
    expect(call()).toBe(2);
    publish(compileRule(rule()));
    expect(call()).toBe(2);
    expect(exposures).toHaveLength(1);
    publish(compileRule(rule({ state: "Paused" })));
    expect(call()).toBe(1);
    expect(exposures).toHaveLength(1);
    publish(compileRule(rule({ epoch: 2, version: 4 })));
    expect(call()).toBe(2);
    expect(exposures.map(({ epoch }) => epoch)).toEqual([1, 2]);
  });

  test.each([
    ["is paused", compileRule(rule({ state: "Paused" }))],
    ["is outside the traffic", compileRule(rule({ trafficBuckets: 0 }))],
    ["does not match", compileRule(rule({ targeting: { attribute: "a", exists: true } }))],
  ])("who %s gets control and is not exposed", (_, start) => {
    const { trial, exposures, failures } = setup(start);
    expect(trial({ control: () => 1, treatment: () => 2 }).for(treated)()).toBe(1);
    expect(() => trial({ control: boom, treatment: () => 2 }).for(treated)()).toThrow("boom");
    expect(exposures).toEqual([]);
    expect(failures).toEqual([]);
  });

  test("is recorded before the implementation runs, so one that throws counts in its arm", () => {
    const { trial, exposures } = setup();
    trial({
      control: () => 1,
      treatment: () => {
        expect(exposures).toHaveLength(1);
        return boom();
      },
    }).for(treated)();
    expect(exposures.map(({ variant }) => variant)).toEqual(["treatment"]);
  });
});

describe("a treatment that fails", () => {
  const failure: Failure = { variant: "treatment", name: "RangeError", fallback: "control" };

  test("by throwing: control answers, with the same arguments, at once", () => {
    const { trial, failures } = setup();
    const call = trial({ control: (n: number) => n * 10, treatment: (n: number): number => (n > 0 ? boom() : n) }).for(
      treated,
    );
    expect(call(7)).toBe(70);
    expect(failures).toEqual([failure]);
  });

  test("by rejecting: control answers, with the same arguments", async () => {
    const { trial, failures } = setup();
    const call = trial({
      control: (n: number) => Promise.resolve(n * 10),
      treatment: (n: number): Promise<number> => Promise.reject(new RangeError(`boom ${n}`)),
    }).for(treated);
    const promise = call(7);
    expect(promise).toBeInstanceOf(Promise);
    expect(await promise).toBe(70);
    expect(failures).toEqual([failure]);
  });

  test("by not being there: control answers, and it is told", () => {
    const { trial, exposures, failures } = setup();
    expect(trial({ control: () => 1, tretment: () => 2 }).for(treated)()).toBe(1);
    expect(exposures.map(({ variant }) => variant)).toEqual(["treatment"]);
    expect(failures).toEqual([{ ...failure, name: "VariantNotImplemented" }]);
  });

  test("counts in the assigned arm each time", () => {
    const { trial, failures } = setup();
    const call = trial({ control: () => 1, treatment: (): number => boom() }).for(treated);
    call();
    call();
    expect(failures).toEqual([failure, failure]);
  });

  test("with onVariantError: throw reaches the application, and is told all the same", async () => {
    const { trial, failures } = setup();
    const thrown = trial({ control: () => 1, treatment: (): number => boom() }, { onVariantError: "throw" });
    expect(() => thrown.for(treated)()).toThrow(RangeError);
    const rejected = trial(
      { control: async () => 1, treatment: async (): Promise<number> => boom() },
      { onVariantError: "throw" },
    );
    await expect(rejected.for(treated)()).rejects.toThrow(RangeError);
    expect(failures).toEqual([
      { ...failure, fallback: undefined },
      { ...failure, fallback: undefined },
    ]);
  });

  test("and control after it too: the application gets control's error, the arm one failure", () => {
    const { trial, failures } = setup();
    const call = trial({
      control: (): number => {
        throw new TypeError("control");
      },
      treatment: (): number => boom(),
    }).for(treated);
    expect(call).toThrow(TypeError);
    expect(failures).toEqual([failure]);
  });

  test("is not looked for in a thenable that runs only when it is awaited", () => {
    const { trial } = setup();
    let ran = 0;
    const run = (): void => {
      ran += 1;
    };
    const lazyQuery = Object.fromEntries(["then"].map((name) => [name, run]));
    expect(trial({ control: () => lazyQuery, treatment: () => lazyQuery }).for(treated)()).toBe(lazyQuery);
    expect(ran).toBe(0);
  });
});

test("an error of control itself reaches the application and counts in control's arm", () => {
  const { trial, failures } = setup();
  expect(() => trial({ control: boom, treatment: () => 2 }).for(controlled)()).toThrow(RangeError);
  expect(failures).toEqual([{ variant: "control", name: "RangeError", fallback: undefined }]);
});
