/** Whatever is done to an exported history is found, and its place is named; and what cannot be found is known. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../../adapters/store/memory.ts";
import { canonicalJson, sha256Hex } from "../../../src/canonical.ts";
import { type EventDraft, sealEvents } from "../../../src/governance/chain.ts";
import { exportExperiment } from "../../../src/governance/export/export.ts";
import type { ReaderOptions } from "../../../src/governance/export/reader.ts";
import { type ExportVerification, verifyExport } from "../../../src/governance/export/verify.ts";
import type { CryptoKey } from "jose";
import { createSigner, readPublicKey, type Signer, type Verifying } from "../../../src/governance/signing.ts";
import { isEventRecord } from "../../../src/governance/stored.ts";
import { collect, lived } from "../../support/lived.ts";

const proof = process.env["PROVISO_PROOF"] !== undefined;

const newKey = async (): Promise<{ readonly signer: Signer; readonly key: Verifying }> => {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new TypeError("a key pair");
  const jwk = async (key: CryptoKey): Promise<string> => JSON.stringify(await crypto.subtle.exportKey("jwk", key));
  return {
    signer: await createSigner(await jwk(pair.privateKey)),
    key: await readPublicKey(await jwk(pair.publicKey)),
  };
};

type Members = Record<string, unknown>;
const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const parse = (line: string): Members => {
  const value: unknown = JSON.parse(line);
  if (!isMembers(value)) throw new TypeError("a line is an object");
  return value;
};

const linesOf = async (signer?: Signer, erase = true): Promise<readonly string[]> => {
  const { store, ref } = await lived();
  const { values } = await store.personal(ref, { limit: 100 });
  if (erase)
    await store.erase(
      ref,
      values.slice(0, 2).map((value) => value.ref),
    );
  const text = (await collect(exportExperiment(store, ref, signer === undefined ? {} : { signer }))).join("");
  return text.split("\n").slice(0, -1);
};

const { signer, key } = await newKey();
const plain = await linesOf();
const signed = await linesOf(signer);

/** Line, counted from 1, that a verification names; null when it found nothing. */
const placeOf = async (lines: readonly string[], options: ReaderOptions = {}): Promise<number | null> =>
  (await verifyExport(lines, options)).firstInvalid?.line ?? null;

const files = [
  { name: "without a signature", lines: plain, options: {} },
  { name: "with one", lines: signed, options: { key } },
] as const;

/** Every place in a value: members, items, and the value itself where it is neither. */
const places = (value: unknown, path: readonly (string | number)[] = []): readonly (readonly (string | number)[])[] => {
  if (Array.isArray(value)) return [path, ...value.flatMap((item: unknown, index) => places(item, [...path, index]))];
  if (isMembers(value))
    return [path, ...Object.entries(value).flatMap(([member, inner]) => places(inner, [...path, member]))];
  return [path];
};

const alter = (value: unknown): unknown => {
  if (typeof value === "string")
    return value === "" ? "x" : `${value.slice(0, -1).toWellFormed()}${value.endsWith("0") ? "1" : "0"}`;
  if (typeof value === "number") return value + 1;
  if (typeof value === "boolean") return !value;
  if (Array.isArray(value)) return value.concat("x");
  if (isMembers(value)) return { ...value, surplus: 1 };
  return "x";
};

const replaceAt = (
  value: unknown,
  path: readonly (string | number)[],
  change: (value: unknown) => unknown,
): unknown => {
  const [first, ...rest] = path;
  if (first === undefined) return change(value);
  if (Array.isArray(value))
    return value.map((item: unknown, index) => (index === first ? replaceAt(item, rest, change) : item));
  return isMembers(value) ? { ...value, [first]: replaceAt(value[first], rest, change) } : value;
};

/** Every way to change one place of one line: another value, or none. */
const alterations = (lines: readonly string[]) =>
  lines.flatMap((line, index) =>
    places(parse(line))
      .filter((path) => path.length > 0)
      .flatMap((path) => [
        { index, path, name: "another value", change: alter },
        { index, path, name: "no value", change: () => undefined },
      ]),
  );

/** Checks all of them for a proof, and some that are drawn anew each time otherwise. */
const forSome = async <Case>(
  cases: readonly Case[],
  runs: number,
  check: (one: Case) => Promise<void>,
): Promise<void> => {
  if (proof) for (const one of cases) await check(one);
  else await fc.assert(fc.asyncProperty(fc.constantFrom(...cases), check), { numRuns: runs });
};

