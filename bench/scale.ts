/**
 * What an amount of exposures takes in objects, queues, rows and dollars: the arithmetic behind docs/scale.md, and a
 * simulation that shows where it bends, the fullest shard and the queue that catches up after an outage.
 *
 *     npx node bench/scale.ts
 *
 * Prices and limits are those that Cloudflare publishes for Workers Paid; docs/scale.md names the page of each.
 */
import { shardHash, shardOf } from "../src/ledger/shard.ts";

/** Limits and prices that decide, with the product that has them. */
export const platform = {
  /** Queues: messages a second that one queue takes, and what one message may hold. */
  queueMessagesPerSecond: 5_000,
  messageEvents: 200,
  /** Queues: consumer invocations of one queue at a time. */
  queueConcurrency: 250,
  /** Durable Objects: SQLite storage of one object. */
  objectBytes: 10e9,
  /** Queues: an operation is counted for so many bytes of a message, and each message has some bytes of its own besides. */
  queueOperationBytes: 64_000,
  queueMessageBytes: 100,
  /** Dollars a million: requests, queue operations (write, read, delete), rows written, rows read, GB-seconds of objects. */
  requests: 0.3,
  queueOperations: 0.4,
  objectRequests: 0.15,
  rowsWritten: 1,
  rowsRead: 0.001,
  objectGigabyteSeconds: 12.5,
  /** GB that an object is billed with while it is active, whatever it uses. */
  objectMemory: 0.128,
  /** Dollars a GB and month. */
  storage: 0.2,
} as const;

/** A third of what docs/benchmarks.md measures of one shard on one core; of this again a third is kept free. */
export const shardEventsPerSecond = 20_000;
const usable = 2 / 3;
/**
 * Bytes of SQLite. A subject with its exposure id and two outcomes takes 234, measured over a million events; how they
 * share them is an estimate from the columns.
 */
export const bytesOf = { subject: 110, outcome: 45, exposureId: 34 } as const;

/** Bytes of an event of the SDK as JSON, with a digest and names of ordinary length. */
export const eventBytes = { exposure: 510, outcome: 310 } as const;

export interface Load {
  readonly exposuresPerDay: number;
  /** Outcomes for one exposure. */
  readonly outcomesPerExposure: number;
  /** Share of exposures that are a subject's first. */
  readonly newSubjects: number;
  /** The busiest second against the average one. */
  readonly peak: number;
  /** Days that the experiment runs. */
  readonly days: number;
}

export const ordinary: Omit<Load, "exposuresPerDay"> = { outcomesPerExposure: 1, newSubjects: 0.3, peak: 4, days: 28 };

export interface Need {
  readonly peakEventsPerSecond: number;
  readonly messagesPerSecond: number;
  readonly queues: number;
  readonly shards: number;
  readonly rowsWrittenPerDay: number;
  readonly bytesPerShard: number;
  readonly dollarsPerMonth: number;
}

/** Dollars of a month at a price for each million. */
const millions = (perDay: number, price: number): number => ((perDay * 30) / 1e6) * price;

const powerOfTwo = (least: number): number => 2 ** Math.max(0, Math.ceil(Math.log2(least)));

/**
 * @example needOf({ ...ordinary, exposuresPerDay: 1e6 }).shards // 1
 */
export const needOf = ({ exposuresPerDay, outcomesPerExposure, newSubjects, peak, days }: Load): Need => {
  const eventsPerDay = exposuresPerDay * (1 + outcomesPerExposure);
  const peakEventsPerSecond = (eventsPerDay / 86_400) * peak;
  // A message is full only under load: at a trickle every flush of a sender is a message of its own.
  const eventsPerMessage = Math.min(platform.messageEvents, Math.max(1, peakEventsPerSecond / 10));
  const messagesPerDay = eventsPerDay / eventsPerMessage;
  const bytesPerEvent = (eventBytes.exposure + eventBytes.outcome * outcomesPerExposure) / (1 + outcomesPerExposure);
  const messageBytes = eventsPerMessage * bytesPerEvent + platform.queueMessageBytes;
  const operationsPerMessage = 3 * Math.ceil(messageBytes / platform.queueOperationBytes);
  const messagesPerSecond = (messagesPerDay / 86_400) * peak;
  const subjects = exposuresPerDay * newSubjects * days;
  const bytes =
    subjects * bytesOf.subject +
    exposuresPerDay * Math.min(days, 28) * bytesOf.exposureId +
    exposuresPerDay * outcomesPerExposure * days * bytesOf.outcome;
  const shards = Math.max(
    powerOfTwo(peakEventsPerSecond / (shardEventsPerSecond * usable)),
    powerOfTwo(bytes / (platform.objectBytes * usable)),
  );
  // An exposure writes its id and, the first time, its subject and its name, first into the small table and then into the
  // large one; an outcome itself and its subject's totals.
  const rowsWrittenPerDay = exposuresPerDay * (1 + 3 * newSubjects) + exposuresPerDay * outcomesPerExposure * 2;
  return {
    peakEventsPerSecond,
    messagesPerSecond,
    queues: Math.max(1, Math.ceil(messagesPerSecond / platform.queueMessagesPerSecond)),
    shards,
    rowsWrittenPerDay,
    bytesPerShard: bytes / shards,
    dollarsPerMonth:
      millions(messagesPerDay, platform.requests) +
      millions(messagesPerDay * operationsPerMessage, platform.queueOperations) +
      millions(messagesPerDay, platform.objectRequests) +
      millions(rowsWrittenPerDay, platform.rowsWritten) +
      millions(rowsWrittenPerDay * 2, platform.rowsRead) +
      // At most: an object that rests between two calls is not billed for it.
      millions(shards * 86_400 * platform.objectMemory, platform.objectGigabyteSeconds) +
      (bytes / 1e9) * platform.storage,
  };
};

