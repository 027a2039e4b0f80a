/** `proviso bundle`: what `wrangler.toml` runs before it bundles the Worker. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "../command.ts";
import { explain, findDsl, judgeDsl, readDsl, summarize } from "../dsl-file.ts";

/** `worker/` imports this file as text. */
const target = [".proviso", "proviso.yaml"] as const;

export const bundle: Command = {
  name: "bundle",
  internal: true,
  summary: "check the DSL and put it where the Worker's build takes it from",
  usage: "proviso bundle",
  about: `Checks PROVISO_CONFIG (default proviso.yaml) and copies it to ${target.join("/")}. An invalid file fails the build of a
deployment; under \`wrangler dev\` (WRANGLER_COMMAND=dev) its errors are printed and the Worker answers 500.`,
  options: {},
  async run(_args, context) {
    const file = findDsl(context);
    const text = await readDsl(file);
    const result = judgeDsl(file, text, context.environment);
    context.err(explain(result, text, context.terminal.color));
    if (!result.ok && context.environment["WRANGLER_COMMAND"] !== "dev") return 1;
    await mkdir(join(context.directory, target[0]), { recursive: true });
    await writeFile(join(context.directory, ...target), text);
    if (result.ok) context.err(`${file.name}: ${summarize(result)}\n`);
    if (result.ok && context.environment["WRANGLER_COMMAND"] === "deploy") {
      const { auth } = result.value.governance;
      const warning =
        auth.type === "development"
          ? "auth is development: the deployed Worker lets nobody in; say auth: { type: token }"
          : `the Worker answers 500 until the secret ${auth.secret} is set`;
      context.err(`${file.name}: ${warning}\n`);
    }
    return 0;
  },
};
