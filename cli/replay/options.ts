/** What `proviso replay` was asked to do. */
import * as v from "valibot";
import { nearest } from "../../src/config/nearest.ts";
import { metricKinds, type MetricKind } from "../../src/experiment.ts";
import { defaultScope, NameSchema, type ExperimentRef } from "../../src/scope.ts";
import type { OptionSpec, ParsedArguments } from "../arguments.ts";
import { usageFailure } from "../failure.ts";
import { parsePlanned, type Weights } from "./plan.ts";

export interface OutcomeColumn {
  readonly column: string;
  readonly kind: MetricKind;
  /** The name of the metric. */
  readonly metric: string;
}

export interface ReplayOptions {
  readonly file: string;
  readonly ref: ExperimentRef;
  /** A column, or null: every row is a subject of its own. */
  readonly subject: string | null;
  readonly variant: string;
  readonly control: string | undefined;
  readonly planned: Weights | undefined;
  readonly outcomes: readonly OutcomeColumn[];
  readonly timestamp: string | undefined;
  readonly looks: "subject" | "checkpoint";
  /** Origin of a running server, without a slash at the end; undefined: start one for this replay. */
  readonly url: string | undefined;
  readonly json: boolean;
}

export const replayOptions: Readonly<Record<string, OptionSpec>> = {
  experiment: { value: "NAME", help: "the experiment; it is created unless it exists (required)" },
  subject: { value: "COL|#row", help: "column of the subject, or #row: each row is one (required)" },
  variant: { value: "COL", help: "column of the variant (required)" },
  control: { value: "KEY", help: "the control variant (default: the first planned)" },
  planned: {
    value: "K=W,…",
    help: "variants and their planned weights\n(default: equal weights, in the order of the file)",
  },
  outcome: {
    value: "COL:KIND",
    multiple: true,
    help: `an outcome, of kind ${metricKinds.join(", ")}; may be given several times\n(METRIC=COL:KIND where the column's name cannot be a metric's)`,
  },
  timestamp: { value: "COL", help: "column of the time of exposure (default: now, in file order)" },
  looks: {
    value: "WHEN",
    help: "sequential test after every subject, or at checkpoints:\nsubject (default) or checkpoint",
  },
  url: { value: "URL", help: "a running server (default: start one, on temporary storage)" },
  tenant: { value: "NAME", help: "scope of the experiment (default: default)" },
  environment: { value: "NAME", help: "scope of the experiment (default: default)" },
  json: { help: "one JSON document instead of the report" },
};

const required = (args: ParsedArguments, name: string): string => {
  const value = args.value(name);
  if (value !== undefined) return value;
  throw usageFailure(`replay needs --${name} ${replayOptions[name]?.value ?? ""}`.trimEnd());
};

const name = (option: string, value: string): string => {
  const result = v.safeParse(NameSchema, value);
  if (result.success) return result.output;
  throw usageFailure(`--${option} ${JSON.stringify(value)}: a name is ${result.issues[0].message}`);
};

const isKind = (text: string): text is MetricKind => metricKinds.some((kind) => kind === text);

/** @example parseOutcome("retention_1:binary") // { column: "retention_1", kind: "binary", metric: "retention_1" } */
export const parseOutcome = (text: string): OutcomeColumn => {
  const split = text.lastIndexOf(":");
  if (split < 1) throw usageFailure(`--outcome ${text} names no kind: --outcome ${text}:${metricKinds.join("|")}`);
  const [source, kind] = [text.slice(0, split), text.slice(split + 1)];
  if (!isKind(kind)) {
    const meant = nearest(kind, metricKinds);
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    throw usageFailure(`--outcome ${text}: the kind is one of ${metricKinds.join(", ")}${hint}`);
  }
  if (v.is(NameSchema, source)) return { column: source, kind, metric: source };
  const assigned = /^([^=]+)=(.+)$/s.exec(source);
  const [, metric = "", column = ""] = assigned ?? [];
  if (assigned !== null && v.is(NameSchema, metric)) return { column, kind, metric };
  throw usageFailure(
    `--outcome ${text}: ${JSON.stringify(source)} cannot be the name of a metric; give it one: --outcome METRIC=${text}`,
  );
};

const urlOf = (text: string): string => {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw usageFailure(`--url ${text} is not an http address; write --url http://127.0.0.1:8787`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
};

/** @throws CliFailure (exit code 2) for whatever is missing or cannot be */
export const readReplayOptions = (args: ParsedArguments): ReplayOptions => {
  const [file, ...more] = args.positionals;
  if (file === undefined) throw usageFailure("name a file: proviso replay <file.csv|.csv.gz|.ndjson> --experiment …");
  if (more.length > 0) throw usageFailure(`replay reads one file; what is ${more.join(" ")}?`);
  const ref = {
    tenant: name("tenant", args.value("tenant") ?? defaultScope.tenant),
    environment: name("environment", args.value("environment") ?? defaultScope.environment),
    experiment: name("experiment", required(args, "experiment")),
  };
  const subject = required(args, "subject");
  const variant = required(args, "variant");
  const outcomes = args.values("outcome").map(parseOutcome);
  const metrics = outcomes.map(({ metric }) => metric);
  const twice = metrics.find((metric, index) => metrics.indexOf(metric) !== index);
  if (twice !== undefined) throw usageFailure(`--outcome gives the metric ${twice} twice`);
  const looks = args.value("looks") ?? "subject";
  if (looks !== "subject" && looks !== "checkpoint")
    throw usageFailure(`--looks ${looks}: it is subject or checkpoint`);
  const planned = args.value("planned");
  const url = args.value("url");
  return {
    file,
    ref,
    subject: subject === "#row" ? null : subject,
    variant,
    control: args.value("control"),
    planned: planned === undefined ? undefined : parsePlanned(planned),
    outcomes,
    timestamp: args.value("timestamp"),
    looks,
    url: url === undefined ? undefined : urlOf(url),
    json: args.has("json"),
  };
};
