/** The twenty guarantees on the Durable Object store, inside workerd. */
import { durableObjectStore } from "../../adapters/store/durable-object.ts";
import { describeGovernance } from "../conformance/governance.suite.ts";
import { experimentObject, registryObject } from "./objects.ts";

describeGovernance("durable-object", async () =>
  durableObjectStore({ experiment: experimentObject, registry: registryObject }),
);
