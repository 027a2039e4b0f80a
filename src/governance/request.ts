/** Commands as a caller gives them: free text still in the clear, to be replaced by references before deciding. */
import type { CommandOf } from "./commands.ts";

/** `metadata` is what the caller claims; recorded as claimed, never used as evidence. */
export type CommandInput = CommandOf<Readonly<Record<string, unknown>>>;
