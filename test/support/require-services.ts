/** For a `globalSetup`, which must not load what tests load: nothing here imports `vitest`. */

/** Says once, and aloud, that a server is missing. @throws where services are required (CI) */
export const refuseWithout = (missing: string): void => {
  const required = process.env["PROVISO_REQUIRE_SERVICES"] === "1";
  // In both cases here: what Vite makes of an error of a global set-up does not say what it was.
  process.stderr.write(`\n${missing}: ${required ? "and it is required" : "tests that need it are left out"}\n\n`);
  if (required) throw new Error(missing);
};
