/** Counters and durations of one process, in the text that Prometheus reads. */
import { type Attributes, type Observer, type Operation, watched } from "./observer.ts";

export interface Metrics extends Observer {
  /** Text format 0.0.4. */
  text(): string;
}

export const metricsType = "text/plain; version=0.0.4; charset=utf-8";

/** Seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** No label takes more values than code or DSL name; this is for the day when one does. */
const seriesMax = 5_000;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

interface Counted extends Family {
  /** By how much an operation raises it. */
  readonly by: (attributes: Attributes) => number;
}

const one = (): number => 1;

/** What is counted of each operation, and by which attributes. `outcome` is `error` where it threw. */
const counted: Readonly<Record<Operation, readonly Counted[]>> = {
  request: [{ name: "requests", help: "HTTP requests", labels: ["route", "status"], by: one }],
  command: [
    { name: "commands", help: "Commands, by what became of them", labels: ["type", "outcome", "code"], by: one },
    {
      name: "denials",
      help: "Commands that were refused",
      labels: ["code"],
      by: ({ outcome }) => (outcome === "denied" ? 1 : 0),
    },
    {
      name: "retries",
      help: "Decisions made again because a race was lost",
      labels: ["type"],
      by: ({ retries }) => (typeof retries === "number" ? retries : 0),
    },
  ],
  evidence: [],
  decision: [{ name: "decisions", help: "Decisions", labels: ["type", "outcome"], by: one }],
  store: [
    { name: "store_operations", help: "Round trips to the store", labels: ["store", "operation", "outcome"], by: one },
    {
      name: "conflicts",
      help: "Commits that the store refused",
      labels: ["conflict"],
      by: ({ conflict }) => (conflict === undefined ? 0 : 1),
    },
  ],
  delivery: [{ name: "deliveries", help: "Deliveries to subscribers", labels: ["subscriber", "outcome"], by: one }],
};

const timed: Readonly<Record<Operation, Family | null>> = {
  request: { name: "request_duration_seconds", help: "Duration of HTTP requests", labels: ["route"] },
  command: { name: "command_duration_seconds", help: "Duration of commands", labels: ["type"] },
  evidence: { name: "evidence_duration_seconds", help: "Duration of gathering evidence", labels: [] },
  decision: null,
  store: { name: "store_duration_seconds", help: "Duration of round trips", labels: ["store", "operation"] },
  delivery: { name: "delivery_duration_seconds", help: "Duration of deliveries", labels: ["subscriber"] },
};

const operations = ["request", "command", "evidence", "decision", "store", "delivery"] as const;

interface Histogram {
  readonly counts: number[];
  sum: number;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');

const labelsOf = (labels: readonly string[], attributes: Attributes): string =>
  labels.map((label) => `${label}="${escaped(String(attributes[label] ?? ""))}"`).join(",");

const braced = (...labels: readonly string[]): string => {
  const some = labels.filter((label) => label !== "");
  return some.length === 0 ? "" : `{${some.join(",")}}`;
};

/**
 * @param now milliseconds from anywhere, never going back
 * @example
 * const metrics = createMetrics();
 * createGovernance({ store, observer: metrics });
 * metrics.text(); // proviso_commands_total{type="Transition",outcome="done",code=""} 1
 */
export const createMetrics = (now: () => number = () => performance.now()): Metrics => {
  /** By family, then by labels. */
  const counters = new Map<string, Map<string, number>>();
  const histograms = new Map<string, Map<string, Histogram>>();
  let series = 0;

  /** The value under these labels; undefined where there are too many already. */
  const under = <Value>(families: Map<string, Map<string, Value>>, name: string, labels: string, make: () => Value) => {
    let family = families.get(name);
    if (family === undefined) families.set(name, (family = new Map<string, Value>()));
    let value = family.get(labels);
    if (value === undefined && series < seriesMax) {
      series += 1;
      value = make();
      family.set(labels, value);
    }
    return value;
  };

  const end = (operation: Operation, attributes: Attributes, seconds: number): void => {
    for (const { name, labels, by } of counted[operation]) {
      const amount = by(attributes);
      if (amount === 0) continue;
      const text = labelsOf(labels, attributes);
      const known = under(counters, name, text, () => 0);
      if (known !== undefined) counters.get(name)?.set(text, known + amount);
    }
    const family = timed[operation];
    if (family === null) return;
    const histogram = under(histograms, family.name, labelsOf(family.labels, attributes), () => ({
      counts: [...bounds, Infinity].map(() => 0),
      sum: 0,
    }));
    if (histogram === undefined) return;
    histogram.sum += seconds;
    for (const [index, bound] of [...bounds, Infinity].entries())
      if (seconds <= bound) histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
  };

  const counterLines = ({ name, help }: Family): readonly string[] => {
    const values = [...(counters.get(name) ?? [])];
    if (values.length === 0) return [];
    return [
      `# HELP proviso_${name}_total ${help}.`,
      `# TYPE proviso_${name}_total counter`,
      ...values.map(([labels, value]) => `proviso_${name}_total${braced(labels)} ${value}`),
    ];
  };

  const histogramLines = ({ name, help }: Family): readonly string[] => {
    const values = [...(histograms.get(name) ?? [])];
    if (values.length === 0) return [];
    return [
      `# HELP proviso_${name} ${help}.`,
      `# TYPE proviso_${name} histogram`,
      ...values.flatMap(([labels, { counts, sum }]) => [
        ...counts.map((count, index) => {
          const bound = bounds[index] === undefined ? "+Inf" : String(bounds[index]);
          return `proviso_${name}_bucket${braced(labels, `le="${bound}"`)} ${count}`;
        }),
        `proviso_${name}_sum${braced(labels)} ${sum}`,
        `proviso_${name}_count${braced(labels)} ${counts.at(-1) ?? 0}`,
      ]),
    ];
  };

  return {
    run(operation, attributes, work) {
      const began = now();
      let noted = attributes;
      return watched(
        () => work((more) => void (noted = { ...noted, ...more })),
        (failure) =>
          end(operation, { outcome: failure === undefined ? "ok" : "error", ...noted }, (now() - began) / 1_000),
      );
    },
    text: () =>
      `${operations
        .flatMap((operation) => {
          const family = timed[operation];
          return [...counted[operation].flatMap(counterLines), ...(family === null ? [] : histogramLines(family))];
        })
        .join("\n")}\n`,
  };
};
