/** Randomness that is the same on every run, and what a simulation may be off by. */

export interface Random {
  /** Uniform on [0, 1). */
  next(): number;
  normal(): number;
  /** Successes in so many trials. */
  binomial(trials: number, probability: number): number;
  /** One of the places, in proportion to the shares. */
  pick(shares: readonly number[]): number;
}

/** sfc32 (Chris Doty-Humphrey): passes PractRand, and is seeded by one number. */
export const seeded = (seed: number): Random => {
  let [a, b, c, d] = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 1];
  const next = (): number => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4_294_967_296;
  };
  for (let warm = 0; warm < 20; warm += 1) next();
  return {
    next,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    binomial: (trials, probability) => {
      let successes = 0;
      for (let trial = 0; trial < trials; trial += 1) if (next() < probability) successes += 1;
      return successes;
    },
    pick: (shares) => {
      let left = next();
      const place = shares.findIndex((share) => (left -= share) < 0);
      return place === -1 ? shares.length - 1 : place;
    },
  };
};

/** Ten times as many runs under `npm run proof`. */
export const runsOf = (usual: number): number => (process.env["PROVISO_PROOF"] === "1" ? usual * 10 : usual);

/**
 * The most alarms that so many runs raise with probability 99.9 % when each does at the level: more of them, and the level
 * does not hold.
 */
export const alarmsAllowed = (runs: number, level: number): number => {
  let logTerm = runs * Math.log1p(-level);
  let sum = Math.exp(logTerm);
  let alarms = 0;
  while (sum < 0.999) {
    logTerm += Math.log((runs - alarms) / (alarms + 1)) + Math.log(level / (1 - level));
    alarms += 1;
    sum += Math.exp(logTerm);
  }
  return alarms;
};
