/** Near misses: which of the allowed words somebody most likely meant. */

/**
 * Edits (insert, delete, replace, swap two neighbours) between two texts: Damerau–Levenshtein distance in its
 * optimal string alignment form, which never edits one place twice.
 */
export const editDistance = (a: string, b: string): number => {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      const replaced = (last[column - 1] ?? 0) + (same ? 0 : 1);
      const added = (current[column - 1] ?? 0) + 1;
      const removed = (last[column] ?? 0) + 1;
      const crossed = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const swapped = crossed ? (beforeLast[column - 2] ?? 0) + 1 : Infinity;
      current.push(Math.min(replaced, added, removed, swapped));
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? a.length;
};

/** No word of the configuration language is longer; the distance is quadratic, so longer texts are not compared. */
const longestWord = 64;

/** One slip in a short word, up to three in a long one; more would suggest words that merely look alike. */
const toleratedEdits = (length: number): number => Math.min(3, Math.max(1, Math.floor(length / 3)));

const wordsOf = (name: string): readonly string[] =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");

const holdsRun = (whole: readonly string[], part: readonly string[]): boolean =>
  part.length > 0 &&
  whole.some((_, start) => part.every((word, index) => whole[start + index] === word)) &&
  part.length < whole.length;

/**
 * The allowed word nearest to what was written, or undefined when none is near. Letter case and separators do not
 * count. A name that is a run of another's words is near too: `maxTraffic` means `maxTrafficPercentage`.
 *
 * @example nearest("runing", ["Running", "Ramping"]) // "Running"
 */
export const nearest = (written: string, allowed: readonly string[]): string | undefined => {
  if (written === "" || written.length > longestWord) return undefined;
  const plain = wordsOf(written).join("");
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const word of allowed) {
    const candidate = wordsOf(word).join("");
    const longer = Math.max(plain.length, candidate.length);
    const distance = editDistance(plain, candidate);
    if (distance < longer && distance <= toleratedEdits(longer) && distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  if (best !== undefined) return best;
  const words = wordsOf(written);
  const related = allowed.filter((word) => holdsRun(wordsOf(word), words) || holdsRun(words, wordsOf(word)));
  return related.length === 1 ? related[0] : undefined;
};
