/** A server of a replay's own, on storage that goes with it. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256Hex } from "../../src/canonical.ts";
import type { Dsl } from "../../src/config/index.ts";
import type { CommandContext } from "../command.ts";
import { explain, findDsl, judgeDsl, readDsl } from "../dsl-file.ts";
import { startEmbedded } from "../embedded.ts";
import { CliFailure } from "../failure.ts";
import { startGuard } from "../guarded.ts";
import { approver, author, type Person, type Tokens } from "./client.ts";

/** Where to send the rows, and as whom. */
export interface Target {
  readonly url: string;
  readonly tokens: Tokens;
}

const makeToken = ({ part, id, roles }: Person, more: readonly string[]) => {
  const token = randomBytes(32).toString("base64url");
  return { part, token, entry: { id, kind: "human", roles: [...roles, ...more], sha256: sha256Hex(token) } };
};

/** A server that asks for tokens gets two that nobody else knows. */
const makeTokens = ({
  governance,
}: Dsl): { readonly tokens: Tokens; readonly secrets: CommandContext["environment"] } => {
  const { type, secret } = governance.auth;
  if (type !== "token") return { tokens: {}, secrets: {} };
  const made = [makeToken(author, ["ingest"]), makeToken(approver, [])];
  return {
    tokens: Object.fromEntries(made.map(({ part, token }) => [part, token])),
    secrets: { [secret]: JSON.stringify(made.map(({ entry }) => entry)) },
  };
};

/** Starts the server, does the work and takes everything away, however it ends. */
export const withOwnServer = async (
  context: CommandContext,
  work: (target: Target) => Promise<number>,
): Promise<number> => {
  const file = findDsl(context);
  const text = await readDsl(file);
  const judged = judgeDsl(file, text, context.environment);
  if (!judged.ok) {
    context.err(explain(judged, text, context.terminal.color));
    throw new CliFailure(`${file.name} is not valid`);
  }
  const { tokens, secrets } = makeTokens(judged.value);
  const guard = startGuard();
  const directory = await mkdtemp(join(tmpdir(), "proviso-replay-"));
  guard.removeAtEnd(directory);
  try {
    const worker = await startEmbedded({
      port: 0,
      stateDirectory: directory,
      dslText: text,
      environment: { ...context.environment, ...secrets },
      onLog: (level, message) => {
        if (level !== "info" && !context.signal.aborted) context.err(`${message}\n`);
      },
    });
    try {
      return await work({ url: worker.url, tokens });
    } finally {
      await worker.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
    guard.release();
  }
};
