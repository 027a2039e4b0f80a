import { expect, test } from "vitest";
import { createTroubleBoard, type TroubleStorage } from "../../worker/troubles.ts";

const setUp = () => {
  let time = 1_000_000;
  const kept = new Map<string, unknown>();
  const storage: TroubleStorage = {
    list: ({ prefix, limit }) =>
      Promise.resolve(new Map([...kept].filter(([key]) => key.startsWith(prefix)).slice(0, limit))),
    put: (key, value) => Promise.resolve(void kept.set(key, structuredClone(value))),
    delete: (key) => Promise.resolve(kept.delete(key)),
  };
  const board = createTroubleBoard(storage, () => time);
  const trouble = (subscriber: string, experiment: string, failures: number) => ({
    subscriber,
    ref: { tenant: "default", environment: "default", experiment },
    failures,
    since: time,
    nextAt: time + 60_000,
    error: "away",
  });
  return { board, kept, trouble, wait: (ms: number) => void (time += ms) };
};

test("a subscriber shows after three failures in a row, once, until it takes something again", async () => {
  const { board, trouble } = setUp();
  await board.note(trouble("notices:a", "x", 2));
  expect(await board.names()).toEqual([]);
  for (const experiment of ["x", "y"]) await board.note(trouble("notices:a", experiment, 3));
  await board.note(trouble("audit:log", "x", 9));
  expect(await board.names()).toEqual(["audit:log", "notices:a"]);
  await board.note(trouble("notices:a", "x", 0));
  expect(await board.names()).toEqual(["audit:log", "notices:a"]);
  await board.note(trouble("notices:a", "y", 0));
  expect(await board.names()).toEqual(["audit:log"]);
});

test("who has not said again that it is in trouble is forgotten, and leaves nothing behind", async () => {
  const { board, kept, trouble, wait } = setUp();
  await board.note(trouble("notices:a", "x", 3));
  wait(60_000 + 15 * 60_000);
  expect(await board.names()).toEqual([]);
  expect(kept.size).toBe(0);
});
