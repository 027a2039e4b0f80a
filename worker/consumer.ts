/**
 * From queue messages to ledgers, and then to sinks. Each message is acknowledged by itself: one that cannot be read, or
 * an event that is no event, goes to the dead letters and is done; one whose ledger or required sink did not answer comes
 * again, and what of it had been counted already is not counted twice.
 */
import type { Envelope, EnvelopeType } from "../src/events/envelope.ts";
import { type DecodedMessage, readMessage, type Sender } from "../src/events/message.ts";
import { parseEvent } from "../src/events/validate.ts";
import { type BatchBuilder, batchBuilder, refOfEvent } from "../src/ledger/batch.ts";
import { limits } from "../src/limits.ts";
import { messageOf } from "../src/message-of.ts";
import { type ExperimentRef, refKey } from "../src/scope.ts";
import { type DeadLetter, deadLettersOf, type DeadLetterQueue, sendDeadLetters } from "./dead-letters.ts";
import { horizonMs, type RecordBatch, type RecordReport } from "./ledger.ts";
import type { KnownPlan, PlanCache } from "./plans.ts";
import { feed, type FeedReport, type FedSink } from "./sinks.ts";

/** As much of a queue's message as is used. */
export interface QueueMessage {
  readonly id: string;
  readonly timestamp: Date;
  readonly body: unknown;
  readonly attempts: number;
  ack(): void;
  retry(options?: { delaySeconds?: number }): void;
}

export interface ConsumerDependencies {
  readonly ledger: (ref: ExperimentRef) => { record(batch: RecordBatch): Promise<RecordReport> };
  /** Where the plans of experiments come from. Left out: there is no authority to ask, and every name counts. */
  readonly plans?: PlanCache;
  readonly deadLetters: DeadLetterQueue;
  /** Types of events that are switched off: they are not counted, whoever put them into the queue. */
  readonly off?: readonly EnvelopeType[];
  /** Where events go once the ledger has counted them. */
  readonly sinks?: readonly FedSink[];
  /** Hears how every sink did that was given events. It must not throw. */
  readonly onFed?: (report: FeedReport) => void;
  /** ms since 1970 */
  readonly now: () => number;
  readonly report: (error: unknown) => void;
}

/** One call's worth: it bounds the memory of both sides and how long a ledger is busy with one batch. */
const recordEvents = 10_000;
const recordCharacters = 4_000_000;

/** Ledgers that are written to at the same time. */
const concurrency = 8;

/** Experiments whose plan is read for one batch of messages; one invocation has 1,000 subrequests for everything. */
const lookUpsMax = 200;

/** An event that the remembered plan does not know. */
interface Doubtful {
  readonly event: Envelope;
  readonly source: QueueMessage;
  readonly sender: Sender;
}

/** What a batch of messages has for one experiment. */
interface Delivery {
  readonly ref: ExperimentRef;
  /** null: none is remembered, and every event is doubtful. undefined: there is no authority, and none is. */
  readonly plan: KnownPlan | null | undefined;
  readonly doubtful: Doubtful[];
  /** The last one is being filled. */
  readonly batches: BatchBuilder[];
  readonly sources: Set<QueueMessage>;
  /** What is in the batches, where there are sinks to give it to. */
  readonly kept: SourcedEvent[] | undefined;
  /** Ids of events that the ledger did not count. Only here: under the same id there may be one of another tenant's. */
  readonly refused: Set<string>;
}

interface SourcedEvent {
  readonly event: Envelope;
  readonly source: QueueMessage;
}

const addTo = (
  { ref, batches, sources, kept }: Delivery,
  event: Envelope,
  source: QueueMessage,
  sender: Sender,
  plan: KnownPlan | null | undefined,
): void => {
  let batch = batches.at(-1);
  if (batch === undefined || batch.events >= recordEvents || batch.characters >= recordCharacters) {
    batch = batchBuilder(ref, plan?.counting);
    batches.push(batch);
  }
  batch.add(event, sender);
  sources.add(source);
  kept?.push({ event, source });
};

const sameRef = (a: ExperimentRef, b: ExperimentRef): boolean =>
  a.experiment === b.experiment && a.tenant === b.tenant && a.environment === b.environment;

