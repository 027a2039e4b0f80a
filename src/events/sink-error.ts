/** A whole batch did not get through and may be sent again. `retryAfterMs` is what the far side asked for, if it did. */
export class SinkError extends Error {
  override readonly name = "SinkError";
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {}) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}
