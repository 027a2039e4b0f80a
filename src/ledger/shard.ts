/**
 * Which shard of a ledger a subject is counted in. The number of shards is a power of two, and a shard is the rest of a
 * hash: doubling the number splits every shard in two and moves no subject between any others.
 */
import { murmur3 } from "../evaluation/murmur3.ts";

/** Of its own, so that a shard says nothing of the variant: a hash that decided both would put one arm into one shard. */
const seed = murmur3("proviso:ledger:shard:", 0);

/** A subject's 32-bit number, the same for ever and under every number of shards. */
export const shardHash = (subject: string): number => murmur3(subject, seed);

/** @param shards a power of two */
export const shardOf = (hash: number, shards: number): number => (hash & (shards - 1)) >>> 0;

export const isShardCount = (count: number): boolean => Number.isInteger(Math.log2(count)) && count >= 1;

/** Name of a shard's object; the first one has that of the whole ledger, which it also coordinates. */
export const shardName = (ledger: string, shard: number): string => (shard === 0 ? ledger : `${ledger}#${shard}`);
