/** Tests that need a server of the machine: where it is missing they are left out aloud, and in CI that is an error. */
import { afterAll, beforeEach } from "vitest";

export { refuseWithout } from "./require-services.ts";

/**
 * For the top of a test file: leaves its tests out when their service is missing, and says how many they were.
 *
 * @param missing what is missing; null when nothing is
 */
export const skipWithout = (missing: string | null): void => {
  if (missing === null) return;
  let count = 0;
  beforeEach((context) => {
    count += 1;
    context.skip(missing);
  });
  afterAll(() => {
    // oxlint-disable-next-line no-console -- a run must say aloud what it leaves out
    console.warn(`${missing}: ${count} tests left out`);
  });
};
