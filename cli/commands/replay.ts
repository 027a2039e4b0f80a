/** `proviso replay`: a real experiment's rows through the whole product, and what it finds. */
import { basename, resolve } from "node:path";
import type { Command, CommandContext } from "../command.ts";
import { CliFailure, usageFailure } from "../failure.ts";
import { type Client, createClient, type Tokens } from "../replay/client.ts";
import { locateColumns, openReplayRows } from "../replay/columns.ts";
import { replayDocument, type ReplayOutcome } from "../replay/document.ts";
import { createEncoder, type RejectedRow } from "../replay/encode.ts";
import { feed } from "../replay/feed.ts";
import { exposureIds } from "../replay/ids.ts";
import { type Started, startExperiment } from "../replay/lifecycle.ts";
import { readReplayOptions, type ReplayOptions, replayOptions } from "../replay/options.ts";
import { type Target, withOwnServer } from "../replay/own-server.ts";
import {
  comparePlan,
  describePlan,
  equalWeights,
  type PlannedVariant,
  planVariants,
  samePlan,
} from "../replay/plan.ts";
import { createProgress, type ProgressOptions } from "../replay/progress.ts";
import { replayReport } from "../replay/report.ts";
import { readResults, type Results } from "../replay/results.ts";
import { findColumns, findRowFile, type RowFile } from "../replay/rows.ts";
import { type Survey, surveyFile } from "../replay/survey.ts";

const shownRows = 5;
const columnsDefault = 100;

/** Tokens for a server that asks for them. */
const tokensOf = ({ environment }: CommandContext): Tokens => {
  const author = environment["PROVISO_AUTHOR_TOKEN"];
  const approver = environment["PROVISO_APPROVER_TOKEN"];
  if (author === undefined && approver === undefined) return {};
  if (author === undefined || approver === undefined)
    throw usageFailure("PROVISO_AUTHOR_TOKEN and PROVISO_APPROVER_TOKEN belong to two people: set both, or neither");
  return { author, approver };
};

const start = (client: Client, options: ReplayOptions, survey: Survey, context: CommandContext): Promise<Started> => {
  const { ref, planned, control, outcomes } = options;
  const found = [...survey.variants.keys()];
  const asked = planned === undefined ? undefined : planVariants(planned, control);
  const objection = (arms: readonly PlannedVariant[]): string | undefined => {
    if (asked !== undefined) return samePlan(arms, asked) ? undefined : describePlan(asked);
    // An arm that somebody's live experiment does not have would break its sample ratio for good.
    const known = new Set(arms.map(({ key }) => key));
    if (found.some((key) => !known.has(key))) return `the variants of the file: ${found.join(", ")}`;
    const named = arms.find((arm) => arm.control === true)?.key;
    return control === undefined || control === named ? undefined : `--control ${control}`;
  };
  return startExperiment({
    client,
    experiment: ref.experiment,
    newVariants: () => asked ?? planVariants(equalWeights(found), control),
    objection,
    outcomes,
    description: `Replayed from ${basename(options.file)}`,
    onStep: (text) => {
      if (!options.json) context.err(`${text}\n`);
    },
  });
};

/** Looks at every subject read all of them; where there are too many, the server wants them at checkpoints. */
const finalResults = async (client: Client, options: ReplayOptions, context: CommandContext): Promise<Results> => {
  const results = await readResults(client, options.looks);
  if (results !== null) return results;
  context.err("the server does not look at every subject of so many: the sequential test rests on checkpoints\n");
  const checkpoints = await readResults(client, "checkpoint");
  if (checkpoints === null) throw new CliFailure("the results cannot be read");
  return checkpoints;
};

const progressStyle = (options: ReplayOptions, { terminal }: CommandContext): ProgressOptions["style"] => {
  if (terminal.errColumns !== undefined) return "bar";
  return options.json ? "none" : "lines";
};

