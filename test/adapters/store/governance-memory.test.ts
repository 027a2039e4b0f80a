import { memoryStore } from "../../../adapters/store/memory.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";

describeGovernance("memory", () => Promise.resolve(memoryStore()));
