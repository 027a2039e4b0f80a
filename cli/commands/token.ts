/** `proviso token`: a new bearer token, and the entry by which a deployment knows it. */
import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { sha256Hex } from "../../src/canonical.ts";
import { parseTokens } from "../../src/http/token-identity.ts";
import { isName } from "../../src/scope.ts";
import type { Command } from "../command.ts";
import { messageOf, usageFailure } from "../failure.ts";

const Entry = v.record(v.string(), v.unknown());

export const token: Command = {
  name: "token",
  summary: "make a token for a person, a service or an application",
  usage: "proviso token --id NAME --roles a,b [--kind KIND] [--tenant NAME] [--environment NAME]",
  about: `Prints the token, which is shown only here, and its entry for the list in the secret PROVISO_TOKENS. The entry holds
a hash: whoever reads it cannot use it.

Roles: viewer, editor, approver, operator, admin, and any that your gates name. Applications have keys of their own:
ingest (send events), evaluate (read rules), or browser for one that a page carries (send exposures, which guardrails do
not look at).`,
  options: {
    id: { value: "NAME", help: "who it is for, as the history shows it" },
    roles: { value: "a,b", help: "roles, separated by commas" },
    kind: { value: "KIND", help: "human (default), service or agent" },
    tenant: { value: "NAME", help: "good for this tenant only" },
    environment: { value: "NAME", help: "good for this environment only" },
    json: { help: "one JSON document: { token, entry }" },
  },
  run(args, context) {
    const id = args.value("id");
    const roles = args.value("roles");
    if (id === undefined || roles === undefined)
      throw usageFailure("say who it is for and what it may do: --id NAME --roles a,b");
    const pins = Object.fromEntries(
      (["tenant", "environment"] as const).flatMap((part) => {
        const value = args.value(part);
        if (value !== undefined && !isName(value)) throw usageFailure(`--${part} ${value} is not a name`);
        return value === undefined ? [] : [[part, value] as const];
      }),
    );
    const secret = randomBytes(32).toString("base64url");
    const written = {
      id,
      kind: args.value("kind") ?? "human",
      roles: roles.split(",").map((role) => role.trim()),
      sha256: sha256Hex(secret),
      ...pins,
    };
    let entry: Readonly<Record<string, unknown>>;
    try {
      entry = v.parse(Entry, parseTokens(JSON.stringify([written]))[0]);
    } catch (error) {
      throw usageFailure(messageOf(error).replace(/^.*not valid: /, ""));
    }
    context.out(
      args.has("json")
        ? `${JSON.stringify({ token: secret, entry }, null, 2)}\n`
        : `token  ${secret}\nentry  ${JSON.stringify(entry)}\n`,
    );
    return Promise.resolve(0);
  },
};
