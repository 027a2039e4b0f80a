/**
 * A checker of linearizability, after Wing & Gong with Lowe's memory of what was tried: is there an order of the
 * operations in which each takes effect at one moment between its invocation and its answer, and every answer is what a
 * model, which knows no concurrency, gives in that order?
 */

export interface Operation<Input, Output> {
  /** On one clock for all clients. */
  readonly invokedAt: number;
  /** Infinity for an operation that was never answered: it may have happened at any time since, or never. */
  readonly answeredAt: number;
  readonly input: Input;
  /** Null exactly for an operation that was never answered. */
  readonly output: Output | null;
}

export interface Model<State, Input, Output> {
  readonly initial: State;
  /**
   * The states to which an operation may lead from here with the answer it got; none when it cannot have got that
   * answer here. For an operation without an answer, all states that it may lead to.
   */
  next(state: State, operation: Operation<Input, Output>): readonly State[];
  /** Equal for states that nothing can tell apart. */
  keyOf(state: State): string;
}

export type Verdict<Input, Output> =
  | { readonly ok: true; readonly order: readonly Operation<Input, Output>[] }
  /** `explained`: the longest order that was found; `stuck`: the operations of which one had to come next. */
  | {
      readonly ok: false;
      readonly explained: readonly Operation<Input, Output>[];
      readonly stuck: readonly Operation<Input, Output>[];
    };

/** One step of the search: what was put into the order, and what is still to be tried in its place. */
interface Frame<State> {
  readonly state: State;
  readonly candidates: readonly (readonly [index: number, next: State])[];
  tried: number;
}

export const checkLinearizable = <State, Input, Output>(
  model: Model<State, Input, Output>,
  record: readonly Operation<Input, Output>[],
): Verdict<Input, Output> => {
  for (const { invokedAt, answeredAt, output } of record) {
    if (!(invokedAt < answeredAt)) throw new TypeError("an operation is answered before it is invoked");
    if ((output === null) !== (answeredAt === Infinity))
      throw new TypeError("an answer without a time, or a time without");
  }
  const operations = record.toSorted((left, right) => left.invokedAt - right.invokedAt);
  const answered = operations.filter(({ output }) => output !== null).length;
  const placed = new Set<number>();
  let placedAnswered = 0;
  /** Everything before it is in the order. */
  let from = 0;

  const setKey = (): string => {
    while (placed.has(from)) from += 1;
    const beyond = [...placed].filter((index) => index > from).toSorted((left, right) => left - right);
    return `${from}:${beyond.join()}`;
  };

  /** Who may come next: whoever was invoked before the first answer among those that are left. */
  const open = (): readonly number[] => {
    let firstAnswer = Infinity;
    const found: number[] = [];
    for (let index = from; index < operations.length; index += 1) {
      const operation = operations[index];
      if (operation === undefined || operation.invokedAt > firstAnswer) break;
      if (placed.has(index)) continue;
      found.push(index);
      firstAnswer = Math.min(firstAnswer, operation.answeredAt);
    }
    return found.filter((index) => (operations[index]?.invokedAt ?? Infinity) < firstAnswer);
  };

  const frameOf = (state: State): Frame<State> => ({
    state,
    tried: 0,
    candidates: open().flatMap((index) => {
      const operation = operations[index];
      if (operation === undefined) return [];
      return model.next(state, operation).map((next): readonly [number, State] => [index, next]);
    }),
  });

  const seen = new Set<string>();
  const order: number[] = [];
  let best: readonly number[] = [];
  let bestOpen: readonly number[] = open();
  const frames: Frame<State>[] = [frameOf(model.initial)];
  const at = (index: number): readonly Operation<Input, Output>[] => operations.slice(index, index + 1);

  while (placedAnswered < answered) {
    const frame = frames.at(-1);
    if (frame === undefined) return { ok: false, explained: best.flatMap(at), stuck: bestOpen.flatMap(at) };
    const candidate = frame.candidates[frame.tried];
    if (candidate === undefined) {
      // Nothing fits here: take back the last step.
      frames.pop();
      const last = order.pop();
      if (last === undefined) continue;
      placed.delete(last);
      from = Math.min(from, last);
      if (operations[last]?.output !== null) placedAnswered -= 1;
      continue;
    }
    frame.tried += 1;
    const [index, next] = candidate;
    placed.add(index);
    const key = `${setKey()}|${model.keyOf(next)}`;
    if (seen.has(key)) {
      placed.delete(index);
      from = Math.min(from, index);
      continue;
    }
    seen.add(key);
    order.push(index);
    if (operations[index]?.output !== null) placedAnswered += 1;
    frames.push(frameOf(next));
    if (order.length > best.length) {
      best = [...order];
      bestOpen = open();
    }
  }
  return { ok: true, order: order.flatMap(at) };
};
