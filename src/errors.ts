/**
 * Expected failures are values with a stable `code`; `ProvisoError` carries one across an `await` where a return
 * value cannot. HTTP status codes for them stand in `http/problem.ts` and nowhere else.
 */
export const errorCodes = [
  "invalid-request",
  "unauthenticated",
  "forbidden",
  "gate-rejected",
  "experiment-not-found",
  "version-not-found",
  "proposal-not-found",
  "not-found",
  "invalid-transition",
  "approval-required",
  "approval-stale",
  "policy-violation",
  "evidence-inconclusive",
  "surface-claimed",
  "experiment-exists",
  "request-in-flight",
  "precondition-failed",
  "payload-too-large",
  "idempotency-key-reused",
  "precondition-required",
  "rate-limited",
  "store-unavailable",
  "internal",
  "invalid-dsl",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Where a request or a file is wrong, and how. `path` is a JSON Pointer into the input, `""` for the whole. */
export interface LocatedMessage {
  readonly path: string;
  readonly message: string;
}

/** A failure that has a code in the contract. `details` are public: they become members of the problem document. */
export class ProvisoError extends Error {
  override readonly name = "ProvisoError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}
