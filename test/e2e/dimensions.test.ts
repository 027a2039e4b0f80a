/** A dimension from the DSL of a version to the results: the application names an attribute, and results show it apart. */
import { join } from "node:path";
import * as v from "valibot";
import { expect, test } from "vitest";
import { httpSink } from "../../adapters/sink/http.ts";
import { httpRules } from "../../src/evaluation/rules.ts";
import { createExperiments } from "../../src/exposure/experiments.ts";
import { ask, start, startServer, temporaryDirectory } from "./server.ts";

const Results = v.object({
  exposures: v.number(),
  dimensions: v.array(
    v.object({ dimension: v.string(), value: v.string(), subjects: v.record(v.string(), v.number()) }),
  ),
});

test("exposures of the SDK are counted by the declared dimensions, and a redacted one as none or another value", async () => {
  const directory = await temporaryDirectory();
  const server = await startServer(join(directory.path, "state"));
  try {
    const { url } = server;
    await start(url, "by-country", {
      dimensions: [
        { attribute: "country", values: ["CA", "US"] },
        { attribute: "plan", values: ["pro"] },
      ],
    });
    const errors: unknown[] = [];
    const experiments = createExperiments({
      rules: httpRules({ url }),
      sink: httpSink({ url }),
      redact: { pointers: ["/payload/attributes/plan"] },
      onError: (error) => errors.push(error),
    });
    await expect.poll(async () => (await experiments.rules.refresh()).experiments, { timeout: 15_000 }).toBe(1);
    const trial = experiments.trial("by-country", { control: () => 0, treatment: () => 1 });
    const countries = ["CA", "CA", "CA", "US", "US", "FR", undefined];
    for (const [n, country] of countries.entries()) {
      trial.for(`user-${n}`, { plan: "pro", email: "ada@example.com", ...(country !== undefined && { country }) })();
    }
    expect(await experiments.flush()).toBe(true);
    expect(errors).toEqual([]);
    const results = async () => v.parse(Results, (await ask(url, "author", "GET", "by-country/results")).body);
    await expect.poll(async () => (await results()).exposures, { timeout: 20_000 }).toBe(countries.length);
    const { dimensions } = await results();
    const sizes = Object.fromEntries(
      dimensions.map(({ dimension, value, subjects }) => [
        `${dimension}=${value}`,
        Object.values(subjects).reduce((sum, one) => sum + one, 0),
      ]),
    );
    expect(sizes).toMatchObject({ "country=(none)": 1, "country=(other)": 1, "country=CA": 3, "country=US": 2 });
    expect(sizes).not.toHaveProperty(["plan=pro"]);
  } finally {
    await server.kill();
    await directory.remove();
  }
});
