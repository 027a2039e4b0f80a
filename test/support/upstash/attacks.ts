/**
 * Past the port of the Upstash store there are two doors. Whoever runs the commit script is refused by the script. What
 * an operator does with redis-cli no Redis can refuse: there, the chain and the head must give it away.
 */
import { expect } from "vitest";
import { type UpstashClientLike, upstashStore } from "../../../adapters/store/upstash.ts";
import { canonicalJson, sha256Hex } from "../../../src/canonical.ts";
import { createVerifier, sealEvents, verifyChain } from "../../../src/governance/chain.ts";
import type { EventRecord } from "../../../src/governance/events.ts";
import type { GovernanceStore, Head } from "../../../src/governance/store.ts";
import type { ExperimentRef } from "../../../src/scope.ts";
import { type Attack, wholeHistory } from "../../conformance/store/under-test.ts";
import { denial, denied } from "../governance.ts";
import { clientOf, commandTo } from "./client.ts";
import type { UpstashService } from "./global.ts";

/** Where the first event stands in the arguments of the commit script, and what comes there in which order. */
const firstEvent = 20;
const inEvent = { seq: 1, prevHash: 6, hash: 7 } as const;

const forged = (head: Head): EventRecord => {
  const [event] = sealEvents(head, [denied()]);
  if (event === undefined) throw new TypeError("one draft is one event");
  return event;
};

const at = (history: readonly EventRecord[], back: number): EventRecord => {
  const event = history.at(-1 - back);
  if (event === undefined) throw new TypeError("the history is too short to attack");
  return event;
};

