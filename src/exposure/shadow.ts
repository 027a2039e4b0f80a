/**
 * Shadow mode: everybody is served control, and the other variant runs beside it on a copy, to be compared. The shadow can
 * do nothing to the answer. It runs after it, on copies of what was given; its errors and its lateness are findings; how
 * many run at once is bounded. What it does to the world outside is its own: it must not write where control does.
 */
import type { EventBody } from "../events/exposure.ts";
import { startTimer, type StartTimer } from "../events/timer.ts";
import { sameValue } from "./equal.ts";
import { within } from "./guard.ts";

/** How a call ended. */
export type Ending = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

export interface ShadowOptions {
  /** The variant that runs unseen, for the subjects that would have got it: traffic and kill switch apply. */
  readonly variant: string;
  /** Default: structural equality. Gets copies; one that throws counts as a difference. */
  readonly compare?: (control: unknown, shadow: unknown) => boolean;
  /** What a difference tells in its event, of copies of both. Default: nothing of the values, which may be private. */
  readonly describe?: (control: Ending, shadow: Ending) => Readonly<Record<string, unknown>>;
  /** A shadow that takes longer is late, and no longer waited for. Default 5 seconds. */
  readonly limitMs?: number;
  /** Shadows at once; those on top do not run, and are counted. Default 10. */
  readonly maxRunning?: number;
  /** When it runs: by default from a timer, after the answer. In a Worker: `(run) => context.waitUntil(run())`. */
  readonly defer?: (run: () => Promise<void>) => void;
  readonly now?: () => number;
  readonly startTimer?: StartTimer;
}

/** Every shadow ends up in exactly one of these. */
export interface ShadowCounts {
  readonly same: number;
  readonly different: number;
  /** The shadow failed where control did not, … */
  readonly failed: number;
  /** … or did not answer in time. */
  readonly late: number;
  /** It did not run: too many at once, or what it would have needed cannot be copied. */
  readonly skipped: number;
}

type Finding = "different" | "failed" | "late";

export interface Shadow {
  readonly variant: string;
  /**
   * Watches one call. Called before control runs, with what control gets.
   *
   * @returns what to call with control's ending; undefined when no shadow runs
   */
  watch(
    site: { readonly experiment: string; readonly subjectId: string },
    given: readonly unknown[],
    call: (given: readonly unknown[]) => unknown,
  ): ((control: Ending) => void) | undefined;
  counts(): ShadowCounts;
}

const isLate = (error: unknown): boolean => error instanceof Error && error.name === "VariantTimeout";
const copied = (ending: Ending): Ending => (ending.ok ? { ok: true, value: structuredClone(ending.value) } : ending);
const nameOf = (ending: Ending): string =>
  ending.ok ? "answered" : ending.error instanceof Error ? ending.error.name : typeof ending.error;

export const createShadow = (options: ShadowOptions, record: (event: EventBody) => unknown): Shadow => {
  const { variant, compare = sameValue, limitMs = 5_000, maxRunning = 10, now = Date.now } = options;
  const begin = options.startTimer ?? startTimer;
  const defer = options.defer ?? ((run: () => Promise<void>): void => void begin(() => void run(), 0, false));
  const counts = { same: 0, different: 0, failed: 0, late: 0, skipped: 0 };
  let running = 0;

  const isSame = (control: Ending, shadow: Ending): boolean => {
    if (control.ok !== shadow.ok) return false;
    if (!control.ok || !shadow.ok) return nameOf(control) === nameOf(shadow);
    try {
      return compare(control.value, shadow.value);
    } catch {
      return false;
    }
  };

  const finding = (control: Ending, shadow: Ending): Finding | "same" => {
    if (!shadow.ok && isLate(shadow.error)) return "late";
    if (isSame(control, shadow)) return "same";
    return control.ok && !shadow.ok ? "failed" : "different";
  };

  const described = (control: Ending, shadow: Ending): Readonly<Record<string, unknown>> => {
    try {
      return options.describe?.(control, shadow) ?? {};
    } catch (error) {
      return { describeFailed: String(error) };
    }
  };

  const run = async (
    site: { readonly experiment: string; readonly subjectId: string },
    control: Ending,
    call: () => unknown,
  ): Promise<void> => {
    const startedAt = now();
    let shadow: Ending;
    try {
      const answer = Promise.resolve().then(call);
      shadow = copied({ ok: true, value: await within<unknown>(answer, limitMs, begin) });
    } catch (error) {
      shadow = { ok: false, error };
    }
    running -= 1;
    const found = finding(control, shadow);
    counts[found] += 1;
    if (found === "same") return;
    record({
      eventType: "AnalysisSignal",
      payload: {
        experimentName: site.experiment,
        subjectId: site.subjectId,
        signalType: "ShadowDifference",
        severity: found === "different" ? "Info" : "Warning",
        message: `the shadow ${variant} ${found === "different" ? "answered differently" : found === "late" ? "was late" : "failed"}`,
        data: {
          variant,
          finding: found,
          control: nameOf(control),
          shadow: nameOf(shadow),
          shadowMs: now() - startedAt,
          ...described(control, shadow),
        },
      },
    });
  };

  return {
    variant,
    watch(site, given, call) {
      if (running >= maxRunning) {
        counts.skipped += 1;
        return undefined;
      }
      let copies: readonly unknown[];
      try {
        // Before control runs: it may change what it was given.
        copies = structuredClone([...given]);
      } catch {
        counts.skipped += 1;
        return undefined;
      }
      running += 1;
      return (ending) => {
        try {
          // At once: the answer is the application's from here on, and it may change it.
          const control = copied(ending);
          defer(() => run(site, control, () => call(copies)));
        } catch {
          running -= 1;
          counts.skipped += 1;
        }
      };
    },
    counts: () => ({ ...counts }),
  };
};
