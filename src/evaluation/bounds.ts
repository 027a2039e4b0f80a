/**
 * The few bounds of `limits.ts` that evaluation needs, as constants: a bundler cannot take an object apart, and a browser
 * would download the whole table. A test holds the two together.
 */
export const subjectIdCharacters = 512;
export const maxVariants = 100;
export const targetingDepth = 8;