/** How much fuller than the average the fullest shard is, by the very hash that chooses it. */
export const fullestShard = (subjects: number, shards: number): number => {
  const counts = Array.from({ length: shards }, () => 0);
  for (let n = 0; n < subjects; n += 1) {
    const shard = shardOf(shardHash(`user-${n}`), shards);
    counts[shard] = (counts[shard] ?? 0) + 1;
  }
  return Math.max(...counts) / (subjects / shards);
};

export interface Backlog {
  /** The longest a message waited, seconds. */
  readonly longestWait: number;
  /** When the queue was empty again, seconds after the outage; Infinity: never. */
  readonly caughtUp: number;
}

/**
 * A day of events through a queue into shards of which none works for an hour: a second at a time, load in a daily wave
 * with the given peak, each shard with its own share of the subjects.
 */
export const backlogAfterOutage = (load: Load, shards: number, outageSeconds: number): Backlog => {
  const { peak } = load;
  const average = (load.exposuresPerDay * (1 + load.outcomesPerExposure)) / 86_400;
  const worst = fullestShard(200_000, shards) / shards;
  const from = 36_000;
  let waiting = 0;
  let longestWait = 0;
  for (let second = 0; second < 172_800; second += 1) {
    // Between nothing and twice the average, or up to the peak where that is higher, at noon.
    const wave = 1 - Math.cos((2 * Math.PI * (second % 86_400)) / 86_400);
    const arriving = average * worst * Math.min(peak, wave ** Math.log2(Math.max(2, peak)));
    const working = second >= from && second < from + outageSeconds ? 0 : shardEventsPerSecond;
    waiting = Math.max(0, waiting + arriving - working);
    longestWait = Math.max(longestWait, waiting / shardEventsPerSecond);
    if (second > from + outageSeconds && waiting === 0) return { longestWait, caughtUp: second - from - outageSeconds };
  }
  return { longestWait, caughtUp: Infinity };
};

/** The rows of the table in docs/scale.md. */
export const loads: readonly (readonly [name: string, load: Load])[] = [
  ["10,000 a day", { ...ordinary, exposuresPerDay: 1e4 }],
  ["1 million a day", { ...ordinary, exposuresPerDay: 1e6 }],
  ["100 million a day", { ...ordinary, exposuresPerDay: 1e8 }],
  ["1 million a second", { ...ordinary, exposuresPerDay: 8.64e10, newSubjects: 0.02, peak: 1, days: 14 }],
  [
    "the same, 0.5 % of subjects kept",
    { ...ordinary, exposuresPerDay: 8.64e10 * 0.005, newSubjects: 0.02, peak: 1, days: 14 },
  ],
];

const round = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(2)));

/** One line of that table. */
export const rowOf = ([name, load]: readonly [string, Load]): string => {
  const need = needOf(load);
  return `| ${[
    name,
    round(need.peakEventsPerSecond),
    round(need.messagesPerSecond),
    round(need.queues),
    round(need.shards),
    round(need.rowsWrittenPerDay / 1e6),
    round(need.bytesPerShard / 1e9),
    round(need.dollarsPerMonth),
  ].join(" | ")} |`;
};

if (import.meta.main) {
  console.log(
    "| exposures | peak events/s | messages/s | queues | shards | million rows written a day | GB a shard | dollars a month |",
  );
  console.log("|---|---|---|---|---|---|---|---|");
  for (const entry of loads) console.log(rowOf(entry));
  console.log("\nthe fullest of so many shards, against the average, for a million subjects:");
  for (const shards of [4, 16, 64, 256]) console.log(`  ${shards}: ${fullestShard(1_000_000, shards).toFixed(4)}`);
  console.log("\nafter an hour without any shard, 100 million a day:");
  for (const shards of [1, 2, 4]) {
    const { longestWait, caughtUp } = backlogAfterOutage({ ...ordinary, exposuresPerDay: 1e8 }, shards, 3_600);
    console.log(
      `  ${shards} shards: a message waits ${Math.round(longestWait)} s at most, empty again after ${caughtUp} s`,
    );
  }
}
