import { base64url, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { sha256Hex } from "../../src/canonical.ts";
import { ProvisoError } from "../../src/errors.ts";
import { cloudflareAccessIdentity, jwtIdentity, type JwtIdentityOptions } from "../../src/http/jwt-identity.ts";
import type { ClaimsMapping } from "../../src/http/jwt-claims.ts";
import { parseTokens, tokenIdentity } from "../../src/http/token-identity.ts";
import { limits } from "../../src/limits.ts";
import { configuration, createApi } from "../support/api.ts";
import {
  audience,
  bearer,
  createWorld,
  issuer,
  jwksUri,
  makeKey,
  noon,
  type SigningKey,
  type TokenChanges,
  tokenOf,
} from "../support/issuer.ts";

let key: SigningKey;
let stranger: SigningKey;
let curve: SigningKey;
beforeAll(async () => {
  [key, stranger, curve] = await Promise.all([makeKey("one"), makeKey("one"), makeKey("two", "ES256")]);
});

const identityWith = (options: Partial<JwtIdentityOptions> = {}, world = createWorld([key.jwk, curve.jwk])) =>
  jwtIdentity({ issuer, audience, jwksUri, fetch: world.fetch, now: world.now, ...options });
const requestWith = (headers: Record<string, string>) => new Request("https://proviso.example.com/", { headers });
const ask = (token: string, options: Partial<JwtIdentityOptions> = {}) =>
  identityWith(options).authenticate(requestWith(bearer(token)));
const askAs = async (changes: TokenChanges, options: Partial<JwtIdentityOptions> = {}) =>
  ask(await tokenOf(key, changes), options);

const refusalOf = async (asking: Promise<unknown>): Promise<ProvisoError> => {
  const error: unknown = await asking.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ProvisoError) return error;
  throw new Error("expected a refusal", { cause: error });
};

describe("a token that is good", () => {
  test("is its actor, with roles and kind", async () => {
    expect(await askAs({})).toEqual({ actor: { id: "ada", kind: "human", roles: ["editor"] }, pin: {} });
  });

  test("may be for several audiences, and signed with another pinned algorithm", async () => {
    await expect(askAs({ claims: { aud: ["other", audience] } })).resolves.toBeDefined();
    await expect(ask(await tokenOf(curve))).resolves.toBeDefined();
    await expect(askAs({}, { audience: ["other", audience] })).resolves.toBeDefined();
    await expect(askAs({ header: { typ: "at+jwt" } })).resolves.toBeDefined();
  });

  test("within the skew the clocks may differ, beyond it not", async () => {
    const seconds = noon / 1_000;
    for (const [claims, good] of [
      [{ exp: seconds - 59 }, true],
      [{ exp: seconds - 60 }, false],
      [{ nbf: seconds + 60 }, true],
      [{ nbf: seconds + 61 }, false],
    ] as const)
      expect(
        await askAs({ claims }).then(
          () => true,
          () => false,
        ),
      ).toBe(good);
    await expect(askAs({ claims: { exp: seconds - 1 } }, { clockSkewSeconds: 0 })).rejects.toThrow("expired");
  });
});

