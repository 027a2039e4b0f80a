/** One Durable Object per experiment that counts what its subjects were shown and did. Named by `refKey` of the experiment. */
import { DurableObject } from "cloudflare:workers";
import type { CountsOptions, PageOptions } from "../src/http/dependencies.ts";
import type { LedgerCounts } from "../src/ledger/counts.ts";
import type { CrossoverPage } from "../src/ledger/crossover.ts";
import type { Watch, WatchCounts } from "../src/ledger/watch.ts";
import { type Ledger, openLedger, type RecordBatch, type RecordReport } from "./ledger.ts";

export type { RecordBatch, RecordReport } from "./ledger.ts";

export class LedgerObject<Env = unknown> extends DurableObject<Env> {
  readonly #ledger: Ledger;
  /** When the alarm is set for; undefined until the storage has been asked. */
  #alarm: number | null | undefined;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#ledger = openLedger(context.storage, Date.now);
  }

  async record(batch: RecordBatch): Promise<RecordReport> {
    const report = this.#ledger.record(batch);
    await this.#wakeWithin(60_000);
    return report;
  }

  async counts(options?: CountsOptions): Promise<LedgerCounts> {
    return this.#ledger.counts(options);
  }

  async watched(watch: Watch): Promise<WatchCounts> {
    return this.#ledger.watched(watch);
  }

  async crossovers(page: PageOptions): Promise<CrossoverPage> {
    return this.#ledger.crossovers(page);
  }

  override async alarm(): Promise<void> {
    const next = this.#ledger.tick();
    this.#alarm = next;
    if (next !== null) await this.ctx.storage.setAlarm(next);
  }

  /** Keeps an alarm within reach while data arrives; the next one is the alarm's own to set. */
  async #wakeWithin(ms: number): Promise<void> {
    const now = Date.now();
    const latest = now + ms;
    this.#alarm ??= await this.ctx.storage.getAlarm();
    // One in the past has gone off, or never will.
    if (this.#alarm !== null && this.#alarm > now && this.#alarm <= latest) return;
    this.#alarm = latest;
    await this.ctx.storage.setAlarm(latest);
  }
}
