import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import {
  type ExposureEnvironment,
  type ExposureMiddlewareOptions,
  exposureMiddleware,
} from "../../src/exposure/hono.ts";
import { controlled, treated, world } from "./world.ts";

const setUp = (options: ExposureMiddlewareOptions) => {
  const it = world();
  const page = it.experiments.trial("checkout", { control: () => "old", treatment: () => "new" });
  const app = new Hono<ExposureEnvironment>();
  app.use(exposureMiddleware(it.experiments, options));
  app.get("/", (context) => context.text(context.get("experiments").serve(page)()));
  app.get("/who", (context) => context.json(context.get("experiments").subject ?? null));
  const get = async (headers: Record<string, string> = {}, path = "/", ...more: [object, object] | []) => {
    const response = await app.request(path, { headers }, ...more);
    return { text: await response.text(), cookie: response.headers.get("set-cookie") };
  };
  return { ...it, get };
};
/** As a browser sends back what it was given. */
const returned = (setCookie: string | null): string => setCookie?.split(";")[0] ?? "";

describe("a header", () => {
  test("names the subject; without it, or with one that no id can be, nobody is known", async () => {
    const { get, told } = setUp({ subject: { header: "x-user" } });
    expect((await get({ "x-user": treated })).text).toBe("new");
    expect((await get({ "x-user": controlled })).text).toBe("old");
    expect((await get()).text).toBe("old");
    expect((await get({ "x-user": "x".repeat(513) }, "/who")).text).toBe("null");
    expect(await told()).toEqual(["Exposure treatment", "Exposure control"]);
  });
});

describe("a cookie", () => {
  test("is made for somebody new, and means the same subject from then on", async () => {
    const { get } = setUp({ subject: { cookie: "visitor" } });
    const first = await get({}, "/who");
    expect(first.cookie).toMatch(/^visitor=[0-9a-f-]{36}; Max-Age=15552000; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
    const second = await get({ cookie: returned(first.cookie) }, "/who");
    expect(second).toEqual({ text: first.text, cookie: null });
  });

  test("that is signed cannot be chosen", async () => {
    const subject = {
      cookie: "visitor",
      secret: "0123456789abcdef",
      newId: () => controlled,
      secure: false,
      domain: "example.com",
    };
    const { get } = setUp({ subject });
    const first = await get();
    expect(first.cookie).toContain("Domain=example.com");
    expect(first.cookie).not.toContain("Secure");
    expect((await get({ cookie: returned(first.cookie) })).cookie).toBeNull();
    const forged = returned(first.cookie).replace(controlled, treated);
    for (const cookie of [`visitor=${treated}`, forged, "visitor=", "visitor=%00", "visitor=a.b"]) {
      const answer = await get({ cookie });
      expect(answer.text).toBe("old");
      expect(answer.cookie).toContain(controlled);
    }
    expect(() => setUp({ subject: { cookie: "visitor", secret: "short" } })).toThrow(RangeError);
  });

  test("that holds no id is made anew", async () => {
    const { get } = setUp({ subject: { cookie: "visitor", newId: () => treated } });
    for (const cookie of ["visitor=", "visitor=%00a", `visitor=${"x".repeat(600)}`]) {
      expect((await get({ cookie }, "/who")).text).toBe(JSON.stringify({ id: treated }));
    }
  });
});

describe("consent", () => {
  test("without it no cookie is set or read, control is served, and nothing is recorded", async () => {
    const { get, told } = setUp({
      subject: { cookie: "visitor", newId: () => treated },
      consent: async (context) => context.req.header("x-consent") === "yes",
    });
    expect(await get({ cookie: `visitor=${treated}` })).toEqual({ text: "old", cookie: null });
    expect(await told()).toEqual([]);
    const agreed = await get({ "x-consent": "yes" });
    expect(agreed.text).toBe("new");
    expect(agreed.cookie).toContain(treated);
    expect(await told()).toEqual(["Exposure treatment"]);
  });

  test("that cannot be asked for is a no", async () => {
    const { get, told, errors } = setUp({
      subject: { header: "x-user" },
      consent: () => Promise.reject(new Error("consent service")),
    });
    expect((await get({ "x-user": treated })).text).toBe("old");
    expect(await told()).toEqual([]);
    expect(errors).toEqual([new Error("consent service")]);
  });
});

describe("sources", () => {
  test("are asked in turn; one that fails is told of, and the request is answered", async () => {
    const { get, errors } = setUp({
      subject: [
        (context) => {
          if (context.req.header("x-broken") !== undefined) throw new Error("session store");
          const id = context.req.header("x-session");
          return id === undefined ? undefined : { id, attributes: { plan: "pro" } };
        },
        { header: "x-user" },
      ],
      attributes: async () => ({ country: "CA" }),
    });
    expect(JSON.parse((await get({ "x-session": "s" }, "/who")).text)).toEqual({
      id: "s",
      attributes: { plan: "pro", country: "CA" },
    });
    expect(JSON.parse((await get({ "x-user": "u", "x-broken": "1" }, "/who")).text)).toEqual({
      id: "u",
      attributes: { country: "CA" },
    });
    expect(errors).toEqual([new Error("session store")]);
  });
});

test("in a Worker, what was exposed is sent after the answer", async () => {
  const { get, sink } = setUp({ subject: { header: "x-user" } });
  const waiting: Promise<unknown>[] = [];
  const context = {
    waitUntil: (promise: Promise<unknown>) => void waiting.push(promise),
    passThroughOnException: () => undefined,
    props: {},
  };
  expect((await get({ "x-user": treated }, "/", {}, context)).text).toBe("new");
  expect(waiting.length).toBeGreaterThan(0);
  await Promise.all(waiting);
  expect(sink.events()).toMatchObject([{ eventType: "Exposure", payload: { subjectId: treated } }]);
});
