/** For a project's tests: one real Redis and one proxy before it, started with the run and ended with it. */
import type { TestProject } from "vitest/node";
import { refuseWithout } from "../require-services.ts";
import { startProxy } from "./proxy.ts";
import { redisMissing, startRedis } from "./redis-server.ts";

/** What tests get by `inject("upstash")`. */
export interface UpstashService {
  readonly url: string;
  readonly token: string;
  /** Of Redis itself. */
  readonly port: number;
}

declare module "vitest" {
  interface ProvidedContext {
    /** Or why there is none. */
    readonly upstash: UpstashService | string;
  }
}

const token = "a-token-of-the-tests";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const missing = redisMissing();
  if (missing !== null) {
    refuseWithout(missing);
    project.provide("upstash", missing);
    return async () => undefined;
  }
  const redis = await startRedis();
  try {
    const proxy = await startProxy({ port: redis.port, token });
    project.provide("upstash", { url: proxy.url, token, port: redis.port });
    return async () => {
      await proxy.close();
      await redis.stop();
    };
  } catch (error) {
    // Whoever throws here is never asked to put anything away.
    await redis.stop();
    throw error;
  }
}
