import { createHmac } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memorySink } from "../../adapters/sink/memory.ts";
import { parseEvent } from "../../src/events/validate.ts";
import { createRedactor, redactingSink } from "../../src/exposure/redact.ts";
import { everyType, exposure } from "../events/fixtures.ts";
import { treated, world } from "./world.ts";

const key = "a key of sixteen bytes or more";

describe("ids", () => {
  test("become keyed digests that anybody with the key can repeat, and stay countable", () => {
    const hide = createRedactor({ subject: { hmac: key, keyId: "2026-11" }, tenant: { hmac: key } });
    const event = exposure(1, { tenantId: "acme", subjectId: "пользователь-😀" });
    const before = structuredClone(event);
    const hidden = hide(event);
    const digest = (text: string) => createHmac("sha256", key).update(text).digest("hex");
    expect(hidden.payload).toEqual({
      ...event.payload,
      subjectId: digest("subject:пользователь-😀"),
      tenantId: digest("tenant:acme"),
    });
    expect(hidden.metadata).toEqual({ redaction: { subject: "hmac:2026-11", tenant: "hmac" } });
    expect(event).toEqual(before);
    expect(hide(event)).toEqual(hidden);
    const other = createRedactor({ subject: { hmac: "another key of enough bytes" } });
    expect(other(event).payload.subjectId).not.toBe(hidden.payload.subjectId);
  });

  test("or one placeholder; and what results is a valid event of every type", () => {
    for (const subject of [{ hmac: key }, { placeholder: "somebody" }]) {
      const hide = createRedactor({ subject, tenant: { placeholder: "some-tenant" } });
      for (const event of everyType()) {
        const parsed = parseEvent(hide(event));
        expect(parsed).toMatchObject({ ok: true });
        expect(JSON.stringify(hide(event))).not.toMatch(/user-\d|acme/);
      }
    }
  });

  test("differ for tens of thousands, also when they no longer fit into memory", () => {
    const hide = createRedactor({ subject: { hmac: key } });
    const digest = (n: number) => hide(exposure(0, { subjectId: `user-${n}` })).payload.subjectId;
    const first = Array.from({ length: 12_000 }, (_, n) => digest(n));
    expect(new Set(first).size).toBe(12_000);
    expect([digest(0), digest(11_999)]).toEqual([first[0], first[11_999]]);
  });
});

