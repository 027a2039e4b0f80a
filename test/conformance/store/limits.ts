import { describe, expect, test } from "vitest";
import { limits } from "../../../src/limits.ts";
import { personalValue } from "../../../src/governance/personal.ts";
import type { Commit } from "../../../src/governance/store.ts";
import { configuration, denied, freshRef, next, receipt, versionWritten } from "../../support/governance.ts";
import { commitAll, type MakeStore, observe, withExperiment } from "./under-test.ts";

const bytes = (count: number): string => "é".repeat(Math.floor(count / 2)).padEnd(count - Math.floor(count / 2), "x");

const payload = (text: string) =>
  versionWritten(2, configuration({ variants: [{ key: "control", weight: 1, control: true, payload: text }] }));

const refused = (path: string) => ({ code: "invalid-request", details: { errors: [{ path }] } });

export const limitCases = (makeStore: MakeStore): void => {
  describe("limits", () => {
    test("take what is just within them", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const drafts = [
        payload(bytes(limits.storedTextBytes - 2_000)),
        ...Array.from({ length: limits.commitEvents - 1 }, () => denied()),
      ];
      const commit = next(base, {
        drafts,
        change: {
          latest: {
            version: 2,
            digest: "d",
            configuration: configuration({ salt: bytes(limits.storedTextBytes - 2_000) }),
          },
        },
        personal: [personalValue("text", "00", bytes(limits.metadataBytes))],
        take: [
          bytes(limits.claimBytes),
          ...Array.from({ length: limits.commitClaims - 1 }, (_, index) => `claim ${index}`),
        ],
        receipt: receipt("key", undefined, bytes(limits.storedTextBytes)),
      });
      await commitAll(store, ref, commit);
      const { loaded, history } = await observe(store, ref, { receipt: "key" });
      expect(history.slice(2)).toEqual(commit.events);
      expect(loaded?.snapshot).toEqual(commit.snapshot);
      expect(loaded?.receipt).toEqual(commit.receipt);
    });

    test("refuse what is beyond them, with its place, and write nothing", async () => {
      const { store, ref, base } = await withExperiment(makeStore);
      const before = await observe(store, ref);
      const tooLong = bytes(limits.storedTextBytes + 1);
      const commits: readonly (readonly [path: string, commit: Commit])[] = [
        ["/events", next(base, { drafts: Array.from({ length: limits.commitEvents + 1 }, () => denied()) })],
        ["/events/1", next(base, { drafts: [denied(), payload(tooLong)] })],
        [
          "/snapshot/state",
          next(base, {
            change: { latest: { version: 2, digest: "d", configuration: configuration({ salt: tooLong }) } },
          }),
        ],
        [
          "/personal/1/value",
          next(base, {
            personal: ["fine", bytes(limits.metadataBytes + 1)].map((value) => personalValue("text", "00", value)),
          }),
        ],
        [
          "/personal",
          next(base, {
            personal: Array.from({ length: 100 }, (_, salt) =>
              personalValue("text", `${salt}`, bytes(limits.metadataBytes)),
            ),
          }),
        ],
        ["/receipt/answer", next(base, { receipt: receipt("key", undefined, tooLong) })],
        ["/receipt/key", next(base, { receipt: receipt(bytes(limits.claimBytes + 1)) })],
        ["/receipt/expiresAt", next(base, { receipt: receipt("key", "tomorrow") })],
        ["/claims/take/1", next(base, { take: ["fine", bytes(limits.claimBytes + 1)] })],
        ["/claims/release/0", next(base, { release: [bytes(limits.claimBytes + 1)] })],
        [
          "/claims/take",
          next(base, { take: Array.from({ length: limits.commitClaims + 1 }, (_, index) => `claim ${index}`) }),
        ],
        [
          "/claims/take",
          next(base, {
            take: Array.from({ length: limits.commitClaims }, (_, index) => `${index}`.padEnd(limits.claimBytes, "x")),
          }),
        ],
      ];
      for (const [path, commit] of commits) {
        await expect(store.commit(ref, commit)).rejects.toMatchObject(refused(path));
      }
      expect(await observe(store, ref)).toEqual(before);
      await commitAll(store, ref, next(base));
    });

    test("of a page are 1 to 1,000 rows", async () => {
      const { store } = await makeStore();
      const ref = freshRef();
      for (const limit of [0, -1, 1.5, limits.pageRows + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect(store.history(ref, { limit })).rejects.toMatchObject(refused("/limit"));
        await expect(store.list(ref, { limit })).rejects.toMatchObject(refused("/limit"));
      }
      for (const from of [-1, 0.5, Number.NaN, 2 ** 53])
        await expect(store.history(ref, { after: from })).rejects.toMatchObject(refused("/after"));
      await expect(store.history(ref, { limit: limits.pageRows })).resolves.toBeDefined();
      await expect(store.list(ref, { limit: limits.pageRows })).resolves.toBeDefined();
    });

    test("of time are what ISO 8601 can say", async () => {
      const { store, ref } = await withExperiment(makeStore);
      await expect(store.load(ref, { receipt: "key", now: "now" })).rejects.toMatchObject(refused("/now"));
    });
  });
};