/** Sorts events by experiment. Neighbours are mostly of one experiment, so its key is seldom made. */
const createDeliveries = (plans: PlanCache | undefined, keeping: boolean) => {
  const deliveries = new Map<string, Delivery>();
  let last: Delivery | undefined;
  return {
    add(event: Envelope, source: QueueMessage, sender: Sender): void {
      const ref = refOfEvent(event);
      if (last === undefined || !sameRef(last.ref, ref)) {
        const key = refKey(ref);
        const plan = plans === undefined ? undefined : (plans.known(ref) ?? null);
        last = deliveries.get(key) ?? {
          ref,
          plan,
          doubtful: [],
          batches: [],
          sources: new Set(),
          kept: keeping ? [] : undefined,
          refused: new Set(),
        };
        deliveries.set(key, last);
      }
      const { plan } = last;
      if (plan === undefined || (plan !== null && plan.problemOf(event) === undefined))
        addTo(last, event, source, sender, plan);
      else last.doubtful.push({ event, source, sender });
    },
    all: (): readonly Delivery[] => [...deliveries.values()],
  };
};

const read = ({ body }: QueueMessage): DecodedMessage => {
  if (typeof body !== "string") throw new TypeError(`queue message: expected text, found ${typeof body}`);
  const message = readMessage(body);
  if (message.events.length <= limits.batchEvents) return message;
  throw new TypeError(`queue message: at most ${limits.batchEvents} events, not ${message.events.length}`);
};

/** The events of these messages that a ledger refused. Seldom needed, so read from the messages again. */
const refusedLetters = ({ ref, sources }: Delivery, { refused }: RecordReport): readonly Letter[] => {
  if (refused.length === 0) return [];
  const reasons = new Map(refused.map(({ eventId, reason }) => [eventId, reason]));
  return [...sources].flatMap((source) =>
    read(source).events.flatMap((raw) => {
      const parsed = parseEvent(raw);
      const reason =
        parsed.ok && sameRef(refOfEvent(parsed.event), ref) ? reasons.get(parsed.event.eventId) : undefined;
      if (reason === undefined) return [];
      return [{ source, letters: deadLettersOf(source, "refused", [{ path: "", message: reason }], raw) }];
    }),
  );
};

interface Letter {
  readonly source: QueueMessage;
  readonly letters: readonly DeadLetter[];
}

/** Reads a message: its good events to the deliveries, the rest to the letters. */
const sortOut = (
  source: QueueMessage,
  now: number,
  off: readonly EnvelopeType[],
  add: (event: Envelope, source: QueueMessage, sender: Sender) => void,
  put: (letter: Letter) => void,
): void => {
  let message: DecodedMessage;
  try {
    message = read(source);
  } catch (error) {
    const problems = [{ path: "", message: messageOf(error) }];
    put({ source, letters: deadLettersOf(source, "unreadable-message", problems, source.body) });
    return;
  }
  // Past the horizon an exposure's id may be forgotten, and a message that waited so long could be counted twice.
  const isLate = now - source.timestamp.getTime() > horizonMs;
  for (const raw of message.events) {
    if (isLate) {
      const problems = [{ path: "", message: "sent more than 14 days ago" }];
      put({ source, letters: deadLettersOf(source, "late", problems, raw) });
      continue;
    }
    const parsed = parseEvent(raw);
    if (parsed.ok && off.includes(parsed.event.eventType)) {
      const problems = [{ path: "/eventType", message: `${parsed.event.eventType} events are switched off` }];
      put({ source, letters: deadLettersOf(source, "refused", problems, raw) });
    } else if (parsed.ok) add(parsed.event, source, message.sender);
    else put({ source, letters: deadLettersOf(source, "invalid-event", parsed.problems, raw) });
  }
};

/** Runs `work` over items, so many at a time. It must not reject. */
const forEachOf = async <Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> => {
  const waiting = items.values();
  const worker = async (): Promise<void> => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
};

/** `max_retries` of wrangler.toml, and the first. After it the queue itself puts the whole message to the dead letters. */
const lastAttempt = 11;

/** 2 s, 4 s … 5 min: a ledger that is overloaded must not be asked at once again. */
const retryDelaySeconds = (attempts: number): number => Math.min(2 ** Math.max(1, attempts), 300);

/** Why an event of this experiment cannot be counted, by a plan that is as new as the event at least. */
const problemBy = (
  plan: KnownPlan | null,
  { ref, event }: { ref: ExperimentRef; event: Envelope },
): string | undefined =>
  plan === null
    ? `there is no experiment ${ref.experiment} in ${ref.tenant}/${ref.environment}`
    : plan.problemOf(event);

