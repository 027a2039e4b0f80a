/** Structured error logs. Only what an error says of itself: no request, no header, no body, so no secret. */

const describe = (error: unknown): Readonly<Record<string, unknown>> =>
  error instanceof Error
    ? {
        name: error.name,
        message: error.message,
        stack: error.stack,
        ...(error.cause === undefined ? {} : { cause: describe(error.cause) }),
      }
    : { message: String(error) };

export const reportError = (error: unknown): void => {
  console.error(JSON.stringify({ level: "error", ...describe(error) }));
};

/** One line of the log as it is: audit records. */
export const writeLine = (line: string): void => {
  console.log(line);
};
