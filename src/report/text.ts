/** Pieces of text for people: numbers, bars, wrapped lines. */

/** @example count(90189) // "90,189" */
export const count = (value: number): string => value.toLocaleString("en-US");

/** Significant digits, without an exponent where a person does not need one. */
export const significant = (value: number, digits = 3): string => {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  return size < 1e-4 || size >= 1e15
    ? value.toExponential(digits - 1)
    : Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 12 });
};

/** @example percent(0.49563) // "49.56 %" */
export const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** With its sign, so that a difference is not taken for a share; the minus is the typographic one where it can be. */
export const signed = (text: string, unicode: boolean): string => {
  const size = text.replace("-", "");
  if (Number(text.replaceAll(",", "")) === 0) return size;
  return text.startsWith("-") ? `${unicode ? "−" : "-"}${size}` : `+${size}`;
};

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"] as const;

/**
 * A horizontal bar. Block characters show eighths of a cell.
 *
 * @param share 0 to 1; more or less is cut
 * @param width cells of a whole bar
 * @example bar(0.5, 4, false) // "##"
 */
export const bar = (share: number, width: number, unicode: boolean): string => {
  const cells = Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0)) * width;
  if (!unicode) return "#".repeat(Math.round(cells));
  const parts = Math.round(cells * 8);
  return "█".repeat(Math.floor(parts / 8)) + (eighths[parts % 8] ?? "");
};

/** Lines of at most `width` characters, broken at blanks. */
export const wrap = (text: string, width: number): readonly string[] => {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
};

/** Data can hold characters that move the cursor or reverse the reading order; each becomes one replacement character. */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");
