/** `proviso archive`: old events out of a store and into files, behind signed checkpoints. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { archivable, archiveLines, removeArchived } from "../../src/governance/retention.ts";
import { verifyExport } from "../../src/governance/export/verify.ts";
import { refuseArguments } from "../arguments.ts";
import type { Command } from "../command.ts";
import { namedFile } from "../dsl-file.ts";
import { CliFailure, usageFailure } from "../failure.ts";
import {
  chosen,
  linesOfFile,
  namedByOption,
  scopeOf,
  scopeOptions,
  stateDirectoryOf,
  stateOption,
} from "../histories.ts";
import { openPlace } from "../places/open.ts";
import { writeWhole } from "./export.ts";

export const archive: Command = {
  name: "archive",
  summary: "move old events into files, behind a signed checkpoint",
  usage: "proviso archive --from FILE --before TIME --out DIR [--experiment NAME]… [--keep]",
  about: `FILE is a DSL file whose governance.history.signing names the key (in the environment). For every experiment of the scope
the events before TIME (ISO 8601) are written to DIR/<name>.<first>-<last>.ndjson and verified there; then the store gets
the signed checkpoint and loses those events, and the personal values that only they name. What stays verifies, and goes
on. Old versions go too: nothing can be rolled back to them. Expired receipts are removed as well. With --keep nothing is
removed.`,
  options: {
    from: { value: "FILE", help: "a DSL file" },
    before: { value: "TIME", help: "events from before this time, e.g. 2026-01-01" },
    out: { value: "DIR", help: "where the files go" },
    keep: { help: "write the files and remove nothing" },
    ...scopeOptions,
    ...stateOption,
  },
  async run(args, context) {
    const [from, before, out] = [args.value("from"), args.value("before"), args.value("out")];
    refuseArguments(args, "archive", namedByOption);
    if (from === undefined || before === undefined || out === undefined)
      throw usageFailure("say what, until when, and where to: --from FILE --before TIME --out DIR");
    const time = Date.parse(before);
    if (Number.isNaN(time)) throw usageFailure(`--before ${before} is no ISO 8601 time`);
    const scope = scopeOf(args);
    const { place, signer } = await openPlace(from, context, { stateDirectory: stateDirectoryOf(args), signing: true });
    try {
      const { store } = place;
      if (store === null) throw new CliFailure(`${place.name} is reached through a server, which archives nothing`);
      if (signer === undefined)
        throw new CliFailure(`${from} names no key: a checkpoint is signed (governance.history.signing, proviso key)`);
      const directory = namedFile(out, context.directory);
      await mkdir(directory.path, { recursive: true });
      let archived = 0;
      for (const name of await chosen(place, scope, args)) {
        context.signal.throwIfAborted();
        const ref = { ...scope, experiment: name };
        await store.sweep(ref, new Date().toISOString());
        const part = await archivable(store, ref, time);
        if (part === null) continue;
        const path = join(directory.path, `${name}.${part.after + 1}-${part.head.seq}.ndjson`);
        await writeWhole(path, archiveLines(store, ref, part, signer));
        const { firstInvalid } = await verifyExport(linesOfFile(path, context), { key: signer, head: part.head });
        if (firstInvalid !== null)
          throw new CliFailure(
            `${name}: what was written does not verify (line ${firstInvalid.line}: ${firstInvalid.reason}); nothing was removed`,
          );
        if (!args.has("keep") && !(await removeArchived(store, ref, part, signer)))
          throw new CliFailure(`${name} was changed while it was archived: nothing was removed; try again`);
        archived += 1;
        context.out(`${name}  events ${part.after + 1} to ${part.head.seq}\n`);
      }
      context.err(`${archived} ${archived === 1 ? "history" : "histories"} archived in ${directory.name}\n`);
      return 0;
    } finally {
      await place.close();
    }
  },
};
