import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, findUnstorable } from "../../../src/canonical.ts";
import type { PersonalRef } from "../../../src/governance/events.ts";
import { personalValue } from "../../../src/governance/personal.ts";
import { after, author, configuration, creation, freshRef, next, receipt, stamp } from "../../support/governance.ts";
import { commitAll, expectValid, type MakeStore, wholeHistory } from "./under-test.ts";

const variantsWith = (payload: unknown) => [
  { key: "control", weight: 1, control: true, payload },
  { key: "treatment", weight: 0.1 },
];

const parsed: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":null}');

const values: readonly (readonly [name: string, value: unknown])[] = [
  ["null", null],
  ["false", false],
  ["empty text", ""],
  ["empty list and object", [[], {}]],
  ["unicode", "é e\u0301 \u{1F600} \u{10FFFF} \uFFFF \uFEFF \u2028 \u0085 \u0001 ‮"],
  ["text that begins with a byte order mark", "\uFEFFabc"],
  ["quotes, escapes and SQL", "\" \\ ' \\u0000 %s ?1 :name '; DROP TABLE events; --"],
  ["numbers at the edge", [2 ** 53, -(2 ** 53), 2 ** 53 - 1, 1e21, 1e-7, 0.1 + 0.2, 5e-324, 1.7976931348623157e308]],
  ["numbers that look like text, and text like numbers", ["1", 1, "1.0", "true", "null", "[]"]],
  ["nesting up to the limit", Array.from({ length: 30 }).reduce<unknown>((inner) => ({ inner: [inner] }), 1)],
  ["names that objects have already", parsed],
  ["a long text", "é".repeat(100_000)],
];

export const valueCases = (makeStore: MakeStore): void => {
  /** Takes a value through an event, a state, a receipt and a personal value, and gives what came back of it. */
  const roundTrip = async (value: unknown) => {
    const { store } = await makeStore();
    const ref = freshRef();
    const text = canonicalJson(value);
    const stored = { ...receipt("key"), answer: text };
    const personal = personalValue("text", "00", text.slice(0, 1_000).toWellFormed());
    const commit = creation(ref, {
      configuration: configuration({ variants: variantsWith(value) }),
      receipt: stored,
      personal: [personal],
      change: { updatedBy: personal.ref },
    });
    await commitAll(store, ref, commit);
    return {
      commit,
      personal,
      stored,
      loaded: await store.load(ref, { receipt: "key" }),
      history: await wholeHistory(store, ref),
    };
  };

  /** Compared as canonical text: an equality of objects looks past an own member called __proto__. */
  const asText = (parts: Pick<Awaited<ReturnType<typeof roundTrip>>, "history" | "loaded">, of: PersonalRef): string =>
    canonicalJson([parts.history, parts.loaded?.snapshot, parts.loaded?.receipt, parts.loaded?.people.get(of)]);

  describe("values", () => {
    test.each(values)("come back as they were: %s", async (_, value) => {
      const { commit, personal, stored, ...back } = await roundTrip(value);
      expect(asText(back, personal.ref)).toBe(canonicalJson([commit.events, commit.snapshot, stored, personal.value]));
      expectValid(back.history);
    });

    test("come back as they were, whatever JSON can say", async () => {
      const storable = fc.jsonValue({ maxDepth: 4 }).filter((value) => findUnstorable(value) === undefined);
      await fc.assert(
        fc.asyncProperty(storable, async (value) => {
          const { commit, personal, stored, ...back } = await roundTrip(value);
          const written = canonicalJson([commit.events, commit.snapshot, stored, personal.value]);
          expect(asText(back, personal.ref)).toBe(written);
          expectValid(back.history);
        }),
        { numRuns: 25 },
      );
    });

    test("have no negative zero, as JSON has none", async () => {
      const { history } = await roundTrip({ zero: -0 });
      const written = history[1];
      expect(written?.type === "VersionWritten" && written.data.configuration.variants[0]?.payload).toEqual({
        zero: 0,
      });
      expectValid(history);
    });

    test("are nobody's to change once they are stored", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const payload = { members: ["one"] };
      const commit = creation(ref, { configuration: configuration({ variants: variantsWith(payload) }) });
      await commitAll(store, ref, commit);
      const before = canonicalJson([await store.load(ref), await wholeHistory(store, ref)]);
      // What was handed in.
      payload.members.push("two");
      // What was handed out.
      for (const given of [await store.load(ref), ...(await wholeHistory(store, ref))]) {
        for (const member of Object.keys(given ?? {})) Reflect.set(given ?? {}, member, "changed");
      }
      const list = await store.list(ref);
      Reflect.set(list.items[0]?.snapshot.state ?? {}, "lifecycle", "Archived");
      expect(canonicalJson([await store.load(ref), await wholeHistory(store, ref)])).toBe(before);
      expect((await store.list(ref)).items[0]?.snapshot.state.lifecycle).toBe("Draft");
    });

    test("that a database would change are refused with their place, and nothing is written", async () => {
      const { store } = await makeStore();
      for (const bad of ["\u0000", "a\u0000b", "\uD800", "\uDFFF\uD800", "ok \uDC00"]) {
        const ref = freshRef();
        const good = creation(ref);
        const refused = async (commit: typeof good, path: string) => {
          await expect(store.commit(ref, commit)).rejects.toMatchObject({
            code: "invalid-request",
            details: { errors: [{ path }] },
          });
        };
        const [first, second] = good.events;
        if (first === undefined || second?.type !== "VersionWritten") throw new TypeError("a creation has two events");
        const inEvent = {
          ...second,
          data: { ...second.data, configuration: configuration({ variants: variantsWith({ a: [bad] }) }) },
        };
        await refused({ ...good, events: [first, inEvent] }, "/events/1/data/configuration/variants/0/payload/a/0");
        await refused({ ...good, personal: [{ ...author, value: bad }] }, "/personal/0/value");
        await refused({ ...good, receipt: receipt("key", undefined, bad) }, "/receipt/answer");
        await refused({ ...good, receipt: { ...receipt("key"), key: bad } }, "/receipt/key");
        await refused({ ...good, claims: { take: ["fine", bad], release: [] } }, "/claims/take/1");
        await refused({ ...good, claims: { take: [], release: [bad] } }, "/claims/release/0");
        expect(await store.load(ref)).toBeNull();
        expect(await wholeHistory(store, ref)).toEqual([]);
        // Where text is only asked for, it is refused as well: a database would look for something else.
        await expect(store.load(ref, { receipt: bad })).rejects.toMatchObject({ code: "invalid-request" });
        await expect(store.load(ref, { actor: bad })).rejects.toMatchObject({ code: "invalid-request" });
        await expect(store.list(ref, { surface: bad })).rejects.toMatchObject({ code: "invalid-request" });
        await expect(store.list(ref, { cursor: bad })).rejects.toMatchObject({ code: "invalid-request" });
      }
    });

    test("may be times with an offset: what is kept is what was sealed", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      const created = creation(ref);
      const drafts = [
        {
          type: "Reopened" as const,
          data: { from: "Archived" as const },
          ...stamp("2026-11-02T11:00:00+01:00"),
        },
      ];
      const reopened = next(after(created), { drafts });
      await commitAll(store, ref, created, reopened);
      expect((await store.load(ref))?.head.at).toBe("2026-11-02T10:00:00.000Z");
      expectValid(await wholeHistory(store, ref));
    });
  });
};
