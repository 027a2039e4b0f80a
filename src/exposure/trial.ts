/**
 * Trials of functions, objects and classes: whatever is called on the outside is called on the implementation that the
 * subject is assigned to, with its own `this`. It is decided at each call, so that a brake works at once. (Browsers that
 * wrap functions only have a smaller one in `src/evaluation/trial.ts`.)
 */
import type { Assignment } from "../evaluation/assign.ts";
import type { Attributes } from "../evaluation/targeting.ts";
import { notImplemented, sameServing, type TrialDependencies } from "../evaluation/trial.ts";
import type { EventBody } from "../events/exposure.ts";
import type { StartTimer } from "../events/timer.ts";
import { guarded } from "./guard.ts";
import { createShadow, type ShadowCounts, type ShadowOptions } from "./shadow.ts";

/** One implementation a variant. `control` stands for the control variant, whatever its key. */
export type Variants<T> = { readonly control: T } & Readonly<Record<string, T>>;

/** When a subject counts as exposed. */
export type ExposureSemantics =
  /** At the first call, construction or reading of a value: making the trial's object, or never using it, exposes nobody. */
  | "onFirstUse"
  /** When it is decided who gets what: at `for`. */
  | "onDecision"
  /** When the application says so, by `exposed`. */
  | "explicit";

export interface FullTrialOptions {
  readonly semantics?: ExposureSemantics;
  /**
   * What happens when a treatment fails: control answers instead (the default), a named variant does, or the application
   * gets the error. What the treatment did until then is not undone. Control's own errors always reach the application.
   */
  readonly onVariantError?: "control" | "throw" | { readonly variant: string };
  /**
   * The longest that an asynchronous answer may take, for all variants or by variant key; what comes later is a failure
   * like any other. Nothing can stop a synchronous call.
   */
  readonly limitMs?: number | Readonly<Record<string, number>>;
  /** Serve control to everybody, and run another variant unseen. Not for classes. */
  readonly shadow?: ShadowOptions;
  readonly startTimer?: StartTimer;
}

export interface FullTrial<T> {
  /** The implementation for one subject. */
  for(subjectId: string, attributes?: Attributes): T;
  /** Says that the subject is being served: for `explicit`. */
  exposed(subjectId: string, attributes?: Attributes): Assignment;
  /** How shadows went; all 0 without one. */
  shadowed(): ShadowCounts;
}

export interface FullTrialDependencies extends TrialDependencies {
  /** Must not throw. */
  readonly record: (event: EventBody) => unknown;
}

type Callable = (...args: readonly unknown[]) => unknown;
type Newable = new (...args: readonly unknown[]) => object;

const isCallable = (value: unknown): value is Callable => typeof value === "function";
/** A class as it is written; one that a compiler made a function of is a function. */
const isClass = (value: unknown): value is Newable =>
  typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));
const isObject = (value: unknown): value is object =>
  typeof value === "object" ? value !== null : typeof value === "function";

const noShadows: ShadowCounts = { same: 0, different: 0, failed: 0, late: 0, skipped: 0 };

/** How a use of an implementation is made; undefined when the implementation has nothing of that name. */
type Use = (implementation: object) => (() => unknown) | undefined;

/**
 * @throws TypeError when `control` is neither a function, an object nor a class
 * @example
 * const payments = createFullTrial(parts, "checkout", { control: stripe, treatment: adyen }, { limitMs: 2_000 });
 * const receipt = await payments.for("user-42").charge(cart);
 */
