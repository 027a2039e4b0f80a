/**
 * A Durable Object that counts what an experiment's subjects were shown and did: one of them, or several shards. The
 * first is named by `refKey` of the experiment and coordinates; the others by `shardName`.
 */
import { DurableObject } from "cloudflare:workers";
import type { CountsOptions, PageOptions } from "../src/http/dependencies.ts";
import type { CountRows, Parcels } from "../src/ledger/count-rows.ts";
import type { ArmCount, LedgerCounts } from "../src/ledger/counts.ts";
import type { CrossoverPage } from "../src/ledger/crossover.ts";
import type { Watch, WatchCounts } from "../src/ledger/watch.ts";
import { shardName } from "../src/ledger/shard.ts";
import { type ExperimentRef, refKey } from "../src/scope.ts";
import { ledgersOf } from "./compose.ts";
import type { LedgerEnv, LedgerStub } from "./env.ts";
import type { Share } from "./hand-over.ts";
import {
  type FirstRow,
  type Ledger,
  openLedger,
  type RecordBatch,
  type RecordReport,
  type Routing,
  type RowsAsked,
} from "./ledger.ts";
import type { ShardPlace } from "./ledger-schema.ts";
import { type Coordinator, createCoordinator } from "./ledger-shards.ts";

export type { RecordBatch, RecordReport } from "./ledger.ts";

/** Parcels that are sent in one go, before whoever waits for counts has its turn. */
const parcelsAtOnce = 4;
/** An alarm that has not rung so long after its time will not ring. */
const overdueMs = 10_000;
/** How soon moving goes on. */
const moveAgainMs = 20;

export class LedgerObject<Env extends LedgerEnv = LedgerEnv> extends DurableObject<Env> implements LedgerStub {
  readonly #ledger: Ledger;
  readonly #coordinator: Coordinator;
  /** When the alarm is set for; undefined until the storage has been asked. */
  #alarm: number | null | undefined;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#ledger = openLedger(context.storage, Date.now);
    this.#coordinator = createCoordinator({
      ledger: this.#ledger,
      ref: () => this.#ledger.identity()?.ref ?? null,
      other: (shard) => this.#shard(shard),
      handOver: (ref, shards, target) => this.#handOver(ref, { shard: 0, shards }, target),
      now: Date.now,
    });
  }

  #shard(shard: number): LedgerStub {
    const identity = this.#ledger.identity();
    if (identity === null) throw new TypeError("ledger: one without a name has no other shards");
    return ledgersOf(this.env).getByName(shardName(refKey(identity.ref), shard));
  }

  async record(batch: RecordBatch, place?: ShardPlace): Promise<RecordReport> {
    const report = this.#ledger.record(batch, place);
    await this.#wakeWithin(60_000);
    return report;
  }

  async counts(options?: CountsOptions): Promise<LedgerCounts> {
    return this.#coordinator.counts(options);
  }

  async watched(watch: Watch): Promise<WatchCounts> {
    return this.#coordinator.watched(watch);
  }

  async watchedHere(watch: Watch): Promise<{ readonly counts: WatchCounts; readonly parcels: Parcels } | null> {
    if (this.#ledger.identity() === null) return null;
    return { counts: this.#ledger.watched(watch), parcels: this.#ledger.parcels() };
  }

  async crossovers(page: PageOptions): Promise<CrossoverPage> {
    return this.#ledger.identity()?.place.shard === 0
      ? this.#coordinator.crossovers(page)
      : this.#ledger.crossovers(page);
  }

  async rows(asked: RowsAsked): Promise<CountRows | null> {
    return this.#ledger.rows(asked);
  }

  async settled(minute: number): Promise<{ readonly arms: readonly ArmCount[]; readonly parcels: Parcels } | null> {
    return this.#ledger.settled(minute);
  }

  async firstExposures(after: FirstRow | null, limit: number): Promise<readonly FirstRow[]> {
    return this.#ledger.firstExposures(after, limit);
  }

  async routing(ref: ExperimentRef, want: number): Promise<Routing> {
    const routing = this.#ledger.routing(ref, want);
    if (routing.shards < routing.target) await this.#wakeWithin(0);
    return routing;
  }

  async handOver(ref: ExperimentRef, shards: number, target: number): Promise<boolean> {
    const shard = this.#ledger.identity()?.place.shard;
    return this.#handOver(ref, { shard: shard ?? this.#numberIn(ref), shards }, target);
  }

  async receive(ref: ExperimentRef, place: ShardPlace, share: Share): Promise<void> {
    this.#ledger.receive(ref, place, share);
    await this.#wakeWithin(60_000);
  }

  /** Another shard has had events: the next checkpoint is due within a minute. */
  async stir(): Promise<void> {
    await this.#wakeWithin(60_000);
  }

  override async alarm(): Promise<void> {
    // Whoever asks for a time from here on, while this waits, sets one that it must not lose.
    this.#alarm = null;
    const next = this.#ledger.tick();
    const shard = this.#ledger.identity()?.place.shard;
    let wake = next;
    if (shard === 0) {
      // An error is the platform's to repeat: the alarm rings again.
      if (await this.#coordinator.advance()) wake = Date.now() + moveAgainMs;
      await this.#coordinator.look();
    } else if (shard !== undefined && next !== null) {
      await this.#shard(0).stir();
    }
    if (wake === null || (this.#alarm !== null && this.#alarm <= wake)) return;
    this.#alarm = wake;
    await this.ctx.storage.setAlarm(wake);
  }

  /** Which shard an object is that has never recorded anything: its name says it. */
  #numberIn(ref: ExperimentRef): number {
    const name = this.ctx.id.name ?? "";
    const number = Number(name.slice(refKey(ref).length + 1));
    if (!Number.isSafeInteger(number) || shardName(refKey(ref), number) !== name)
      throw new TypeError(`ledger: ${name} is no shard of ${refKey(ref)}`);
    return number;
  }

  async #handOver(ref: ExperimentRef, place: ShardPlace, target: number): Promise<boolean> {
    this.#ledger.split(ref, place, target);
    for (let parcel = 0; parcel < parcelsAtOnce; parcel += 1) {
      const next = this.#ledger.nextParcel();
      if (next === null) return true;
      const { peer, seq, content } = next;
      await this.#shard(peer).receive(ref, { shard: peer, shards: target }, { from: place.shard, seq, content });
      this.#ledger.sent(next);
    }
    return false;
  }

  /** Keeps an alarm within reach while data arrives; the next one is the alarm's own to set. */
  async #wakeWithin(ms: number): Promise<void> {
    const now = Date.now();
    const latest = now + ms;
    this.#alarm ??= await this.ctx.storage.getAlarm();
    // One that is just due is about to go off, and must not be put off; one that was due long ago never will.
    if (this.#alarm !== null && this.#alarm > now - overdueMs && this.#alarm <= latest) return;
    this.#alarm = latest;
    await this.ctx.storage.setAlarm(latest);
  }
}
