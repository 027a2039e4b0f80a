import { memoryStore } from "../../../adapters/store/memory.ts";
import { describeStore } from "../../conformance/store.suite.ts";
import { memoryAttacks } from "../../support/memory-attacks.ts";

describeStore("memory", async () => {
  const store = memoryStore();
  return { store, attacks: memoryAttacks(store) };
});