/** Gives counted events to the sinks; says which messages must come again for a required one, and what goes to the letters. */
const feedSinks = async (
  sinks: readonly FedSink[],
  counted: readonly SourcedEvent[],
  onFed: ConsumerDependencies["onFed"],
): Promise<{ readonly lettersOfSinks: readonly Letter[]; readonly missed: readonly QueueMessage[] }> => {
  const sourceOf = new Map(counted.map(({ event, source }) => [event, source]));
  const lettersOfSinks: Letter[] = [];
  const missed = new Set<QueueMessage>();
  const put = (event: Envelope, reason: "sink-refused" | "sink-failed", message: string): void => {
    const source = sourceOf.get(event);
    if (source === undefined) return;
    lettersOfSinks.push({ source, letters: deadLettersOf(source, reason, [{ path: "", message }], event) });
  };
  const events = counted.map(({ event }) => event);
  for (const report of await feed(sinks, events)) {
    onFed?.(report);
    const { sink, refused, missing, error } = report;
    if (!sink.required) continue;
    for (const { event, message } of refused) put(event, "sink-refused", `${sink.name}: ${message}`);
    for (const event of missing) {
      const source = sourceOf.get(event);
      if (source === undefined) continue;
      // After the last attempt the queue would put the message to the dead letters as it is, without a reason.
      if (source.attempts >= lastAttempt) put(event, "sink-failed", `${sink.name}: ${messageOf(error)}`);
      else missed.add(source);
    }
  }
  return { lettersOfSinks, missed: [...missed] };
};

/**
 * Consumes one batch. It never rejects for what is in a message: each is acknowledged or asked for again.
 *
 * @example await consume(batch, { ledger: (ref) => env.LEDGERS.getByName(refKey(ref)), deadLetters: env.DEAD_LETTERS, … })
 */
export const consume = async (
  { messages }: { readonly messages: readonly QueueMessage[] },
  { ledger, plans, deadLetters, off = [], sinks = [], onFed, now, report }: ConsumerDependencies,
): Promise<void> => {
  const at = now();
  const deliveries = createDeliveries(plans, sinks.length > 0);
  const letters: Letter[] = [];
  const again = new Set<QueueMessage>();
  for (const message of messages) {
    sortOut(
      message,
      at,
      off,
      (event, source, sender) => deliveries.add(event, source, sender),
      (letter) => letters.push(letter),
    );
  }

  let lookUps = 0;
  /**
   * The events that the remembered plan does not know are judged by one that is read now: whatever their senders knew
   * when they sent them is in it, because rules are published from what is read here.
   */
  const settle = async (delivery: Delivery): Promise<void> => {
    const { ref, doubtful } = delivery;
    if (plans === undefined || (doubtful.length === 0 && !plans.isOld(ref, at))) return;
    lookUps += 1;
    let plan: KnownPlan | null;
    try {
      if (lookUps > lookUpsMax) throw new RangeError(`more than ${lookUpsMax} experiments to look up for one batch`);
      plan = await plans.refresh(ref);
    } catch (error) {
      report(error);
      for (const { source } of doubtful) again.add(source);
      return;
    }
    for (const { event, source, sender } of doubtful) {
      const message = problemBy(plan, { ref, event });
      if (message === undefined) addTo(delivery, event, source, sender, plan);
      else letters.push({ source, letters: deadLettersOf(source, "refused", [{ path: "", message }], event) });
    }
  };

  await forEachOf(deliveries.all(), async (delivery) => {
    await settle(delivery);
    try {
      for (const batch of delivery.batches) {
        const answer = await ledger(delivery.ref).record(batch.build());
        letters.push(...refusedLetters(delivery, answer));
        for (const { eventId } of answer.refused) delivery.refused.add(eventId);
      }
    } catch (error) {
      report(error);
      for (const source of delivery.sources) again.add(source);
    }
  });

  if (sinks.length > 0) {
    // What comes again is given to them then: they are to have nothing that the ledger may not have.
    const counted = deliveries
      .all()
      .flatMap(({ kept = [], refused }) => kept.filter(({ event }) => !refused.has(event.eventId)))
      .filter(({ source }) => !again.has(source));
    const { lettersOfSinks, missed } = await feedSinks(sinks, counted, onFed);
    letters.push(...lettersOfSinks);
    for (const source of missed) again.add(source);
  }

  // A message that comes again brings its letters again.
  const due = letters.filter(({ source }) => !again.has(source) || source.attempts >= lastAttempt);
  if (due.length > 0) {
    try {
      await sendDeadLetters(
        deadLetters,
        due.flatMap((letter) => letter.letters),
      );
    } catch (error) {
      report(error);
      for (const { source } of due) again.add(source);
    }
  }
  for (const message of messages) {
    if (again.has(message)) message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
    else message.ack();
  }
};
