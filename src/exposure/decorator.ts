/**
 * `@exposure`: the decorated method is control, other methods of the class (or functions) are the treatments. A standard
 * decorator (ECMAScript, stage 3), not TypeScript's older ones: no option of the compiler is needed.
 */
import type { Attributes } from "../evaluation/targeting.ts";
import type { Identified } from "./identity.ts";
import { type ExposingParts, identify, nobody } from "./with-exposure.ts";
import { subjectOf } from "./identity.ts";
import type { FullTrialOptions } from "./trial.ts";

type Method<This, A extends readonly unknown[], R> = (this: This, ...args: A) => R;

export interface ExposureOptions<This, A extends readonly unknown[], R> extends Omit<FullTrialOptions, "shadow"> {
  /** Treatments by variant key: the name of another method of the class, or a function that gets the same `this`. */
  readonly variants: Readonly<Record<string, keyof This | Method<This, A, R>>>;
  /** The subject of a call. A promise only where the method returns one. */
  readonly subject: (self: This, ...args: A) => Identified | (R extends Promise<unknown> ? Promise<Identified> : never);
  readonly attributes?: (self: This, ...args: A) => Attributes;
}

type Decorator<This, A extends readonly unknown[], R> = (
  control: Method<This, A, R>,
  context: ClassMethodDecoratorContext<This, Method<This, A, R>>,
) => Method<This, A, R>;

const isMethod = (value: unknown): value is (this: unknown, ...args: readonly unknown[]) => unknown =>
  typeof value === "function";

/**
 * Each call binds the implementations to its own `this`, so one decorator serves every instance, also of subclasses that
 * override a treatment.
 */
export function exposureDecorator<This, A extends readonly unknown[], R>(
  parts: ExposingParts,
  experiment: string,
  options: ExposureOptions<This, A, R>,
): Decorator<This, A, R>;
// The overload says what holds but TypeScript cannot see: what all variants return is what the method returns.
export function exposureDecorator(
  parts: ExposingParts,
  experiment: string,
  { variants, subject, attributes, ...options }: ExposureOptions<unknown, readonly unknown[], unknown>,
): Decorator<unknown, readonly unknown[], unknown> {
  // The instance travels in front of the arguments: the trial is made once, and knows no instance.
  type Carried = readonly [self: unknown, ...args: readonly unknown[]];
  const carried =
    (choose: (self: unknown) => unknown) =>
    (...[self, ...args]: Carried): unknown => {
      const method = choose(self);
      if (!isMethod(method)) throw new TypeError(`exposure of ${experiment}: a variant names no method`);
      return Reflect.apply(method, self, args);
    };
  const treatments = Object.entries(variants).map(([key, named]): [string, (...args: Carried) => unknown] => [
    key,
    carried((self) => (typeof named === "function" ? named : Reflect.get(Object(self), named))),
  ]);
  return (control) => {
    const all = { ...Object.fromEntries(treatments), control: carried(() => control) };
    const trial = parts.trial<Carried, unknown>(experiment, all, options);
    const serve = (found: Identified, self: unknown, args: readonly unknown[]): unknown => {
      const known = subjectOf(found);
      const more = attributes?.(self, ...args);
      return trial.for(known?.id ?? nobody, more === undefined ? known?.attributes : { ...known?.attributes, ...more })(
        self,
        ...args,
      );
    };
    return function (...args) {
      let found: Identified | Promise<Identified>;
      try {
        found = subject(this, ...args);
      } catch (error) {
        parts.report(error);
        found = undefined;
      }
      if (!(found instanceof Promise)) return serve(found, this, args);
      const asked = found;
      return (async () => {
        const known = await identify(() => asked, parts.report);
        await parts.room();
        return await serve(known, this, args);
      })();
    };
  };
}
