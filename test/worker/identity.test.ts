/** Signed tokens inside workerd, and what the DSL makes of `governance.auth`. */
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { expect, test, vi } from "vitest";
import { defineDsl, type Dsl, type DslInput } from "../../src/config/index.ts";
import { jwtAlgorithms } from "../../src/http/jwt-algorithms.ts";
import { jwtIdentity } from "../../src/http/jwt-identity.ts";
import { identityOf } from "../../worker/compose.ts";
import type { WorkerEnv } from "../../worker/env.ts";

const issuer = "https://id.example.com";

test.each(jwtAlgorithms)("%s is verified by this runtime", async (alg) => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "one" };
  const token = await new SignJWT({ roles: ["viewer"] })
    .setProtectedHeader({ alg, kid: "one" })
    .setIssuer(issuer)
    .setAudience("proviso")
    .setSubject("ada")
    .setExpirationTime("5m")
    .sign(privateKey);
  const identity = jwtIdentity({
    issuer,
    audience: "proviso",
    jwksUri: `${issuer}/keys`,
    algorithms: [alg],
    fetch: () => Promise.resolve(Response.json({ keys: [jwk] })),
    now: Date.now,
  });
  const request = (text: string) =>
    new Request("https://proviso.example.com/", { headers: { authorization: `Bearer ${text}` } });
  expect(await identity.authenticate(request(token))).toMatchObject({ actor: { id: "ada", roles: ["viewer"] } });
  await expect(identity.authenticate(request(`${token.slice(0, -8)}AAAAAAAA`))).rejects.toThrow("signature");
});

const dslOf = (auth: NonNullable<DslInput["governance"]>["auth"]): Dsl => {
  const defined = defineDsl(auth === undefined ? {} : { governance: { auth } });
  if (!defined.ok) throw new TypeError(defined.errors.map(({ message }) => message).join("; "));
  return defined.value;
};

/** Reading anything else of the environment fails. */
const envOf = (values: Readonly<Record<string, string>>): WorkerEnv =>
  // @ts-expect-error: an environment without bindings, which identities do not need
  values;

test("composing fetches nothing, and a data-plane secret that is not set is refused at once", () => {
  const fetching = vi.spyOn(globalThis, "fetch");
  const jwt = { type: "jwt", issuer, audience: "proviso", jwks: `${issuer}/keys` } as const;
  const access = { type: "cloudflareAccess", team: "example", audience: "aud" } as const;
  identityOf(envOf({}), dslOf(jwt));
  identityOf(envOf({}), dslOf(access));
  expect(fetching).not.toHaveBeenCalled();
  for (const auth of [jwt, access])
    expect(() => identityOf(envOf({}), dslOf({ ...auth, secret: "KEYS" }))).toThrow("names KEYS, which is not set");
  fetching.mockRestore();
});
