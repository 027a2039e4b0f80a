/**
 * The few bounds of `limits.ts` that evaluation and exposure need, as constants: a bundler cannot take an object apart, and a browser
 * would download the whole table. A test holds the two together.
 */
export const subjectIdCharacters = 512;
export const maxVariants = 100;
export const targetingDepth = 8;
export const eventBytes = 32 * 1024;
export const batchEvents = 1_000;
export const batchBytes = 8 * 1024 * 1024;
export const nameCharacters = 128;
export const outcomeMagnitude = 1e15;
