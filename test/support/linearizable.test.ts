/** The checker is tried on records whose verdict is known, and on doctored ones, before anything is tried with it. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkLinearizable, type Model, type Operation } from "./linearizable.ts";

type Input = "read" | { readonly write: number } | { readonly from: number; readonly to: number };
type Output = number | boolean | "done";
type Register = Operation<Input, Output>;

/** A register with compare-and-set: what reads must see, and what writes may claim. */
const register: Model<number, Input, Output> = {
  initial: 0,
  next: (state, { input, output }) => {
    if (input === "read") return output === null || output === state ? [state] : [];
    if ("write" in input) return output === null ? [state, input.write] : [input.write];
    const swaps = input.from === state;
    if (output === null) return swaps ? [state, input.to] : [state];
    return output === swaps ? [swaps ? input.to : state] : [];
  },
  keyOf: String,
};

const at = (invokedAt: number, answeredAt: number, input: Input, output: Output | null = "done"): Register => ({
  invokedAt,
  answeredAt,
  input,
  output,
});
const never = Infinity;

const verdict = (...record: readonly Register[]): boolean => checkLinearizable(register, record).ok;

describe("records that are linearizable", () => {
  test.each<[name: string, record: readonly Register[]]>([
    ["nothing", []],
    ["one after another", [at(0, 1, { write: 1 }), at(2, 3, "read", 1), at(4, 5, { write: 2 }), at(6, 7, "read", 2)]],
    ["a read beside a write sees the old value", [at(0, 10, { write: 1 }), at(2, 3, "read", 0)]],
    ["a read beside a write sees the new value", [at(0, 10, { write: 1 }), at(2, 3, "read", 1)]],
    ["an order against that of the invocations", [at(0, 10, "read", 2), at(1, 11, { write: 2 })]],
    [
      "two writes at once, in either order",
      [at(0, 9, { write: 1 }), at(1, 8, { write: 2 }), at(10, 11, "read", 1), at(12, 13, "read", 1)],
    ],
    ["a write without an answer that happened", [at(0, never, { write: 1 }, null), at(5, 6, "read", 1)]],
    ["a write without an answer that never did", [at(0, never, { write: 1 }, null), at(5, 6, "read", 0)]],
    [
      "a write without an answer that happened late",
      [at(0, never, { write: 1 }, null), at(5, 6, "read", 0), at(7, 8, "read", 1)],
    ],
    [
      "of two swaps at once one",
      [at(0, 5, { from: 0, to: 1 }, true), at(1, 6, { from: 0, to: 2 }, false), at(7, 8, "read", 1)],
    ],
  ])("%s", (_, record) => {
    const result = checkLinearizable(register, record);
    expect(result.ok).toBe(true);
    expect(result.ok && result.order.filter(({ output }) => output !== null)).toHaveLength(
      record.filter(({ output }) => output !== null).length,
    );
  });
});

describe("records that are not", () => {
  test.each<[name: string, record: readonly Register[]]>([
    ["a read of what nobody wrote", [at(0, 1, "read", 7)]],
    ["a stale read", [at(0, 1, { write: 1 }), at(2, 3, "read", 0)]],
    ["a lost write", [at(0, 1, { write: 1 }), at(2, 3, { write: 2 }), at(4, 5, "read", 1)]],
    ["a read of the future", [at(0, 1, "read", 1), at(2, 3, { write: 1 })]],
    [
      "a value that comes back",
      [at(0, 1, { write: 1 }), at(2, 20, { write: 2 }), at(3, 4, "read", 2), at(5, 6, "read", 1)],
    ],
    [
      "two readers that see two writes in two orders",
      [at(0, 20, { write: 1 }), at(1, 21, { write: 2 }), at(2, 3, "read", 1), at(4, 5, "read", 2), at(6, 7, "read", 1)],
    ],
    ["two swaps of one value", [at(0, 5, { from: 0, to: 1 }, true), at(1, 6, { from: 0, to: 2 }, true)]],
    ["a swap that is refused without a reason", [at(0, 1, { from: 0, to: 1 }, false)]],
    ["a swap that should have been refused", [at(0, 1, { write: 3 }), at(2, 3, { from: 0, to: 1 }, true)]],
    [
      "an unanswered write seen, and then undone",
      [at(0, never, { write: 1 }, null), at(5, 6, "read", 1), at(7, 8, "read", 0)],
    ],
  ])("%s", (_, record) => {
    const result = checkLinearizable(register, record);
    expect(result.ok).toBe(false);
    expect(!result.ok && result.stuck.length).toBeGreaterThan(0);
  });

  test("that contradict themselves are no records", () => {
    expect(() => verdict(at(1, 1, "read", 0))).toThrow(TypeError);
    expect(() => verdict(at(2, 1, "read", 0))).toThrow(TypeError);
    expect(() => verdict(at(1, 2, "read", null))).toThrow(TypeError);
    expect(() => verdict(at(1, never, "read", 0))).toThrow(TypeError);
  });
});