export const upstashAttacks = (
  service: UpstashService | string,
  store: GovernanceStore,
): Readonly<Record<Attack, (ref: ExperimentRef, history: readonly EventRecord[]) => Promise<void>>> => {
  const command = commandTo(service);

  /** The store with a client that changes what it sends: the script sees what TypeScript never says. */
  const altering = (altered: (args: string[]) => string[]): GovernanceStore => {
    const client: UpstashClientLike = clientOf(service);
    return upstashStore({
      client: {
        eval: (script, keys, args) => client.eval(script, keys, altered(args)),
        evalsha: (sha1, keys, args) => client.evalsha(sha1, keys, altered(args)),
      },
    });
  };

  const scriptRefuses = async (
    ref: ExperimentRef,
    history: readonly EventRecord[],
    member: keyof typeof inEvent,
    value: string,
  ): Promise<void> => {
    const other = altering((args) => args.with(firstEvent + inEvent[member], value));
    await expect(other.commit(ref, denial({ head: at(history, 0) }))).rejects.toMatchObject({ code: "internal" });
  };

  const keyOf = (ref: ExperimentRef, kind = ""): string =>
    `proviso:{${ref.tenant}:${ref.environment}}:experiment:${ref.experiment}${kind}`;
  const segmentOf = (ref: ExperimentRef): string => keyOf(ref, ":events:0");

  const place = async (ref: ExperimentRef, event: EventRecord): Promise<void> => {
    const fields = [`${event.seq}`, canonicalJson(event), `hash:${event.seq}`, event.hash, `people:${event.seq}`, "[]"];
    await command("HSET", segmentOf(ref), ...fields);
  };
  const setHead = (ref: ExperimentRef, { seq, hash }: Head): Promise<unknown> =>
    command("HSET", keyOf(ref), "seq", `${seq}`, "hash", hash);

  /** Lets an operator at the keys, and afterwards puts everything back as from a backup. */
  const restored = async (ref: ExperimentRef, attack: () => Promise<unknown>): Promise<void> => {
    const keys = [keyOf(ref), segmentOf(ref)];
    for (const key of keys) await command("COPY", key, `${key}:backup`, "REPLACE");
    await attack();
    for (const key of keys) await command("RENAME", `${key}:backup`, key);
  };

  /** The chain is broken, or does not lead to the head. */
  const shows = (ref: ExperimentRef, attack: () => Promise<unknown>): Promise<void> =>
    restored(ref, async () => {
      await attack();
      const found = verifyChain(await wholeHistory(store, ref));
      const head = (await store.load(ref))?.head;
      expect(found.valid && found.head?.seq === head?.seq && found.head?.hash === head?.hash).toBe(false);
    });

  const commitRefuses = async (ref: ExperimentRef, head: Head): Promise<void> => {
    await expect(store.commit(ref, denial({ head }))).rejects.toThrow("somebody changed it");
  };

  return {
    async gap(ref, history) {
      const head = at(history, 0);
      for (const seq of [0, head.seq, head.seq + 2, head.seq + 1_000])
        await scriptRefuses(ref, history, "seq", `${seq}`);
      await shows(ref, async () => {
        const event = forged({ seq: head.seq + 1, hash: head.hash });
        await place(ref, event);
        await setHead(ref, event);
      });
    },
    async unlinked(ref, history) {
      for (const hash of ["f".repeat(64), "0".repeat(64), "", at(history, 1).hash])
        await scriptRefuses(ref, history, "prevHash", hash);
      await shows(ref, async () => {
        const event = forged({ seq: at(history, 0).seq, hash: "f".repeat(64) });
        await place(ref, event);
        await setHead(ref, event);
      });
    },
    async insertOrReplace(ref, history) {
      for (const back of history.keys()) {
        const replaced = at(history, back);
        await shows(ref, () => place(ref, forged({ seq: replaced.seq - 1, hash: replaced.prevHash })));
      }
    },
    async insertOrIgnore(ref, history) {
      for (const event of history)
        expect(await command("HSETNX", segmentOf(ref), `${event.seq}`, canonicalJson(forged(event)))).toBe(0);
      // An event behind the head is nobody's: it is not read, and whoever would write there is told.
      const stray = forged(at(history, 0));
      await place(ref, stray);
      expect(await wholeHistory(store, ref)).toEqual(history);
      await commitRefuses(ref, at(history, 0));
      await command("HDEL", segmentOf(ref), `${stray.seq}`, `hash:${stray.seq}`, `people:${stray.seq}`);
    },
    async upsert(ref, history) {
      await shows(ref, () => command("HMSET", segmentOf(ref), "2", canonicalJson(forged(at(history, 0)))));
      // A head that is set back is a tail cut off: no chain shows that by itself. But nobody can write behind it.
      const earlier = at(history, 2);
      await restored(ref, async () => {
        await setHead(ref, earlier);
        await commitRefuses(ref, earlier);
      });
    },
    async update(ref, history) {
      for (const [index, event] of history.entries()) {
        const changed = { ...event, at: "2026-11-02T09:00:01.000Z" };
        await shows(ref, () => command("HSET", segmentOf(ref), `${index + 1}`, canonicalJson(changed)));
      }
      // The last event, sealed anew, is a chain that holds. The head gives it away, and nobody can write behind it.
      const last = at(history, 0);
      await shows(ref, async () => {
        await place(ref, forged({ seq: last.seq - 1, hash: last.prevHash }));
        await commitRefuses(ref, last);
      });
    },
    async checkpoint(ref, history) {
      const found = await store.checkpoint(ref);
      if (found === null) throw new TypeError("no checkpoint to attack");
      const last = at(history, 0);
      // The script keeps one at an event of this history, and none that goes back.
      for (const [seq, hash] of [
        [last.seq, "f".repeat(64)],
        [last.seq + 1, last.hash],
        [1, last.hash],
        [found.seq - 1, history[0]?.prevHash ?? ""],
      ] as const)
        expect(await store.archive(ref, { ...found, seq, hash })).toBe(false);
      expect(
        await store.archive(ref, { ...found, text: "{}", signature: { keyId: "thief", value: "Q".repeat(86) } }),
      ).toBe(true);
      expect(await store.checkpoint(ref)).toEqual(found);
      /** What whoever verifies does: from the signed place on, to the head. */
      const holds = async (): Promise<boolean> => {
        const signed = await store.checkpoint(ref);
        if (canonicalJson(signed) !== canonicalJson(found)) return false;
        const [first, ...rest] = await wholeHistory(store, ref);
        const verifier = createVerifier(found);
        verifier.add(rest);
        const { valid, head } = verifier.result();
        const loaded = (await store.load(ref))?.head;
        return first?.hash === found.hash && valid && head?.seq === loaded?.seq && head?.hash === loaded?.hash;
      };
      expect(await holds()).toBe(true);
      const operators: readonly (() => Promise<unknown>)[] = [
        ...history.map(
          ({ seq }) =>
            () =>
              command("HDEL", segmentOf(ref), `${seq}`),
        ),
        () => command("HSET", keyOf(ref), "first", `${last.seq}`),
        () => command("HSET", keyOf(ref), "first", "1"),
        () => command("HDEL", keyOf(ref), "checkpoint"),
        () => command("HSET", keyOf(ref), "checkpoint", canonicalJson({ ...found, text: "{}" })),
        () => command("DEL", segmentOf(ref)),
      ];
      const shown: boolean[] = [];
      for (const operator of operators)
        await restored(ref, async () => {
          await operator();
          shown.push(!(await holds()));
        });
      // A beginning that is set back changes nothing: what was before it is gone.
      expect(shown).toEqual([...history.map(() => true), true, false, true, true, true]);
    },
    async rules(ref, history) {
      const { rules } = await store.rules(ref);
      expect(rules.length).toBeGreaterThan(0);
      const commit = denial({ head: at(history, 0) }, { rules });
      for (const { digest, text } of rules) {
        const other = altering((args) => args.map((arg) => (arg === text ? "{}" : arg)));
        await expect(other.commit(ref, commit)).rejects.toMatchObject({ code: "internal" });
        // What an operator writes there is not what the digest is of: nobody can pass other rules off as these.
        const key = keyOf(ref, ":rules");
        await command("HSET", key, digest, "{}");
        const found = (await store.rules(ref)).rules.filter((set) => sha256Hex(set.text) !== set.digest);
        expect(found).toEqual([{ digest, text: "{}" }]);
        await command("HSET", key, digest, text);
      }
    },
    async delete(ref, history) {
      for (const { seq } of history) await shows(ref, () => command("HDEL", segmentOf(ref), `${seq}`));
      await shows(ref, () => command("DEL", segmentOf(ref)));
      const last = at(history, 0);
      await shows(ref, async () => {
        await command("HDEL", segmentOf(ref), `${last.seq}`, `hash:${last.seq}`, `people:${last.seq}`);
        await commitRefuses(ref, last);
      });
    },
  };
};