const replayTo = async (
  { url, tokens }: Target,
  file: RowFile,
  survey: Survey,
  options: ReplayOptions,
  context: CommandContext,
): Promise<number> => {
  const { signal, terminal } = context;
  const client = createClient({ url, ref: options.ref, signal, tokens });
  const started = await start(client, options, survey, context);
  for (const warning of comparePlan(
    started.variants.map(({ key }) => key),
    survey.variants,
  )) {
    context.err(`warning: ${warning}\n`);
  }
  const rejectedRows: RejectedRow[] = [];
  let rejected = 0;
  const progress = createProgress({
    write: context.err,
    style: progressStyle(options, context),
    unicode: terminal.unicode,
    columns: terminal.errColumns ?? columnsDefault,
    totalRows: survey.rows,
    now: () => performance.now(),
  });
  const { indexes, rows } = await openReplayRows(file, options);
  const encode = createEncoder({ options, indexes, served: started, now: Date.now, exposureId: exposureIds() });
  let fed: ReplayOutcome["fed"];
  try {
    fed = await feed({
      client,
      rows,
      encode,
      received: async () => {
        const results = await readResults(client, "checkpoint");
        if (results === null) throw new CliFailure("the results cannot be read");
        return results;
      },
      onProgress: (state) => progress.update(state),
      onRejected: (row) => {
        rejected += 1;
        if (rejectedRows.length < shownRows) rejectedRows.push(row);
      },
      signal,
    });
  } finally {
    progress.end();
  }
  const results = await finalResults(client, options, context);
  const outcome = { results, fed, rejected, rejectedRows };
  if (options.json) context.out(`${JSON.stringify(replayDocument(outcome), null, 2)}\n`);
  else {
    const control = started.variants.find((variant) => variant.control === true)?.key ?? "";
    context.out(
      replayReport(outcome, { columns: terminal.outColumns ?? columnsDefault, unicode: terminal.unicode, control }),
    );
  }
  return 0;
};

export const replay: Command = {
  name: "replay",
  summary: "send the rows of a real experiment through the whole product, and show what it finds",
  usage:
    "proviso replay <file.csv|.csv.gz|.ndjson|.ndjson.gz> --experiment NAME --subject COL|#row --variant COL [options]",
  about: `Creates the experiment and takes it through its lifecycle to Running as two people (replay-author and replay-approver),
sends every row in file order as an exposure and its outcomes through the HTTP ingest, the queue and the ledger, waits
until the ledger has them, and prints arms, sample ratio tests and outcomes. Without --url it starts the Worker by
itself, on temporary storage, with PROVISO_CONFIG (else proviso.yaml here, else the example of the package) as its DSL,
and stops it at the end. A server that asks for tokens gets those of PROVISO_AUTHOR_TOKEN (roles editor, operator,
ingest) and PROVISO_APPROVER_TOKEN (role approver).

Running it again sends the same outcomes, which count once, and new exposures, which count as repeats. An empty cell is
no outcome. A row with a cell that cannot be read is rejected as a whole, counted, and the first ${shownRows} are shown.
Times without a zone are UTC.`,
  options: replayOptions,
  async run(args, context) {
    const options = readReplayOptions(args);
    const file = await findRowFile(resolve(context.directory, options.file));
    locateColumns(await findColumns(file), options, options.file);
    const survey = await surveyFile(file, options, context.signal);
    if (survey.rows === 0) throw new CliFailure(`${options.file} has no rows`);
    if (options.planned !== undefined) {
      // A misspelled key is found before anything is created.
      planVariants(options.planned, options.control);
      comparePlan(
        options.planned.map(([key]) => key),
        survey.variants,
      );
    }
    const work = (target: Target): Promise<number> => replayTo(target, file, survey, options, context);
    return options.url === undefined
      ? withOwnServer(context, work)
      : work({ url: options.url, tokens: tokensOf(context) });
  },
};
