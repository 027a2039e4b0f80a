/**
 * What a ledger reads and writes for one batch: one statement a table, over the rows as one JSON text. A statement for
 * each row costs three to six times as much.
 */
import type { Accumulated } from "../src/ledger/accumulate.ts";
import type { OpenArm } from "../src/ledger/admission.ts";
import type { AssignmentRow, OutcomeRow } from "../src/ledger/batch.ts";
import { addDecimals, type Decimal, decimalText, parseDecimal } from "../src/ledger/decimal.ts";
import {
  decodeTotals,
  decodeTrusted,
  decodeVariants,
  encodeTotals,
  encodeTrusted,
  encodeVariants,
} from "../src/ledger/stored-subject.ts";
import { metricKey, type SubjectState } from "../src/ledger/subject.ts";

/** A bound value of Durable Object SQLite is at most 2 MB; a UTF-16 unit of JSON text takes at most 3 bytes in UTF-8. */
const boundCharacters = 600_000;

/** Runs a statement over rows as one JSON text, or over halves of them while that text is too long to bind. */
const overRows = (rows: readonly unknown[], run: (json: string) => void): void => {
  if (rows.length === 0) return;
  const json = JSON.stringify(rows);
  if (json.length <= boundCharacters || rows.length === 1) {
    run(json);
    return;
  }
  const half = Math.ceil(rows.length / 2);
  overRows(rows.slice(0, half), run);
  overRows(rows.slice(half), run);
};

const changes = (sql: SqlStorage): number => sql.exec<{ n: number }>("SELECT changes() AS n").one().n;

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** A subject's state under the number that its outcomes refer to it by. */
export interface StoredSubject {
  readonly n: number;
  readonly state: SubjectState;
}

type SubjectColumns = [
  n: number,
  subject: string,
  variant: string | null,
  epoch: number | null,
  time: number | null,
  event: string | null,
  variants: string | null,
  totals: string | null,
  trusted: string | null,
];

const stateFrom = ([, , variant, epoch, time, id, variants, totals, trusted]: SubjectColumns): SubjectState => ({
  first: variant === null || epoch === null || time === null || id === null ? null : { variant, epoch, time, id },
  variants: decodeVariants(variants),
  totals: decodeTotals(totals),
  ...decodeTrusted(trusted),
});

const subjectColumns = "s.n, s.subject, s.variant, s.epoch, s.time, s.event, s.variants, s.totals, s.trusted";

/** Those of these subjects that the ledger has, by name. */
export const readSubjects = (sql: SqlStorage, names: ReadonlySet<string>): ReadonlyMap<string, StoredSubject> => {
  const found = new Map<string, StoredSubject>();
  // In the order of the index, so that neighbours are found on one page.
  overRows([...names].toSorted(byText), (json) => {
    const query = `SELECT ${subjectColumns} FROM json_each(?) AS b CROSS JOIN subjects AS s ON s.subject = b.value`;
    for (const row of sql.exec(query, json).raw<SubjectColumns>()) {
      found.set(row[1], { n: row[0], state: stateFrom(row) });
    }
  });
  return found;
};

/** Every subject whose first exposure, by whoever's key, is in this epoch, or that has another that is trusted. */
export function* subjectsOfEpoch(sql: SqlStorage, epoch: number): Generator<SubjectState, void, undefined> {
  const query = `SELECT ${subjectColumns} FROM subjects AS s WHERE s.epoch = ? OR s.trusted IS NOT NULL`;
  for (const row of sql.exec(query, epoch).raw<SubjectColumns>()) yield stateFrom(row);
}

/** A page of the crossovers, in order of their numbers. */
export const readCrossovers = (
  sql: SqlStorage,
  { after, limit }: { readonly after: number; readonly limit: number },
): readonly (StoredSubject & { readonly subject: string })[] =>
  Array.from(
    sql
      .exec(
        `SELECT ${subjectColumns} FROM subjects AS s WHERE s.variants IS NOT NULL AND s.n > ? ORDER BY s.n LIMIT ?`,
        after,
        limit,
      )
      .raw<SubjectColumns>(),
    (row) => ({ n: row[0], subject: row[1], state: stateFrom(row) }),
  );

/** Remembers exposure ids; how many of them were new. */
export const rememberExposures = (sql: SqlStorage, generation: number, ids: readonly string[]): number => {
  const [current, previous] = generation % 2 === 0 ? [0, 1] : [1, 0];
  let added = 0;
  overRows(ids, (json) => {
    sql.exec(
      `INSERT OR IGNORE INTO exposure_ids_${current}
       SELECT unhex(b.value, '-') AS id FROM json_each(?) AS b
       WHERE NOT EXISTS (SELECT 1 FROM exposure_ids_${previous} AS p WHERE p.id = unhex(b.value, '-'))`,
      json,
    );
    added += changes(sql);
  });
  return added;
};

/** Those of these outcome ids that are counted already. */
export const countedOutcomes = (sql: SqlStorage, ids: readonly string[]): ReadonlySet<string> => {
  const counted = new Set<string>();
  overRows(ids, (json) => {
    const query = "SELECT b.value FROM json_each(?) AS b CROSS JOIN outcomes AS o ON o.id = unhex(b.value, '-')";
    for (const [id] of sql.exec(query, json).raw<[string]>()) counted.add(id);
  });
  return counted;
};

const columnsOf = ({ first, variants, totals, ...rest }: SubjectState): readonly (string | number | null)[] => [
  first?.variant ?? null,
  first?.epoch ?? null,
  first?.time ?? null,
  first?.id ?? null,
  encodeVariants(variants),
  encodeTotals(totals),
  encodeTrusted(rest),
];

