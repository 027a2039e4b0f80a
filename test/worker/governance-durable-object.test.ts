/** The twenty guarantees on the Durable Object store, inside workerd. */
import { durableObjectStore } from "../../adapters/store/durable-object.ts";
import { describeFaults } from "../conformance/faults.suite.ts";
import { describeGovernance } from "../conformance/governance.suite.ts";
import { describeRaces } from "../conformance/races.suite.ts";
import { experimentObject, registryObject } from "./objects.ts";

const makeStore = async () => durableObjectStore({ experiment: experimentObject, registry: registryObject });

describeGovernance("durable-object", makeStore);
describeFaults("durable-object", makeStore);
describeRaces("durable-object", makeStore);
