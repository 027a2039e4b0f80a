/** Signatures as Standard Webhooks has them: its own library makes and verifies the same, and nothing else passes. */
import * as fc from "fast-check";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { parseSecrets, signWebhook, verifyWebhook, type WebhookRefusal } from "../../src/notices/signature.ts";

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));
const secretOf = (seed: number, length = 32): string =>
  `whsec_${base64(Uint8Array.from({ length }, (_, index) => (index * 7 + seed) % 256))}`;
const secret = secretOf(1);
const time = 1_795_000_000;
const now = () => time * 1_000;
const body = '{"type":"experiment.committed","timestamp":"2026-11-25T00:00:00.000Z","data":{"text":"日本 😀"}}';

const reader = (headers: Readonly<Record<string, string>>) => new Headers({ ...headers });

const verify = async (headers: Readonly<Record<string, string>>, text: string | Uint8Array = body, with_ = secret) =>
  verifyWebhook({ secrets: parseSecrets(with_), now }, reader(headers), text);

const signed = (id = "msg_1", timestamp = time, text = body, with_ = secret) =>
  signWebhook(parseSecrets(with_), id, timestamp, text);

describe("the library of Standard Webhooks", () => {
  test("accepts what is signed here, and signs what is accepted here", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/),
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 24, max: 64 }),
        async (id, text, length) => {
          const own = secretOf(length, length);
          const library = new Webhook(own);
          const fresh = Math.floor(Date.now() / 1_000);
          const payload = JSON.stringify({ text });
          expect(library.verify(payload, { ...(await signed(id, fresh, payload, own)) })).toEqual({ text });
          const headers = {
            "webhook-id": id,
            "webhook-timestamp": String(time),
            "webhook-signature": library.sign(id, new Date(now()), payload),
          };
          expect(await verify(headers, payload, own)).toEqual({ ok: true, id, timestamp: time });
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe("verifying", () => {
  test("takes bytes and text alike", async () => {
    expect(await verify(await signed(), new TextEncoder().encode(body))).toMatchObject({ ok: true, id: "msg_1" });
  });

  test("while a secret is exchanged, either side may be first", async () => {
    const both = `${secretOf(2)} ${secret}`;
    expect(await verify(await signed("a", time, body, both))).toMatchObject({ ok: true });
    expect(await verify(await signed(), body, both)).toMatchObject({ ok: true });
    expect(await verify(await signed("a", time, body, secretOf(3)), body, both)).toMatchObject({ ok: false });
  });

  test.each([-300, 0, 300])("a clock that is %d s off is forgiven", async (seconds) => {
    expect(await verify(await signed("a", time + seconds))).toMatchObject({ ok: true });
  });

  const changed = async (headers: Record<string, string>, text?: string): Promise<WebhookRefusal | "accepted"> => {
    const verdict = await verify({ ...(await signed()), ...headers }, text);
    return verdict.ok ? "accepted" : verdict.reason;
  };

  test.each<[string, Record<string, string>, WebhookRefusal]>([
    ["another id", { "webhook-id": "msg_2" }, "bad-signature"],
    ["another time", { "webhook-timestamp": String(time + 1) }, "bad-signature"],
    ["a time that is none", { "webhook-timestamp": "now" }, "bad-header"],
    ["a time in hexadecimal", { "webhook-timestamp": "0x6b0" }, "bad-header"],
    ["a negative time", { "webhook-timestamp": "-1795000000" }, "bad-header"],
    ["a time with a fraction", { "webhook-timestamp": `${time}.0` }, "bad-header"],
    ["a time with a zero in front", { "webhook-timestamp": `0${time}` }, "bad-header"],
    ["a time without end", { "webhook-timestamp": "9".repeat(400) }, "bad-header"],
    ["an id that ends early", { "webhook-id": "msg_1.5" }, "bad-header"],
    ["an empty id", { "webhook-id": "" }, "bad-header"],
    ["an id without end", { "webhook-id": "a".repeat(129) }, "bad-header"],
    ["no signature", { "webhook-signature": "" }, "bad-signature"],
    ["a signature without its version", { "webhook-signature": "AAAA" }, "bad-signature"],
    ["a short signature", { "webhook-signature": "v1,AAAA" }, "bad-signature"],
    ["a signature that is no base64", { "webhook-signature": `v1,${"*".repeat(43)}=` }, "bad-signature"],
    ["zeros", { "webhook-signature": `v1,${"A".repeat(43)}=` }, "bad-signature"],
    ["another version", { "webhook-signature": "v1a,AAAA v2,BBBB" }, "bad-signature"],
    ["signatures without end", { "webhook-signature": "v1,AAAA ".repeat(21).trim() }, "bad-header"],
  ])("%s is refused", async (_, headers, reason) => {
    expect(await changed(headers)).toBe(reason);
  });

  test("another body is refused, also one that differs in its last byte, or holds the same JSON", async () => {
    for (const text of [`${body} `, body.slice(0, -1), "", body.replace("committed", "Committed")])
      expect(await changed({}, text)).toBe("bad-signature");
  });

  test("the signature of one version beside others is found", async () => {
    const { "webhook-signature": good } = await signed();
    expect(await changed({ "webhook-signature": `v1a,AAAA v1,${"A".repeat(43)}= ${good}` })).toBe("accepted");
  });

  test.each(["webhook-id", "webhook-timestamp", "webhook-signature"])("%s must be there", async (name) => {
    const headers: Record<string, string> = { ...(await signed()) };
    delete headers[name];
    expect(await verify(headers)).toEqual({ ok: false, reason: "missing-header" });
  });

  test.each([
    [-301, "too-old"],
    [301, "too-new"],
  ])("a message of %d s is %s, whoever signed it", async (seconds, reason) => {
    expect(await verify(await signed("a", time + seconds))).toEqual({ ok: false, reason });
  });

  test("nothing at random passes", async () => {
    const header = fc.string({ unit: fc.constantFrom(...Array.from("v1,=+/ AZaz09._-")) });
    await fc.assert(
      fc.asyncProperty(header, header, header, fc.uint8Array(), async (id, timestamp, signature, bytes) => {
        const headers = { get: (name: string) => ({ i: id, t: timestamp, s: signature })[name.charAt(8)] ?? null };
        expect(await verifyWebhook({ secrets: parseSecrets(secret), now }, headers, bytes)).toMatchObject({
          ok: false,
        });
      }),
    );
  });
});

describe("a secret", () => {
  test.each([
    "",
    " ",
    "whsec_",
    "whsec_AAAA",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_%%%%",
    secretOf(1, 23),
    secretOf(1, 65),
  ])("is not %j, and the error is the same for all", (text) => {
    expect(() => parseSecrets(text)).toThrow(
      /^a webhook secret is whsec_ and the base64 of 24 to 64 bytes; one, or up to 5 with blanks between$/,
    );
  });

  test("comes with others between blanks, five at most", () => {
    const five = [1, 2, 3, 4, 5].map((seed) => secretOf(seed));
    expect(parseSecrets(`\n ${five.join("  \n")} `)).toHaveLength(5);
    expect(() => parseSecrets([...five, secret].join(" "))).toThrow(TypeError);
    expect(JSON.stringify(parseSecrets(secret))).toBe("[{}]");
  });
});
