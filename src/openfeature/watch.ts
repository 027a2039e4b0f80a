/** What a provider tells of its rules: that they have changed, grown stale, or are there again. */
import type { CompiledRules, RuleSource } from "../evaluation/rules.ts";
import { startTimer, type StartTimer } from "../events/timer.ts";

/** As the specification of OpenFeature names them. An evaluation without rules is the SDK's to tell of. */
export type RulesEvent =
  | { readonly type: "PROVIDER_READY"; readonly message: string }
  | { readonly type: "PROVIDER_STALE"; readonly message: string }
  | {
      readonly type: "PROVIDER_CONFIGURATION_CHANGED";
      readonly message: string;
      /** Experiments that are new, gone or different. */
      readonly flagsChanged: readonly string[];
    };

export interface WatchOptions {
  readonly rules: Pick<RuleSource, "current" | "refresh" | "settled" | "status">;
  readonly emit: (event: RulesEvent) => void;
  /** Asks for newer rules this often, whether or not anything is evaluated. Left out: evaluations alone do. */
  readonly watchMs?: number | undefined;
  readonly startTimer?: StartTimer | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

export interface RulesWatch {
  /** From now on changes are told. What there is now is not one. */
  begin(): void;
  /** Looks now, and once more when a refresh that is under way has ended. Neither waits nor throws. */
  look(): void;
  end(): void;
}

/** Names of the rules that differ. Most are the same object or the same text. */
const changedBetween = (before: CompiledRules, after: CompiledRules): readonly string[] => {
  const known = new Map(before.rules.map((rule) => [rule.name, rule]));
  const changed = after.rules.flatMap((rule) => {
    const old = known.get(rule.name);
    known.delete(rule.name);
    return old === rule || (old !== undefined && JSON.stringify(old) === JSON.stringify(rule)) ? [] : [rule.name];
  });
  return [...changed, ...known.keys()];
};

/** In a Worker whatever a request waits for ends with it; then somebody else waits. */
const abandonedAfterMs = 10_000;

/**
 * Rules are compiled once and replaced as a whole, so one comparison says whether anything has happened.
 *
 * @example
 * const watch = watchRules({ rules, emit: (event) => emitter.emit(event.type) });
 * watch.begin();
 */
export const watchRules = ({
  rules,
  emit,
  watchMs,
  startTimer: beginTimer = startTimer,
  now = Date.now,
}: WatchOptions): RulesWatch => {
  let last: CompiledRules | undefined;
  let waitingSince: number | undefined;
  let cancel: (() => void) | undefined;

  const compare = (): void => {
    if (last === undefined) return;
    const before = last;
    const after = rules.current();
    if (after === before) return;
    last = after;
    if (after.state === "stale") {
      const { error } = rules.status();
      const because = error === undefined ? "" : `: ${error}`;
      if (before.state !== "stale")
        emit({ type: "PROVIDER_STALE", message: `the rules may have changed since they were read${because}` });
      return;
    }
    if (after.state === "empty") return;
    if (before.state !== "fresh") emit({ type: "PROVIDER_READY", message: "the rules are the newest" });
    const flagsChanged = before.state === "empty" ? [] : changedBetween(before, after);
    if (flagsChanged.length > 0)
      emit({ type: "PROVIDER_CONFIGURATION_CHANGED", message: "newer rules were read", flagsChanged });
  };

  const afterRefresh = async (): Promise<void> => {
    await rules.settled();
    waitingSince = undefined;
    compare();
  };

  const look = (): void => {
    compare();
    const at = now();
    if (last === undefined || (waitingSince !== undefined && at - waitingSince < abandonedAfterMs)) return;
    waitingSince = at;
    void afterRefresh();
  };

  const wait = (): void => {
    if (watchMs === undefined) return;
    // A refresh that outlives an end may come back after the next beginning: there is one timer all the same.
    cancel?.();
    cancel = beginTimer(() => void refresh(), watchMs, false);
  };
  const refresh = async (): Promise<void> => {
    // It never rejects, and ends no later than its time limit.
    await rules.refresh();
    if (last === undefined) return;
    compare();
    wait();
  };

  return {
    begin() {
      last = rules.current();
      wait();
    },
    look,
    end() {
      last = undefined;
      cancel?.();
    },
  };
};
