/** Failures that the command line reports as one sentence, without a stack. */

/** 1: the command could not do its work. 2: it was called wrongly. 130 and 143: somebody stopped it. */
export type ExitCode = 1 | 2 | 129 | 130 | 143;

export class CliFailure extends Error {
  override readonly name = "CliFailure";
  readonly exitCode: ExitCode;

  constructor(message: string, options?: ErrorOptions & { readonly exitCode?: ExitCode }) {
    super(message, options);
    this.exitCode = options?.exitCode ?? 1;
  }
}

/** The command was called wrongly: an unknown option, a missing argument, a value that cannot be. */
export const usageFailure = (message: string): CliFailure => new CliFailure(message, { exitCode: 2 });

/** The first sentence of any error, for places that name a cause. */
export const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  // `fetch` says "fetch failed" and keeps the reason (a refused connection, an unknown host) as its cause.
  const cause = error.cause instanceof Error && error.message === "fetch failed" ? error.cause : error;
  return (cause.message === "" ? cause.name : cause.message).split("\n")[0] ?? cause.name;
};
