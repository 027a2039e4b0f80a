/** Upstash from a Worker, over HTTP: nothing is connected, so one client serves every request. */
import { upstashStore } from "../adapters/store/upstash.ts";
import type { GovernanceStore } from "../src/governance/store.ts";

export interface UpstashAddress {
  readonly url: string;
  readonly token: string;
  readonly prefix: string;
}

/** The client is loaded by deployments that use it. */
const connect = async ({ url, token }: UpstashAddress) => {
  const { Redis } = await import("@upstash/redis/cloudflare");
  return new Redis({
    url,
    token,
    // Commands of several requests in one fetch would belong to the request that happened to send them.
    enableAutoPipelining: false,
    enableTelemetry: false,
  });
};

export const openUpstash = (address: UpstashAddress): GovernanceStore => {
  let opened: ReturnType<typeof connect> | undefined;
  return upstashStore({
    client: {
      eval: async (script, keys, args) => (await (opened ??= connect(address))).eval(script, keys, args),
      evalsha: async (sha1, keys, args) => (await (opened ??= connect(address))).evalsha(sha1, keys, args),
    },
    prefix: address.prefix,
  });
};
