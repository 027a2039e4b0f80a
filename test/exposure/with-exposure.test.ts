import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, expectTypeOf, test } from "vitest";
import { firstOf, fromContext, type Identified } from "../../src/exposure/identity.ts";
import { controlled, treated, world } from "./world.ts";

const variants = {
  control: (cents: number) => `control ${cents}`,
  treatment: async (cents: number) => `treatment ${cents}`,
};

describe("withExposure", () => {
  test("takes the subject from the arguments, at once or later", async () => {
    const { experiments, told } = world();
    const pay = experiments.withExposure(
      "checkout",
      {
        control: (user: string, cents: number) => `${user} ${cents}`,
        treatment: (_: string, cents: number) => `new ${cents}`,
      },
      { subject: async (user) => user },
    );
    expectTypeOf(pay).toEqualTypeOf<(user: string, cents: number) => Promise<string>>();
    expect(await pay(treated, 5)).toBe("new 5");
    expect(await pay(controlled, 5)).toBe(`${controlled} 5`);
    expect(await told()).toEqual(["Exposure treatment", "Exposure control"]);
  });

  test("takes it from the context that a request is bound to, across everything asynchronous", async () => {
    const { experiments, told } = world({ targeting: { attribute: "plan", equals: "pro" } });
    const storage = new AsyncLocalStorage<Identified>();
    const pay = experiments.withExposure<[number], string | Promise<string>>("checkout", variants, {
      subject: fromContext(storage),
    });
    const request = (subject: Identified): Promise<string> =>
      storage.run(subject, async () => {
        await Promise.resolve();
        return pay(5);
      });
    const answers = await Promise.all([
      request({ id: treated, attributes: { plan: "pro" } }),
      request({ id: treated, attributes: { plan: "free" } }),
      request({ id: controlled, attributes: { plan: "pro" } }),
      pay(5),
    ]);
    expect(answers).toEqual(["treatment 5", "control 5", "control 5", "control 5"]);
    expect(await told()).toEqual(expect.arrayContaining(["Exposure treatment", "Exposure control"]));
    expect(await told()).toHaveLength(2);
  });

  test("attributes of the call go before those of the subject", async () => {
    const { experiments } = world({ targeting: { attribute: "cents", greaterThan: 3 } });
    const pay = experiments.withExposure<[number], string | Promise<string>>("checkout", variants, {
      subject: () => ({ id: treated, attributes: { cents: 0 } }),
      attributes: (cents) => ({ cents }),
    });
    expect([await pay(5), await pay(2)]).toEqual(["treatment 5", "control 2"]);
  });

  test("a provider that fails means control, no exposure, and a report", async () => {
    const { experiments, told, errors } = world();
    const failing = (subject: () => Identified | Promise<Identified>) =>
      experiments.withExposure<[number], string | Promise<string>>("checkout", variants, { subject });
    const broken = failing(() => {
      throw new Error("sync");
    });
    expect(await broken(1)).toBe("control 1");
    expect(await failing(() => Promise.reject(new Error("async")))(2)).toBe("control 2");
    expect(await failing(() => undefined)(3)).toBe("control 3");
    expect(errors).toEqual([new Error("sync"), new Error("async")]);
    expect(await told()).toEqual([]);
  });

  test("waits for room where the experiments say so, no longer than they say, and then answers", async () => {
    const { experiments, clock } = world(
      {},
      {
        block: { blockMs: 300 },
        sink: {
          name: "queue",
          send: () => Promise.reject(new Error("down")),
          health: () => ({ status: "healthy", description: "" }),
        },
        buffer: { maxEvents: 1 },
      },
    );
    const pay = experiments.withExposure<[number], string | Promise<string>>("checkout", variants, {
      subject: () => treated,
    });
    expect(await pay(1)).toBe("treatment 1");
    let answered: string | undefined;
    void pay(2).then((value) => (answered = value));
    await clock.advance(299);
    expect(answered).toBeUndefined();
    expect(experiments.health().events?.dropped.overflow).toBe(0);
    await clock.advance(1);
    expect(answered).toBe("treatment 2");
    expect(experiments.health().events?.dropped.overflow).toBe(1);
  });
});

describe("identity providers", () => {
  test("are asked in turn; one that fails is told of, and the next is asked", async () => {
    const errors: unknown[] = [];
    const find = firstOf<{ readonly user?: string; readonly device?: string }>(
      [
        ({ user }) => {
          if (user === "broken") throw new Error("session store");
          return user;
        },
        async ({ device }) => (device === undefined ? undefined : { id: device, attributes: { kind: "device" } }),
      ],
      (error) => errors.push(error),
    );
    expect(await find({ user: "u", device: "d" })).toEqual({ id: "u" });
    expect(await find({ device: "d" })).toEqual({ id: "d", attributes: { kind: "device" } });
    expect(await find({ user: "broken", device: "d" })).toMatchObject({ id: "d" });
    expect(await find({})).toBeUndefined();
    expect(errors).toEqual([new Error("session store")]);
  });

  test("a bound subject decides, exposes and serves; nobody is control everywhere", async () => {
    const { experiments, told } = world({ targeting: { attribute: "plan", equals: "pro" } });
    const trial = experiments.trial("checkout", { control: () => 1, treatment: () => 2 });
    const bound = experiments.bind({ id: treated, attributes: { plan: "pro" } });
    expect(bound.assign("checkout").variant).toBe("treatment");
    expect(bound.assign("checkout", { plan: "free" }).variant).toBe("control");
    expect(bound.serve(trial)()).toBe(2);
    expect(bound.expose("checkout").exposed).toBe(true);
    const nobody = experiments.bind(undefined);
    expect(nobody.serve(trial, { plan: "pro" })()).toBe(1);
    expect(nobody.expose("checkout", { plan: "pro" })).toMatchObject({
      reason: "ERROR",
      errorCode: "TARGETING_KEY_MISSING",
    });
    expect(await told()).toEqual(["Exposure treatment", "Exposure treatment again"]);
  });
});