describe.each(files)("a file $name", ({ lines, options }) => {
  test("holds", async () => {
    expect(await verifyExport(lines, options)).toMatchObject({ valid: true, firstInvalid: null });
    const kinds = new Set(lines.map((line) => parse(line)["line"]));
    for (const kind of ["header", "personal", "rules", "absent", "event", "trailer"]) expect(kinds).toContain(kind);
  });

  test("any member of any line that is altered or left out is found in its line", { timeout: 600_000 }, async () => {
    const cases = alterations(lines);
    expect(cases.length).toBeGreaterThan(1_000);
    await forSome(cases, 150, async ({ index, path, name, change }) => {
      const altered = canonicalJson(replaceAt(parse(lines[index] ?? ""), path, change));
      if (altered === lines[index]) return;
      const found = await placeOf(lines.with(index, altered), options);
      // A signature's value means nothing without its key; then only the trailer knows of it.
      const unchecked = !("key" in options) && path[0] === "signature";
      expect([found, index, path.join("/"), name]).toEqual([
        unchecked ? lines.length : index + 1,
        index,
        path.join("/"),
        name,
      ]);
    });
  });

  test("a line that is left out is missed at its place", async () => {
    await forSome([...lines.keys()], 60, async (index) => {
      const found = await placeOf(lines.toSpliced(index, 1), options);
      expect(found).not.toBeNull();
      // Ahead of an event stands what it names; behind the last line nothing follows that could miss it.
      const next = lines.findIndex(
        (line, at) => at > index && ["event", "checkpoint"].includes(String(parse(line)["line"])),
      );
      expect(found).toBeLessThanOrEqual(next === -1 ? lines.length : next);
      expect(found).toBeGreaterThanOrEqual(Math.min(index + 1, lines.length));
    });
  });

  test("a line that is there twice, or of another file, is found where it stands", async () => {
    const others = await linesOf(undefined, false);
    await forSome([...lines.keys()], 40, async (index) => {
      expect(await placeOf(lines.toSpliced(index + 1, 0, lines[index] ?? ""), options)).toBe(index + 2);
    });
    const cases = [...lines.keys()].flatMap((at) => others.map((line) => ({ at, line })));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...cases), async ({ at, line }) => {
        if (lines[at] === line) return;
        const found = await placeOf(lines.toSpliced(at, 0, line), options);
        expect(found).not.toBeNull();
        // At the latest where the line stands that it pushed aside.
        expect(Math.abs((found ?? 0) - (at + 1))).toBeLessThanOrEqual(
          lines.slice(at).findIndex((next) => ["event", "trailer"].includes(String(parse(next)["line"]))) + 1,
        );
      }),
      { numRuns: 40 },
    );
  });

  test("lines that changed places are found at the first of them", async () => {
    const cases = [...lines.keys()].flatMap((left) => [left + 1, left + 2, left + 9].map((right) => ({ left, right })));
    await forSome(
      cases.filter(({ right }) => right < lines.length),
      60,
      async ({ left, right }) => {
        const swapped = lines.with(left, lines[right] ?? "").with(right, lines[left] ?? "");
        if (swapped[left] === lines[left]) return;
        const found = await placeOf(swapped, options);
        expect(found).not.toBeNull();
        // What stands ahead of an event is read with it: at the earliest what the event behind `left` has ahead.
        const group = lines.findLastIndex((line, at) => at < left && parse(line)["line"] === "event") + 1;
        expect(found).toBeGreaterThanOrEqual(group + 1);
        expect(found).toBeLessThanOrEqual(right + 1);
      },
    );
  });

  test("a file that is cut off, after any line or inside one, is found at its end", async () => {
    await forSome([...lines.keys()], 40, async (length) => {
      expect(await placeOf(lines.slice(0, length), options)).toBe(length + 1);
      const line = lines[length] ?? "";
      expect(await placeOf([...lines.slice(0, length), line.slice(0, -1)], options)).toBe(length + 1);
    });
  });

  test("any byte that is another is found", async () => {
    const bytes = new TextEncoder().encode(`${lines.join("\n")}\n`);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 2), fc.integer({ min: 1, max: 127 }), async (at, mask) => {
        const changed = bytes.slice();
        changed[at] = (changed[at] ?? 0) ^ mask;
        const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(changed);
        expect(await placeOf(text.split("\n").slice(0, -1), options)).not.toBeNull();
      }),
      { numRuns: proof ? 2_000 : 60 },
    );
  });

  test("a line that says the same in another way is found", async () => {
    for (const [index, line] of lines.entries()) {
      if (index % 9 !== 0) continue;
      const value = parse(line);
      for (const other of [
        ` ${line}`,
        `${line}\r`,
        JSON.stringify(value, null, 1).replaceAll("\n", ""),
        JSON.stringify(Object.fromEntries(Object.entries(value).toReversed())),
        line.replace("{", '{"line":"event",'),
        line.replace("{", '{"__proto__":1,'),
        line.replace("{", '{"a":"\\ud800",'),
        line.replace("{", '{"a":"\\u0000",'),
        line.replace("{", `{"a":${"[".repeat(200)}${"]".repeat(200)},`),
      ])
        expect(await placeOf(lines.with(index, other), options)).toBe(index + 1);
    }
  });
});

