/** The document against a linter and against the routes. Answers are held to it wherever tests ask the API. */
import { createConfig, lintFromString } from "@redocly/openapi-core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { endpointsOf, openApiDocument, openApiPath } from "../../src/http/openapi/document.ts";
import { createApi } from "../support/api.ts";
import { mismatches } from "../support/json-schema.ts";

const api = createApi();
const document = openApiDocument(api.app);

const lint = async (source: object): Promise<readonly string[]> => {
  const config = await createConfig({
    extends: ["recommended-strict"],
    rules: {
      "no-unused-components": "error",
      "operation-operationId-unique": "error",
      "operation-description": "error",
      "tag-description": "error",
    },
  });
  const problems = await lintFromString({ source: JSON.stringify(source), config });
  return problems.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer ?? ""}: ${message}`);
};

describe("the linter", () => {
  test("finds nothing, with all recommended rules as errors", async () => {
    // What is public and takes nothing has nothing that a caller could do wrong.
    const wanted = "Operation must have at least one `4XX` response.";
    expect((await lint(document)).toSorted()).toEqual([
      `operation-4xx-response #/paths/~1api~1openapi.json/get/responses: ${wanted}`,
      `operation-4xx-response #/paths/~1health/get/responses: ${wanted}`,
    ]);
  });

  test("would find something", async () => {
    const health = { get: { ...document.paths["/health"]?.["get"], operationId: "readRules", security: undefined } };
    const problems = (await lint({ ...document, paths: { ...document.paths, "/health": health } })).join("\n");
    expect(problems).toMatch(/operation-operationId-unique/);
    expect(problems).toMatch(/security-defined/);
  });
});

test("every route of the app is in the document, and the reverse", () => {
  const routes = api.app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method.toLowerCase()} ${openApiPath(path)}`);
  const described = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method} ${path}`),
  );
  expect(described.toSorted()).toEqual(routes.toSorted());
  expect(endpointsOf(api.app)).toHaveLength(routes.length);
});

test("anybody may read it, and it is the same each time", async () => {
  const answer = await api.anonymous.get("/api/openapi.json");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(answer.body).toEqual(JSON.parse(JSON.stringify(document)));
  expect((await api.anonymous.get("/api/openapi.json")).body).toEqual(answer.body);
});

test("the request schemas say what the checks say", async () => {
  const operation = (path: string, method: string) => document.paths[path]?.[method];
  const say = operation("/api/governance/{name}/approvals", "post");
  const schema = say?.requestBody?.content["application/json"]?.schema;
  const fits = (body: object): boolean => mismatches(document, { ...schema }, body).length === 0;
  const changeDigest = "0".repeat(64);
  expect(fits({ decision: "approve", changeDigest })).toBe(true);
  expect(fits({ decision: "approve" })).toBe(false);
  expect(fits({ decision: "maybe", changeDigest })).toBe(false);
  expect(fits({ decision: "approve", changeDigest, more: 1 })).toBe(false);

  const write = operation("/api/governance/{name}/versions", "post")?.requestBody?.content["application/json"]?.schema;
  const clause = { attribute: "plan", equals: "pro" };
  const written = (targeting: unknown): boolean =>
    mismatches(document, { ...write }, { configuration: { variants: [{ key: "a" }, { key: "b" }], targeting } })
      .length === 0;
  expect(written({ all: [clause, { not: clause }] })).toBe(true);
  expect(written({ all: [] })).toBe(false);
  expect(written({ attribute: "plan" })).toBe(false);

  const parameters = v.parse(
    v.array(v.looseObject({ name: v.string(), schema: v.unknown() })),
    operation("/api/governance/{name}/versions", "get")?.parameters,
  );
  expect(parameters.find(({ name }) => name === "limit")?.schema).toEqual({
    type: "integer",
    minimum: 1,
    maximum: 100,
    default: 100,
  });
});

test("a parameter that is sent twice is refused, unless it is a list", async () => {
  const reader = api.as("reader", "viewer");
  expect((await reader.get("/api/governance?limit=1&limit=2")).body).toMatchObject({
    code: "invalid-request",
    errors: [{ path: "?limit" }],
  });
  expect((await reader.get("/api/governance?state=Draft&state=running,paused")).status).toBe(200);
  expect((await reader.get("/api/governance?state=Draft,Walking&surface=%00&limit=0")).status).toBe(400);
});
