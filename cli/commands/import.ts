/** `proviso import`: exported histories into a store or a server. */
import { verifyExport } from "../../src/governance/export/verify.ts";
import type { Command } from "../command.ts";
import { CliFailure, messageOf, usageFailure } from "../failure.ts";
import { createBar, filesIn, linesOfFile, stateDirectoryOf, stateOption } from "../histories.ts";
import { openPlace } from "../places/open.ts";

export const importCommand: Command = {
  name: "import",
  summary: "bring exported histories into a store, or go on where that stopped",
  usage: "proviso import --to PLACE <export.ndjson>… [--state DIR]",
  about: `PLACE is as for export. Each file is verified from beginning to end before anything is written, and again while it is
written. What the target has already is left out, so the same call goes on after an interruption; an experiment that has
another history there is refused and left as it is. A directory stands for its .ndjson files.

Exit code 0 when every history is in place, 1 when one is not.`,
  options: { to: { value: "PLACE", help: "an address, or a DSL file" }, ...stateOption },
  async run(args, context) {
    const to = args.value("to");
    if (to === undefined) throw usageFailure("say where to: --to PLACE");
    const files = await filesIn(args.positionals, context);
    if (files.length === 0) throw usageFailure("name a file: proviso import --to PLACE <export.ndjson>");
    if (files.includes("-")) throw usageFailure("a file is read twice, so it cannot be standard input");
    const { place } = await openPlace(to, context, { stateDirectory: stateDirectoryOf(args) });
    const bar = createBar(context);
    let failures = 0;
    let written = 0;
    try {
      for (const [index, file] of files.entries()) {
        context.signal.throwIfAborted();
        try {
          const checked = await verifyExport(linesOfFile(file, context));
          if (checked.firstInvalid !== null)
            throw new CliFailure(`line ${checked.firstInvalid.line}: ${checked.firstInvalid.reason}`);
          const imported = await place.import(linesOfFile(file, context), ({ done, of }) =>
            bar.update((index + done / of) / files.length, file),
          );
          written += imported.written;
        } catch (error) {
          context.signal.throwIfAborted();
          bar.end();
          failures += 1;
          context.err(`${file} was not imported: ${messageOf(error)}\n`);
        }
      }
      bar.end();
      const done = files.length - failures;
      context.err(`${done} of ${files.length} in place in ${place.name}, ${written} events written\n`);
      return failures === 0 ? 0 : 1;
    } finally {
      bar.end();
      await place.close();
    }
  },
};
