/** Histories over HTTP: out, in, signed, and without what is personal of somebody. */
import * as v from "valibot";
import { beforeEach, describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import { splitLines } from "../../src/governance/export/lines.ts";
import { verifyExport } from "../../src/governance/export/verify.ts";
import { createSigner, headStatement, readPublicKey, type Signer } from "../../src/governance/signing.ts";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { limits } from "../../src/limits.ts";
import { observe } from "../conformance/store/under-test.ts";
import { type Api, configuration, createApi } from "../support/api.ts";
import { author, lived } from "../support/lived.ts";

const base = "/api/governance";
const ref = { tenant: "default", environment: "default", experiment: "checkout" };

const newSigner = async (): Promise<Signer> => {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new TypeError("a key pair");
  return createSigner(JSON.stringify(await crypto.subtle.exportKey("jwk", pair.privateKey)), "2026");
};

const raw = async (api: Api, path: string, init: RequestInit = {}): Promise<Response> =>
  api.send(
    new Request(`http://127.0.0.1${base}${path}`, {
      ...init,
      headers: { "x-proviso-actor": "root@example.com", "x-proviso-roles": "admin" },
    }),
  );
const linesOf = (text: string): readonly string[] => text.split("\n").slice(0, -1);

let store: GovernanceStore;
let api: Api;
beforeEach(async () => {
  ({ store } = await lived());
  api = createApi({}, { store });
});

describe("an export", () => {
  test("is a stream of lines that verify, and comes back in elsewhere", async () => {
    const answer = await raw(api, "/checkout/export");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const text = await answer.text();
    expect(await verifyExport(linesOf(text))).toMatchObject({ valid: true, ref });

    const elsewhere = createApi({}, { store: memoryStore() });
    const admin = elsewhere.as("root@example.com", "admin");
    const head = (await store.load(ref))?.head;
    expect(await admin.post(`${base}/import`, text)).toMatchObject({
      status: 200,
      body: { experimentName: "checkout", tenant: "default", environment: "default", written: head?.seq },
    });
    expect(await observe(elsewhere.store, ref)).toEqual(await observe(store, ref));
    const [here, there] = [await api.as("a", "viewer").get(`${base}/checkout`), await admin.get(`${base}/checkout`)];
    expect(there.headers.get("etag")).toBe(here.headers.get("etag"));
    // Again: nothing is new.
    expect((await admin.post(`${base}/import`, text)).body).toMatchObject({ written: 0 });
  });

  test("and an import and an erasure are for administrators", async () => {
    for (const roles of ["viewer", "editor", "approver", "operator"]) {
      const person = api.as("somebody@example.com", roles);
      expect((await person.get(`${base}/checkout/export`)).status).toBe(403);
      expect((await person.post(`${base}/import`, "")).status).toBe(403);
      expect((await person.post(`${base}/erasures`, { actor: "a" })).status).toBe(403);
      expect((await person.post(`${base}/checkout/erasures`, { actor: "a" })).status).toBe(403);
    }
  });

  test("of what is not there is a problem with a code", async () => {
    expect((await raw(api, "/nothing/export")).status).toBe(404);
    expect((await raw(api, "/a%20b/export")).status).toBe(404);
  });

  test("is signed where a key is configured, head and whole", async () => {
    const signer = await newSigner();
    const signing = createApi({}, { store, signer: () => Promise.resolve(signer) });
    const { body } = await signing.as("a", "viewer").get(`${base}/checkout/audit/head`);
    expect(body).toMatchObject({ signature: { keyId: "2026" }, publicKey: { kid: "2026", crv: "Ed25519" } });
    expect(body["publicKey"]).not.toHaveProperty("d");
    const key = await readPublicKey(JSON.stringify(body["publicKey"]));
    const head = { seq: Number(body["seq"]), hash: String(body["hash"]) };
    const lines = linesOf(await (await raw(signing, "/checkout/export")).text());
    expect(await verifyExport(lines, { key, head })).toMatchObject({ valid: true, signedBy: ["2026"] });
    expect(await signer.verify(headStatement(ref, head), await signer.sign(headStatement(ref, head)))).toBe(true);
    expect((await api.as("a", "viewer").get(`${base}/checkout/audit/head`)).body).toMatchObject({
      ...head,
      signature: null,
      publicKey: null,
    });
  });
});

describe("an import that is refused", () => {
  const admin = () => api.as("root@example.com", "admin");

  test("says in which line, and has written nothing", async () => {
    const lines = linesOf(await (await raw(api, "/checkout/export")).text());
    const target = createApi({}, { store: memoryStore() });
    const send = async (body: string) => target.as("root@example.com", "admin").post(`${base}/import`, body);
    for (const [body, line] of [
      ["", 1],
      ["nonsense", 1],
      ["\n\n", 1],
      [lines.slice(0, 5).join("\n"), 6],
      [
        lines
          .with(4, lines[4]?.replace(/"salt":"0/, '"salt":"1') ?? "")
          .with(6, "{}")
          .join("\n"),
        7,
      ],
      [lines.toSpliced(3, 1).join("\n"), null],
      [[...lines, lines[0]].join("\n"), lines.length + 1],
    ] as const) {
      const answer = await send(body);
      expect(answer).toMatchObject({
        status: 400,
        body: { code: "invalid-request", ...(line === null ? {} : { line }) },
      });
      expect(answer.body["errors"]).toEqual([
        { path: `line ${String(answer.body["line"])}`, message: expect.anything() as unknown },
      ]);
    }
    expect(await target.store.load(ref)).toBeNull();
    expect(target.reported).toEqual([]);
  });

  test("for its size is refused while it is read", async () => {
    let sent = 0;
    const chunk = new TextEncoder().encode(`${"x".repeat(1_000_000)}\n`);
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        controller.enqueue(chunk);
      },
    });
    const answer = await raw(api, "/import", { method: "POST", body, duplex: "half" });
    expect(answer.status).toBe(400);
    const line = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        controller.enqueue(new Uint8Array(1_000_000).fill(0x78));
      },
    });
    expect((await raw(api, "/import", { method: "POST", body: line, duplex: "half" })).status).toBe(400);
    // Neither was read to its end, which it has not.
    expect(sent).toBeLessThan(20);
    expect(limits.importBytes).toBeGreaterThan(limits.historyLineBytes);
  });

  test("for another tenant than the credential's is refused before anything is looked at", async () => {
    const text = await (await raw(api, "/checkout/export")).text();
    const target = memoryStore();
    const pinned = createApi(
      {},
      {
        store: { ...target, load: () => Promise.reject(new Error("nobody must look")) },
        identity: {
          authenticate: () =>
            Promise.resolve({
              actor: { id: "root@other.example", kind: "human", roles: ["admin"] },
              pin: { tenant: "other" },
            }),
          admit: () => Promise.reject(new Error("no")),
        },
      },
    );
    const answer = await pinned.as("a", "admin").post(`${base}/import?tenant=other`, text);
    expect(answer).toMatchObject({ status: 403, body: { code: "forbidden" } });
  });

  test("for another history is a conflict, and leaves everything", async () => {
    const { store: other } = await lived({ rounds: 2 });
    const text = await (await raw(createApi({}, { store: other }), "/checkout/export")).text();
    const before = await observe(store, ref);
    expect(await admin().post(`${base}/import`, text)).toMatchObject({
      status: 409,
      body: { code: "experiment-exists" },
    });
    expect(await observe(store, ref)).toEqual(before);
  });
});

