/** When to try again. Pure: chance comes in. */

const firstMs = 1_000;
export const longestBackoffMs = 3_600_000;

/**
 * Doubles from a second to an hour, and spreads over the upper half of that, so that those who failed together do not
 * come back together.
 *
 * @param failures in a row, from 1
 * @param chance from 0 to 1
 * @param askedMs what the far side asked for; it is not asked earlier, and an hour is the most it gets
 */
export const backoffMs = (failures: number, chance: number, askedMs = 0): number => {
  const ceiling = Math.min(longestBackoffMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.min(longestBackoffMs, Math.max(ceiling * (0.5 + chance / 2), askedMs));
};
