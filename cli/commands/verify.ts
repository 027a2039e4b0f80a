/** `proviso verify`: whether an exported history is as it was written, offline and from the file alone. */
import { readFile } from "node:fs/promises";
import { type ExportVerification, verifyExport } from "../../src/governance/export/verify.ts";
import { readPublicKey, type Verifying } from "../../src/governance/signing.ts";
import type { Command, CommandContext } from "../command.ts";
import { namedFile } from "../dsl-file.ts";
import { CliFailure, messageOf, usageFailure } from "../failure.ts";
import { filesIn, linesOfFile } from "../histories.ts";

const headPattern = /^(\d{1,16}):([0-9a-f]{64})$/;

const headOf = (text: string | undefined): { readonly seq: number; readonly hash: string } | undefined => {
  if (text === undefined) return undefined;
  const [, seq, hash] = headPattern.exec(text) ?? [];
  if (seq === undefined || hash === undefined)
    throw usageFailure("--head wants seq:hash, as verify and /audit/head give it");
  return { seq: Number(seq), hash };
};

/** A file with a key, or the key itself as a JWK. */
const keyOf = async (text: string | undefined, context: CommandContext): Promise<Verifying | undefined> => {
  if (text === undefined) return undefined;
  const file = namedFile(text, context.directory);
  try {
    return await readPublicKey(text.startsWith("{") ? text : await readFile(file.path, "utf8"));
  } catch (cause) {
    throw new CliFailure(`--key ${text.startsWith("{") ? "" : `${file.name} `}cannot be used: ${messageOf(cause)}`, {
      cause,
    });
  }
};

const nameOf = ({ ref }: ExportVerification): string =>
  ref === null ? "an unknown experiment" : `${ref.experiment} (${ref.tenant}/${ref.environment})`;

const sentence = (file: string, found: ExportVerification): string => {
  const { head, firstInvalid, signedBy, signaturesChecked, after } = found;
  if (firstInvalid !== null) {
    const at = firstInvalid.seq === null ? "" : `, event ${firstInvalid.seq}`;
    return `${file} is not as it was written: line ${firstInvalid.line}${at}: ${firstInvalid.reason}\n`;
  }
  const from = after === 0 ? "" : `, from the checkpoint at event ${after}`;
  const signed =
    signedBy.length === 0
      ? "not signed: compare the head with one that was kept elsewhere"
      : signaturesChecked
        ? `signed by the given key, as ${signedBy.join(", ")}`
        : `signed as ${signedBy.join(", ")}, which was not checked: --key FILE does`;
  return `${file} is as it was written: ${nameOf(found)}${from}\n  head    ${head?.seq}:${head?.hash}\n  ${signed}\n`;
};

export const verify: Command = {
  name: "verify",
  summary: "check an exported history, offline, and name the place where it was changed",
  usage: "proviso verify <export.ndjson>… [--key FILE] [--head SEQ:HASH] [--json]",
  about: `Checks every line of a file, or of the .ndjson files of a directory; - is standard input. Without --key and --head it
cannot be told whether somebody wrote the whole file anew, for instance without its last events; with either it can.

Exit code 0 when everything is as it was written, 1 when something is not, 2 for a wrong call.`,
  options: {
    key: { value: "FILE", help: "public key (PEM or JWK) by which head and file must be signed" },
    head: { value: "SEQ:HASH", help: "a head that was kept elsewhere, which the file must contain" },
    json: { help: "one JSON document per file: { file, valid, length, head, firstInvalid, … }" },
  },
  async run(args, context) {
    const files = await filesIn(args.positionals, context);
    if (files.length === 0) throw usageFailure("name a file: proviso verify <export.ndjson>");
    const head = headOf(args.value("head"));
    const key = await keyOf(args.value("key"), context);
    let valid = true;
    for (const file of files) {
      const found = await verifyExport(linesOfFile(file, context), {
        ...(head === undefined ? {} : { head }),
        ...(key === undefined ? {} : { key }),
      });
      valid &&= found.valid;
      if (args.has("json")) context.out(`${JSON.stringify({ file, ...found }, null, 2)}\n`);
      else if (found.valid) context.out(sentence(file, found));
      else context.err(sentence(file, found));
    }
    return valid ? 0 : 1;
  },
};
