/**
 * Mutual exclusion. A group's subjects fall into 100 slots by a hash of the group alone; each slot is a claim in the
 * scope, so the store gives it to one experiment at a time, also to one of two that start at the same moment. An
 * experiment takes as many as its traffic needs when it starts and keeps them while it could serve. Nobody else's slots
 * ever change by that: starting, ending or growing an experiment moves no subject of another one.
 */
import { bucketOf, bucketSeed } from "../evaluation/bucket.ts";
import { exclusionSlots } from "../evaluation/rule-set.ts";
import type { SettledConfiguration } from "../experiment.ts";

const prefix = "exclusion:";

export const isSlotClaim = (claim: string): boolean => claim.startsWith(prefix);

/** Names hold no `:`, so a group cannot reach into another one's slots. */
export const slotClaim = (group: string, slot: number): string => `${prefix}${group}:${slot}`;

/** The slots of a group among claims, in the order in which they were taken. */
export const slotsIn = (claims: readonly string[], group: string): readonly number[] => {
  const before = `${prefix}${group}:`;
  return claims.filter((claim) => claim.startsWith(before)).map((claim) => Number(claim.slice(before.length)));
};

type Excluding = Pick<SettledConfiguration, "traffic" | "salt" | "exclusion">;

/** One slot is one percent of the group. What a ramp may reach counts, so that no step has to wait for a slot. */
export const slotsNeeded = ({ traffic, exclusion }: Pick<Excluding, "traffic" | "exclusion">): number =>
  exclusion === undefined ? 0 : Math.ceil(Math.round(traffic * 100) / 100);

/** All slots in an order of the experiment's own: two that start together seldom want the same ones first. */
const preferred = (salt: string): readonly number[] => {
  const seed = bucketSeed(salt, "exclusion");
  return Array.from({ length: exclusionSlots }, (_, slot) => ({ slot, rank: bucketOf(seed, String(slot)) }))
    .toSorted((a, b) => a.rank - b.rank || a.slot - b.slot)
    .map(({ slot }) => slot);
};

export type SlotChoice =
  | { readonly ok: true; readonly slots: readonly number[] }
  | { readonly ok: false; readonly needed: number; readonly available: number };

/**
 * The slots that content wants: of those it holds the first ones taken, then free ones. Whoever is inside the traffic
 * stays so when the traffic rises, because slots are added behind those that are there.
 *
 * @param taken by others
 */
export const chooseSlots = (content: Excluding, held: readonly number[], taken: readonly number[]): SlotChoice => {
  const needed = slotsNeeded(content);
  const kept = held.slice(0, needed);
  if (kept.length === needed) return { ok: true, slots: kept };
  const gone = new Set([...kept, ...taken]);
  const free = preferred(content.salt).filter((slot) => !gone.has(slot));
  const slots = [...kept, ...free.slice(0, needed - kept.length)];
  return slots.length === needed ? { ok: true, slots } : { ok: false, needed, available: kept.length + free.length };
};
