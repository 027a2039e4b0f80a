/**
 * Who does not take what they are given, in the whole deployment: experiments have an object each and tell it here, and
 * `GET /health` asks. It holds a line for each pair of subscriber and experiment in trouble, and nothing while all is well.
 */
import * as v from "valibot";
import type { DeliveryTrouble } from "../src/delivery/outbox.ts";
import { refKey } from "../src/scope.ts";

/** The part of a Durable Object's storage that is used. */
export interface TroubleStorage {
  list(options: { prefix: string; limit: number }): Promise<Map<string, unknown>>;
  put(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<boolean>;
}

export interface TroubleBoard {
  note(trouble: DeliveryTrouble): Promise<void>;
  /** Names of subscribers in trouble, each once, by name. */
  names(): Promise<readonly string[]>;
}

const prefix = "trouble:";
/** One or two failures in a row are what retries are for. */
const failuresMin = 3;
/** Health asks for no more; a subscriber that is dead everywhere is dead in the first thousand. */
const linesMax = 1_000;
/** Whoever is in trouble tells so again with every attempt: who has not is gone, or well. */
const silenceMs = 15 * 60_000;

const LineSchema = v.object({ subscriber: v.string(), until: v.number() });

export const createTroubleBoard = (storage: TroubleStorage, now: () => number): TroubleBoard => ({
  async note({ subscriber, ref, failures, nextAt }) {
    const key = `${prefix}${JSON.stringify([subscriber, refKey(ref)])}`;
    if (failures === 0) await storage.delete(key);
    else if (failures >= failuresMin) await storage.put(key, { subscriber, until: nextAt + silenceMs });
  },
  async names() {
    const names = new Set<string>();
    for (const [key, value] of await storage.list({ prefix, limit: linesMax })) {
      const { subscriber, until } = v.parse(LineSchema, value);
      if (until > now()) names.add(subscriber);
      else await storage.delete(key);
    }
    return [...names].toSorted();
  },
});
