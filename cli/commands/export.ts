/** `proviso export`: histories out of a store or a server, each as one file. */
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { refuseArguments } from "../arguments.ts";
import type { Command } from "../command.ts";
import { namedFile } from "../dsl-file.ts";
import { CliFailure, usageFailure } from "../failure.ts";
import {
  chosen,
  createBar,
  namedByOption,
  scopeOf,
  scopeOptions,
  stateDirectoryOf,
  stateOption,
} from "../histories.ts";
import { openPlace } from "../places/open.ts";

/** A file that is there is whole: it is written beside and put in place at the end. */
export const writeWhole = async (path: string, lines: AsyncIterable<string>): Promise<void> => {
  const partial = `${path}.part`;
  try {
    await pipeline(Readable.from(lines), createWriteStream(partial));
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
};

export const exportCommand: Command = {
  name: "export",
  summary: "write histories to files that verify from themselves",
  usage: "proviso export --from PLACE [--out DIR] [--experiment NAME]… [--tenant NAME] [--environment NAME]",
  about: `PLACE is the address of a running server (with PROVISO_TOKEN, the token of an admin), or a DSL file whose persistence says
which store; what proviso dev has on this machine is read from its state directory while it is stopped. With --out every
experiment of the scope becomes DIR/<name>.ndjson; without it one experiment goes to standard output. A store whose DSL
names a signing key signs what it gives. The files hold personal values.`,
  options: {
    from: { value: "PLACE", help: "an address, or a DSL file" },
    out: { value: "DIR", help: "where the files go" },
    ...scopeOptions,
    ...stateOption,
  },
  async run(args, context) {
    const from = args.value("from");
    refuseArguments(args, "export", namedByOption);
    if (from === undefined) throw usageFailure("say where from: --from PLACE");
    const out = args.value("out");
    const scope = scopeOf(args);
    const { place } = await openPlace(from, context, { stateDirectory: stateDirectoryOf(args), signing: true });
    const bar = createBar(context);
    try {
      const names = await chosen(place, scope, args);
      if (out === undefined) {
        const [name, ...more] = names;
        if (name === undefined)
          throw new CliFailure(`${place.name} has no experiments in ${scope.tenant}/${scope.environment}`);
        if (more.length > 0)
          throw usageFailure(`${names.length} experiments: name one with --experiment, or a directory with --out`);
        for await (const line of place.export({ ...scope, experiment: name })) context.out(line);
        return 0;
      }
      const directory = namedFile(out, context.directory);
      await mkdir(directory.path, { recursive: true });
      for (const [index, name] of names.entries()) {
        bar.update(index / names.length, name);
        context.signal.throwIfAborted();
        await writeWhole(join(directory.path, `${name}.ndjson`), place.export({ ...scope, experiment: name }));
      }
      bar.end();
      context.err(
        `${names.length} ${names.length === 1 ? "history" : "histories"} from ${place.name} in ${directory.name}\n`,
      );
      return 0;
    } finally {
      bar.end();
      await place.close();
    }
  },
};