describe("pointers", () => {
  const attributes = {
    email: "a@example.com",
    list: [{ ssn: 1, keep: 2 }, { ssn: 3 }],
    deep: { deeper: { ssn: { number: 4 }, keep: [5] } },
    "a/b~c": "slash",
    __proto__x: 6,
  };
  const strip = (...pointers: readonly string[]): unknown => {
    const { payload } = createRedactor({ pointers, replacement: "—" })(exposure(0, { attributes }));
    return "attributes" in payload ? payload.attributes : undefined;
  };

  test("name a member, an element, any one, any depth", () => {
    expect(strip("/payload/attributes/email")).toEqual({ ...attributes, email: "—" });
    expect(strip("/payload/attributes/list/1/ssn")).toEqual({
      ...attributes,
      list: [attributes.list[0], { ssn: "—" }],
    });
    expect(strip("/payload/attributes/list/*/ssn")).toEqual({
      ...attributes,
      list: [{ ssn: "—", keep: 2 }, { ssn: "—" }],
    });
    expect(strip("/payload/attributes/**/ssn")).toEqual({
      ...attributes,
      list: [{ ssn: "—", keep: 2 }, { ssn: "—" }],
      deep: { deeper: { ssn: "—", keep: [5] } },
    });
    expect(strip("/payload/attributes/a~1b~0c")).toEqual({ ...attributes, "a/b~c": "—" });
    expect(strip("/payload/attributes/*")).toEqual(
      Object.fromEntries(Object.keys(attributes).map((name) => [name, "—"])),
    );
    expect(strip("/payload/attributes/nothing/here", "/payload/attributes/email/deeper")).toEqual(attributes);
  });

  test("of a whole object leave none of it", () => {
    const hide = createRedactor({
      pointers: ["/payload/attributes", "/payload/data", "/metadata", "/payload/message", "/correlationId"],
    });
    expect(hide(exposure(0, { attributes }))).toEqual(exposure(0));
    for (const event of everyType()) {
      const hidden = hide(event);
      expect(parseEvent(hidden)).toMatchObject({ ok: true });
      expect(hidden).not.toHaveProperty("metadata");
      expect(hidden).not.toHaveProperty("payload.data");
      expect(JSON.stringify(hidden)).not.toMatch(/request-1|not a function/);
    }
  });

  test("elsewhere are refused: what an event is must stay true", () => {
    for (const pointer of [
      "/payload/variantKey",
      "/eventId",
      "",
      "payload/attributes/a",
      "/payload/attributesX",
      "/payload/*",
    ]) {
      expect(() => createRedactor({ pointers: [pointer] })).toThrow(RangeError);
    }
  });

  test("reach own members only, whatever they are called", () => {
    const hostile: unknown = JSON.parse('{"__proto__":{"ssn":1},"constructor":{"ssn":2},"ssn":3}');
    const event = exposure(0, { attributes: { hostile } });
    const hidden = createRedactor({ pointers: ["/payload/attributes/**/ssn"], replacement: "—" })(event);
    expect(JSON.stringify(hidden.payload)).toContain('{"__proto__":{"ssn":"—"},"constructor":{"ssn":"—"},"ssn":"—"}');
    expect(Object.hasOwn(Object.prototype, "ssn")).toBe(false);
  });

  test("with **, hide a secret at whatever place it is", () => {
    const secret = "s3cr3t";
    const tree = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom<unknown>("x", 1, null),
        fc.dictionary(fc.constantFrom("a", "secret", "b"), tie("node"), { maxKeys: 3 }),
        fc.array(tie("node"), { maxLength: 3 }),
      ),
    })).node;
    const plant = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(plant);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value).map(([name, item]) => [name, name === "secret" ? secret : plant(item)]),
      );
    };
    const hide = createRedactor({ pointers: ["/payload/attributes/**/secret"] });
    let planted = 0;
    fc.assert(
      fc.property(tree, (value) => {
        const event = exposure(0, { attributes: { value: plant(value) } });
        planted += JSON.stringify(event).includes(secret) ? 1 : 0;
        expect(JSON.stringify(hide(event))).not.toContain(secret);
      }),
      { numRuns: 300 },
    );
    expect(planted).toBeGreaterThan(20);
  });
});

test.each([
  ["a short key", { subject: { hmac: "short" } }],
  ["an empty placeholder", { subject: { placeholder: "" } }],
])("%s is refused", (_, redaction) => {
  expect(() => createRedactor(redaction)).toThrow(RangeError);
});

describe("a redacting sink", () => {
  test("sends nothing unhidden, refuses by its place what it cannot hide in, and keeps the others' places", async () => {
    const inner = memorySink();
    const sink = redactingSink(inner, { subject: { hmac: key }, pointers: ["/payload/attributes/**/email"] });
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const oversize = exposure(2, { rulePath: "x".repeat(40_000) });
    const receipt = await sink.send([exposure(0, { attributes: circular }), exposure(1), oversize, exposure(3)]);
    expect(receipt).toMatchObject({ accepted: 2, rejected: [{ index: 0 }, { index: 2 }] });
    expect(receipt.rejected[0]?.message).toBe("the event could not be redacted: RangeError");
    expect(JSON.stringify(inner.events())).not.toContain("user-");
    expect(await sink.send([exposure(0, { attributes: circular })])).toMatchObject({ accepted: 0 });
    expect(sink.name).toBe("memory");
    expect(sink.health().status).toBe("healthy");
  });

  test("stands between the buffer and every sink of an application", async () => {
    const { experiments, sink } = world({}, { redact: { subject: { hmac: key } } });
    experiments.expose("checkout", treated);
    experiments.outcome({ subject: treated, metric: "purchase", kind: "binary", value: true });
    await experiments.flush();
    const ids = new Set(sink.events().map(({ payload }) => payload.subjectId));
    expect(ids.size).toBe(1);
    expect([...ids][0]).toMatch(/^[0-9a-f]{64}$/);
    expect(JSON.stringify(sink.events())).not.toContain(treated);
  });
});
