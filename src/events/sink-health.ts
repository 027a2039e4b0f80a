/** What most sinks know of their own health: how the last sends went. */
import type { SinkHealth } from "./sink.ts";
import { messageOf } from "../message-of.ts";

/** Failures in a row after which a sink is no longer merely degraded. */
const unhealthyAfter = 3;

export interface SinkHealthTracker {
  /** Passes the result of a send through, and remembers how it ended. */
  watch<T>(work: Promise<T>): Promise<T>;
  health(): SinkHealth;
}

export const trackHealth = (): SinkHealthTracker => {
  let failures = 0;
  let lastError = "";
  return {
    async watch(work) {
      try {
        const result = await work;
        failures = 0;
        return result;
      } catch (error) {
        failures += 1;
        lastError = messageOf(error);
        throw error;
      }
    },
    health() {
      if (failures === 0) return { status: "healthy", description: "the last send succeeded, or none was needed yet" };
      return {
        status: failures < unhealthyAfter ? "degraded" : "unhealthy",
        description: `${failures} failed ${failures === 1 ? "send" : "sends in a row"}: ${lastError}`,
      };
    },
  };
};
