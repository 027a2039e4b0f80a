/** The store of adapters/README.md is the file beside this one, word for word, and passes every suite. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeFaults } from "../../conformance/faults.suite.ts";
import { describeGovernance } from "../../conformance/governance.suite.ts";
import { describeRaces } from "../../conformance/races.suite.ts";
import { describeStore } from "../../conformance/store.suite.ts";
import { memoryAttacks } from "../../support/memory-attacks.ts";
import { after, creation, freshRef, next } from "../../support/governance.ts";
import { commitAll, expectValid, wholeHistory } from "../../conformance/store/under-test.ts";
import { openFrom } from "./readme-registered.ts";
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

const page = readFileSync(new URL("../../../adapters/README.md", import.meta.url), "utf8");
const testedIn = (name: string): string => readFileSync(new URL(name, import.meta.url), "utf8");

test("what the page shows is what is tested here", () => {
  const [, store] = /```ts\n(import \* as kit[\s\S]*?)```/.exec(page) ?? [];
  expect(store).toBe(testedIn("readme-store.ts").replace("../../../src/store-kit.ts", "proviso/store-kit"));
  const [, registered] = /```ts\n(import \{ type CustomStores[\s\S]*?)```/.exec(page) ?? [];
  expect(registered).toBe(
    testedIn("readme-registered.ts")
      .replace("../../../src/index.ts", "proviso")
      .replace("./readme-store.ts", "./bucket-store.ts"),
  );
});

test("the page's store is chosen by the page's configuration, by its name", async () => {
  const [, text = ""] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  const bucket = memoryBucket();
  const store = openFrom(text, bucket);
  expect(store.name).toBe("bucket");
  const ref = freshRef();
  const commit = creation(ref);
  await commitAll(store, ref, commit, next(after(commit)));
  expectValid(await wholeHistory(openFrom(text, bucket), ref));
  expect(() => openFrom(text.replace("name: bucket", "name: bukcet"), bucket)).toThrow(
    'governance.persistence.name names the store "bukcet", which is not registered; registered: bucket; did you mean "bucket"?',
  );
});
