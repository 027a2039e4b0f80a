import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, sha256Hex } from "../../src/canonical.ts";
import { createVerifier, genesisHash, sealEvents, verifyChain } from "../../src/governance/chain.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import {
  at,
  configuration,
  creation,
  denied,
  freshRef,
  later,
  transitioned,
  versionWritten,
} from "../support/governance.ts";

/** A history of 2 + 8 events. */
const history = (): EventRecord[] => {
  const created = creation(freshRef()).events;
  const drafts = Array.from({ length: 8 }, (_, index) =>
    index % 3 === 0 ? versionWritten(index + 2) : transitioned(undefined, later(index)),
  );
  return [...created, ...sealEvents(created.at(-1) ?? "new", drafts)];
};

/** The event at an index, changed. */
const altered = (
  events: readonly EventRecord[],
  index: number,
  change: (event: Record<string, unknown>) => unknown,
): readonly unknown[] =>
  events.map((event, place): unknown => {
    if (place !== index) return event;
    const copy: Record<string, unknown> = structuredClone({ ...event });
    return change(copy) ?? copy;
  });

describe("sealEvents", () => {
  test("numbers and links events from the beginning", () => {
    const [first, second] = sealEvents("new", [denied(), denied(later(1))]);
    expect(first).toMatchObject({ v: 1, seq: 1, prevHash: "0".repeat(64), at });
    expect(second).toMatchObject({ v: 1, seq: 2, prevHash: first?.hash, at: later(1) });
    expect(genesisHash).toBe("0".repeat(64));
  });

  test("goes on from a head", () => {
    const hash = "a".repeat(64);
    expect(sealEvents({ seq: 41, hash }, [denied()])).toMatchObject([{ seq: 42, prevHash: hash }]);
    expect(sealEvents({ seq: 41, hash }, [])).toEqual([]);
  });

  test("hashes the canonical JSON of everything but the hash", () => {
    for (const { hash, ...rest } of history()) {
      expect(hash).toBe(sha256Hex(canonicalJson(rest)));
      expect(Object.keys(rest).toSorted()).toEqual(["actor", "at", "data", "id", "prevHash", "seq", "type", "v"]);
    }
  });

  test("has a hash that is frozen: another one for the same event would break every history there is", () => {
    const [event] = sealEvents("new", [
      {
        type: "Created",
        data: { tenant: "default", environment: "default", experiment: "checkout" },
        id: "01890a5d-ac96-774b-bcce-b302099a8057",
        at: "2026-11-02T09:00:00.000Z",
        actor: { ref: "5".repeat(64), kind: "human", roles: ["editor"] },
      },
    ]);
    const text =
      `{"actor":{"kind":"human","ref":"${"5".repeat(64)}","roles":["editor"]},"at":"2026-11-02T09:00:00.000Z",` +
      `"data":{"environment":"default","experiment":"checkout","tenant":"default"},` +
      `"id":"01890a5d-ac96-774b-bcce-b302099a8057","prevHash":"${"0".repeat(64)}","seq":1,"type":"Created","v":1}`;
    expect(event?.hash).toBe(sha256Hex(text));
    // printf %s "$text" | sha256sum
    expect(event?.hash).toBe("fd92639cca9607caee31bdf8f2a62b3e4790272bf05febcd69df45c051e10ba9");
  });

  test("does not take a draft's word for its place", () => {
    const draft = { ...denied(), v: 2, seq: 99, prevHash: "f".repeat(64), hash: "f".repeat(64) };
    const [event] = sealEvents("new", [draft]);
    expect(event).toMatchObject({ v: 1, seq: 1, prevHash: genesisHash });
    expect(verifyChain([event])).toMatchObject({ valid: true });
  });

  test("never lets time go back, within a commit or behind a head", () => {
    const times = [later(5), later(3), later(7), at];
    const sealed = sealEvents(
      "new",
      times.map((time) => denied(time)),
    );
    expect(sealed.map((event) => event.at)).toEqual([later(5), later(5), later(7), later(7)]);
    const head = { seq: 4, hash: "a".repeat(64) };
    expect(sealEvents({ ...head, at: later(9) }, [denied(at)])).toMatchObject([{ at: later(9) }]);
    expect(sealEvents({ ...head, at: later(9) }, [denied(later(10))])).toMatchObject([{ at: later(10) }]);
    expect(sealEvents(head, [denied(at)])).toMatchObject([{ at }]);
  });

  test("writes times in one form, so that they sort as text", () => {
    expect(sealEvents("new", [denied("2026-11-02T10:00:00+01:00"), denied("2026-11-02T09:00Z")])).toMatchObject([
      { at },
      { at },
    ]);
    expect(() => sealEvents("new", [denied("tomorrow")])).toThrow(TypeError);
  });

  test("refuses what JSON cannot say", () => {
    const unsayable = configuration({ traffic: Number.NaN });
    expect(() => sealEvents("new", [versionWritten(1, unsayable)])).toThrow("NaN");
  });
});

