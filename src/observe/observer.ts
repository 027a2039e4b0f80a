/**
 * The port for whoever watches the work itself: spans, metrics. One method; left out, it costs a call. What is observed
 * holds no personal value and no secret: names of experiments and scopes, kinds, codes, counts.
 */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** What there is to see. Spans are called `proviso.` and one of these. */
export type Operation = "request" | "command" | "evidence" | "decision" | "store" | "delivery";

/** Adds what is known only later. */
export type Note = (more: Attributes) => void;

export interface Observer {
  /** Runs work as one operation: it ends when the work returns, or when its promise settles. Passes on what it gives. */
  run<Result>(operation: Operation, attributes: Attributes, work: (note: Note) => Result): Result;
}

const ignore: Note = () => undefined;

/** Nobody watches. */
export const unobserved: Observer = { run: (_operation, _attributes, work) => work(ignore) };

const isPromise = (value: unknown): value is Promise<unknown> => value instanceof Promise;

/** Calls `end` once, when the work has ended: with what was thrown, or with nothing. For observers. */
export const watched = <Result>(work: () => Result, end: (failure?: { readonly error: unknown }) => void): Result => {
  let result: Result;
  try {
    result = work();
  } catch (error) {
    end({ error });
    throw error;
  }
  // Who awaits the result gets its error from the result itself.
  if (isPromise(result))
    void result.then(
      () => end(),
      (error: unknown) => end({ error }),
    );
  else end();
  return result;
};

/** Several observers as one; the first is the outermost. */
export const observers = (...list: readonly Observer[]): Observer => {
  const [first, ...rest] = list;
  if (first === undefined) return unobserved;
  if (rest.length === 0) return first;
  const others = observers(...rest);
  return {
    run: (operation, attributes, work) =>
      first.run(operation, attributes, (note) =>
        others.run(operation, attributes, (noteOther) =>
          work((more) => {
            note(more);
            noteOther(more);
          }),
        ),
      ),
  };
};
