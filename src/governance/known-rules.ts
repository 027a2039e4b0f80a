/**
 * Which definitions of rules one process has seen written, so that a commit need not carry them each time. Wrong or
 * forgotten it costs a few statements, never a definition: what a commit did not need to bring was written before, and
 * a store that turns out to be another one than was thought (a lost race, an experiment that is gone) is told all again.
 */
import type { RuleSet } from "./store.ts";

export interface KnownRules {
  /** Those that are not known to be written. */
  missing(key: string, rules: readonly RuleSet[]): readonly RuleSet[];
  /** They are written. */
  note(key: string, rules: readonly RuleSet[]): void;
  forget(key: string): void;
}

const experimentsMax = 256;
/** A policy set has a few dozen; more come from a host that changes it all the time. */
const digestsMax = 256;

export const createKnownRules = (): KnownRules => {
  const written = new Map<string, Set<string>>();
  return {
    missing(key, rules) {
      const known = written.get(key);
      return known === undefined ? rules : rules.filter(({ digest }) => !known.has(digest));
    },
    note(key, rules) {
      if (rules.length === 0) return;
      const known = written.get(key) ?? new Set();
      for (const { digest } of rules) known.add(digest);
      // The newest entry stands last, so the first one is the one to forget.
      written.delete(key);
      if (known.size <= digestsMax) written.set(key, known);
      const oldest = written.keys().next();
      if (written.size > experimentsMax && oldest.done !== true) written.delete(oldest.value);
    },
    forget: (key) => void written.delete(key),
  };
};
