import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { ProvisoError } from "../../src/errors.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { createApi } from "../support/api.ts";

/** An application over a store that says this of itself. */
const apiWith = (check: GovernanceStore["check"]) => createApi({}, { store: { ...memoryStore(), check } });

describe("health of the store", () => {
  test("is told without a word when there is nothing to say", async () => {
    expect((await apiWith(() => Promise.resolve()).anonymous.get("/health")).body).toEqual({
      status: "healthy",
      dependencies: { memory: "healthy" },
    });
    expect((await apiWith(() => Promise.resolve([])).anonymous.get("/health")).body).not.toHaveProperty("notes");
  });

  test("comes with what the store could not find out", async () => {
    const answer = await apiWith(() => Promise.resolve(["nobody knows whether it evicts"])).anonymous.get("/health");
    expect(answer).toMatchObject({
      status: 200,
      body: { status: "healthy", notes: { memory: ["nobody knows whether it evicts"] } },
    });
  });

  test("is 503 when it cannot be read or may lose what it holds, and the reason is for the host alone", async () => {
    const api = apiWith(() =>
      Promise.reject(new ProvisoError("store-unavailable", "its eviction policy is allkeys-lru")),
    );
    const answer = await api.anonymous.get("/health");
    expect(answer).toMatchObject({ status: 503, body: { status: "unhealthy", dependencies: { memory: "unhealthy" } } });
    expect(JSON.stringify(answer.body)).not.toContain("allkeys");
    expect(JSON.stringify(api.reported.map(String))).toContain("allkeys");
  });
});
