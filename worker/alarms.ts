/**
 * The one alarm of an object, for all experiments that wait in it: usually one, and every one of the scope where
 * histories are kept in memory. What waits is written down beside the alarm, because an alarm says only that it rang.
 */
import * as v from "valibot";
import { type ExperimentRef, refKey } from "../src/scope.ts";

/** The part of a Durable Object's storage that is used. */
export interface AlarmStorage {
  list(options: { prefix: string }): Promise<Map<string, unknown>>;
  put(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<boolean>;
  setAlarm(time: number): Promise<void>;
}

export interface Alarms {
  /**
   * Sees to it that the experiment is looked at no later than this, in ms since the epoch, and once more near to it: a
   * look that comes earlier may come before what it was to look at.
   */
  wake(ref: ExperimentRef, at: number): Promise<void>;
  /** The alarm has rung. */
  ring(): Promise<void>;
}

export interface AlarmOptions {
  readonly storage: AlarmStorage;
  readonly now: () => number;
  /** Does what is due, and says when to come back. */
  readonly tick: (ref: ExperimentRef) => Promise<number | null>;
  readonly report: (error: unknown) => void;
}

const prefix = "wake:";
/** After a failure: the store may be away, and whatever was due is still due. */
const retryMs = 15_000;
/** How much earlier than asked for the last look may be: many who ask at short intervals are told by one. */
const slackMs = 5_000;

const WaitingSchema = v.object({
  ref: v.object({ tenant: v.string(), environment: v.string(), experiment: v.string() }),
  at: v.number(),
  /** The latest that was asked for; an alarm of an older version has none. */
  until: v.optional(v.number(), 0),
});
type Waiting = v.InferOutput<typeof WaitingSchema>;

export const createAlarms = ({ storage, now, tick, report }: AlarmOptions): Alarms => {
  /** Undefined until the storage has been read: an object wakes up knowing nothing. */
  let waiting: Map<string, Waiting> | undefined;

  const read = async (): Promise<Map<string, Waiting>> => {
    if (waiting !== undefined) return waiting;
    const stored = await storage.list({ prefix });
    // Whoever else read meanwhile has read the same, and may have added to it.
    waiting ??= new Map([...stored].map(([key, value]) => [key, v.parse(WaitingSchema, value)]));
    return waiting;
  };

  const arm = async (entries: Map<string, Waiting>): Promise<void> => {
    if (entries.size > 0) await storage.setAlarm(Math.min(...[...entries.values()].map(({ at }) => at)));
  };

  const write = async (ref: ExperimentRef, at: number | null, until: number): Promise<void> => {
    const entries = await read();
    const key = `${prefix}${refKey(ref)}`;
    if (at === null) {
      entries.delete(key);
      await storage.delete(key);
      return;
    }
    const entry = { ref, at, until };
    entries.set(key, entry);
    await storage.put(key, entry);
  };

  const look = async ({ ref, at }: Waiting): Promise<void> => {
    let next: number | null;
    try {
      next = await tick(ref);
    } catch (error) {
      report(error);
      next = now() + retryMs;
    }
    // A command that came meanwhile may have asked for an earlier look than the one that was found here, and one whose
    // commit is still under way for a later one.
    const asked = (await read()).get(`${prefix}${refKey(ref)}`);
    const until = asked?.until ?? 0;
    const times = [next, asked === undefined || asked.at === at ? null : asked.at, until]
      .filter((time) => time !== null)
      .filter((time) => time === next || time > now());
    await write(ref, times.length === 0 ? null : Math.min(...times), until > now() ? until : 0);
  };

  return {
    async wake(ref, at) {
      const entries = await read();
      const known = entries.get(`${prefix}${refKey(ref)}`);
      if (known !== undefined && known.at <= at && known.until > Math.max(now(), at - slackMs)) return;
      await write(ref, Math.min(known?.at ?? at, at), Math.max(known?.until ?? 0, at));
      await arm(entries);
    },
    async ring() {
      try {
        const entries = await read();
        const due = [...entries.values()].filter(({ at }) => at <= now());
        for (const entry of due) await look(entry);
        await arm(entries);
      } catch (error) {
        report(error);
        await storage.setAlarm(now() + retryMs);
      }
    },
  };
};
