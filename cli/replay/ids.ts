/** Event ids of a replay. */
import { hash } from "node:crypto";
import { V7Generator } from "uuidv7";

/** Fresh ids, UUID version 7, each greater than the one before: with equal times, file order decides who was first. */
export const exposureIds = (): (() => string) => {
  const generator = new V7Generator();
  return () => generator.generate().toString();
};

/**
 * The id of an outcome: a UUID of version 8 (RFC 9562 §5.8) from the SHA-256 of what it is about, so that sending the
 * same row again is the same event.
 *
 * @example outcomeId("cookie-cats", 1, "116", "retention_1")
 */
export const outcomeId = (experiment: string, row: number, subject: string, metric: string): string => {
  const digest = hash("sha256", JSON.stringify(["proviso replay", experiment, row, subject, metric]), "hex");
  // 8, 9, a or b: the variant of RFC 9562.
  const variant = "89ab"[Number.parseInt(digest.charAt(16), 16) & 3] ?? "8";
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
};
