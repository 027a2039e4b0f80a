/** The twenty guarantees on the D1 store, inside workerd. */
import { d1Store } from "../../adapters/store/d1.ts";
import { describeFaults } from "../conformance/faults.suite.ts";
import { describeGovernance } from "../conformance/governance.suite.ts";
import { describeRaces } from "../conformance/races.suite.ts";
import { migratedDatabase } from "./d1.ts";

const makeStore = async () => d1Store({ database: await migratedDatabase() });

describeGovernance("d1", makeStore);
describeFaults("d1", makeStore);
describeRaces("d1", makeStore);
