/** For a `globalSetup`, which must not load what tests load: nothing here imports `vitest`. */

/** Says once, and aloud, that a server is missing. @throws where services are required (CI) */
export const refuseWithout = (missing: string): void => {
  if (process.env["PROVISO_REQUIRE_SERVICES"] === "1") throw new Error(missing);
  process.stderr.write(`\n${missing}: tests that need it are left out\n\n`);
};
