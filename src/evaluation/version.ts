/**
 * Versions and their order, by Semantic Versioning 2.0.0 §11, with one to four numbers (`2`, `1.2`, `1.2.3.4`; missing
 * ones are 0). Written without regular expressions: attributes come from outside and are read on the hot path.
 */
export interface Version {
  readonly numbers: readonly number[];
  /** Empty for a release. */
  readonly prerelease: readonly string[];
}

/** A longer text is no version; nobody's is, and reading it would cost. */
const versionCharacters = 128;

const isDigits = (text: string): boolean => {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 48 || unit > 57) return false;
  }
  return text.length > 0;
};

/** ASCII letters, digits and `-`. */
const isIdentifier = (text: string): boolean => {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    const letter = (unit | 0x20) >= 97 && (unit | 0x20) <= 122;
    if (!letter && unit !== 45 && (unit < 48 || unit > 57)) return false;
  }
  return text.length > 0;
};

/** The text before and after the first separator; no second part where there is none. */
const cut = (text: string, separator: string): readonly [string, string | undefined] => {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
};

/**
 * @returns undefined for anything that is not a version
 * @example parseVersion("1.2.3-beta.1+build.5") // { numbers: [1, 2, 3], prerelease: ["beta", "1"] }
 */
export const parseVersion = (text: string): Version | undefined => {
  if (text.length > versionCharacters) return undefined;
  const [precedence, build] = cut(text, "+");
  const [core, suffix] = cut(precedence, "-");
  const parts = core.split(".");
  const prerelease = suffix?.split(".") ?? [];
  const readable =
    parts.length <= 4 &&
    parts.every((part) => part.length <= 9 && isDigits(part)) &&
    prerelease.every(isIdentifier) &&
    (build === undefined || build.split(".").every(isIdentifier));
  return readable ? { numbers: parts.map(Number), prerelease } : undefined;
};

const sign = (left: string | number, right: string | number): number => (left < right ? -1 : left > right ? 1 : 0);

const withoutLeadingZeros = (digits: string): string => {
  let start = 0;
  while (start < digits.length - 1 && digits.charCodeAt(start) === 48) start += 1;
  return digits.slice(start);
};

/** Digits compare as numbers of any length, and come before words. */
const compareIdentifiers = (left: string, right: string): number => {
  const leftIsNumber = isDigits(left);
  const rightIsNumber = isDigits(right);
  if (leftIsNumber !== rightIsNumber) return leftIsNumber ? -1 : 1;
  if (!leftIsNumber) return sign(left, right);
  const a = withoutLeadingZeros(left);
  const b = withoutLeadingZeros(right);
  return sign(a.length, b.length) || sign(a, b);
};

/** Below 0 when `left` comes first, 0 when neither does, above 0 otherwise. Build metadata does not count. */
export const compareVersions = (left: Version, right: Version): number => {
  for (let index = 0; index < 4; index += 1) {
    const order = (left.numbers[index] ?? 0) - (right.numbers[index] ?? 0);
    if (order !== 0) return order;
  }
  // A release comes after all of its prereleases.
  if (left.prerelease.length === 0 || right.prerelease.length === 0) {
    return sign(right.prerelease.length, left.prerelease.length);
  }
  for (const [index, identifier] of left.prerelease.entries()) {
    const other = right.prerelease[index];
    if (other === undefined) return 1;
    const order = compareIdentifiers(identifier, other);
    if (order !== 0) return order;
  }
  return sign(left.prerelease.length, right.prerelease.length);
};