/** What somebody writes who can write anything: events sealed anew, digests taken anew. */
const rewritten = (
  lines: readonly string[],
  changed: (events: readonly Members[]) => readonly Members[],
): readonly string[] => {
  const groups: { ahead: string[]; event: Members }[] = [];
  let ahead: string[] = [];
  for (const line of lines.slice(1)) {
    const value = parse(line);
    if (isMembers(value["event"])) {
      groups.push({ ahead, event: value["event"] });
      ahead = [];
    } else if (value["line"] !== "head" && value["line"] !== "trailer") ahead.push(line);
  }
  const kept = changed(groups.map(({ event }) => event));
  const sealed = sealEvents(
    "new",
    kept.map((event): EventDraft => {
      if (!isEventRecord(event)) throw new TypeError("an event");
      const { hash: _hash, prevHash: _prevHash, seq: _seq, v: _v, ...draft } = event;
      return draft;
    }),
  );
  const last = sealed.at(-1);
  if (last === undefined) throw new TypeError("at least one event");
  const head = { seq: last.seq, hash: last.hash };
  const { revisionHash: _hash, revision: _revision, ...header } = parse(lines[0] ?? "");
  const first = canonicalJson({ ...header, head: { ...head, at: last.at } });
  const body = sealed.flatMap((event, index) => [
    ...(groups[index]?.ahead ?? []),
    canonicalJson({ line: "event", event }),
  ]);
  return trailed([first, ...body], head);
};

