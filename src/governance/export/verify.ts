/** Whether an exported history is as it was written, from the export alone. */
import type { ExperimentRef } from "../../scope.ts";
import type { Verification } from "../chain.ts";
import { createHistoryReader, type Flaw, type ReaderOptions } from "./reader.ts";

export interface ExportVerification extends Omit<Verification, "firstInvalid"> {
  /** What the file says it is of; null where it has no header. */
  readonly ref: ExperimentRef | null;
  /** Where events begin: 0, or the checkpoint that the file goes on from. */
  readonly after: number;
  readonly firstInvalid: Flaw | null;
  /** Key ids of the signatures in the file. Only with a key are they checked: anybody can write a name. */
  readonly signedBy: readonly string[];
  readonly signaturesChecked: boolean;
}

/**
 * Checks every line, and says where the first stands that is not as it was written.
 *
 * Without a key and without a head that was kept elsewhere it cannot be told whether somebody wrote the whole file anew:
 * cut off its end, say, and made another trailer.
 *
 * @param lines without their line ends
 * @example (await verifyExport(splitLines(file), { key: await readPublicKey(pem) })).valid
 */
export const verifyExport = async (
  lines: AsyncIterable<string> | Iterable<string>,
  options: ReaderOptions = {},
): Promise<ExportVerification> => {
  const reader = createHistoryReader(options);
  const answer = (firstInvalid: Flaw | null): ExportVerification => {
    const { header, head, signedBy } = reader;
    return {
      valid: firstInvalid === null,
      length: head?.seq ?? 0,
      head: head === null ? null : { seq: head.seq, hash: head.hash },
      firstInvalid,
      ref: header?.ref ?? null,
      after: header?.after ?? 0,
      signedBy: [...new Set(signedBy)],
      signaturesChecked: options.key !== undefined,
    };
  };
  for await (const line of lines) {
    const checked = await reader.push(line);
    if (!checked.ok) return answer(checked.flaw);
  }
  return answer(reader.end());
};
