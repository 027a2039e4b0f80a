/** What a commit has just written, for whoever is told of it next: it need not be read from the store again. */
import { referencesIn } from "../governance/event-references.ts";
import type { EventRecord, PersonalRef } from "../governance/events.ts";
import type { Snapshot } from "../governance/store.ts";

export interface Fresh {
  /** At least one; in order of seq, without a gap. */
  readonly events: readonly EventRecord[];
  /** Values of all references in these events. */
  readonly people: ReadonlyMap<PersonalRef, string>;
  /** The experiment after the last of them. */
  readonly snapshot: Snapshot;
}

/** More than this is read from the store in pages, so that what waits for a slow subscriber stays small. */
const eventsMax = 50;

/** Null where a value is missing, because it was erased or is not known here: then the store has to be asked. */
export const freshOf = (
  events: readonly EventRecord[],
  known: ReadonlyMap<PersonalRef, string>,
  snapshot: Snapshot,
): Fresh | null => {
  const people = new Map<PersonalRef, string>();
  for (const ref of events.flatMap((event) => referencesIn(event))) {
    const value = known.get(ref);
    if (value === undefined) return null;
    people.set(ref, value);
  }
  return { events, people, snapshot };
};

/** One commit and the one after it; null where something is missing between them, or it is too much to hold. */
export const joined = (before: Fresh, next: Fresh): Fresh | null => {
  const events = [...before.events, ...next.events];
  const isWhole = before.events.at(-1)?.seq === (next.events[0]?.seq ?? 0) - 1;
  if (!isWhole || events.length > eventsMax) return null;
  return { events, people: new Map([...before.people, ...next.people]), snapshot: next.snapshot };
};
