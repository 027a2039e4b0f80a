/**
 * Requests from the OpenAPI document against the API in process: good ones, bad ones, and what nobody sane sends, in
 * sequences that get somewhere. Whatever comes, each answer is one that its route documents.
 *
 * `PROVISO_PROOF=1` sends more; `PROVISO_SEED=…` begins elsewhere. A failure names the seed of its sequence.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openApiDocument } from "../../src/http/openapi/document.ts";
import { configuration, createApi } from "../support/api.ts";
import { contractMismatches } from "../support/contract.ts";
import type { World } from "../support/scenario.ts";
import { drawFrom, newSeen, remember, requestOf } from "../support/requests.ts";

const inProof = process.env["PROVISO_PROOF"] === "1";
const firstSeed = Number(process.env["PROVISO_SEED"] ?? 1);
const requestsEach = 100;
const sequences = (inProof ? 20_000 : 4_000) / requestsEach;

const worlds: readonly World[] = [
  {},
  { gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }] },
  {
    gates: [
      { type: "manual", to: "Approved", fourEyes: false },
      { type: "quorum", from: "Approved", to: "Running", count: 2, fourEyes: false },
      { type: "roleBased", to: "Ramping", allowedRoles: ["operator"] },
    ],
    policies: [{ type: "trafficLimit", name: "limit", to: ["Running"], maxTrafficPercentage: 50 }],
  },
];

const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);
beforeAll(() => void process.on("unhandledRejection", note));
afterAll(() => void process.off("unhandledRejection", note));

const tally = new Map<string, number>();

test.each(Array.from({ length: sequences }, (_, index) => firstSeed + index * 7_919))("sequence %i", async (seed) => {
  const draw = drawFrom(seed);
  const api = createApi(worlds[draw(worlds.length)], {
    ...(draw(6) === 0 ? { requireIfMatch: true } : {}),
    ...(draw(6) === 0 ? { requireIdempotencyKey: true } : {}),
  });
  const document = openApiDocument(api.app);
  const seen = newSeen();
  if (draw(3) > 0) {
    // Most paths need an experiment that is there.
    const author = api.as("author", "editor,operator");
    const headers = { "if-none-match": "*", "idempotency-key": "first" };
    await author.post("/api/governance/checkout/versions", { configuration: configuration() }, headers);
  }
  for (let count = 0; count < requestsEach; count += 1) {
    const request = requestOf(document, draw, seen);
    const label = `seed ${seed}, request ${count}: ${request.method} ${request.url.slice(0, 300)}`;
    const copy = await request.clone().text();
    const response = await api.send(request);
    const text = await response.text();
    const key = `${response.status} ${request.method}`;
    tally.set(key, (tally.get(key) ?? 0) + 1);
    const found = contractMismatches(document, request, response, text);
    expect
      .soft({ label, found, sent: found.length > 0 ? copy.slice(0, 500) : "" })
      .toEqual({ label, found: [], sent: "" });
    expect({ label, reported: api.reported }).toEqual({ label, reported: [] });
    const isJson = response.headers.get("content-type")?.includes("ndjson") !== true;
    if (text !== "" && isJson && !request.url.endsWith("openapi.json")) remember(seen, JSON.parse(text));
    const etag = response.headers.get("etag");
    if (etag !== null) seen.etags.push(etag);
  }
  expect(unhandled).toEqual([]);
});

test("the sequences got somewhere", () => {
  const kinds = new Set(tally.keys());
  expect([...kinds]).toEqual(
    expect.arrayContaining([
      "200 GET",
      "200 POST",
      "201 POST",
      "202 POST",
      "304 GET",
      "400 POST",
      "401 GET",
      "403 POST",
      "404 GET",
      "409 POST",
      "412 POST",
      "422 POST",
    ]),
  );
});
