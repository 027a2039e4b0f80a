import { expect, test } from "vitest";
import { type AlarmStorage, createAlarms } from "../../worker/alarms.ts";

const ref = (experiment: string) => ({ tenant: "default", environment: "default", experiment });

/** What an object keeps, and when it would ring. */
const memory = () => {
  const kept = new Map<string, unknown>();
  let rings: number | null = null;
  const storage: AlarmStorage = {
    list: ({ prefix }) => Promise.resolve(new Map([...kept].filter(([key]) => key.startsWith(prefix)))),
    put: (key, value) => Promise.resolve(void kept.set(key, structuredClone(value))),
    delete: (key) => Promise.resolve(kept.delete(key)),
    setAlarm: (time) => Promise.resolve(void (rings = time)),
  };
  return { storage, kept, rings: () => rings };
};

const setUp = (tick: (experiment: string) => Promise<number | null>) => {
  const { storage, kept, rings } = memory();
  let time = 1_000;
  const ticked: string[] = [];
  const reported: unknown[] = [];
  const make = () =>
    createAlarms({
      storage,
      now: () => time,
      report: (error) => reported.push(error),
      tick: ({ experiment }) => {
        ticked.push(experiment);
        return tick(experiment);
      },
    });
  return { make, kept, rings, ticked, reported, at: (ms: number) => void (time = ms) };
};

test("the earliest of what waits is what it rings for, and only what is due is looked at", async () => {
  const world = setUp(() => Promise.resolve(null));
  const alarms = world.make();
  await alarms.wake(ref("late"), 9_000);
  await alarms.wake(ref("early"), 3_000);
  await alarms.wake(ref("early"), 5_000);
  expect(world.rings()).toBe(3_000);
  world.at(3_000);
  await alarms.ring();
  expect(world.ticked).toEqual(["early"]);
  expect([world.rings(), world.kept.size]).toEqual([9_000, 1]);
});

test("what waits is known to an object that has forgotten everything", async () => {
  const world = setUp(() => Promise.resolve(8_000));
  await world.make().wake(ref("a:b/%'"), 3_000);
  world.at(3_000);
  await world.make().ring();
  expect(world.ticked).toEqual(["a:b/%'"]);
  expect(world.rings()).toBe(8_000);
});

test("a look that fails is taken again, and takes no other with it", async () => {
  const world = setUp((experiment) =>
    experiment === "bad" ? Promise.reject(new Error("away")) : Promise.resolve(null),
  );
  const alarms = world.make();
  await alarms.wake(ref("bad"), 2_000);
  await alarms.wake(ref("good"), 2_000);
  world.at(2_000);
  await alarms.ring();
  expect(world.ticked).toEqual(["bad", "good"]);
  expect(world.reported).toHaveLength(1);
  expect(world.rings()).toBe(17_000);
});

test("a command that comes during the look is not forgotten by it", async () => {
  const world = setUp(async () => {
    await alarms.wake(ref("a"), 2_500);
    return 60_000;
  });
  const alarms = world.make();
  await alarms.wake(ref("a"), 2_000);
  world.at(2_000);
  await alarms.ring();
  expect(world.rings()).toBe(2_500);
});

test("a look that comes before the commit it was set for is followed by one after it", async () => {
  const world = setUp(() => Promise.resolve(null));
  const alarms = world.make();
  await alarms.wake(ref("a"), 2_000);
  world.at(1_990);
  // The commit that follows is still under way when the first alarm rings, and finds nothing.
  await alarms.wake(ref("a"), 11_990);
  world.at(2_000);
  await alarms.ring();
  expect(world.rings()).toBe(11_990);
  // Also when the object has forgotten everything meanwhile.
  world.at(11_990);
  await world.make().ring();
  expect([world.ticked.length, world.kept.size]).toEqual([2, 0]);
});

test("one that is due already is not put off by one who asks for later", async () => {
  const world = setUp(() => Promise.resolve(null));
  const alarms = world.make();
  await alarms.wake(ref("a"), 2_000);
  world.at(2_500);
  await alarms.wake(ref("a"), 12_500);
  expect(world.rings()).toBe(2_000);
  await alarms.ring();
  expect(world.ticked).toEqual(["a"]);
  expect(world.rings()).toBe(12_500);
});

test("many who ask at short intervals cost one write in five seconds", async () => {
  const world = setUp(() => Promise.resolve(null));
  const alarms = world.make();
  const written = new Set<unknown>();
  for (let time = 1_000; time < 6_000; time += 100) {
    world.at(time);
    await alarms.wake(ref("a"), time + 10_000);
    for (const entry of world.kept.values()) written.add(entry);
  }
  // Each write is a copy of its own.
  expect(written.size).toBe(1);
});
