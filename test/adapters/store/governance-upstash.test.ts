/** The twenty guarantees on the Upstash store. */
import { inject } from "vitest";
import { upstashStore } from "../../../adapters/store/upstash.ts";
import { describeFaults } from "../../conformance/faults.suite.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { describeRaces } from "../../conformance/races.suite.ts";
import { skipWithout } from "../../support/services.ts";
import { clientOf } from "../../support/upstash/client.ts";

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

const makeStore = async () => upstashStore({ client: clientOf(service) });

describeGovernance("upstash", makeStore);
describeFaults("upstash", makeStore);
describeRaces("upstash", makeStore);
