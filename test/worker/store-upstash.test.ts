/** The Upstash store inside workerd, with the client's build for Cloudflare. */
import { inject } from "vitest";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { describeStore } from "../conformance/store.suite.ts";
import { skipWithout } from "../support/services.ts";
import { upstashAttacks } from "../support/upstash/attacks.ts";
import { clientOf } from "../support/upstash/client.ts";

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

describeStore("upstash", async () => {
  const store = upstashStore({ client: clientOf(service) });
  return { store, attacks: upstashAttacks(service, store) };
});
