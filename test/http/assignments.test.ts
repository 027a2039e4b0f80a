import { describe, expect, test } from "vitest";
import type { PageOptions } from "../../src/http/dependencies.ts";
import { crossoverEvent } from "../../src/ledger/crossover.ts";
import { emptyCounts } from "../../src/ledger/counts.ts";
import { configuration, createApi } from "../support/api.ts";

const ref = { tenant: "default", environment: "default", experiment: "checkout" };
const event = crossoverEvent(ref, {
  subject: "user-1",
  previousVariant: "control",
  to: { variant: "treatment", time: 1_764_000_000_000, id: "x" },
});

const created = async () => {
  const asked: PageOptions[] = [];
  const api = createApi(
    {},
    {
      ledger: () => ({
        counts: () => Promise.resolve(emptyCounts),
        crossovers: (page) => {
          asked.push(page);
          return Promise.resolve({ events: [event], next: 7 });
        },
      }),
    },
  );
  await api.as("ada", "editor").post("/api/governance/checkout/versions", { configuration: configuration() });
  return { api, asked };
};

describe("assignments", () => {
  test("are read by the page", async () => {
    const { api, asked } = await created();
    const answer = await api.as("ada", "editor").get("/api/governance/checkout/assignments?after=3&limit=2");
    expect(answer).toMatchObject({ status: 200, body: { experimentName: "checkout", events: [event], next: 7 } });
    expect(asked).toEqual([{ after: 3, limit: 2 }]);
  });

  test("want an experiment, an identity and a page that can be", async () => {
    const { api, asked } = await created();
    const ada = api.as("ada", "editor");
    expect((await ada.get("/api/governance/other/assignments")).status).toBe(404);
    expect((await ada.get("/api/governance/checkout/assignments?limit=101")).status).toBe(400);
    expect((await api.anonymous.get("/api/governance/checkout/assignments")).status).toBe(401);
    expect(asked).toEqual([]);
  });
});
