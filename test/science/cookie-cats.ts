/** The Cookie Cats experiment, where the data directory is present beside the project. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const file = new URL("../../../shared/data/cookie-cats.csv.gz", import.meta.url);

export const cookieCatsAbsent = existsSync(file) ? undefined : "../shared/data/cookie-cats.csv.gz is not there";

export interface Player {
  readonly version: string;
  readonly rounds: number;
  readonly retention1: boolean;
  readonly retention7: boolean;
}

const header = "userid,version,sum_game_rounds,retention_1,retention_7";

/** Players in file order; the columns hold neither quotes nor commas. */
export const cookieCats = (): readonly Player[] => {
  const [first, ...rows] = gunzipSync(readFileSync(file)).toString("utf8").trimEnd().split(/\r?\n/);
  if (first !== header) throw new Error(`cookie-cats.csv.gz: expected the columns ${header}`);
  return rows.map((row) => {
    const [, version = "", rounds = "", retention1 = "", retention7 = ""] = row.split(",");
    return {
      version,
      rounds: Number(rounds),
      retention1: retention1.toLowerCase() === "true",
      retention7: retention7.toLowerCase() === "true",
    };
  });
};
