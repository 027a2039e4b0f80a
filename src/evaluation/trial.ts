/** Wraps the implementations of an experiment's variants, and calls the one that a subject is assigned to. */
import type { Assignment } from "./assign.ts";
import type { Attributes } from "./targeting.ts";

/** One implementation a variant, by variant key. `control` stands for the control variant, whatever its key. */
export type Implementations<A extends readonly unknown[], R> = {
  readonly control: (...args: A) => R;
  readonly [variant: string]: (...args: A) => R;
};

export interface TrialOptions {
  /**
   * What happens when the implementation of a treatment throws or its promise rejects:
   *
   * - `control` (default): control is called with the same arguments and answers instead. What the treatment did until
   *   then is not undone, so control must be safe to call after it.
   * - `throw`: the application gets the error.
   *
   * Either way an Error event counts in the *assigned* arm. An error of control itself always reaches the application.
   */
  readonly onVariantError?: "control" | "throw";
}

export interface Trial<A extends readonly unknown[], R> {
  /**
   * The function for one subject. It decides at each call, so that a brake works at once; the exposure is recorded at
   * the first call (*onFirstUse*): making the function, or never calling it, exposes nobody. Later calls record again
   * only when the assignment has changed.
   */
  for(subjectId: string, attributes?: Attributes): (...args: A) => R;
}

export interface TrialDependencies {
  readonly assign: (experiment: string, subjectId: string, attributes?: Attributes) => Assignment;
  /** Must not throw. */
  readonly exposed: (assignment: Assignment, subjectId: string, attributes?: Attributes) => void;
  /** Must not throw. */
  readonly failed: (assignment: Assignment, subjectId: string, error: unknown, fallback?: string) => void;
}

/** Calls, and on a failure (an exception, or a promise that rejects) answers with `recover` instead. */
function attempt<R>(call: () => R, recover: (error: unknown) => R): R;
// The overload says what holds but TypeScript cannot see: a promise recovered by calls that return R is an R.
// Only true promises are followed: calling `then` of a lazy query builder would run its query.
function attempt(call: () => unknown, recover: (error: unknown) => unknown): unknown {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    return recover(error);
  }
  return result instanceof Promise ? result.catch(recover) : result;
}

/** A misspelt key would otherwise be an experiment that compares control with control, and nobody knows. */
export const notImplemented = (variant: string): Error => {
  const error = new Error(`no implementation for variant ${JSON.stringify(variant)}`);
  error.name = "VariantNotImplemented";
  return error;
};

export const sameServing = (left: Assignment, right: Assignment): boolean =>
  left.variant === right.variant && left.epoch === right.epoch && left.version === right.version;

/**
 * @throws TypeError when `control` is not a function
 * @example
 * const pay = createTrial(dependencies, "checkout", { control: payV1, treatment: payV2 });
 * const receipt = await pay.for("user-42", { country: "US" })(cart);
 */
export const createTrial = <A extends readonly unknown[], R>(
  dependencies: TrialDependencies,
  experiment: string,
  implementations: Implementations<A, R>,
  { onVariantError = "control" }: TrialOptions = {},
): Trial<A, R> => {
  const { assign, exposed, failed } = dependencies;
  // A map, because a variant may be called `constructor`, which every object literal has.
  const byKey = new Map(Object.entries(implementations));
  const { control } = implementations;
  if (typeof control !== "function") throw new TypeError(`trial of ${experiment}: control must be a function`);

  return {
    for(subjectId, attributes) {
      let served: Assignment | undefined;
      return (...args) => {
        const assignment = assign(experiment, subjectId, attributes);
        if (!assignment.exposed) return (byKey.get(assignment.variant) ?? control)(...args);
        if (served === undefined || !sameServing(served, assignment)) {
          served = assignment;
          exposed(assignment, subjectId, attributes);
        }
        const implementation = byKey.get(assignment.variant) ?? (assignment.control ? control : undefined);
        if (implementation === undefined) {
          failed(assignment, subjectId, notImplemented(assignment.variant), "control");
          return control(...args);
        }
        return attempt(
          () => implementation(...args),
          (error) => {
            const recovers = !assignment.control && onVariantError === "control";
            failed(assignment, subjectId, error, recovers ? "control" : undefined);
            if (recovers) return control(...args);
            throw error;
          },
        );
      };
    },
  };
};
