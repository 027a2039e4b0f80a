/** From a declared dimension to the part of the results that it makes: what leaves the application, and what does not. */
import { OpenFeature } from "@openfeature/server-sdk";
import { describe, expect, test } from "vitest";
import { createExperiments as createSmall } from "../../src/evaluation/experiments.ts";
import { parseRuleSet } from "../../src/evaluation/parse-rules.ts";
import { staticRules } from "../../src/evaluation/rules.ts";
import { encodeEvent } from "../../src/events/message.ts";
import { dimensionReader } from "../../src/ledger/dimensions.ts";
import { provisoProvider } from "../../src/openfeature/server.ts";
import { memorySink } from "../../adapters/sink/memory.ts";
import { rule, ruleSet } from "../evaluation/fixtures.ts";
import { treated, world } from "./world.ts";

const dimensions = ["country", "plan", "age"];
const shopper = { country: "CA", plan: "pro", age: 41, email: "ada@example.com", beta: true };

const attributesIn = (sink: ReturnType<typeof memorySink>) =>
  sink.events().map((event) => (event.eventType === "Exposure" ? event.payload.attributes : event.eventType));

describe("an exposure carries the values of the declared dimensions, as texts, and nothing else of its subject", () => {
  const declared = { country: "CA", plan: "pro", age: "41" };
  type Work = (it: ReturnType<typeof world>) => Promise<void>;
  test.each<readonly [string, Work]>([
    ["expose", async ({ experiments }) => void experiments.expose("checkout", treated, shopper)],
    [
      "exposed",
      async ({ experiments }) =>
        experiments.exposed(experiments.assign("checkout", treated, shopper), treated, shopper),
    ],
    [
      "a trial",
      async ({ experiments }) =>
        void experiments.trial("checkout", { control: () => 1, treatment: () => 2 }).for(treated, shopper)(),
    ],
    [
      "an object's trial",
      async ({ experiments }) => {
        const pay = { pay: () => 1 };
        experiments.trial<typeof pay>("checkout", { control: pay, treatment: pay }).for(treated, shopper).pay();
      },
    ],
    [
      "what is bound",
      async ({ experiments }) => void experiments.bind({ id: treated, attributes: shopper }).expose("checkout"),
    ],
    [
      "withExposure",
      async ({ experiments }) =>
        void (await experiments.withExposure(
          "checkout",
          { control: () => 1, treatment: () => 2 },
          { subject: () => ({ id: treated, attributes: shopper }) },
        )()),
    ],
    [
      "OpenFeature",
      async ({ experiments }) => {
        await OpenFeature.setProviderAndWait(provisoProvider({ experiments }));
        await OpenFeature.getClient().getObjectValue("checkout", {}, { targetingKey: treated, ...shopper });
        await OpenFeature.clearProviders();
      },
    ],
  ])("by %s", async (_, work) => {
    const it = world({ dimensions });
    await work(it);
    await it.experiments.flush();
    expect(attributesIn(it.sink)).toEqual([declared]);
    expect(it.errors).toEqual([]);
  });

  test("of a browser's small SDK", async () => {
    const sink = memorySink();
    const experiments = createSmall({ rules: staticRules(ruleSet(rule({ dimensions }))), sink });
    experiments.trial("checkout", { control: () => 1, treatment: () => 2 }).for(treated, shopper)();
    await experiments.flush();
    expect(attributesIn(sink)).toEqual([declared]);
  });
});

test("without a dimension, or without a value, nothing is sent", async () => {
  const none = world();
  none.experiments.expose("checkout", treated, shopper);
  const unknown = world({ dimensions });
  unknown.experiments.expose("checkout", treated);
  unknown.experiments.expose("checkout", "user-2", { country: null, plan: { name: "pro" }, age: [41] });
  for (const { experiments, sink } of [none, unknown]) {
    await experiments.flush();
    expect(attributesIn(sink).every((attributes) => attributes === undefined)).toBe(true);
  }
});

test("a value that is too long to be declared is cut, and stays another than every declared one", async () => {
  const it = world({ dimensions });
  const long = `${"x".repeat(64)}😀 and more`;
  it.experiments.expose("checkout", treated, { country: long });
  await it.experiments.flush();
  const [sent] = attributesIn(it.sink);
  const attributes = typeof sent === "object" ? sent : {};
  expect(String(attributes["country"])).toHaveLength(65);
  expect(String(attributes["country"]).isWellFormed()).toBe(true);
  const read = dimensionReader([{ attribute: "country", values: ["x".repeat(64)] }]);
  expect([read(attributes), read({ country: "x".repeat(64) })]).toEqual([
    ["country=(other)"],
    [`country=${"x".repeat(64)}`],
  ]);
});

test("the buffer knows how many bytes they take", async () => {
  const it = world({ dimensions });
  it.experiments.expose("checkout", treated, { country: 'Ca"nada\n', plan: "größer" });
  it.experiments.expose("checkout", treated, shopper);
  const held = it.experiments.health().events?.bytes;
  await it.experiments.flush();
  const bytes = it.sink.events().map((event) => {
    const encoded = encodeEvent(event);
    return "bytes" in encoded ? encoded.bytes : 0;
  });
  expect(held).toBe(bytes.reduce((sum, one) => sum + one, 0));
});

test("what is redacted leaves redacted, and counts as another value or as none", async () => {
  const it = world({ dimensions }, { redact: { pointers: ["/payload/attributes/country"] } });
  it.experiments.expose("checkout", treated, shopper);
  await it.experiments.flush();
  const [sent] = attributesIn(it.sink);
  expect(JSON.stringify(sent)).not.toContain("CA");
  const [country, plan] = dimensionReader([
    { attribute: "country", values: ["CA"] },
    { attribute: "plan", values: ["pro"] },
  ])(typeof sent === "object" ? sent : {});
  expect(country).toMatch(/^country=\((?:other|none)\)$/);
  expect(plan).toBe("plan=pro");
});

test("published rules name the attributes that are declared, and a reader refuses what is no list of names", () => {
  expect(parseRuleSet(ruleSet(rule({ dimensions }))).experiments[0]?.dimensions).toEqual(dimensions);
  const broken = { ...ruleSet(), experiments: [{ ...rule(), dimensions: "country" }] };
  expect(parseRuleSet(broken).unreadable.map(({ message }) => message)).toEqual([
    '/experiments/0/dimensions: found "country"; expected a list of texts',
  ]);
});
