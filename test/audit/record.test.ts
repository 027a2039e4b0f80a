/** What of people leaves with an audit record: nothing, their names, or also their words. */
import { expect, test } from "vitest";
import { auditRecord, auditText } from "../../src/audit/record.ts";
import { approver, author, fullHistory, ref, words } from "../notices/history.ts";

const { events, people } = await fullHistory();
const textOf = (personal: "none" | "actors" | "all"): string =>
  JSON.stringify(events.map((event) => auditRecord(ref, event, people, personal)));

test("unasked, nothing of people leaves", () => {
  for (const value of [author.actor.id, approver.actor.id, words]) expect(textOf("none")).not.toContain(value);
});

test("asked for, names leave; words only with them", () => {
  for (const name of [author.actor.id, approver.actor.id]) expect(textOf("actors")).toContain(name);
  expect(textOf("actors")).not.toContain(words);
  expect(textOf("all")).toContain(words);
});

test("only values of the event's own references leave with it", () => {
  const [first] = events;
  if (first === undefined) throw new Error("no event");
  const others = new Map([...people, ["f".repeat(64), "somebody else"]]);
  expect(Object.keys(auditRecord(ref, first, others, "all").people ?? {})).toEqual([first.actor.ref]);
});

test("a record that fits is what JSON makes of it; one byte less, and its data are left out", () => {
  const written = events.find(({ type }) => type === "VersionWritten");
  if (written === undefined) throw new Error("no version");
  const record = auditRecord(ref, written, people, "all");
  const whole = JSON.stringify(record);
  const bytes = Buffer.byteLength(whole);
  expect(auditText(record, bytes)).toBe(whole);
  const short = auditText(record, bytes - 1);
  expect(JSON.parse(short)).toMatchObject({ event: { seq: written.seq, data: { omitted: { bytes } } } });
  expect(short).not.toContain(words);
});
