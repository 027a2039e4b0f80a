/**
 * Calls an implementation so that a failure, wherever it comes, is seen: an exception, a promise that rejects or takes
 * too long, a generator that throws on its way. What has not answered yet can be answered by somebody else; a generator
 * that has yielded cannot be replaced any more, and its error goes to whoever reads it.
 */
import { startTimer, type StartTimer } from "../events/timer.ts";

export interface Guarding {
  /** Hears of a failure. `recovered` is false when the caller gets the error. Must not throw. */
  readonly failed: (error: unknown, recovered: boolean) => void;
  /** Answers instead; null: the error goes on. */
  readonly recover: (() => unknown) | null;
  /** The longest that a promise, or the next item of an async generator, may take. A synchronous call cannot be stopped. */
  readonly limitMs?: number | undefined;
  readonly startTimer?: StartTimer | undefined;
}

const timeout = (limitMs: number): Error => {
  const error = new Error(`no answer within ${limitMs} ms`);
  error.name = "VariantTimeout";
  return error;
};

/** Rejects when the time is over. What comes after that is heard by nobody. */
export const within = <T>(
  promise: Promise<T>,
  limitMs: number | undefined,
  begin: StartTimer = startTimer,
): Promise<T> => {
  if (limitMs === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const cancel = begin(() => reject(timeout(limitMs)), limitMs, true);
    promise.then(resolve, reject).finally(cancel);
  });
};

const isGenerator = (value: unknown): value is Generator =>
  Object.prototype.toString.call(value) === "[object Generator]";
const isAsyncGenerator = (value: unknown): value is AsyncGenerator =>
  Object.prototype.toString.call(value) === "[object AsyncGenerator]";

/** A generator that is another one in everything but its three methods: helpers and `instanceof` work as before. */
const standIn = (original: object, methods: PropertyDescriptorMap): object => {
  const made = Object.defineProperties({}, methods);
  Reflect.setPrototypeOf(made, original);
  return made;
};
const method = (value: unknown): PropertyDescriptor => ({ value, configurable: true, writable: true });

const guardGenerator = (original: Generator, guarding: Guarding): unknown => {
  let current = original;
  let begun = false;
  const step = (take: (generator: Generator) => IteratorResult<unknown>): IteratorResult<unknown> => {
    try {
      const result = take(current);
      begun = true;
      return result;
    } catch (error) {
      const replacement = !begun && current === original ? guarding.recover : null;
      if (current === original) guarding.failed(error, replacement !== null);
      if (replacement === null) throw error;
      const other = replacement();
      if (!isGenerator(other)) throw error;
      current = other;
      return take(current);
    }
  };
  return standIn(original, {
    next: method((...values: [] | [unknown]) => step((generator) => generator.next(...values))),
    return: method((value: unknown) => current.return(value)),
    // What its reader throws into it is no failure of its own.
    throw: method((error: unknown) => current.throw(error)),
  });
};

const guardAsyncGenerator = (original: AsyncGenerator, guarding: Guarding): unknown => {
  let current = original;
  let begun = false;
  const step = async (
    take: (generator: AsyncGenerator) => Promise<IteratorResult<unknown>>,
  ): Promise<IteratorResult<unknown>> => {
    try {
      const result = await within(take(current), guarding.limitMs, guarding.startTimer);
      begun = true;
      return result;
    } catch (error) {
      const replacement = !begun && current === original ? guarding.recover : null;
      if (current === original) guarding.failed(error, replacement !== null);
      if (replacement === null) throw error;
      const other = replacement();
      if (!isAsyncGenerator(other)) throw error;
      current = other;
      return take(current);
    }
  };
  return standIn(original, {
    next: method((...values: [] | [unknown]) => step((generator) => generator.next(...values))),
    return: method((value: unknown) => current.return(value)),
    throw: method((error: unknown) => current.throw(error)),
  });
};

/** The answer of `call`, or of `recover`. A synchronous answer stays one. */
export const guarded = (call: () => unknown, guarding: Guarding): unknown => {
  const fail = (error: unknown): unknown => {
    guarding.failed(error, guarding.recover !== null);
    if (guarding.recover === null) throw error;
    return guarding.recover();
  };
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    return fail(error);
  }
  if (typeof result !== "object" || result === null) return result;
  // Only true promises are followed: calling `then` of a lazy query builder would run its query.
  if (result instanceof Promise) return within<unknown>(result, guarding.limitMs, guarding.startTimer).catch(fail);
  if (isGenerator(result)) return guardGenerator(result, guarding);
  return isAsyncGenerator(result) ? guardAsyncGenerator(result, guarding) : result;
};
