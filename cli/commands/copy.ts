/** `proviso copy`: histories from one store to another. */
import { refuseArguments } from "../arguments.ts";
import type { Command } from "../command.ts";
import { messageOf, usageFailure } from "../failure.ts";
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
import type { Place } from "../places/place.ts";
import type { Scope } from "../../src/scope.ts";

/** Lines without their line ends. */
async function* bare(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield line.slice(0, -1);
}

export interface Copying {
  readonly from: Place;
  readonly to: Place;
  readonly scope: Scope;
  readonly names: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (share: number, name: string) => void;
  readonly onFailure: (name: string, error: unknown) => void;
}

/** @returns events that were written */
export const copyAll = async ({ from, to, scope, names, signal, onProgress, onFailure }: Copying): Promise<number> => {
  let written = 0;
  for (const [index, name] of names.entries()) {
    signal.throwIfAborted();
    try {
      const lines = bare(from.export({ ...scope, experiment: name }));
      const imported = await to.import(lines, ({ done, of }) => onProgress((index + done / of) / names.length, name));
      written += imported.written;
    } catch (error) {
      signal.throwIfAborted();
      onFailure(name, error);
    }
  }
  return written;
};

export const copy: Command = {
  name: "copy",
  summary: "carry histories from one store to another, verified by their chains",
  usage: "proviso copy --from PLACE --to PLACE [--experiment NAME]… [--tenant NAME] [--environment NAME]",
  about: `A PLACE is as for export. Every experiment of the scope is read, checked line by line and written; the copy has the same
events, state, revision and ETag, and exports to the same bytes. What the target has already is left out, so the same call
goes on after an interruption; an experiment with another history there is refused and left as it is.

Exit code 0 when everything is in place, 1 when something is not.`,
  options: {
    from: { value: "PLACE", help: "an address, or a DSL file" },
    to: { value: "PLACE", help: "the same" },
    ...scopeOptions,
    ...stateOption,
    "to-state": { value: "DIR", help: "the state directory of --to, where it is another one" },
  },
  async run(args, context) {
    const [fromWhere, toWhere] = [args.value("from"), args.value("to")];
    refuseArguments(args, "copy", namedByOption);
    if (fromWhere === undefined || toWhere === undefined)
      throw usageFailure("say where from and where to: --from PLACE --to PLACE");
    const scope = scopeOf(args);
    const fromState = stateDirectoryOf(args);
    const { place: from } = await openPlace(fromWhere, context, { stateDirectory: fromState });
    const bar = createBar(context);
    try {
      const { place: to } = await openPlace(toWhere, context, { stateDirectory: args.value("to-state") ?? fromState });
      try {
        const names = await chosen(from, scope, args);
        let failures = 0;
        const written = await copyAll({
          from,
          to,
          scope,
          names,
          signal: context.signal,
          onProgress: (share, name) => bar.update(share, name),
          onFailure: (name, error) => {
            bar.end();
            failures += 1;
            context.err(`${name} was not copied: ${messageOf(error)}\n`);
          },
        });
        bar.end();
        context.err(
          `${names.length - failures} of ${names.length} from ${from.name} in place in ${to.name}, ${written} events written\n`,
        );
        return failures === 0 ? 0 : 1;
      } finally {
        await to.close();
      }
    } finally {
      bar.end();
      await from.close();
    }
  },
};
