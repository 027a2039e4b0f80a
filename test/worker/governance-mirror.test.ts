/** The twenty guarantees on a mirror, inside workerd: D1 decides, and a real Redis follows. Faults and races as well. */
import { afterEach, inject } from "vitest";
import { d1Store } from "../../adapters/store/d1.ts";
import { mirrorStore } from "../../adapters/store/mirror.ts";
import { upstashStore } from "../../adapters/store/upstash.ts";
import { describeGovernance } from "../conformance/governance.suite.ts";
import { describeFaults } from "../conformance/faults.suite.ts";
import { describeRaces } from "../conformance/races.suite.ts";
import { skipWithout } from "../support/services.ts";
import { clientOf } from "../support/upstash/client.ts";
import { migratedDatabase } from "./d1.ts";

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

/** Nothing is expected to go wrong with the follower, and nothing goes wrong silently. */
const failures: unknown[] = [];
afterEach(() => {
  const found = failures.splice(0);
  if (found.length > 0) throw new AggregateError(found, "a follower failed");
});

const makeStore = async () =>
  mirrorStore({
    primary: d1Store({ database: await migratedDatabase() }),
    followers: [upstashStore({ client: clientOf(service) })],
    report: (error) => void failures.push(error),
  });

describeGovernance("mirror of D1 and Upstash", makeStore);
describeFaults("mirror of D1 and Upstash", makeStore);
describeRaces("mirror of D1 and Upstash", makeStore);
