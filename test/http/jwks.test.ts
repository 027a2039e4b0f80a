import { beforeAll, describe, expect, test } from "vitest";
import { createKeySet } from "../../src/http/jwks.ts";
import { jwtIdentity } from "../../src/http/jwt-identity.ts";
import { limits } from "../../src/limits.ts";
import {
  audience,
  bearer,
  createWorld,
  issuer,
  jwksUri,
  makeKey,
  type SigningKey,
  tokenOf,
} from "../support/issuer.ts";

let old: SigningKey;
let fresh: SigningKey;
let curve: SigningKey;
beforeAll(async () => {
  [old, fresh, curve] = await Promise.all([makeKey("old"), makeKey("fresh"), makeKey("curve", "ES256")]);
});

const minute = 60_000;
const start = (keys: readonly unknown[]) => {
  const world = createWorld(keys);
  const set = createKeySet({ url: jwksUri, fetch: world.fetch, now: world.now });
  /** How many keys a token of this kid may have; -1 while that cannot be said. */
  const count = (kid?: string, alg: "RS256" | "ES256" | "PS256" = "RS256") =>
    set.find({ alg, kid }).then(
      (found) => found.length,
      (error: unknown) => {
        expect(error).toMatchObject({ code: "store-unavailable" });
        return -1;
      },
    );
  return { world, set, count };
};
const failing = () => Response.json({}, { status: 500 });

describe("reading", () => {
  test("happens at the first question, once, without following redirects", async () => {
    const { world, count } = start([old.jwk]);
    expect(world.requests).toEqual([]);
    expect(await count("old")).toBe(1);
    expect(await count("old")).toBe(1);
    expect(world.requests).toMatchObject([{ url: jwksUri, init: { redirect: "manual" } }]);
  });

  test("happens again after ten minutes, or sooner where the server says so", async () => {
    const { world, count } = start([old.jwk]);
    await count("old");
    world.at += 10 * minute - 1;
    await count("old");
    expect(world.requests).toHaveLength(1);
    world.at += 1;
    world.answer = () => Response.json({ keys: [old.jwk] }, { headers: { "cache-control": "public, max-age=120" } });
    await count("old");
    expect(world.requests).toHaveLength(2);
    world.at += 2 * minute;
    world.answer = () => Response.json({ keys: [old.jwk] }, { headers: { "cache-control": "max-age=999999999" } });
    await count("old");
    world.at += 10 * minute;
    world.answer = () => Response.json({ keys: [old.jwk] }, { headers: { "cache-control": "max-age=0" } });
    await count("old");
    world.at += minute - 1;
    await count("old");
    expect(world.requests).toHaveLength(4);
  });

  test("of two first requests neither waits for the other's promise", async () => {
    const { world, count } = start([old.jwk]);
    let first = true;
    world.answer = () => {
      if (!first) return Response.json({ keys: [old.jwk] });
      first = false;
      // The request that asked was cut off: this never ends.
      return new Promise<Response>(() => {});
    };
    void count("old");
    expect(await count("old")).toBe(1);
  });
});

describe("rotation", () => {
  test("an unknown kid reads again, at most once in 30 s", async () => {
    const { world, count } = start([old.jwk]);
    await count("old");
    world.keys = [old.jwk, fresh.jwk];
    expect(await count("fresh")).toBe(0);
    world.at += 30_000;
    expect(await count("fresh")).toBe(1);
    expect(world.requests).toHaveLength(2);
    for (let index = 0; index < 50; index += 1) expect(await count(`invented-${index}`)).toBe(0);
    world.at += 30_000;
    for (let index = 0; index < 50; index += 1) expect(await count(`invented-${index}`)).toBe(0);
    expect(world.requests).toHaveLength(3);
  });

  test("a key that is gone from the set is gone", async () => {
    const { world, count } = start([old.jwk]);
    await count("old");
    world.keys = [fresh.jwk];
    world.at += 10 * minute;
    expect(await count("old")).toBe(0);
    world.keys = [];
    world.at += 10 * minute;
    expect(await count("fresh")).toBe(0);
  });

  test("a token of a new key is told to come back while another request reads", async () => {
    const { world, count } = start([old.jwk]);
    await count("old");
    world.at += 30_000;
    let answer: (response: Response) => void = () => {};
    world.answer = () => new Promise((resolve) => (answer = resolve));
    const reading = count("fresh");
    await Promise.resolve();
    expect(await count("fresh")).toBe(-1);
    expect(await count("old")).toBe(1);
    answer(Response.json({ keys: [old.jwk, fresh.jwk] }));
    expect(await reading).toBe(1);
    expect(await count("fresh")).toBe(1);
    expect(world.requests).toHaveLength(2);
  });

  test("a rotated key lets its tokens in, and the old one's out", async () => {
    const world = createWorld([old.jwk]);
    const identity = jwtIdentity({ issuer, audience, jwksUri, fetch: world.fetch, now: world.now });
    const ask = async (key: SigningKey) =>
      identity.authenticate(new Request("https://proviso.example.com/", { headers: bearer(await tokenOf(key)) })).then(
        () => true,
        () => false,
      );
    expect(await ask(old)).toBe(true);
    world.keys = [fresh.jwk];
    world.at += 31_000;
    expect(await ask(fresh)).toBe(true);
    expect(await ask(old)).toBe(false);
  });
});

