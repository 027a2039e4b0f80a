/** What the consumer could not use, put aside with the reason, in a form that a person or a script can send again. */
import type { LocatedMessage } from "../src/errors.ts";
import { runsOf } from "../src/events/send.ts";
import { utf8Length } from "../src/utf8.ts";

/**
 * `refused`: by the ledger, or by the plan of the experiment. `sink-refused` and `sink-failed` are about events that are
 * counted: a required sink would not take them, or has not until the last attempt.
 */
export const deadLetterReasons = [
  "unreadable-message",
  "invalid-event",
  "late",
  "refused",
  "sink-refused",
  "sink-failed",
] as const;

export interface DeadLetter {
  readonly v: 1;
  readonly reason: (typeof deadLetterReasons)[number];
  /** What exactly was wrong. */
  readonly problems: readonly LocatedMessage[];
  /** The queue message it came in. */
  readonly messageId: string;
  /** When that was sent, ISO 8601. */
  readonly sentAt: string;
  /** The event, or the text of the message, as JSON text. */
  readonly content: string;
  /** Of a text that is too long for one queue message (128 KB): joined in order, the parts give it back. Counts from 1. */
  readonly part?: number;
  readonly of?: number;
}

/** JSON text inside JSON text: quotes and backslashes double, which leaves room for any event within its limit. */
const contentBytes = 100_000;
/** What is left of a message for the problems: what a sink's far side says may be of any length. */
const problemsMax = 10;
const problemCharacters = 300;

/** What a message may hold need not have a JSON form. */
const textOf = (content: unknown): string => {
  if (typeof content === "string") return content;
  try {
    return JSON.stringify(content) ?? String(content);
  } catch {
    return String(content);
  }
};

/** Halves of halves, until each fits. A surrogate alone keeps its value as an escape, so a cut may fall anywhere. */
const partsOf = (text: string): readonly string[] => {
  if (utf8Length(JSON.stringify(text)) <= contentBytes) return [text];
  const half = Math.ceil(text.length / 2);
  return [...partsOf(text.slice(0, half)), ...partsOf(text.slice(half))];
};

/** One letter, or several with a part each. */
export const deadLettersOf = (
  source: { readonly id: string; readonly timestamp: Date },
  reason: DeadLetter["reason"],
  problems: readonly LocatedMessage[],
  content: unknown,
): readonly DeadLetter[] => {
  const parts = partsOf(textOf(content));
  return parts.map((part, index) => ({
    v: 1,
    reason,
    problems: problems
      .slice(0, problemsMax)
      .map(({ path, message }) => ({ path, message: message.slice(0, problemCharacters) })),
    messageId: source.id,
    sentAt: source.timestamp.toISOString(),
    content: part,
    ...(parts.length === 1 ? {} : { part: index + 1, of: parts.length }),
  }));
};

/** As much of a queue binding as is used. */
export interface DeadLetterQueue {
  sendBatch(messages: Iterable<{ readonly body: string; readonly contentType: "text" }>): Promise<unknown>;
}

/** One call takes 100 messages and 256 KB. */
const callMessages = 100;
const callBytes = 250_000;

/** Sends them all, or rejects. */
export const sendDeadLetters = async (queue: DeadLetterQueue, letters: readonly DeadLetter[]): Promise<void> => {
  const bodies = letters.map((letter) => {
    const body = JSON.stringify(letter);
    return { body, bytes: utf8Length(body) };
  });
  for (const run of runsOf(bodies, callMessages, callBytes)) {
    await queue.sendBatch(run.map(({ body }) => ({ body, contentType: "text" })));
  }
};
