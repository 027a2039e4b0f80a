/** `proviso backtest`: recorded decisions under other rules, and which would have fallen differently. */
import { backtest as replayed, type BacktestedDecision } from "../../src/governance/backtest.ts";
import type { PolicySet } from "../../src/governance/policy-set.ts";
import type { ParsedArguments } from "../arguments.ts";
import type { Command, CommandContext } from "../command.ts";
import { explain, judgeDsl, namedFile, readDsl } from "../dsl-file.ts";
import { CliFailure, usageFailure } from "../failure.ts";
import { chosen, filesIn, linesOfFile, scopeOf, scopeOptions } from "../histories.ts";
import { openPlace } from "../places/open.ts";

const readRules = async (path: string, context: CommandContext): Promise<PolicySet> => {
  const file = namedFile(path, context.directory);
  const text = await readDsl(file);
  const judged = judgeDsl(file, text, context.environment);
  if (!judged.ok) {
    context.err(explain(judged, text, context.terminal.color));
    throw new CliFailure(`${file.name} is not valid`);
  }
  const { approvalGates: gates, policies, breakGlass } = judged.value.governance;
  return { gates, policies, ...(breakGlass === undefined ? {} : { breakGlass }) };
};

interface History {
  readonly name: string;
  readonly lines: AsyncIterable<string>;
}

async function* bare(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield line.slice(0, -1);
}

/** Histories of files, and of the scope of a server or store. */
async function* historiesOf(
  words: readonly string[],
  args: ParsedArguments,
  context: CommandContext,
): AsyncGenerator<History> {
  for (const word of words) {
    if (!/^https?:\/\//i.test(word)) {
      for (const file of await filesIn([word], context)) yield { name: file, lines: linesOfFile(file, context) };
      continue;
    }
    const scope = scopeOf(args);
    const { place } = await openPlace(word, context, { stateDirectory: "" });
    try {
      for (const experiment of await chosen(place, scope, args))
        yield { name: `${experiment} of ${place.name}`, lines: bare(place.export({ ...scope, experiment })) };
    } finally {
      await place.close();
    }
  }
}

const arrow = ({ kind, from, to }: BacktestedDecision["change"]): string =>
  kind === "transition" ? `${from} → ${to}` : `${kind} in ${from}`;

const sentence = ({ ref, seq, at, change, attempt, was, would }: BacktestedDecision): string => {
  const what = attempt === "approve" ? `an approval of ${arrow(change)}` : arrow(change);
  const then = was.code === null ? was.fall : `${was.fall} (${was.code})`;
  const why = would.reasons.length === 0 ? "" : `: ${would.reasons.join("; ")}`;
  return would.fall === "cannot tell"
    ? `${ref.experiment} #${seq}  ${at}  ${what}, version ${change.version}: was ${then}; cannot tell${why}\n`
    : `${ref.experiment} #${seq}  ${at}  ${what}, version ${change.version}: was ${then}, would be ${would.fall}${why}\n`;
};

export const backtest: Command = {
  name: "backtest",
  summary: "judge recorded decisions by other gates and policies, and list which would fall differently",
  usage: "proviso backtest --policy FILE <export.ndjson | DIR | address>… [--experiment NAME]… [--json]",
  about: `FILE is a DSL file with the gates and policies to try. Every recorded decision, refusals too, is judged anew by them: on the
state it fell on, with the approvals that were given and the evidence that was recorded. Where that does not suffice (a
policy that looks at figures nobody had asked for then, a function of the host) it says "cannot tell" and what is missing.
Decisions are judged one by one: what would have followed from another decision is not guessed.

Exit code 0 when none would fall differently, 3 when some would, 1 when a history could not be read or does not verify.`,
  options: {
    policy: { value: "FILE", help: "a DSL file with the changed gates and policies" },
    ...scopeOptions,
    json: { help: "one JSON document: { decisions, differing, undecidable, changes: [ … ] }" },
  },
  async run(args, context) {
    const policy = args.value("policy");
    if (policy === undefined || args.positionals.length === 0)
      throw usageFailure("say which rules and which histories: --policy FILE <export.ndjson>");
    const set = await readRules(policy, context);
    const changes: BacktestedDecision[] = [];
    let decisions = 0;
    for await (const { name, lines } of historiesOf(args.positionals, args, context)) {
      for await (const decision of replayed(set, lines, ({ line, reason }) => {
        throw new CliFailure(`${name} is not as it was written: line ${line}: ${reason}`);
      })) {
        decisions += 1;
        if (decision.differs || decision.would.fall === "cannot tell") changes.push(decision);
      }
    }
    const differing = changes.filter(({ differs }) => differs).length;
    const undecidable = changes.length - differing;
    if (args.has("json")) context.out(`${JSON.stringify({ decisions, differing, undecidable, changes }, null, 2)}\n`);
    else {
      for (const change of changes) context.out(sentence(change));
      context.err(
        `${decisions} decisions: ${differing} would fall differently, of ${undecidable} it cannot be told, ${decisions - changes.length} would fall as they did\n`,
      );
    }
    return differing === 0 ? 0 : 3;
  },
};