describe("verifyChain", () => {
  test("accepts a whole history and names its head", () => {
    const events = history();
    const last = events.at(-1);
    expect(verifyChain(events)).toEqual({
      valid: true,
      length: 10,
      head: { seq: 10, hash: last?.hash },
      firstInvalid: null,
    });
  });

  test("accepts a history that has not begun", () => {
    expect(verifyChain([])).toEqual({ valid: true, length: 0, head: null, firstInvalid: null });
  });

  test("accepts what a file or a store gives back", () => {
    const text: unknown = JSON.parse(JSON.stringify(history()));
    expect(Array.isArray(text) && verifyChain(text).valid).toBe(true);
    // Members in another order are the same event.
    const reversed = history().map((event) => Object.fromEntries(Object.entries(event).toReversed()));
    expect(verifyChain(reversed).valid).toBe(true);
  });

  test.each(Array.from({ length: 10 }, (_, index) => index))("finds any change of event %i", (index) => {
    const events = history();
    const hash = "f".repeat(64);
    const changes: readonly ((event: Record<string, unknown>) => unknown)[] = [
      (event) => Object.assign(event, { id: "another" }),
      (event) => Object.assign(event, { at: later(1_000) }),
      (event) => Object.assign(event, { at: `${String(event["at"]).slice(0, -1)}+00:00` }),
      (event) => Object.assign(event, { type: "ChangeDenied" === event["type"] ? "Created" : "ChangeDenied" }),
      (event) => Object.assign(event, { v: 2 }),
      (event) => Object.assign(event, { seq: index }),
      (event) => Object.assign(event, { seq: String(event["seq"]) }),
      (event) => Object.assign(event, { hash }),
      (event) => Object.assign(event, { hash: String(event["hash"]).toUpperCase() }),
      (event) => Object.assign(event, { prevHash: hash }),
      (event) => Object.assign(event, { data: Object.assign({ added: null }, event["data"]) }),
      (event) => Object.assign(event, { actor: Object.assign({}, event["actor"], { roles: ["admin"] }) }),
      (event) => Object.assign(event, { added: true }),
      (event) => Object.fromEntries(Object.entries(event).filter(([member]) => member !== "actor")),
      (event) => JSON.stringify(event),
      () => [],
      () => null,
      () => 7,
    ];
    for (const change of changes) {
      const changed = altered(events, index, (event) => change(event) ?? Number.NaN);
      expect(verifyChain(changed)).toEqual({
        valid: false,
        length: index,
        head: index === 0 ? null : { seq: index, hash: events[index - 1]?.hash },
        firstInvalid: index + 1,
      });
    }
  });

  test("finds a change that was hashed anew at the next event, and at the end only by the head", () => {
    const events = history();
    const forge = (index: number): readonly unknown[] => {
      const before = index === 0 ? "new" : (events[index - 1] ?? "new");
      return altered(events, index, (event) => sealEvents(before, [denied(String(event["at"]))])[0]);
    };
    for (let index = 0; index < 9; index += 1) {
      expect(verifyChain(forge(index))).toMatchObject({ valid: false, firstInvalid: index + 2 });
    }
    const atEnd = verifyChain(forge(9));
    expect(atEnd.valid).toBe(true);
    expect(atEnd.head?.hash).not.toBe(events[9]?.hash);
  });

  test("finds an event that was removed, doubled, put in or moved", () => {
    const events = history();
    for (let index = 0; index < 9; index += 1) {
      expect(verifyChain(events.toSpliced(index, 1))).toMatchObject({ valid: false, firstInvalid: index + 1 });
    }
    for (let index = 0; index < 10; index += 1) {
      const twice = events.toSpliced(index, 0, ...events.slice(index, index + 1));
      expect(verifyChain(twice)).toMatchObject({ valid: false, firstInvalid: index + 2 });
      const other = history().slice(index, index + 1);
      expect(verifyChain(events.toSpliced(index, 0, ...other))).toMatchObject({ valid: false });
    }
    const swapped = [...events.slice(0, 4), ...events.slice(4, 6).toReversed(), ...events.slice(6)];
    expect(verifyChain(swapped)).toMatchObject({ valid: false, firstInvalid: 5 });
    expect(verifyChain(events.toReversed())).toMatchObject({ valid: false, firstInvalid: 1, head: null });
  });

  test("finds a number that was skipped although the hashes fit", () => {
    const events = history();
    const hash = events.at(-1)?.hash ?? "";
    for (const seq of [8, 9, 11, 97]) {
      const tail = sealEvents({ seq, hash }, [denied(later(60))]);
      expect(verifyChain([...events, ...tail])).toMatchObject({ valid: false, firstInvalid: 11 });
    }
  });

  test("sees a tail that was cut off only by the head", () => {
    const events = history();
    const cut = verifyChain(events.slice(0, 7));
    expect(cut).toEqual({ valid: true, length: 7, head: { seq: 7, hash: events[6]?.hash }, firstInvalid: null });
  });

  test("finds time that goes back although the hashes fit", () => {
    const [first] = sealEvents("new", [denied(later(5))]);
    if (first === undefined) throw new TypeError("one draft makes one event");
    // Sealing without the head's time is the only way to make such an event.
    const [second] = sealEvents({ seq: first.seq, hash: first.hash }, [denied(at)]);
    expect(verifyChain([first, second])).toMatchObject({ valid: false, firstInvalid: 2 });
  });

  test("is not thrown off by what has no canonical JSON", () => {
    for (const poison of ["\uD800", Number.NaN, 1n, () => 0]) {
      const changed = altered(history(), 3, (event) => Object.assign(event, { data: { poison } }));
      expect(verifyChain(changed)).toMatchObject({ valid: false, firstInvalid: 4 });
    }
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    expect(verifyChain(altered(history(), 3, (event) => Object.assign(event, { data: circular })))).toMatchObject({
      firstInvalid: 4,
    });
  });

  test("does not mix up members that objects have already", () => {
    const events = altered(history(), 2, (event) => {
      const added: unknown = JSON.parse('{"__proto__":{"valid":true}}');
      return Object.assign(event, { data: Object.assign({}, event["data"], { added }) });
    });
    expect(verifyChain(events)).toMatchObject({ valid: false, firstInvalid: 3 });
  });

  test("finds one changed character anywhere in an export", () => {
    const events = history();
    const text = JSON.stringify(events);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom("0", "a", "z", "Z", " ", "1"), (place, character) => {
        const changed = `${text.slice(0, place)}${character}${text.slice(place + 1)}`;
        let parsed: unknown;
        try {
          parsed = JSON.parse(changed);
        } catch {
          return;
        }
        const same = canonicalJson(parsed) === canonicalJson(events);
        expect(Array.isArray(parsed) && verifyChain(parsed).valid).toBe(same);
      }),
      { numRuns: 500 },
    );
  });
});

describe("createVerifier", () => {
  test("says of pages what verifyChain says of the whole", () => {
    const events = history();
    const broken = altered(events, 6, (event) => Object.assign(event, { id: "another" }));
    for (const whole of [events, broken]) {
      for (const size of [1, 3, 7, 10]) {
        const verifier = createVerifier();
        for (let from = 0; from < whole.length; from += size) verifier.add(whole.slice(from, from + size));
        expect(verifier.result()).toEqual(verifyChain(whole));
      }
    }
  });

  test("does not recover: what comes after a break is not looked at", () => {
    const events = history();
    const verifier = createVerifier();
    verifier.add([null]);
    verifier.add(events);
    expect(verifier.result()).toEqual({ valid: false, length: 0, head: null, firstInvalid: 1 });
  });
});
