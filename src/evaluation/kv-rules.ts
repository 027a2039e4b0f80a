/** Rules from Workers KV, where a deployment writes them after every change: no request to Proviso at all. */
import type { FetchResponse } from "../fetcher.ts";
import { httpRules, type HttpRulesOptions, type RuleSource } from "./rules.ts";
import { rulesKey } from "./rules-key.ts";

/** As much of a KV namespace as is used. */
export interface RulesNamespace {
  get(key: string, options: { readonly type: "text"; readonly cacheTtl: number }): Promise<string | null>;
}

export interface KvRulesOptions extends Omit<HttpRulesOptions, "url" | "fetch" | "headers"> {
  readonly namespace: RulesNamespace;
  /** How long one location may answer from its cache, in seconds; KV takes no less than 30. Default 30. */
  readonly cacheTtl?: number;
}

/** The writer's counter stands last (`published-rules.ts`). */
const sequenceOf = (text: string): number => Number(/,"sequence":(\d{1,16})\}$/.exec(text)?.[1] ?? 0);

const unchanged: FetchResponse = {
  ok: false,
  status: 304,
  headers: { get: () => null },
  text: () => Promise.resolve(""),
};

/**
 * Rules that a deployment with `governance.rules.kv` has written. They refresh as {@link httpRules} do. A change reaches
 * a reader within about a minute, because KV caches for each location; what KV answers may be older than what it
 * answered before, and never replaces it here.
 *
 * @example
 * const rules = kvRules({ namespace: env.RULES });
 * await rules.refresh();
 */
export const kvRules = (options: KvRulesOptions): RuleSource => {
  const { namespace, tenant = "default", environment = "default", cacheTtl = 30 } = options;
  const key = rulesKey({ tenant, environment });
  return httpRules({
    ...options,
    tenant,
    environment,
    // Nothing is ever sent there: only the refreshing is wanted.
    url: "https://kv.invalid",
    async fetch(_url, { headers }) {
      const text = await namespace.get(key, { type: "text", cacheTtl });
      if (text === null) throw new Error(`rules: nothing has been published under ${key}`);
      const sequence = sequenceOf(text);
      const known = headers["if-none-match"];
      if (known !== undefined && sequence > 0 && sequence <= Number(known)) return unchanged;
      return {
        ok: true,
        status: 200,
        headers: { get: () => (sequence > 0 ? String(sequence) : null) },
        text: () => Promise.resolve(text),
      };
    },
  });
};
