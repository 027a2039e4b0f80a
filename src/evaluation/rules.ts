/** Where evaluation gets its rules: a source holds compiled rules in memory and changes them for new ones at once. */
import { startTimer, type StartTimer } from "../events/timer.ts";
import { endpoint, globalFetch, type FetchResponse, type Fetcher } from "../fetcher.ts";
import { compileRule, errorAssignment, type Assign, type Assignment, type Enrolled } from "./assign.ts";
import { parseRuleSet, type ParsedRules, type UnreadableRule } from "./parse-rules.ts";
import type { DataPlaneSettings, ExperimentRule, RuleSet } from "./rule-set.ts";
import type { Attributes } from "./targeting.ts";
import { messageOf } from "../message-of.ts";

/** `empty`: none loaded yet · `fresh` · `stale`: older than they may be, still served. */
export type RulesState = "empty" | "fresh" | "stale";

/** The compiled rules of one moment. Never changed, only replaced. */
export interface CompiledRules {
  readonly state: RulesState;
  readonly tenant: string;
  readonly environment: string;
  readonly experiments: ReadonlyMap<string, Assign>;
  readonly rules: readonly ExperimentRule[];
  /** How events are to be sent, where the server says so. */
  readonly dataPlane?: DataPlaneSettings | undefined;
}

export interface RulesStatus {
  readonly state: RulesState;
  readonly experiments: number;
  /** Experiments that could not be read; their subjects get control. */
  readonly unreadable: readonly UnreadableRule[];
  /** When the rules were last known to be the newest: milliseconds since 1970. */
  readonly freshAt?: number;
  /** Why the last refresh failed; absent after one that did not. */
  readonly error?: string;
}

export interface RuleSource {
  /** The rules to evaluate with. Neither waits nor throws; may begin a refresh in the background. */
  current(): CompiledRules;
  /** Loads the newest rules now. Never rejects: a failure is in the status, and the last good rules stay. */
  refresh(): Promise<RulesStatus>;
  status(): RulesStatus;
  /** Resolves when no refresh is under way: what a Worker gives to `ctx.waitUntil`. */
  settled(): Promise<void>;
}

/** Decides by the rules of one moment. Never throws; an unknown experiment is control with `FLAG_NOT_FOUND`. */
export const assignFrom = (
  rules: CompiledRules,
  experiment: string,
  subjectId: string,
  attributes?: Attributes,
  enrolled?: Enrolled,
): Assignment => {
  const assign = rules.experiments.get(experiment);
  if (assign !== undefined) return assign(subjectId, attributes, enrolled);
  return rules.state === "empty"
    ? errorAssignment(experiment, "PROVIDER_NOT_READY", "no rules have been loaded yet")
    : errorAssignment(experiment, "FLAG_NOT_FOUND", "the published rules have no experiment of this name");
};

const noRules: CompiledRules = { state: "empty", tenant: "", environment: "", experiments: new Map(), rules: [] };

interface Compiled {
  readonly rules: CompiledRules;
  readonly unreadable: readonly UnreadableRule[];
}

const compileRules = (parsed: ParsedRules, stale: boolean): Compiled => {
  const experiments = new Map<string, Assign>();
  const unreadable = [...parsed.unreadable];
  for (const rule of parsed.experiments) {
    try {
      experiments.set(rule.name, compileRule(rule, stale));
    } catch (error) {
      unreadable.push({ name: rule.name, message: messageOf(error) });
    }
  }
  for (const { name, message } of unreadable) {
    const failure = errorAssignment(name, "PARSE_ERROR", message);
    if (!experiments.has(name)) experiments.set(name, () => failure);
  }
  const { tenant, environment, experiments: rules, dataPlane } = parsed;
  const state = stale ? "stale" : "fresh";
  return { rules: { state, tenant, environment, experiments, rules, dataPlane }, unreadable };
};

/**
 * Rules that do not change: bundled with an application, read by the Worker itself, or written in a test.
 *
 * @throws TypeError when it is not a rule set, or one of its experiments cannot be read
 */
export const staticRules = (ruleSet: RuleSet): RuleSource => {
  const { rules, unreadable } = compileRules(parseRuleSet(ruleSet), false);
  if (unreadable.length > 0) throw new TypeError(`rule set ${unreadable.map(({ message }) => message).join("; ")}`);
  const status: RulesStatus = { state: "fresh", experiments: rules.experiments.size, unreadable };
  return {
    current: () => rules,
    refresh: () => Promise.resolve(status),
    status: () => status,
    settled: () => Promise.resolve(),
  };
};

export interface HttpRulesOptions {
  /** Where Proviso is served; rules come from `{url}/api/rules`. */
  readonly url: string;
  /** Left out, the server decides: the scope of the key, or `default`. */
  readonly tenant?: string;
  readonly environment?: string;
  readonly fetch?: Fetcher;
  readonly headers?: Readonly<Record<string, string>>;
  /** Rules older than this are refreshed in the background of the next evaluation. Default 30 seconds. */
  readonly refreshMs?: number;
  /** Rules not known to be the newest for longer than this are served with reason `STALE`. Default 5 minutes. */
  readonly staleMs?: number;
  /** Default 5 seconds. */
  readonly timeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly startTimer?: StartTimer;
  /** Hears of every refresh that failed. */
  readonly onError?: (error: unknown) => void;
}