describe("an outage", () => {
  test("with keys at hand changes nothing for a day, and asks every 30 s", async () => {
    const { world, count } = start([old.jwk]);
    await count("old");
    world.answer = failing;
    world.at += 11 * minute;
    for (let index = 0; index < 10; index += 1) expect(await count("old")).toBe(1);
    expect(world.requests).toHaveLength(2);
    // Whether this kid is new or invented cannot be told now.
    expect(await count("fresh")).toBe(-1);
    world.at += 30_000;
    expect(await count("old")).toBe(1);
    expect(world.requests).toHaveLength(3);
    world.at += 24 * 60 * minute;
    expect(await count("old")).toBe(-1);
    world.answer = undefined;
    world.at += 5_000;
    expect(await count("old")).toBe(1);
  });

  test("without any is said to the caller, and the server is not asked by each", async () => {
    const { world, count, set } = start([old.jwk]);
    world.answer = failing;
    for (let index = 0; index < 10; index += 1) expect(await count("old")).toBe(-1);
    expect(world.requests).toHaveLength(1);
    await expect(set.find({ alg: "RS256", kid: "old" })).rejects.toMatchObject({ details: { retryAfterSeconds: 5 } });
    world.at += 5_000;
    world.answer = undefined;
    expect(await count("old")).toBe(1);
  });

  test.each<[string, () => Response]>([
    ["a page", () => new Response("<html>")],
    ["no keys", () => Response.json({})],
    ["keys that are no list", () => Response.json({ keys: { old: 1 } })],
    ["a redirect", () => new Response(null, { status: 302, headers: { location: "https://evil.example.com" } })],
    ["too many keys", () => Response.json({ keys: Array.from({ length: limits.keySetKeys + 1 }, () => ({})) })],
    ["too large", () => new Response(`{"keys":[],"x":"${"x".repeat(limits.keySetBytes)}"}`)],
  ])("%s is an outage", async (_what, answer) => {
    const { world, count } = start([old.jwk]);
    await count("old");
    world.answer = answer;
    world.at += 11 * minute;
    expect(await count("old")).toBe(1);
  });
});

describe("choosing", () => {
  test("keys of one kid are all tried, those of another kind are not", async () => {
    const { count } = start([old.jwk, { ...fresh.jwk, kid: "old" }, { ...curve.jwk, kid: "old" }]);
    expect(await count("old")).toBe(2);
    expect(await count("old", "ES256")).toBe(1);
    expect(await count("old", "PS256")).toBe(0);
  });

  test("with two keys of one kid, tokens of both are good", async () => {
    const world = createWorld([{ ...fresh.jwk, kid: "old" }, old.jwk]);
    const identity = jwtIdentity({ issuer, audience, jwksUri, fetch: world.fetch, now: world.now });
    for (const key of [old, fresh]) {
      const token = await tokenOf(key, { header: { kid: "old" } });
      const request = new Request("https://proviso.example.com/", { headers: bearer(token) });
      await expect(identity.authenticate(request)).resolves.toMatchObject({ actor: { id: "ada" } });
    }
  });

  test("a hundred keys of one kid are not all tried", async () => {
    const { count } = start(Array.from({ length: 100 }, () => old.jwk));
    expect(await count("old")).toBe(4);
  });

  test("without a kid there must be one key only", async () => {
    expect(await start([old.jwk, curve.jwk]).count()).toBe(1);
    expect(await start([old.jwk, fresh.jwk]).count()).toBe(0);
  });

  test("keys for other uses, secret ones, private ones and broken ones are none", async () => {
    const { count } = start([
      { ...old.jwk, kid: "encrypts", use: "enc" },
      { ...old.jwk, kid: "signs", key_ops: ["sign"] },
      { ...old.jwk, kid: "private", d: "AQAB" },
      { ...curve.jwk, kid: "broken", x: "AAAA" },
      { ...old.jwk, kid: "number", n: 1 },
      { kty: "oct", kid: "secret", k: "c2VjcmV0", alg: "HS256" },
      { kty: "AKP", kid: "later", pub: "x", alg: "ML-DSA-44" },
      old.jwk,
    ]);
    for (const kid of ["encrypts", "signs", "private", "number", "secret", "later"]) expect(await count(kid)).toBe(0);
    expect(await count("broken", "ES256")).toBe(0);
    expect(await count("old")).toBe(1);
  });

  test("a key without alg serves every algorithm of its family", async () => {
    const { alg: _alg, use: _use, ...bare } = old.jwk;
    const { count } = start([bare]);
    expect(await count("old")).toBe(1);
    expect(await count("old", "PS256")).toBe(1);
  });
});
