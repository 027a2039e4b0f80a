/** What a replay shows while it runs: a bar on a terminal, a line now and then elsewhere. */
import type { FeedProgress } from "./feed.ts";
import { bar, count } from "../../src/report/text.ts";

export interface ProgressOptions {
  readonly write: (text: string) => void;
  readonly style: "bar" | "lines" | "none";
  readonly unicode: boolean;
  /** Characters in a line: one that went on in the next could not be drawn over. */
  readonly columns: number;
  readonly totalRows: number;
  /** ms of a clock that is never set back */
  readonly now: () => number;
}

export interface Progress {
  update(progress: FeedProgress): void;
  /** Takes the bar away, so that what follows begins on a line of its own. */
  end(): void;
}

const barMs = 100;
const lineMs = 5_000;
const barWidth = 24;

export const createProgress = ({ write, style, unicode, columns, totalRows, now }: ProgressOptions): Progress => {
  const begun = now();
  // Whoever reads lines has just been told what began; a bar is there at once.
  let last = style === "bar" ? -Infinity : begun;
  let drawn = false;
  const describe = ({ stage, rows, sent, arrived }: FeedProgress): string => {
    const seconds = (now() - begun) / 1_000;
    const rate = seconds > 0 && sent > 0 ? ` (${count(Math.round(sent / seconds))}/s)` : "";
    return stage === "sending"
      ? `row ${count(rows)} of ${count(totalRows)}, ${count(sent)} events sent${rate}`
      : `waiting for the ledger: ${count(arrived)} of ${count(sent)} events counted`;
  };
  return {
    update(progress) {
      const at = now();
      if (style === "none" || at - last < (style === "bar" ? barMs : lineMs)) return;
      last = at;
      if (style === "lines") {
        write(`${describe(progress)}\n`);
        return;
      }
      const { stage, rows, sent, arrived } = progress;
      const share = stage === "sending" ? rows / Math.max(1, totalRows) : arrived / Math.max(1, sent);
      const filled = bar(share, barWidth, unicode).padEnd(barWidth, unicode ? "░" : ".");
      const line = `${filled} ${String(Math.floor(share * 100)).padStart(3)} %  ${describe(progress)}`;
      write(`\r\u001B[2K${line.slice(0, columns - 1)}`);
      drawn = true;
    },
    end() {
      if (drawn) write("\r\u001B[2K");
      drawn = false;
    },
  };
};
