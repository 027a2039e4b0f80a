/** Planned shares of any scale (weights, buckets, fractions), as fractions of one. */
export const normalizeShares = (shares: readonly number[]): readonly number[] => {
  if (!shares.every((share) => Number.isFinite(share) && share >= 0)) {
    throw new RangeError(`planned shares: [${shares.join(", ")}] must be finite and not negative`);
  }
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (!(total > 0 && Number.isFinite(total))) {
    throw new RangeError(`planned shares: [${shares.join(", ")}] must have a finite sum above 0`);
  }
  return shares.map((share) => share / total);
};

/** Counts of subjects, one for each planned share. */
export const checkCounts = (counts: readonly number[], arms: number): void => {
  if (counts.length !== arms) throw new RangeError(`counts: ${counts.length} for ${arms} planned shares`);
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0)) {
    throw new RangeError(`counts: [${counts.join(", ")}] must be whole numbers, 0 or more`);
  }
};
