/** What of stores, notices, audit sinks and telemetry may be shown: addresses and tokens may not, wherever they were written. */
import type { Reading } from "./finding.ts";
import type { Path } from "./path.ts";

/** Everything else there is kept back, so that a misspelled `token` is too. */
const shownMembers = new Set([
  "type",
  "database",
  "prefix",
  "secret",
  "hyperdrive",
  "schema",
  "primary",
  "followers",
  "mode",
  "reads",
  "name",
]);

/** Where somebody may have written a secret instead of its name, or an address that only its owner should know. */
const keptBackMembers = /^(url|\w*[sS]ecret)$/;
const sectionsWithSecrets = ["notices", "audit", "telemetry", "history"];
const isWithSecrets = (path: Path): boolean =>
  path[path.indexOf("dataPlane") + 1] === "sinks" ||
  sectionsWithSecrets.some((one) => one === path[path.indexOf("governance") + 1]);

const isKeptBack = (path: Path): boolean => isOfStore(path) || isOfDelivery(path);

const isOfDelivery = (path: Path): boolean => {
  const name = path.findLast((segment) => typeof segment === "string");
  return isWithSecrets(path) && typeof name === "string" && keptBackMembers.test(name);
};

const isOfStore = (path: Path): boolean => {
  const start = path.indexOf("persistence");
  const last = start === -1 ? undefined : path.slice(start + 1).findLast((segment) => typeof segment === "string");
  return last !== undefined && !shownMembers.has(last);
};

/** What says nothing about the value: its kind, or one reference without a default. */
const isHarmless = (shown: string): boolean =>
  /^(nothing|a mapping|a list|an empty list|"\$\{[A-Za-z_][A-Za-z0-9_]*\}")$/.test(shown);

/** Stands for a value that may not be shown. */
export const keptBack = "a value that is not shown";

/** The same reading, which shows, compares and suggests no credential. */
export const withoutCredentials = <Read extends Pick<Reading, "describe" | "isSecret">>(reading: Read): Read => ({
  ...reading,
  describe: (path: Path) => {
    const shown = reading.describe(path);
    return isKeptBack(path) && !isHarmless(shown) ? keptBack : shown;
  },
  isSecret: (path: Path) => reading.isSecret(path) || isKeptBack(path),
});

const written = /\b(url|token|connectionString|\w*[sS]ecret)(["']?\s*:\s*)("[^"]*"|'[^']*'|[^\s,}\]]+)/g;

/** The name of a secret is none. */
const isName = (key: string, value: string): boolean =>
  /secret$/i.test(key) && /^["']?[A-Za-z_][A-Za-z0-9_]{0,63}["']?$/.test(value) && !value.includes("whsec_");

/** A line of a file with as many dots as a literal credential has characters; `${NAME}` stays. */
export const dotted = (line: string): string =>
  line.replaceAll(written, (whole: string, key: string, colon: string, value: string) =>
    /^["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?$/.test(value) || isName(key, value)
      ? whole
      : `${key}${colon}${"•".repeat(value.length)}`,
  );
