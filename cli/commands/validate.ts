/** `proviso validate`: every error of a DSL file with its place, or what is in it. */
import type { Command } from "../command.ts";
import { explain, judgeDsl, namedFile, readDsl, summarize } from "../dsl-file.ts";
import { usageFailure } from "../failure.ts";

export const validate: Command = {
  name: "validate",
  summary: "check a DSL file and show every error with its line",
  usage: "proviso validate <file.yaml> [--json]",
  about: `Checks the file as the Worker would read it, \${NAME} taken from the environment. Exit code 0 when it is valid, 1 when
it is not, 2 for a wrong call.`,
  options: { json: { help: "one JSON document: { file, valid, errors, warnings }" } },
  async run(args, context) {
    const [path, ...more] = args.positionals;
    if (path === undefined || more.length > 0) throw usageFailure("name one file: proviso validate <file.yaml>");
    const file = namedFile(path, context.directory);
    const text = await readDsl(file);
    const result = judgeDsl(file, text, context.environment);
    if (args.has("json")) {
      const errors = result.ok ? [] : result.errors;
      context.out(
        `${JSON.stringify({ file: file.name, valid: result.ok, errors, warnings: result.warnings }, null, 2)}\n`,
      );
      return result.ok ? 0 : 1;
    }
    if (result.ok) {
      context.err(explain(result, text, context.terminal.color));
      context.out(`${file.name} is valid: ${summarize(result)}\n`);
      return 0;
    }
    context.err(explain(result, text, context.terminal.color));
    return 1;
  },
};
