/**
 * Two implementations of a payment service under one experiment: exposures captured, ids hidden, one sink failing beside
 * one that works, and the health of all of it.
 *
 *   npx node examples/data-plane/run.ts
 */
// In a project of your own these come from "proviso", "proviso/sink/composite" and so on.
import { compositeSink } from "../../adapters/sink/composite.ts";
import { logSink } from "../../adapters/sink/log.ts";
import { memorySink } from "../../adapters/sink/memory.ts";
import { otelSink } from "../../adapters/sink/otel.ts";
import { createExperiments, staticRules } from "../../src/index.ts";

interface Receipt {
  readonly by: string;
  readonly cents: number;
}
interface Payments {
  charge(user: string, cents: number): Promise<Receipt>;
  refund(receipt: Receipt): Promise<string>;
}

class CardPayments implements Payments {
  readonly #fee = 30;
  async charge(_user: string, cents: number): Promise<Receipt> {
    return { by: "cards", cents: cents + this.#fee };
  }
  async refund({ cents }: Receipt): Promise<string> {
    return `cards refund ${cents - this.#fee}`;
  }
}
/** Cheaper, and it cannot take large amounts. */
class BankPayments implements Payments {
  readonly #limit = 10_000;
  async charge(_user: string, cents: number): Promise<Receipt> {
    if (cents > this.#limit) throw new RangeError(`at most ${this.#limit} cents`);
    return { by: "bank", cents };
  }
  async refund({ cents }: Receipt): Promise<string> {
    return `bank refund ${cents}`;
  }
}

// Published rules as `GET /api/rules` answers them; a deployment reads them with httpRules({ url }).
const rules = staticRules({
  ruleSetVersion: 1,
  tenant: "default",
  environment: "default",
  experiments: [
    {
      name: "payment-provider",
      state: "Running",
      version: 1,
      digest: "0".repeat(64),
      epoch: 0,
      hashVersion: 1,
      salt: "payment-provider",
      subject: "user",
      variants: [
        { key: "cards", buckets: 5_000, control: true },
        { key: "bank", buckets: 5_000, control: false },
      ],
      trafficBuckets: 10_000,
      targeting: { attribute: "country", in: ["DE", "NL"] },
      assignmentPolicy: "bestEffort",
    },
  ],
});

const received = memorySink();
let lines = 0;
const sink = compositeSink({
  required: [received],
  others: [
    logSink({ write: () => (lines += 1) }),
    // Nobody listens there: it fails by itself, and costs nobody else anything.
    otelSink({ url: "http://127.0.0.1:9", timeoutMs: 1_000 }),
  ],
  buffer: { attempts: 2, backoffMs: 10 },
});
const experiments = createExperiments({
  rules,
  sink,
  redact: { subject: { hmac: "a secret of the deployment's, 16 bytes or more" }, pointers: ["/payload/message"] },
  onError: (error) => console.error(error),
});

const payments = experiments.trial<Payments>(
  "payment-provider",
  { control: new CardPayments(), bank: new BankPayments() },
  { limitMs: 2_000, onVariantError: "control" },
);

console.log("== six people pay");
const visitors: readonly (readonly [user: string, country: string, cents: number])[] = [
  ["ada", "DE", 2_500],
  ["bo", "DE", 4_000],
  ["cy", "NL", 900],
  ["di", "NL", 50_000],
  ["eve", "DE", 60_000],
  ["flo", "FR", 1_000],
];
for (const [user, country, cents] of visitors) {
  const mine = payments.for(user, { country });
  const receipt = await mine.charge(user, cents);
  experiments.outcome({ subject: user, metric: "paid", kind: "count", value: cents });
  const assigned = experiments.assign("payment-provider", user, { country });
  console.log(
    `${user}: assigned ${assigned.variant} (${assigned.reason}), served by ${receipt.by} for ${receipt.cents}`,
  );
}

console.log("== a shadow: cards for everybody, the bank unseen");
const shadowed = experiments.trial<Payments>(
  "payment-provider",
  { control: new CardPayments(), bank: new BankPayments() },
  { shadow: { variant: "bank" } },
);
const receipts = await Promise.all(
  visitors.map(([user, country, cents]) => shadowed.for(user, { country }).charge(user, cents)),
);
console.log(`served by ${[...new Set(receipts.map(({ by }) => by))].join(", ")}`);
// Shadows run after the answers.
const settled = (): number => {
  const { same, different, failed, late, skipped } = shadowed.shadowed();
  return same + different + failed + late + skipped;
};
const drawn = visitors.filter(
  ([user, country]) => experiments.assign("payment-provider", user, { country }).variant === "bank",
);
while (settled() < drawn.length) await new Promise((resolve) => setTimeout(resolve, 5));
const { different, failed } = shadowed.shadowed();
console.log(`${different} different, ${failed} failed`);

await experiments.flush();
await sink.flush();
console.log("== events");
for (const { eventType, payload } of received.events()) {
  const subject = payload.subjectId?.slice(0, 8) ?? "nobody";
  const what =
    eventType === "Exposure" || eventType === "Error"
      ? payload.variantKey
      : eventType === "Outcome"
        ? `${payload.metric} ${String(payload.value)}`
        : eventType === "AnalysisSignal"
          ? `${payload.signalType} ${String(payload.data?.["finding"])}`
          : payload.changeReason;
  const more = eventType === "Error" ? ` ${payload.errorName}, ${payload.fallback ?? "nobody"} answered` : "";
  console.log(`${eventType} ${subject} ${what}${more}`);
}

console.log("== health");
console.log(`experiments: ${experiments.health().status}, ${experiments.health().events?.sent ?? 0} events sent`);
console.log(`sinks: ${sink.health().status}`);
for (const part of sink
  .health()
  .description.split("; ")
  .filter((text) => /^(memory|log|otel) /.test(text))) {
  console.log(`  ${part}`);
}
console.log(lines === received.events().length ? "every event is in the log" : `${lines} lines in the log`);
await sink.close(0);
await experiments.close();
