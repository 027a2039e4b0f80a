/** The twenty guarantees on the D1 store, inside workerd. */
import { d1Store } from "../../adapters/store/d1.ts";
import { describeGovernance } from "../conformance/governance.suite.ts";
import { migratedDatabase } from "./d1.ts";

describeGovernance("d1", async () => d1Store({ database: await migratedDatabase() }));