/** Writes new and changed subjects; the numbers of the new ones. */
export const writeSubjects = (
  sql: SqlStorage,
  stored: ReadonlyMap<string, StoredSubject>,
  changed: ReadonlyMap<string, SubjectState>,
): ReadonlyMap<string, number> => {
  const numbers = new Map<string, number>();
  const added: (readonly unknown[])[] = [];
  const updated: (readonly unknown[])[] = [];
  let last = sql.exec<{ n: number }>("SELECT coalesce(max(n), 0) AS n FROM subjects").one().n;
  for (const subject of [...changed.keys()].toSorted(byText)) {
    const state = changed.get(subject);
    if (state === undefined) continue;
    const known = stored.get(subject);
    if (known !== undefined) {
      updated.push([known.n, ...columnsOf(state)]);
      continue;
    }
    last += 1;
    numbers.set(subject, last);
    added.push([last, subject, ...columnsOf(state)]);
  }
  overRows(added, (json) => {
    sql.exec(
      `INSERT INTO subjects (n, subject, variant, epoch, time, event, variants, totals, trusted)
       SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8
       FROM json_each(?)`,
      json,
    );
  });
  overRows(updated, (json) => {
    sql.exec(
      `UPDATE subjects SET variant = b.value->>1, epoch = b.value->>2, time = b.value->>3, event = b.value->>4,
         variants = b.value->>5, totals = b.value->>6, trusted = b.value->>7
       FROM (SELECT value FROM json_each(?)) AS b WHERE subjects.n = b.value->>0`,
      json,
    );
  });
  return numbers;
};

/** Keeps raw outcomes. */
export const writeOutcomes = (
  sql: SqlStorage,
  outcomes: readonly OutcomeRow[],
  numberOf: (subject: string) => number,
): void => {
  const rows = outcomes.map(([id, subject, metric, kind, time, value]) => [
    id,
    numberOf(subject),
    metricKey(metric, kind),
    time,
    value,
  ]);
  overRows(
    rows.toSorted((a, b) => byText(String(a[0]), String(b[0]))),
    (json) => {
      sql.exec(
        `INSERT INTO outcomes (id, subject, metric, time, value)
         SELECT unhex(value->>0, '-'), value->>1, value->>2, value->>3, value->>4 FROM json_each(?)`,
        json,
      );
    },
  );
};

/** Keeps Assignment events, each id once. */
export const writeAssignments = (sql: SqlStorage, assignments: readonly AssignmentRow[]): void => {
  overRows(assignments, (json) => {
    sql.exec("INSERT OR IGNORE INTO assignments SELECT unhex(value->>0, '-'), value->>1 FROM json_each(?)", json);
  });
};

/** The arms of these epochs and the keys of the metrics that the ledger has opened. */
export const openNames = (
  sql: SqlStorage,
  epochs: ReadonlySet<number>,
): { readonly arms: readonly OpenArm[]; readonly metrics: ReadonlySet<string> } => {
  const arms: OpenArm[] = [];
  overRows([...epochs], (json) => {
    const query = "SELECT a.epoch, a.variant FROM json_each(?) AS b CROSS JOIN arms AS a ON a.epoch = b.value";
    arms.push(...sql.exec(query, json).raw<[number, string]>());
  });
  return {
    arms,
    metrics: new Set(Array.from(sql.exec("SELECT metric FROM metrics").raw<[string]>(), ([metric]) => metric)),
  };
};

const addTotal = (
  sql: SqlStorage,
  key: readonly [metric: string, epoch: number, variant: string],
  { observed, sum, sumOfSquares }: { observed: number; sum: Decimal; sumOfSquares: Decimal },
): void => {
  const [before] = sql
    .exec("SELECT sum, sum_of_squares FROM totals WHERE metric = ? AND epoch = ? AND variant = ?", ...key)
    .raw<[string, string]>();
  sql.exec(
    `INSERT INTO totals (metric, epoch, variant, observed, sum, sum_of_squares) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET observed = observed + excluded.observed, sum = excluded.sum,
       sum_of_squares = excluded.sum_of_squares`,
    ...key,
    observed,
    decimalText(addDecimals(parseDecimal(before?.[0] ?? "0"), sum)),
    decimalText(addDecimals(parseDecimal(before?.[1] ?? "0"), sumOfSquares)),
  );
};

/** Adds what a batch changes to the counts. A row for each arm and metric, of which there are few. */
export const addCounts = (sql: SqlStorage, { arms, unexposed }: Pick<Accumulated, "arms" | "unexposed">): void => {
  for (const [metric, change] of unexposed) {
    sql.exec(
      "INSERT INTO metrics VALUES (?, ?) ON CONFLICT DO UPDATE SET unexposed = unexposed + excluded.unexposed",
      metric,
      change,
    );
  }
  for (const { epoch, variant, subjects, settled, recent, totals } of arms) {
    sql.exec(
      `INSERT INTO arms (epoch, variant, subjects, settled) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET subjects = subjects + excluded.subjects, settled = settled + excluded.settled`,
      epoch,
      variant,
      subjects,
      settled,
    );
    for (const [metric, change] of totals) {
      sql.exec("INSERT OR IGNORE INTO metrics VALUES (?, 0)", metric);
      addTotal(sql, [metric, epoch, variant], change);
    }
    overRows(
      [...recent].map(([minute, change]) => [minute, epoch, variant, change]),
      (json) => {
        sql.exec(
          `INSERT INTO recent SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true
           ON CONFLICT DO UPDATE SET subjects = subjects + excluded.subjects`,
          json,
        );
      },
    );
  }
};
