/** Error codes as HTTP: the only place where a code meets a status. RFC 9457 problem documents. */
import { HTTPException } from "hono/http-exception";
import { type ErrorCode, ProvisoError } from "../errors.ts";

const problems = {
  "invalid-request": [400, "The request is not valid"],
  unauthenticated: [401, "Who you are is not known"],
  forbidden: [403, "Your roles do not allow this"],
  "gate-rejected": [403, "A gate refuses you this change"],
  "experiment-not-found": [404, "There is no such experiment"],
  "version-not-found": [404, "There is no such version"],
  "proposal-not-found": [404, "There is no such proposal"],
  "not-found": [404, "There is nothing here"],
  "invalid-transition": [409, "The lifecycle has no such transition"],
  "approval-required": [409, "The change waits for approval"],
  "approval-stale": [409, "The approval is for something else"],
  "policy-violation": [409, "A policy forbids the change"],
  "evidence-inconclusive": [409, "The evidence does not suffice"],
  "surface-claimed": [409, "Another experiment holds what this one needs"],
  "experiment-exists": [409, "The experiment exists already"],
  "request-in-flight": [409, "The same request is still running"],
  "precondition-failed": [412, "The experiment has changed"],
  "payload-too-large": [413, "The request is too large"],
  "idempotency-key-reused": [422, "The idempotency key belongs to another request"],
  "precondition-required": [428, "The request must say what it is based on"],
  "rate-limited": [429, "Too many requests"],
  internal: [500, "Something went wrong here"],
  "invalid-dsl": [500, "The configuration of this deployment is not valid"],
  "store-unavailable": [503, "The store cannot be reached"],
} as const satisfies Readonly<Record<ErrorCode, readonly [status: number, title: string]>>;

/** The status that a code is answered with. */
export type StatusOf<Code extends ErrorCode> = (typeof problems)[Code][0];
export const statusOf = (code: ErrorCode): number => problems[code][0];
export const titleOf = (code: ErrorCode): string => problems[code][1];

const hasRetryAfter = (details: Readonly<Record<string, unknown>>): details is { retryAfterSeconds: number } =>
  typeof details["retryAfterSeconds"] === "number";

/**
 * `application/problem+json` with the members `type`, `title`, `status`, `detail`, `code`, and what the code brings.
 * A member of `details` never replaces one of these.
 */
export const problemResponse = (
  code: ErrorCode,
  detail: string,
  details: Readonly<Record<string, unknown>> = {},
): Response => {
  const [status, title] = problems[code];
  const { retryAfterSeconds: _retry, ...members } = details;
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (hasRetryAfter(details)) headers.set("retry-after", String(details.retryAfterSeconds));
  else if (status === 503) headers.set("retry-after", "1");
  return new Response(
    JSON.stringify({ ...members, type: `urn:proviso:problem:${code}`, title, status, detail, code }),
    { status, headers },
  );
};

/**
 * Whatever was thrown, as a problem document. An unexpected error says nothing of itself to the caller: its message
 * may hold what the caller must not see. `report` gets it in full.
 */
export const errorResponse = (error: unknown, report: (error: unknown) => void): Response => {
  if (error instanceof ProvisoError) {
    if (problems[error.code][0] >= 500) report(error);
    return problemResponse(error.code, error.message, error.details);
  }
  if (error instanceof HTTPException && error.status < 500) {
    return problemResponse(error.status === 413 ? "payload-too-large" : "invalid-request", error.message);
  }
  report(error);
  return problemResponse("internal", "an unexpected error; it has been reported");
};
