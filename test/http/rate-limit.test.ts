import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sha256Hex } from "../../src/canonical.ts";
import { addressGroup, createRateLimiter, type RateLimits } from "../../src/http/rate-limit.ts";
import { parseTokens, tokenIdentity } from "../../src/http/token-identity.ts";
import { createApi } from "../support/api.ts";

const start = (capacity: number, refillPerSecond: number, entriesMax?: number) => {
  const clock = { at: 1_000_000 };
  const options = {
    now: () => clock.at,
    capacity,
    refillPerSecond,
    ...(entriesMax === undefined ? {} : { entriesMax }),
  };
  return { clock, limiter: createRateLimiter(options) };
};

describe("a bucket", () => {
  test("holds so much at once, and fills while time passes", () => {
    const { clock, limiter } = start(3, 0.5);
    expect([1, 2, 3, 4, 5].map(() => limiter.take("a"))).toEqual([0, 0, 0, 2, 2]);
    expect(limiter.take("b")).toBe(0);
    clock.at += 1_000;
    expect(limiter.wait("a")).toBe(1);
    clock.at += 1_000;
    expect([limiter.wait("a"), limiter.take("a"), limiter.take("a")]).toEqual([0, 0, 2]);
    clock.at += 3_600_000;
    expect([1, 2, 3, 4].map(() => limiter.take("a"))).toEqual([0, 0, 0, 2]);
  });

  test("gains nothing by a clock that is set back", () => {
    const { clock, limiter } = start(1, 1);
    limiter.take("a");
    clock.at -= 3_600_000;
    expect(limiter.take("a")).toBe(1);
  });

  test("lets through no more than burst and rate allow, however it is asked", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.double({ min: 0.01, max: 50, noNaN: true }),
        fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 200 }),
        (capacity, rate, pauses) => {
          const { clock, limiter } = start(capacity, rate);
          const begin = clock.at;
          let passed = 0;
          for (const pause of pauses) {
            clock.at += pause;
            if (limiter.take("a") === 0) passed += 1;
          }
          expect(passed).toBeLessThanOrEqual(capacity + (rate * (clock.at - begin)) / 1_000 + 1e-6);
        },
      ),
    );
  });

  test("who was told to come back in so many seconds is let in then", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.double({ min: 0.01, max: 50, noNaN: true }), (capacity, rate) => {
        const { clock, limiter } = start(capacity, rate);
        while (limiter.wait("a") === 0) limiter.take("a");
        clock.at += limiter.take("a") * 1_000;
        expect(limiter.take("a")).toBe(0);
      }),
    );
  });

  test("the memory is bounded, and forgets who was away longest", () => {
    const { limiter } = start(1, 1, 2);
    for (const key of ["a", "b", "a", "c"]) limiter.take(key);
    expect([limiter.wait("a"), limiter.wait("b"), limiter.wait("c")]).toEqual([1, 0, 1]);
  });

  test("names that objects have are names", () => {
    const { limiter } = start(1, 1);
    for (const key of ["__proto__", "constructor", ""]) expect([limiter.take(key), limiter.take(key)]).toEqual([0, 1]);
  });

  test.each([
    [0, 1],
    [1, 0],
    [Number.NaN, 1],
  ])("%d at once and %d a second is no limit", (capacity, refillPerSecond) => {
    expect(() => start(capacity, refillPerSecond)).toThrow(RangeError);
  });
});

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:DB8:1:2::9", "2001:db8:1:2"],
  ["2001:db8::7", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["", ""],
])("the address %j is of the group %j", (address, group) => {
  expect(addressGroup(address)).toBe(group);
});

describe("over HTTP", () => {
  const tokens = { ada: "ada-token-0123456789abcdef", bob: "bob-token-0123456789abcdef", key: "key-token-0123456789" };
  const identity = tokenIdentity(
    parseTokens(
      JSON.stringify([
        { id: "ada", roles: ["admin"], sha256: sha256Hex(tokens.ada) },
        { id: "bob", roles: ["other"], sha256: sha256Hex(tokens.bob) },
        { id: "shop", roles: ["evaluate"], sha256: sha256Hex(tokens.key) },
      ]),
    ),
  );
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const speakerWith = (rateLimits: RateLimits) => createApi({}, { identity, rateLimits }).anonymous;

  test("each actor has a rate of their own, also for what is forbidden", async () => {
    const speaker = speakerWith({ governance: start(2, 0.1).limiter });
    const statuses = async (token: string) => [
      (await speaker.get("/api/governance", bearer(token))).status,
      (await speaker.get("/api/governance", bearer(token))).status,
      (await speaker.get("/api/governance", bearer(token))).status,
    ];
    expect(await statuses(tokens.ada)).toEqual([200, 200, 429]);
    expect(await statuses(tokens.bob)).toEqual([403, 403, 429]);
    const refused = await speaker.get("/api/governance", bearer(tokens.ada));
    expect(refused).toMatchObject({ status: 429, body: { code: "rate-limited" } });
    expect(refused.headers.get("retry-after")).toBe("10");
    expect((await speaker.get("/api/rules", bearer(tokens.key))).status).toBe(200);
  });

  test("keys of the data plane are counted where a rate is set", async () => {
    const speaker = speakerWith({ dataPlane: start(1, 1).limiter });
    const rules = () => speaker.get("/api/rules", bearer(tokens.key));
    expect([(await rules()).status, (await rules()).status]).toEqual([200, 429]);
    expect((await speaker.get("/api/governance", bearer(tokens.ada))).status).toBe(200);
  });

  test("failures are counted by address, and only failures", async () => {
    const failures = {
      limiter: start(2, 1).limiter,
      addressOf: (request: Request) => request.headers.get("cf-connecting-ip") ?? undefined,
    };
    const speaker = speakerWith({ failures });
    const from = (address: string, token = "x".repeat(32)) =>
      speaker.get("/api/rules", { ...bearer(token), "cf-connecting-ip": address });
    for (let index = 0; index < 5; index += 1) expect((await from("192.0.2.1", tokens.key)).status).toBe(200);
    expect([(await from("2001:db8::1")).status, (await from("2001:db8::2")).status]).toEqual([401, 401]);
    expect((await from("2001:db8::3")).status).toBe(429);
    expect((await from("2001:db8::3", tokens.key)).status).toBe(429);
    expect((await from("192.0.2.1")).status).toBe(401);
    // Without an address nobody is counted.
    for (let index = 0; index < 5; index += 1) expect((await speaker.get("/api/rules")).status).toBe(401);
  });
});
