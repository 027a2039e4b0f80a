/** `proviso erase`: what is personal of somebody, out of every history of a scope. */
import { refuseArguments } from "../arguments.ts";
import type { Command } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { scopeOf, scopeOptions, stateDirectoryOf, stateOption } from "../histories.ts";
import { openPlace } from "../places/open.ts";

const { tenant, environment } = scopeOptions;

export const erase: Command = {
  name: "erase",
  summary: "remove what is personal of somebody from every history of a scope",
  usage: "proviso erase --from PLACE --actor ID [--reason TEXT] [--tenant NAME] [--environment NAME]",
  about: `PLACE is as for export. Removes the person's id and what they wrote; events keep references that mean nothing, and chains
still verify. That it happened is recorded in each history, and not whose it was, so the reason should not name them.
Exports and archives that were made before still hold what was erased.`,
  options: {
    from: { value: "PLACE", help: "an address, or a DSL file" },
    actor: { value: "ID", help: "the id that the person acts under" },
    reason: { value: "TEXT", help: "recorded with the erasure" },
    tenant,
    environment,
    ...stateOption,
  },
  async run(args, context) {
    const [from, actor] = [args.value("from"), args.value("actor")];
    refuseArguments(args, "erase");
    if (from === undefined || actor === undefined) throw usageFailure("say where and who: --from PLACE --actor ID");
    const scope = scopeOf(args);
    const { place } = await openPlace(from, context, { stateDirectory: stateDirectoryOf(args) });
    try {
      let [experiments, values] = [0, 0];
      for (let after: string | null | undefined; after !== null;) {
        context.signal.throwIfAborted();
        const page: Awaited<ReturnType<typeof place.erase>> = await place.erase(
          scope,
          actor,
          args.value("reason"),
          after,
        );
        experiments += page.erased.length;
        values += page.erased.reduce((sum, one) => sum + one.values, 0);
        after = page.next;
      }
      context.out(`${values} values removed from ${experiments} ${experiments === 1 ? "history" : "histories"}\n`);
      return 0;
    } finally {
      await place.close();
    }
  },
};