/** Another trailer behind lines. */
const trailed = (
  lines: readonly string[],
  head: { readonly seq: number; readonly hash: string },
): readonly string[] => {
  const count = (kind: string): number => lines.filter((line) => parse(line)["line"] === kind).length;
  return [
    ...lines,
    canonicalJson({
      line: "trailer",
      lines: lines.length,
      events: count("event"),
      personal: count("personal"),
      rules: count("rules"),
      absent: count("absent"),
      head,
      header: sha256Hex(`${lines[0] ?? ""}\n`),
      digest: bytesToHex(sha256(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")))),
    }),
  ];
};

const headOf = ({ head }: ExportVerification): { readonly seq: number; readonly hash: string } => {
  if (head === null) throw new TypeError("a head");
  return head;
};

describe("somebody who can write the whole file anew", () => {
  const cut = rewritten(plain, (events) => events.slice(0, -3));
  const forked = rewritten(plain, (events) =>
    events.map((event, index) => (index < 9 ? event : { ...event, at: "2026-12-24T00:00:00.000Z" })),
  );
  const withheld = plain.findIndex((line) => parse(line)["line"] === "personal");
  const erased = trailed(
    plain
      .slice(0, -1)
      .with(withheld, canonicalJson({ line: "absent", what: "personal", ref: parse(plain[withheld] ?? "")["ref"] })),
    { seq: plain.filter((line) => parse(line)["line"] === "event").length, hash: "" },
  );

  test("and cuts off its end is not found from the file alone", async () => {
    expect(await placeOf(cut)).toBeNull();
    expect(await placeOf(forked)).toBeNull();
  });

  test("is found by a head that was kept elsewhere, at its place", async () => {
    const whole = headOf(await verifyExport(plain));
    expect(await verifyExport(plain, { head: whole })).toMatchObject({ valid: true });
    const ended = await verifyExport(cut, { head: whole });
    expect(ended).toMatchObject({ valid: false, firstInvalid: { line: cut.length } });
    expect(ended.firstInvalid?.reason).toContain("its end was cut off");
    const at = await verifyExport(forked, { head: whole });
    const lastEvent = forked.findLastIndex((line) => parse(line)["line"] === "event") + 1;
    expect(at).toMatchObject({ valid: false, firstInvalid: { line: lastEvent, seq: whole.seq } });
    // An older head than the last finds a fork ahead of it, and says nothing of what came later.
    const event = parse(plain.filter((line) => parse(line)["line"] === "event")[6] ?? "")["event"];
    const early = isEventRecord(event) ? { seq: event.seq, hash: event.hash } : whole;
    expect(await placeOf(cut, { head: early })).toBeNull();
    expect(await placeOf(forked, { head: { ...early, hash: "f".repeat(64) } })).not.toBeNull();
  });

  test("is found by the key, signed or not", async () => {
    const other = await newKey();
    for (const lines of [plain, cut, forked]) expect(await placeOf(lines, { key })).toBe(lines.length);
    const resigned = await linesOf(other.signer);
    const head = resigned.findIndex((line) => parse(line)["line"] === "head") + 1;
    expect(await verifyExport(resigned, { key: other.key })).toMatchObject({ valid: true, signaturesChecked: true });
    const checked = await verifyExport(resigned, { key });
    expect(checked).toMatchObject({ valid: false, firstInvalid: { line: head } });
    expect(checked.firstInvalid?.reason).toContain("not by the given key");
    // The old signatures do not fit what was written anew.
    const signatures = signed.filter((line) => parse(line)["line"] === "head");
    expect(await placeOf([...cut.slice(0, -1), ...signatures, ...cut.slice(-1)], { key })).toBe(cut.length);
  });

  test("and says that a value was erased is found by the key alone", async () => {
    const trailer = parse(erased.at(-1) ?? "");
    const { head } = parse(plain.at(-1) ?? "");
    const whole = [...erased.slice(0, -1), canonicalJson({ ...trailer, head })];
    expect(await placeOf(whole)).toBeNull();
    expect(await placeOf(whole, { head: headOf(await verifyExport(plain)) })).toBeNull();
    expect(await placeOf(whole, { key })).toBe(whole.length);
    const resigned = [
      ...whole.slice(0, -1),
      ...signed.slice(-2, -1),
      canonicalJson({
        ...parse(whole.at(-1) ?? ""),
        signature: parse(signed.at(-1) ?? "")["signature"],
        lines: whole.length,
      }),
    ];
    expect(await placeOf(resigned, { key })).not.toBeNull();
  });
});

describe("keys", () => {
  test("are read from PEM and JWK, and verify what the other form has signed", async () => {
    const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
    if (!("privateKey" in pair)) throw new TypeError("a key pair");
    const pem = async (format: "pkcs8" | "spki", name: string, from: CryptoKey): Promise<string> => {
      const bytes = new Uint8Array(await crypto.subtle.exportKey(format, from));
      return `-----BEGIN ${name}-----\n${btoa(String.fromCharCode(...bytes))}\n-----END ${name}-----\n`;
    };
    const jwk = async (from: CryptoKey): Promise<string> => JSON.stringify(await crypto.subtle.exportKey("jwk", from));
    const signers = [
      await createSigner(await pem("pkcs8", "PRIVATE KEY", pair.privateKey)),
      await createSigner(await jwk(pair.privateKey)),
    ];
    const keys = [
      await readPublicKey(await pem("spki", "PUBLIC KEY", pair.publicKey)),
      await readPublicKey(await jwk(pair.publicKey)),
      await readPublicKey(JSON.stringify(signers[0]?.publicKey)),
    ];
    const [first, second] = await Promise.all(signers.map((one) => one.sign("text")));
    expect(first).toEqual(second);
    if (first === undefined) return;
    for (const one of keys) {
      expect(one.keyId).toBe(first.keyId);
      expect(await one.verify("text", first)).toBe(true);
      expect(await one.verify("other", first)).toBe(false);
      expect(await one.verify("text", { ...first, keyId: "renamed" })).toBe(false);
      expect(await one.verify("text", { ...first, value: "?" })).toBe(false);
    }
    const named = await createSigner(await jwk(pair.privateKey), "2026-11");
    expect(await named.sign("text")).toMatchObject({ keyId: "2026-11" });
    expect(named.publicKey).not.toHaveProperty("d");
  });

  test.each([
    "",
    "{}",
    "nonsense",
    '{"kty":"OKP","crv":"X25519","x":"AA","d":"secret-part"}',
    "-----BEGIN PRIVATE KEY-----\nsecret-part\n-----END PRIVATE KEY-----",
  ])("that are none are refused without being shown: %j", async (text) => {
    for (const read of [createSigner, readPublicKey]) {
      const error: unknown = await read(text).then(
        () => null,
        (cause: unknown) => cause,
      );
      expect(error).toMatchObject({ code: "invalid-dsl" });
      expect(String(error)).not.toContain("secret-part");
    }
  });
});

test("a store whose history was changed in place exports what does not verify", async () => {
  const { store, ref } = await lived();
  const page = await store.history(ref, { limit: 100 });
  const forged = page.events.map((event) => (event.seq === 4 ? { ...event, at: "2026-11-21T12:00:59.000Z" } : event));
  const attacked = { ...memoryStore(), ...store, history: async () => ({ ...page, events: forged }) };
  const lines = (await collect(exportExperiment(attacked, ref))).map((line) => line.slice(0, -1));
  expect(await verifyExport(lines)).toMatchObject({ valid: false, length: 3, firstInvalid: { seq: 4 } });
});