describe("a token that is not", () => {
  const past = noon / 1_000 - 3_600;
  test.each<[string, TokenChanges, string]>([
    ["for another audience", { claims: { aud: "hunter2" } }, "claim aud"],
    ["for several others", { claims: { aud: ["hunter2", "x"] } }, "claim aud"],
    ["for an audience that is an object", { claims: { aud: { [audience]: true } } }, "claim aud"],
    ["for nobody", { claims: { aud: undefined } }, "claim aud"],
    ["of another issuer", { claims: { iss: "https://hunter2" } }, "claim iss"],
    ["of nobody", { claims: { iss: undefined } }, "claim iss"],
    ["expired", { claims: { exp: past } }, "expired"],
    ["good for ever", { claims: { exp: undefined } }, "claim exp"],
    ["of a time that is a text", { claims: { exp: "hunter2" } }, "claim exp"],
    ["not good yet", { claims: { nbf: noon / 1_000 + 3_600 } }, "claim nbf"],
    ["of another type", { header: { typ: "logout+jwt" } }, "another type"],
    ["of a key that nobody has", { header: { kid: "hunter2" } }, "key is not one of its issuer"],
    ["of a key of a name too long", { header: { kid: "k".repeat(257) } }, "kid"],
  ])("%s is refused, by what is wrong and not by its value", async (_what, changes, message) => {
    const error = await refusalOf(askAs(changes));
    expect(error.code).toBe("unauthenticated");
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("hunter2");
  });

  test("a signature of somebody else's key, under the same kid, is refused", async () => {
    expect((await refusalOf(ask(await tokenOf(stranger)))).message).toContain("signature");
    const [header, , signature] = (await tokenOf(key)).split(".");
    const payload = base64url.encode(JSON.stringify({ iss: issuer, aud: audience, sub: "root", exp: noon }));
    expect((await refusalOf(ask(`${header}.${payload}.${signature}`))).message).toContain("signature");
  });

  test("alg none is refused, signed or not", async () => {
    const unsigned = new UnsecuredJWT({ sub: "root", roles: ["admin"] })
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime(noon / 1_000 + 300)
      .encode();
    expect((await refusalOf(ask(unsigned))).message).toContain("not accepted here");
    expect((await refusalOf(ask(`${unsigned}x`))).code).toBe("unauthenticated");
  });

  test("HS256 with the public key as the secret is refused", async () => {
    const { publicKey } = await generateKeyPair("RS256", { extractable: true });
    for (const secret of [await exportSPKI(publicKey), JSON.stringify(key.jwk), String(key.jwk.n)]) {
      const forged = await new SignJWT({ sub: "root", roles: ["admin"] })
        .setProtectedHeader({ alg: "HS256", kid: key.kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setExpirationTime(noon / 1_000 + 300)
        .sign(new TextEncoder().encode(secret));
      expect((await refusalOf(ask(forged))).message).toContain("not accepted here");
    }
  });

  test("an algorithm that is not pinned is refused, with a good key too", async () => {
    const token = await tokenOf(curve);
    expect((await refusalOf(ask(token, { algorithms: ["RS256"] }))).message).toContain("not accepted here");
  });

  test("keys that a token brings along count for nothing", async () => {
    const other = await makeKey("mine");
    const token = await tokenOf(other, { header: { jwk: other.jwk, jku: "https://evil.example.com/keys" } });
    const world = createWorld([key.jwk]);
    await refusalOf(identityWith({}, world).authenticate(requestWith(bearer(token))));
    expect(world.requests.map(({ url }) => url)).toEqual([jwksUri]);
  });

  test("a critical extension that nobody here knows is refused", async () => {
    const [, payload] = (await tokenOf(key)).split(".");
    const header = base64url.encode(JSON.stringify({ alg: "RS256", kid: "one", crit: ["x"], x: 1 }));
    const signature = await crypto.subtle.sign(
      "RSASSA-PKCS1-v1_5",
      key.privateKey,
      new TextEncoder().encode(`${header}.${payload}`),
    );
    expect((await refusalOf(ask(`${header}.${payload}.${base64url.encode(new Uint8Array(signature))}`))).code).toBe(
      "unauthenticated",
    );
  });

  test.each([
    ["nothing", {}],
    ["no JWT", bearer("hunter2")],
    ["two parts", bearer("e30.e30")],
    ["five parts", bearer("e30.e30.e30.e30.e30")],
    ["a header that is no object", bearer(`${base64url.encode("null")}.e30.e30`)],
    ["a header with __proto__", bearer(`${base64url.encode('{"__proto__":{"alg":"none"}}')}.e30.e30`)],
    ["another scheme", { authorization: "Basic e30.e30.e30" }],
    ["two tokens", { authorization: "Bearer e30.e30.e30, Bearer e30.e30.e30" }],
    ["one too large", bearer(`e30.${"e".repeat(limits.credentialCharacters)}.e30`)],
    ["the header of Access", { "cf-access-jwt-assertion": "e30.e30.e30" }],
  ])("%s is refused and fetches no keys", async (_what, headers: Record<string, string>) => {
    const world = createWorld([key.jwk]);
    const error = await refusalOf(identityWith({}, world).authenticate(requestWith(headers)));
    expect(error.code).toBe("unauthenticated");
    expect(error.message).not.toContain("hunter2");
    expect(world.requests).toEqual([]);
  });
});

describe("claims", () => {
  const rolesWith = async (claims: Record<string, unknown>, mapping: ClaimsMapping = {}) =>
    (await askAs({ claims }, { claims: mapping })).actor.roles;

  test.each<[string, unknown, readonly string[]]>([
    ["a list", ["editor", "approver", "editor"], ["editor", "approver"]],
    ["blanks", "openid editor  approver", ["openid", "editor", "approver"]],
    ["commas", "editor, approver", ["editor", "approver"]],
    ["an empty text", "", []],
    ["null", null, []],
    ["nothing", undefined, []],
    ["names that are none", ["__proto__", "a/b", "x:y", "'", "%", "editor"], ["editor"]],
    ["names of what every object has", ["constructor", "toString"], ["constructor", "toString"]],
  ])("roles as %s", async (_what, roles, expected) => {
    expect(await rolesWith({ roles })).toEqual(expected);
  });

  test.each<[string, unknown]>([
    ["an object", { admin: true }],
    ["a number", 1],
    ["a list of objects", [{ name: "admin" }]],
    ["a list of lists", [["admin"]]],
    ["too many", Array.from({ length: 33 }, (_, index) => `role-${index}`)],
  ])("roles that are %s are refused by name", async (_what, roles) => {
    const error = await refusalOf(askAs({ claims: { roles } }));
    expect(error).toMatchObject({ code: "unauthenticated" });
    expect(error.message).toContain("claim roles");
    expect(error.message).not.toContain("admin");
  });

  test("a map gives roles, and what is not in it gives none", async () => {
    const roleMap = { staff: ["viewer", "editor"], leads: ["approver"] };
    const claims = { groups: ["staff", "leads", "admin", "constructor", "__proto__"] };
    expect(await rolesWith(claims, { roles: ["groups"], roleMap })).toEqual(["viewer", "editor", "approver"]);
  });

  test("a claim that lies deeper, one whose name has slashes, and several together", async () => {
    const claims = {
      realm_access: { roles: ["editor"] },
      "https://example.com/roles": ["approver"],
      "a/b": { "c~d": "viewer" },
    };
    expect(
      await rolesWith(claims, { roles: ["/realm_access/roles", "https://example.com/roles", "/a~1b/c~0d", "/x/y"] }),
    ).toEqual(["editor", "approver", "viewer"]);
    expect(await rolesWith({}, { roles: ["/__proto__/constructor/name", "constructor", "/aud/length"] })).toEqual([]);
  });

  test.each<[string, unknown]>([
    ["missing", undefined],
    ["empty", ""],
    ["an object", { id: "hunter2" }],
    ["a list", ["hunter2"]],
    ["a number", 42],
    ["of the product", "system:hunter2"],
    ["of the product in capitals", "SYSTEM:hunter2"],
    ["a list in a text", "hunter2,b"],
    ["with a control character", "hunter2\u0007"],
    ["too long", "hunter2".repeat(40)],
  ])("an actor that is %s is refused by name", async (_what, sub) => {
    const error = await refusalOf(askAs({ claims: { sub } }));
    expect(error.code).toBe("unauthenticated");
    expect(error.message).toContain("sub");
    expect(error.message).not.toContain("hunter2");
  });

  test("an address that is not verified is nobody's", async () => {
    const mapping = { claims: { actor: "email" } };
    const email = "ada@example.com";
    expect((await askAs({ claims: { email } }, mapping)).actor.id).toBe(email);
    expect((await askAs({ claims: { email, email_verified: true } }, mapping)).actor.id).toBe(email);
    await expect(askAs({ claims: { email, email_verified: false } }, mapping)).rejects.toThrow("email_verified");
    await expect(askAs({ claims: { email_verified: false } })).resolves.toBeDefined();
  });

  test("a tenant and an environment pin, and a token without them is refused", async () => {
    const claims = { tenant: "tid", environment: "/x/env" };
    expect((await askAs({ claims: { tid: "acme", x: { env: "production" } } }, { claims })).pin).toEqual({
      tenant: "acme",
      environment: "production",
    });
    await expect(askAs({ claims: { tid: "acme" } }, { claims })).rejects.toThrow("claim /x/env is missing");
    for (const tid of ["a/b", "__proto__", "", ["acme"], { acme: 1 }])
      await expect(askAs({ claims: { tid } }, { claims: { tenant: "tid" } })).rejects.toThrow("claim tid");
  });

  test("kinds, by themselves and by a map", async () => {
    const kindOf = async (value: unknown, claims: ClaimsMapping) =>
      (await askAs({ claims: { gty: value } }, { claims })).actor.kind;
    expect(await kindOf("agent", { kind: "gty" })).toBe("agent");
    expect(await kindOf(undefined, { kind: "gty" })).toBe("human");
    expect(await kindOf("client", { kind: "gty", kindMap: { client: "service" } })).toBe("service");
    for (const value of ["robot", ["agent"], {}, "constructor"]) {
      await expect(kindOf(value, { kind: "gty" })).rejects.toThrow("claim gty");
      await expect(kindOf(value, { kind: "gty", kindMap: { client: "service" } })).rejects.toThrow("claim gty");
    }
  });
});

describe("Cloudflare Access", () => {
  const team = "example";
  const iss = "https://example.cloudflareaccess.com";
  const accessWith = (options: Partial<JwtIdentityOptions> = {}, world = createWorld([key.jwk])) => ({
    world,
    identity: cloudflareAccessIdentity({ team, audience, fetch: world.fetch, now: world.now, ...options }),
  });
  const assertion = async (claims: Record<string, unknown>) => ({
    "cf-access-jwt-assertion": await tokenOf(key, { claims: { iss, roles: undefined, ...claims } }),
  });

  test("people are their address, and its keys are the team's", async () => {
    const { identity, world } = accessWith();
    const headers = await assertion({ email: "ada@example.com", custom: { roles: ["approver"] } });
    expect(await identity.authenticate(requestWith(headers))).toEqual({
      actor: { id: "ada@example.com", kind: "human", roles: ["approver"] },
      pin: {},
    });
    expect(world.requests.map(({ url }) => url)).toEqual([`${iss}/cdn-cgi/access/certs`]);
  });

  test("service tokens are their common name", async () => {
    const claims = { roles: ["email", "common_name"], roleMap: { "0a1b.access": ["operator"] } };
    const { identity } = accessWith({ claims });
    const headers = await assertion({ sub: "", common_name: "0a1b.access" });
    expect((await identity.authenticate(requestWith(headers))).actor).toEqual({
      id: "0a1b.access",
      kind: "service",
      roles: ["operator"],
    });
    const both = await assertion({ email: "ada@example.com", common_name: "0a1b.access" });
    expect((await identity.authenticate(requestWith(both))).actor).toMatchObject({
      id: "ada@example.com",
      kind: "human",
    });
  });

  test("only the one header counts, and it can be the other", async () => {
    const headers = await assertion({ email: "ada@example.com" });
    const asBearer = bearer(headers["cf-access-jwt-assertion"]);
    await expect(accessWith().identity.authenticate(requestWith(asBearer))).rejects.toThrow("Cloudflare Access");
    const { identity } = accessWith({ header: "authorization" });
    await expect(identity.authenticate(requestWith(asBearer))).resolves.toBeDefined();
    await expect(identity.authenticate(requestWith(headers))).rejects.toThrow("Authorization: Bearer");
  });

  test("another team's token is refused", async () => {
    const headers = await assertion({ iss: "https://other.cloudflareaccess.com", email: "ada@example.com" });
    await expect(accessWith().identity.authenticate(requestWith(headers))).rejects.toThrow("claim iss");
  });

  test.each(["evil.example.com/", "", "a b", "EXAMPLE", "x".repeat(64), "-a"])("%j is no team", (wrong) => {
    expect(() => cloudflareAccessIdentity({ team: wrong, audience, fetch, now: Date.now })).toThrow(ProvisoError);
  });
});

test.each<[string, Partial<JwtIdentityOptions>]>([
  ["HS256", { algorithms: ["HS256"] }],
  ["HS256 beside a good one", { algorithms: ["RS256", "HS256"] }],
  ["none", { algorithms: ["none"] }],
  ["no algorithm", { algorithms: [] }],
  ["no issuer", { issuer: "" }],
  ["no audience", { audience: [] }],
  ["an empty audience", { audience: "" }],
  ["too much skew", { clockSkewSeconds: 301 }],
  ["a skew that is none", { clockSkewSeconds: Number.NaN }],
  ["keys in the clear", { jwksUri: "http://id.example.com/keys" }],
  ["keys from a file", { jwksUri: "file:///keys" }],
  ["a password in the address", { jwksUri: "https://a:b@id.example.com/keys" }],
])("%s is refused before any token", (_what, options) => {
  expect(() => identityWith(options)).toThrow(expect.objectContaining({ code: "invalid-dsl" }));
});

describe("over HTTP", () => {
  const secret = "edge-key-0123456789abcdef";
  const keys = tokenIdentity(
    parseTokens(JSON.stringify([{ id: "edge", roles: ["evaluate"], sha256: sha256Hex(secret), tenant: "acme" }])),
  );

  test("a token writes, as who it is for; body, query and headers of development say nothing", async () => {
    const speaker = createApi({}, { identity: identityWith() }).anonymous;
    const token = bearer(await tokenOf(key));
    const claimed = { "x-proviso-actor": "root", "x-proviso-roles": "admin" };
    const path = "/api/governance/checkout/versions?actor=root&roles=admin";
    expect((await speaker.post(path, { configuration: configuration() }, { ...token, ...claimed })).status).toBe(201);
    expect((await speaker.get("/api/governance/checkout", token)).body["updatedBy"]).toBe("ada");
    expect((await speaker.post(path, { configuration: configuration(), actor: "root" }, token)).status).toBe(400);
  });

  test("without roles it is forbidden, not broken", async () => {
    const speaker = createApi({}, { identity: identityWith() }).anonymous;
    for (const roles of [undefined, [], ["ingest", "evaluate"]]) {
      const answer = await speaker.get("/api/governance", bearer(await tokenOf(key, { claims: { roles } })));
      expect(answer).toMatchObject({ status: 403, body: { code: "forbidden" } });
    }
  });

  test("the tenant of the token is the tenant of the request", async () => {
    const identity = identityWith({ claims: { tenant: "tid" } });
    const speaker = createApi({}, { identity }).anonymous;
    const token = bearer(await tokenOf(key, { claims: { tid: "acme" } }));
    expect((await speaker.get("/api/governance?tenant=acme", token)).status).toBe(200);
    expect((await speaker.get("/api/governance?tenant=other", token)).status).toBe(403);
    expect((await speaker.get("/api/governance", token)).status).toBe(403);
  });

  test("the data plane takes a role for it, or a key where there are keys", async () => {
    const none = createApi({}, { identity: identityWith() }).anonymous;
    const editor = bearer(await tokenOf(key));
    const reader = bearer(await tokenOf(key, { claims: { roles: ["evaluate"] } }));
    expect((await none.get("/api/rules", editor)).status).toBe(403);
    expect((await none.get("/api/rules", reader)).status).toBe(200);
    expect((await none.post("/api/events", { events: [] }, reader)).status).toBe(403);
    expect((await none.get("/api/rules", bearer(secret))).status).toBe(401);

    const some = createApi({}, { identity: identityWith({ keys }) }).anonymous;
    expect((await some.get("/api/rules?tenant=acme", bearer(secret))).status).toBe(200);
    expect((await some.get("/api/rules", bearer(secret))).status).toBe(403);
    expect((await some.get("/api/rules", reader)).status).toBe(200);
    expect((await some.get("/api/governance?tenant=acme", bearer(secret))).status).toBe(401);
  });

  test("keys that cannot be read are 503 with Retry-After, and reported", async () => {
    const world = createWorld();
    world.answer = () => Promise.reject(new TypeError("network"));
    const api = createApi({}, { identity: identityWith({}, world) });
    const answer = await api.anonymous.get("/api/governance", bearer(await tokenOf(key)));
    expect(answer).toMatchObject({ status: 503, body: { code: "store-unavailable" } });
    expect(answer.headers.get("retry-after")).toBe("5");
    expect(api.reported).toHaveLength(1);
  });
});
