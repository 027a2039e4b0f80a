/** What an error says: anything may be thrown, and a text is always there. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