export function createFullTrial<A extends readonly unknown[], R>(
  parts: FullTrialDependencies,
  experiment: string,
  variants: Variants<(...args: A) => R>,
  options?: FullTrialOptions,
): FullTrial<(...args: A) => R>;
export function createFullTrial<T extends object>(
  parts: FullTrialDependencies,
  experiment: string,
  variants: { readonly control: T } & Readonly<Record<string, NoInfer<T>>>,
  options?: FullTrialOptions,
): FullTrial<T>;
export function createFullTrial(
  parts: FullTrialDependencies,
  experiment: string,
  variants: { readonly control: unknown } & Readonly<Record<string, unknown>>,
  options: FullTrialOptions = {},
): FullTrial<unknown> {
  const { assign, exposed, failed, record } = parts;
  const { semantics = "onFirstUse", onVariantError = "control", limitMs, startTimer } = options;
  const { control } = variants;
  if (!isObject(control))
    throw new TypeError(`trial of ${experiment}: control must be a function, an object or a class`);
  // A map, because a variant may be called `constructor`, which every object literal has.
  const byKey = new Map(Object.entries(variants).filter((entry): entry is [string, object] => isObject(entry[1])));
  if (options.shadow !== undefined && isClass(control))
    throw new TypeError(`trial of ${experiment}: classes have no shadow`);
  const shadow = options.shadow === undefined ? undefined : createShadow(options.shadow, record);
  const limits = typeof limitMs === "object" ? new Map(Object.entries(limitMs)) : limitMs;

  const limitOf = ({ variant, control: isControl }: Assignment): number | undefined =>
    limits instanceof Map ? (limits.get(variant) ?? (isControl ? limits.get("control") : undefined)) : limits;

  /** What answers when a treatment fails; null: nobody. */
  const fallback = (
    assignment: Assignment,
    use: Use,
  ): { readonly name: string; readonly run: () => unknown } | null => {
    if (assignment.control || onVariantError === "throw") return null;
    const named = onVariantError === "control" ? undefined : onVariantError.variant;
    const other = named === undefined || named === assignment.variant ? undefined : byKey.get(named);
    const run = (other === undefined ? undefined : use(other)) ?? use(control);
    return run === undefined ? null : { name: other === undefined ? "control" : (named ?? "control"), run };
  };

  const call = (assignment: Assignment, subjectId: string, use: Use): unknown => {
    const implementation = byKey.get(assignment.variant) ?? (assignment.control ? control : undefined);
    const run = implementation === undefined ? undefined : use(implementation);
    if (run === undefined) {
      if (assignment.control) throw new TypeError(`trial of ${experiment}: control has nothing of that name`);
      failed(assignment, subjectId, notImplemented(assignment.variant), "control");
      const instead = use(control);
      if (instead === undefined) throw notImplemented(assignment.variant);
      return instead();
    }
    const replacement = fallback(assignment, use);
    return guarded(run, {
      failed: (error, recovered) => failed(assignment, subjectId, error, recovered ? replacement?.name : undefined),
      recover: replacement === null ? null : replacement.run,
      limitMs: limitOf(assignment),
      startTimer,
    });
  };

  /** Control, with the other variant watched beside it. */
  const callShadowed = (
    assignment: Assignment,
    subjectId: string,
    given: readonly unknown[],
    use: (implementation: object, given: readonly unknown[]) => (() => unknown) | undefined,
  ): unknown => {
    const run = use(control, given);
    if (run === undefined) throw new TypeError(`trial of ${experiment}: control has nothing of that name`);
    const hidden =
      shadow === undefined || assignment.variant !== shadow.variant ? undefined : byKey.get(shadow.variant);
    const ended =
      hidden === undefined || !assignment.exposed
        ? undefined
        : shadow?.watch({ experiment, subjectId }, given, (copies) => use(hidden, copies)?.());
    if (ended === undefined) return run();
    let result: unknown;
    try {
      result = run();
    } catch (error) {
      ended({ ok: false, error });
      throw error;
    }
    if (!(result instanceof Promise)) {
      ended({ ok: true, value: result });
      return result;
    }
    return result.then(
      (value: unknown) => {
        ended({ ok: true, value });
        return value;
      },
      (error: unknown) => {
        ended({ ok: false, error });
        throw error;
      },
    );
  };

  const bind = (subjectId: string, attributes: Attributes | undefined): unknown => {
    let served: Assignment | undefined;
    const expose = (assignment: Assignment): void => {
      if (!assignment.exposed || shadow !== undefined) return;
      if (served !== undefined && sameServing(served, assignment)) return;
      served = assignment;
      exposed(assignment, subjectId, attributes);
    };
    const decide = (isUse: boolean): Assignment => {
      const assignment = assign(experiment, subjectId, attributes);
      if (isUse ? semantics !== "explicit" : semantics === "onDecision") expose(assignment);
      return assignment;
    };
    decide(false);

    const use = (
      given: readonly unknown[],
      make: (implementation: object, given: readonly unknown[]) => (() => unknown) | undefined,
    ): unknown => {
      const assignment = decide(true);
      if (shadow !== undefined) return callShadowed(assignment, subjectId, given, make);
      // Without an exposure there is nothing to fall back from: this is control, or what was shipped.
      if (assignment.exposed) return call(assignment, subjectId, (implementation) => make(implementation, given));
      return (make(byKey.get(assignment.variant) ?? control, given) ?? make(control, given))?.();
    };

    /** The implementation of this moment, without any use of it. */
    const present = (): object => {
      const assignment = decide(false);
      return (shadow === undefined ? byKey.get(assignment.variant) : undefined) ?? control;
    };

    if (isCallable(control) && !isClass(control)) {
      return function (this: unknown, ...args: readonly unknown[]): unknown {
        return use(args, (implementation, given) =>
          isCallable(implementation) ? () => Reflect.apply(implementation, this, given) : undefined,
        );
      };
    }

    // A method is the same one each time it is read, as it is on any object.
    const methods = new Map<PropertyKey, Callable>();
    const methodOf = (key: PropertyKey): Callable => {
      const known = methods.get(key);
      if (known !== undefined) return known;
      const made: Callable = (...args) =>
        use(args, (implementation, given) => {
          const method: unknown = Reflect.get(implementation, key, implementation);
          // Its own object as `this`, and no proxy: private members are there and nowhere else.
          return isCallable(method) ? () => Reflect.apply(method, implementation, given) : undefined;
        });
      methods.set(key, made);
      return made;
    };
    // A function's own `prototype` is the one member that a proxy must keep and may still answer differently for.
    const target: object = isClass(control) ? function () {} : {};
    const proxy: object = new Proxy(target, {
      get(_, key) {
        if (key === Symbol.hasInstance) return isInstance;
        const now = present();
        // What is not there is not used: `await` looks for `then`, and printing looks for symbols.
        if (!Reflect.has(now, key)) return Reflect.has(control, key) ? fromControl(key) : undefined;
        const value: unknown = valueOf(now, key);
        if (key === "prototype" || typeof key === "symbol") return value;
        if (isCallable(value) && !isClass(value)) return methodOf(key);
        decide(true);
        return value;
      },
      set(_, key, value) {
        const now = present();
        decide(true);
        return Reflect.set(now, key, value, now);
      },
      has: (_, key) => Reflect.has(present(), key),
      deleteProperty: (_, key) => Reflect.deleteProperty(present(), key),
      ownKeys: () => Reflect.ownKeys(present()),
      getOwnPropertyDescriptor(_, key) {
        const own = Reflect.getOwnPropertyDescriptor(target, key);
        if (own !== undefined && own.configurable === false) return own;
        const found = Reflect.getOwnPropertyDescriptor(present(), key);
        return found === undefined ? undefined : { ...found, configurable: true };
      },
      getPrototypeOf: () => Reflect.getPrototypeOf(present()),
      construct: (_, args: readonly unknown[], asked) => instance(args, asked === proxy ? undefined : asked),
    });
    return proxy;

    function fromControl(key: PropertyKey): unknown {
      const value: unknown = Reflect.get(Object(control), key);
      return isCallable(value) && typeof key !== "symbol" ? methodOf(key) : value;
    }
    function valueOf(now: object, key: PropertyKey): unknown {
      const descriptor = findDescriptor(now, key);
      if (descriptor?.get === undefined) return Reflect.get(now, key, now);
      // A getter runs code of the variant: it counts and fails as a call does.
      return use([], (implementation) =>
        Reflect.has(implementation, key) ? (): unknown => Reflect.get(implementation, key, implementation) : undefined,
      );
    }
    function isInstance(value: unknown): boolean {
      return [...byKey.values()].some(
        (implementation) => isCallable(implementation) && value instanceof implementation,
      );
    }
    /** `asked`: a class that extends this one, whose instance it is to be. */
    function instance(args: readonly unknown[], asked: Function | undefined): object {
      let assignment: Assignment | undefined;
      const made = use(args, (implementation, given) => {
        assignment ??= assign(experiment, subjectId, attributes);
        return isClass(implementation)
          ? (): unknown => Reflect.construct(implementation, given, asked ?? implementation)
          : undefined;
      });
      if (!isObject(made)) throw new TypeError(`trial of ${experiment}: a class made no object`);
      // The members of a class that extends this one are its own: nothing stands between them and their instance.
      return assignment?.exposed === true && asked === undefined ? watched(made, assignment, subjectId) : made;
    }
  };

  /** An instance whose methods' failures are told. Nobody answers instead: only this instance knows what it has done. */
  const watched = (made: object, assignment: Assignment, subjectId: string): object => {
    const methods = new Map<Callable, Callable>();
    const proxy: object = new Proxy(made, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        const own = Reflect.getOwnPropertyDescriptor(target, key);
        if (!isCallable(value) || isClass(value) || key === "constructor" || own?.configurable === false) return value;
        const known = methods.get(value);
        if (known !== undefined) return known;
        const method: Callable = (...args) => {
          const result = guarded(() => Reflect.apply(value, target, args), {
            failed: (error) => failed(assignment, subjectId, error),
            recover: null,
            limitMs: limitOf(assignment),
            startTimer,
          });
          // A chain stays within what is watched.
          return result === target ? proxy : result;
        };
        methods.set(value, method);
        return method;
      },
      set: (target, key, value) => Reflect.set(target, key, value, target),
    });
    return proxy;
  };

  return {
    for: bind,
    exposed(subjectId, attributes) {
      const assignment = assign(experiment, subjectId, attributes);
      if (shadow === undefined) exposed(assignment, subjectId, attributes);
      return assignment;
    },
    shadowed: () => shadow?.counts() ?? noShadows,
  };
}

/** Makes trials of functions, or of objects and classes: the types of all variants are those of control. */
export interface MakeTrial {
  <A extends readonly unknown[], R>(
    experiment: string,
    variants: Variants<(...args: A) => R>,
    options?: FullTrialOptions,
  ): FullTrial<(...args: A) => R>;
  <T extends object>(
    experiment: string,
    variants: { readonly control: T } & Readonly<Record<string, NoInfer<T>>>,
    options?: FullTrialOptions,
  ): FullTrial<T>;
}

export function trialsOf(parts: FullTrialDependencies): MakeTrial;
export function trialsOf(parts: FullTrialDependencies): unknown {
  return (
    experiment: string,
    variants: { readonly control: object } & Readonly<Record<string, object>>,
    options?: FullTrialOptions,
  ) => createFullTrial(parts, experiment, variants, options);
}

const findDescriptor = (object: object, key: PropertyKey): PropertyDescriptor | undefined => {
  for (let at: object | null = object; at !== null; at = Reflect.getPrototypeOf(at)) {
    const found = Reflect.getOwnPropertyDescriptor(at, key);
    if (found !== undefined) return found;
  }
  return undefined;
};
