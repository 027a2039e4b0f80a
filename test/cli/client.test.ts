import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { approver, author, createClient, describeProblem, Unreachable } from "../../cli/replay/client.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.close();
});

const serve = async (answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
  const server = createServer(answer).listen(0, "127.0.0.1");
  open.push({
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}`;
};

const ref = { tenant: "acme", environment: "prod", experiment: "checkout" };
const signal = new AbortController().signal;

describe("createClient", () => {
  test("says who asks, in which scope, and hands on conditions and bodies", async () => {
    const seen: unknown[] = [];
    const url = await serve((request, response) => {
      const { method, url: path, headers } = request;
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () => {
        const { "x-proviso-actor": actor, "x-proviso-roles": roles, "if-match": ifMatch } = headers;
        seen.push({ method, path, actor, roles, ifMatch, body });
        response.setHeader("etag", '"1-a"').setHeader("retry-after", "3").writeHead(201).end('{"ok":true}');
      });
    });
    const client = createClient({ url, ref, signal });
    expect(await client.experiment(approver, "GET", "/results", { query: "looks=subject" })).toEqual({
      status: 201,
      etag: '"1-a"',
      retryAfterSeconds: 3,
      body: { ok: true },
    });
    await client.experiment(author, "POST", "", { body: { a: 1 }, headers: { "if-match": '"1"' } });
    await client.ingest('{"events":[]}');
    expect(seen).toEqual([
      {
        method: "GET",
        path: "/api/governance/checkout/results?tenant=acme&environment=prod&looks=subject",
        actor: "replay-approver",
        roles: "approver",
        ifMatch: undefined,
        body: "",
      },
      {
        method: "POST",
        path: "/api/governance/checkout?tenant=acme&environment=prod",
        actor: "replay-author",
        roles: "editor,operator",
        ifMatch: '"1"',
        body: '{"a":1}',
      },
      {
        method: "POST",
        path: "/api/events?tenant=acme&environment=prod",
        actor: "replay-author",
        roles: "editor,operator",
        ifMatch: undefined,
        body: '{"events":[]}',
      },
    ]);
  });

  test("a token takes the place of the development headers", async () => {
    const seen: unknown[] = [];
    const url = await serve((request, response) => {
      const { authorization, "x-proviso-actor": actor } = request.headers;
      seen.push([authorization, actor]);
      response.end("{}");
    });
    const client = createClient({ url, ref, signal, tokens: { author: "a-token", approver: "b-token" } });
    await client.experiment(author, "GET", "");
    await client.experiment(approver, "GET", "");
    await client.ingest("{}");
    expect(seen).toEqual([
      ["Bearer a-token", undefined],
      ["Bearer b-token", undefined],
      ["Bearer a-token", undefined],
    ]);
  });

  test("an answer that is not JSON has no body", async () => {
    const url = await serve((_request, response) => response.writeHead(502).end("<html>"));
    const answer = await createClient({ url, ref, signal }).ingest("{}");
    expect(answer).toMatchObject({ status: 502, body: null });
    expect(describeProblem(answer)).toBe("the server answered 502");
  });

  test("nobody there, and somebody who hangs up", async () => {
    const gone = createClient({ url: "http://127.0.0.1:9", ref, signal });
    await expect(gone.ingest("{}")).rejects.toThrow(Unreachable);
    const url = await serve((request) => request.socket.destroy());
    await expect(createClient({ url, ref, signal }).ingest("{}")).rejects.toThrow(/does not answer/);
  });

  test("being told to stop is not being unreachable", async () => {
    const url = await serve(() => undefined);
    const controller = new AbortController();
    const asked = createClient({ url, ref, signal: controller.signal }).ingest("{}");
    setTimeout(() => controller.abort(), 20);
    await expect(asked).rejects.not.toThrow(Unreachable);
  });
});

test("a problem is one sentence with what is missing, violated or wrong", () => {
  const answer = (body: unknown) => ({ status: 409, etag: null, retryAfterSeconds: 0, body });
  expect(
    describeProblem(answer({ code: "approval-required", detail: "it waits", missing: ["gate a: 0 of 1 approvals"] })),
  ).toBe("it waits (gate a: 0 of 1 approvals) [approval-required]");
  expect(
    describeProblem(
      answer({ code: "policy-violation", detail: "no", violations: [{ policyName: "hours", reason: "too late" }] }),
    ),
  ).toBe("no (hours: too late) [policy-violation]");
  expect(
    describeProblem(answer({ code: "invalid-request", detail: "bad", errors: [{ path: "", message: "JSON" }] })),
  ).toBe("bad (the whole: JSON) [invalid-request]");
});
