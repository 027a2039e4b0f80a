/** The store of adapters/README.md is the file beside this one, word for word, and passes every suite. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeFaults } from "../../conformance/faults.suite.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { describeRaces } from "../../conformance/races.suite.ts";
import { describeStore } from "../../conformance/store.suite.ts";
import { memoryAttacks } from "../../support/memory-attacks.ts";
import { type Bucket, bucketStore } from "./readme-store.ts";

const memoryBucket = (): Bucket => {
  const objects = new Map<string, { text: string; tag: string }>();
  return {
    get: (key) => Promise.resolve(objects.get(key) ?? null),
    async put(key, text, ifTag) {
      if ((objects.get(key)?.tag ?? null) !== ifTag) return false;
      objects.set(key, { text, tag: crypto.randomUUID() });
      return true;
    },
  };
};

describeStore("of adapters/README.md", async () => {
  const store = bucketStore(memoryBucket());
  return { store, attacks: memoryAttacks(store) };
});
const makeStore = () => Promise.resolve(bucketStore(memoryBucket()));
describeGovernance("of adapters/README.md", makeStore);
describeFaults("of adapters/README.md", makeStore);
describeRaces("of adapters/README.md", makeStore);

test("what the page shows is what is tested here", () => {
  const page = readFileSync(new URL("../../../adapters/README.md", import.meta.url), "utf8");
  const [, shown] = /```ts\n(import \* as kit[\s\S]*?)```/.exec(page) ?? [];
  const tested = readFileSync(new URL("readme-store.ts", import.meta.url), "utf8");
  expect(shown).toBe(tested.replace("../../../src/store-kit.ts", "proviso/store-kit"));
});