describe("an erasure", () => {
  const names = async (): Promise<string> =>
    JSON.stringify([
      (await api.as("a", "viewer").get(`${base}/checkout/audit`)).body,
      (await api.as("a", "viewer").get(`${base}/checkout`)).body,
      (await api.as("a", "viewer").get(`${base}/checkout/lifecycle/history`)).body,
      await (await raw(api, "/checkout/export")).text(),
    ]);

  test("removes the person and what they wrote, everywhere it shows; the chain still verifies", async () => {
    const before = await names();
    for (const text of [author.actor.id, "go", "the first — «one»", "AB-1"]) expect(before).toContain(text);
    const history = (await observe(store, ref)).history;
    const answer = await api
      .as("root@example.com", "admin")
      .post(`${base}/checkout/erasures`, { actor: author.actor.id, reason: "ticket 77" });
    expect(answer.status).toBe(200);
    expect(answer.body["values"]).toBeGreaterThan(5);
    const after = await names();
    for (const text of [author.actor.id, "the first — «one»", "AB-1", '"go"']) expect(after).not.toContain(text);
    // Others stay, and so does what happened.
    expect(after).toContain("approver@example.com");
    const now = (await observe(store, ref)).history;
    expect(now.slice(0, -1)).toEqual(history);
    expect(now.at(-1)).toMatchObject({ type: "Erased", data: { values: answer.body["values"] } });
    expect((await api.as("a", "viewer").get(`${base}/checkout/audit/verify`)).body).toMatchObject({
      valid: true,
      length: now.length,
    });
    // The ETag is what it was: nobody's edit is disturbed.
    expect((await observe(store, ref)).loaded?.snapshot.revision).toBeGreaterThan(1);
    // The record says on whose word and why, and not whom.
    expect(JSON.stringify((await api.as("a", "viewer").get(`${base}/checkout/audit?types=Erased`)).body)).toContain(
      "ticket 77",
    );
  });

  test("again finds nobody, and records nothing", async () => {
    const admin = api.as("root@example.com", "admin");
    await admin.post(`${base}/checkout/erasures`, { actor: author.actor.id });
    const before = await observe(store, ref);
    expect((await admin.post(`${base}/checkout/erasures`, { actor: author.actor.id })).body).toMatchObject({
      values: 0,
    });
    expect((await admin.post(`${base}/checkout/erasures`, { actor: "' OR 1=1 --" })).body).toMatchObject({ values: 0 });
    expect(await observe(store, ref)).toEqual(before);
  });

  test("is forgotten by the governor that had just worked with the person, and receipts are gone", async () => {
    const editor = api.as("editor@example.com", "editor,operator");
    const key = { "idempotency-key": "k-1" };
    const written = await editor.post(`${base}/cart/versions`, { configuration: configuration() }, key);
    expect(written.status).toBe(201);
    expect(JSON.stringify((await api.as("a", "viewer").get(`${base}/cart`)).body)).toContain("editor@example.com");
    await api.as("root@example.com", "admin").post(`${base}/cart/erasures`, { actor: "editor@example.com" });
    const answer = await api.as("other@example.com", "editor,operator").post(`${base}/cart/lifecycle/transition`, {
      targetState: "PendingApproval",
    });
    expect(answer.status).toBe(200);
    expect(JSON.stringify([answer.body, (await api.as("a", "viewer").get(`${base}/cart`)).body])).not.toContain(
      "editor@example.com",
    );
    // The kept answer would have named them: the key is as good as new, and the experiment is another by now.
    const again = await editor.post(`${base}/cart/versions`, { configuration: configuration() }, key);
    expect(again.body).not.toEqual(written.body);
  });

  test("in a whole scope goes through every experiment, page by page", async () => {
    const editor = api.as("editor@example.com", "editor");
    const other = api.as("other@example.com", "editor");
    for (let index = 0; index < limits.heavyPageRows + 5; index += 1)
      await (index % 2 === 0 ? editor : other).post(`${base}/exp-${index}/versions`, {
        configuration: configuration(),
      });
    const admin = api.as("root@example.com", "admin");
    const first = await admin.post(`${base}/erasures`, { actor: "editor@example.com" });
    expect(first.body["next"]).not.toBeNull();
    const second = await admin.post(`${base}/erasures`, { actor: "editor@example.com", after: first.body["next"] });
    expect(second.body["next"]).toBeNull();
    const erased = [first, second].flatMap(({ body }) => v.parse(v.array(v.unknown()), body["erased"]));
    expect(erased).toHaveLength(53);
    const writers = [0, 1, 103, 104].map(
      async (index) => (await api.as("a", "viewer").get(`${base}/exp-${index}`)).body,
    );
    expect((await Promise.all(writers)).map((body) => body["updatedBy"])).toEqual([
      null,
      "other@example.com",
      "other@example.com",
      null,
    ]);
  });

  test.each([
    {},
    { actor: "" },
    { actor: 1 },
    { actor: "a\u0000" },
    { actor: "a", reason: "x".repeat(5_000) },
    { actor: "a", more: 1 },
  ])("of nobody in particular is refused: %j", async (body) => {
    for (const path of ["/erasures", "/checkout/erasures"])
      expect(await api.as("root@example.com", "admin").post(`${base}${path}`, body)).toMatchObject({ status: 400 });
  });

  test("of an experiment that is not there is not found", async () => {
    const answer = await api.as("root@example.com", "admin").post(`${base}/nothing/erasures`, { actor: "a" });
    expect(answer).toMatchObject({ status: 404, body: { code: "experiment-not-found" } });
  });
});

test("lines are read as the import reads them, whatever the chunks", async () => {
  const text = await (await raw(api, "/checkout/export")).text();
  const bytes = new TextEncoder().encode(text);
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777);
  };
  expect(await verifyExport(splitLines(chunks()))).toMatchObject({ valid: true });
});
