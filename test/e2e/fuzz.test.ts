/** As test/http/fuzz.test.ts, over a socket against the Worker and its database. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openApiDocument } from "../../src/http/openapi/document.ts";
import { createApi } from "../support/api.ts";
import { contractMismatches } from "../support/contract.ts";
import { drawFrom, newSeen, remember, requestOf } from "../support/requests.ts";
import { type Server, startServer, temporaryDirectory } from "./server.ts";

let server: Server;
let state: Awaited<ReturnType<typeof temporaryDirectory>>;

beforeAll(async () => {
  state = await temporaryDirectory();
  server = await startServer(state.path);
});

afterAll(async () => {
  await server.stop();
  await state.remove();
});

/** Methods that `fetch` has nothing against and a server of its own might answer. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

test("the Worker answers as its document says, whatever it is asked", async () => {
  const document = openApiDocument(createApi().app);
  const served = await fetch(`${server.url}/api/openapi.json`);
  expect(await served.json()).toEqual(JSON.parse(JSON.stringify(document)));

  const draw = drawFrom(5);
  const seen = newSeen();
  const statuses = new Set<number>();
  for (let count = 0; count < 600; count += 1) {
    const drawn = requestOf(document, draw, seen);
    if (!methods.has(drawn.method)) continue;
    const url = drawn.url.replace("http://127.0.0.1", server.url);
    const body = drawn.body === null ? {} : { body: await drawn.arrayBuffer() };
    const request = new Request(url, { method: drawn.method, headers: drawn.headers, ...body });
    const response = await fetch(request);
    const text = await response.text();
    statuses.add(response.status);
    const label = `request ${count}: ${request.method} ${url.slice(0, 300)}`;
    expect({ label, found: contractMismatches(document, request, response, text) }).toEqual({ label, found: [] });
    const isJson = response.headers.get("content-type")?.includes("ndjson") !== true;
    if (text !== "" && isJson && !url.endsWith("openapi.json")) remember(seen, JSON.parse(text));
    const etag = response.headers.get("etag");
    if (etag !== null) seen.etags.push(etag);
  }
  expect([...statuses]).toEqual(expect.arrayContaining([200, 201, 202, 400, 401, 403, 404, 409, 412]));
});
