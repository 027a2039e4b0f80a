import { memoryStore } from "../../../adapters/store/memory.ts";
import { describeFaults } from "../../conformance/faults.suite.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { describeRaces } from "../../conformance/races.suite.ts";

const makeStore = () => Promise.resolve(memoryStore());

describeGovernance("memory", makeStore);
describeFaults("memory", makeStore);
describeRaces("memory", makeStore);
