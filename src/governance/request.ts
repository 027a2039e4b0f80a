/** Commands as a caller gives them: free text still in the clear, to be replaced by references before deciding. */
import type { Configuration } from "../experiment.ts";
import type { LifecycleState } from "../lifecycle.ts";

export type CommandInput =
  | {
      readonly type: "WriteVersion";
      readonly configuration: Configuration;
      readonly changeDescription?: string;
      readonly createOnly: boolean;
    }
  | {
      readonly type: "Transition";
      readonly to: LifecycleState;
      readonly reason?: string;
      /** What the caller claims; recorded as claimed, never used as evidence. */
      readonly metadata?: Readonly<Record<string, unknown>>;
    }
  | {
      readonly type: "Say";
      readonly decision: "approve" | "decline" | "withdraw";
      readonly changeDigest: string;
      readonly reason?: string;
    };