/** A record made by a run in one order, with intervals that grow around the moments of effect. */
const Honest = fc
  .array(
    fc.record({
      input: fc.oneof(
        fc.constant<Input>("read"),
        fc.nat({ max: 3 }).map((write): Input => ({ write })),
        fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })).map(([from, to]): Input => ({ from, to })),
      ),
      before: fc.nat({ max: 40 }),
      after: fc.nat({ max: 40 }),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((steps) => {
    let value = 0;
    return steps.map(({ input, before, after }, index): Register => {
      const moment = (index + 1) * 10;
      let output: Output = "done";
      if (input === "read") output = value;
      else if ("write" in input) value = input.write;
      else {
        output = input.from === value;
        if (output) value = input.to;
      }
      // Distinct times: fractions by place.
      const fraction = index / 1_000;
      return at(moment - before - 0.5 + fraction, moment + after + 0.5 + fraction, input, output);
    });
  });

test("whatever ran in some order is accepted, however its intervals overlap", () => {
  fc.assert(
    fc.property(Honest, (record) => {
      const result = checkLinearizable(register, record);
      expect(result.ok).toBe(true);
      const order = result.ok ? result.order : [];
      // The order that it found is one: no operation stands before one that was answered before it began.
      for (const [index, later] of order.entries())
        for (const earlier of order.slice(0, index)) expect(earlier.invokedAt).toBeLessThan(later.answeredAt);
      let state = register.initial;
      for (const operation of order) {
        const [next] = register.next(state, operation);
        expect(next).toBeDefined();
        state = next ?? state;
      }
    }),
    { numRuns: 200 },
  );
});

test("it finds what trying every order finds, on small records", () => {
  const permutations = <Value>(values: readonly Value[]): readonly (readonly Value[])[] =>
    values.length === 0
      ? [[]]
      : values.flatMap((value, index) => permutations(values.toSpliced(index, 1)).map((rest) => [value, ...rest]));
  const everyOrder = (record: readonly Register[]): boolean =>
    permutations(record).some((order) => {
      let states: readonly number[] = [register.initial];
      for (const [index, operation] of order.entries()) {
        if (order.slice(0, index).some((earlier) => earlier.invokedAt > operation.answeredAt)) return false;
        states = states.flatMap((state) => register.next(state, operation));
      }
      return states.length > 0;
    });
  const Any = fc
    .array(
      fc.record({
        start: fc.integer({ min: 0, max: 20 }),
        length: fc.integer({ min: 1, max: 10 }),
        operation: fc.oneof(
          fc.nat({ max: 2 }).map((value): [Input, Output] => ["read", value]),
          fc.nat({ max: 2 }).map((write): [Input, Output] => [{ write }, "done"]),
          fc
            .tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 }), fc.boolean())
            .map(([from, to, swapped]): [Input, Output] => [{ from, to }, swapped]),
        ),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map((operations) =>
      operations.map(({ start, length, operation: [input, output] }, index) =>
        at(start + index / 100, start + length + index / 100, input, output),
      ),
    );
  let refused = 0;
  fc.assert(
    fc.property(Any, (record) => {
      const expected = everyOrder(record);
      if (!expected) refused += 1;
      expect(verdict(...record)).toBe(expected);
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(50);
});