const firstRetryMs = 1_000;
/** After its timeout a refresh has settled, or never will. */
const abandonedAfterMs = 1_000;

/**
 * Rules over HTTP. They refresh when they are used, not by a timer: that works the same in a Worker, where no timer
 * outlives a request, and keeps no process alive. The first evaluation after a long pause still reads the old rules.
 *
 * When the network or the server fails, the last good rules stay; the next attempt comes after a second, then two, four
 * and so on up to `refreshMs`. Refreshes that are asked for at the same time are one request.
 *
 * @throws TypeError when `url` is not an absolute URL
 * @example
 * const rules = httpRules({ url: "https://experiments.example" });
 * await rules.refresh();
 */
export const httpRules = (options: HttpRulesOptions): RuleSource => {
  const { refreshMs = 30_000, staleMs = 300_000, timeoutMs = 5_000, now = Date.now } = options;
  const beginTimer = options.startTimer ?? startTimer;
  const fetcher = options.fetch ?? globalFetch;
  const url = endpoint(options.url, "api/rules");
  if (options.tenant !== undefined) url.searchParams.set("tenant", options.tenant);
  if (options.environment !== undefined) url.searchParams.set("environment", options.environment);

  let parsed: ParsedRules | undefined;
  let fresh = noRules;
  let stale: CompiledRules | undefined;
  let unreadable: readonly UnreadableRule[] = [];
  let etag: string | undefined;
  let freshAt: number | undefined;
  let refreshAt = -Infinity;
  let failures = 0;
  let lastError: string | undefined;
  /** The refresh under way. One that was given up changes nothing any more. */
  let running: { readonly abandonAt: number } | undefined;
  /** Wakes whoever waits for it. Each has a promise of its own making: see `events/buffer.ts`. */
  const sleepers = new Set<() => void>();

  const isStale = (at: number): boolean => freshAt !== undefined && at - freshAt > staleMs;

  const status = (): RulesStatus => ({
    state: isStale(now()) ? "stale" : fresh.state,
    experiments: fresh.experiments.size,
    unreadable,
    ...(freshAt === undefined ? {} : { freshAt }),
    ...(lastError === undefined ? {} : { error: lastError }),
  });

  const read = async (response: FetchResponse): Promise<ParsedRules | undefined> => {
    if (response.status === 304 && parsed !== undefined) return undefined;
    if (!response.ok) throw new Error(`rules: ${url.href} answered ${response.status}`);
    const next = parseRuleSet(JSON.parse(await response.text()));
    const { tenant = next.tenant, environment = next.environment } = options;
    if (next.tenant !== tenant || next.environment !== environment) {
      throw new Error(
        `rules: asked for tenant ${tenant}, environment ${environment}; got ${next.tenant}, ${next.environment}`,
      );
    }
    return next;
  };

  const load = async (attempt: object, startedAt: number): Promise<void> => {
    try {
      const response = await fetcher(url.href, {
        method: "GET",
        headers: { ...options.headers, accept: "application/json", ...(etag && { "if-none-match": etag }) },
        signal: AbortSignal.timeout(timeoutMs),
      });
      const next = await read(response);
      if (running !== attempt) return;
      if (next !== undefined) {
        // Compiled aside and put in place by assignments without an await between: nobody sees half of it.
        const compiled = compileRules(next, false);
        parsed = next;
        fresh = compiled.rules;
        unreadable = compiled.unreadable;
        stale = undefined;
        etag = response.headers.get("etag") ?? undefined;
      }
      // Rules are as new as the moment they were asked for, not as the moment they arrived.
      freshAt = startedAt;
      failures = 0;
      lastError = undefined;
      refreshAt = now() + refreshMs;
    } catch (error) {
      if (running !== attempt) return;
      failures += 1;
      lastError = messageOf(error);
      refreshAt = now() + Math.min(refreshMs, firstRetryMs * 2 ** (failures - 1));
      try {
        options.onError?.(error);
      } catch {
        // A reporter that fails has nowhere to report to.
      }
    }
  };

  const run = async (attempt: object, startedAt: number): Promise<void> => {
    await load(attempt, startedAt);
    if (running !== attempt) return;
    running = undefined;
    for (const wake of sleepers) wake();
    sleepers.clear();
  };

  const begin = (): object => {
    const at = now();
    // A Worker that ends a request drops what it was waiting for, so a refresh may never settle: the clock ends it.
    if (running !== undefined && at < running.abandonAt) return running;
    const attempt = { abandonAt: at + timeoutMs + abandonedAfterMs };
    running = attempt;
    void run(attempt, at);
    return attempt;
  };

  /** Waits for the refresh under way, if there is one, and no longer than it may take. */
  const settled = async (): Promise<void> => {
    if (running === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    sleepers.add(resolve);
    const cancel = beginTimer(resolve, Math.max(0, running.abandonAt - now()), true);
    await promise;
    sleepers.delete(resolve);
    cancel();
  };

  return {
    current() {
      const at = now();
      if (at >= refreshAt) begin();
      if (parsed === undefined || !isStale(at)) return fresh;
      stale ??= compileRules(parsed, true).rules;
      return stale;
    },
    async refresh() {
      const attempt = begin();
      await settled();
      if (running === attempt) {
        // It was another request's, and ended with it. One of our own will settle.
        begin();
        await settled();
      }
      return status();
    },
    status,
    settled,
  };
};
