/**
 * What a ledger reads and writes for one batch: one statement a table, over the rows as one JSON text. A statement for
 * each row costs three to six times as much.
 */
import { type MetricKind, metricKinds } from "../src/experiment.ts";
import type { CountChanges } from "../src/ledger/accumulate.ts";
import type { OpenArm } from "../src/ledger/admission.ts";
import type { AssignmentRow, OutcomeRow } from "../src/ledger/batch.ts";
import { addDecimals, decimalText, parseDecimal } from "../src/ledger/decimal.ts";
import {
  decodeDimensions,
  decodeTotals,
  decodeTrusted,
  decodeVariants,
  encodeDimensions,
  encodeTotals,
  encodeTrusted,
  encodeVariants,
} from "../src/ledger/stored-subject.ts";
import { metricKey, type SubjectState } from "../src/ledger/subject.ts";
import type { Unnamed } from "../src/ledger/unnamed.ts";
import { newNamesTable } from "./ledger-schema.ts";

/** A bound value of Durable Object SQLite is at most 2 MB; a UTF-16 unit of JSON text takes at most 3 bytes in UTF-8. */
const boundCharacters = 600_000;

/** Runs a statement over rows as one JSON text, or over halves of them while that text is too long to bind. */
export const overRows = (rows: readonly unknown[], run: (json: string) => void): void => {
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

const isMetricKind = (text: string): text is MetricKind => metricKinds.some((kind) => kind === text);

/** The two halves of a metric key. */
export const metricOfKey = (key: string): { readonly metric: string; readonly kind: MetricKind } => {
  const separator = key.indexOf(":");
  const kind = key.slice(0, separator);
  if (!isMetricKind(kind)) throw new TypeError(`ledger: ${JSON.stringify(key)} is no metric key`);
  return { metric: key.slice(separator + 1), kind };
};

/** Metric keys and the numbers that rows call them by. */
export interface MetricNumbers {
  readonly keyOf: (n: number | string) => string;
  /** Gives a number to a key that has none. */
  readonly numberOf: (key: string) => number;
  readonly keys: () => ReadonlySet<string>;
}

/** As of now: a transaction that fails takes its new numbers with it, so each begins with a reading of its own. */
export const readMetricNumbers = (sql: SqlStorage): MetricNumbers => {
  const keys = new Map<number, string>();
  const numbers = new Map<string, number>();
  const know = (n: number, key: string): number => {
    keys.set(n, key);
    numbers.set(key, n);
    return n;
  };
  for (const [n, key] of sql.exec("SELECT n, metric FROM metrics").raw<[number, string]>()) know(n, key);
  return {
    keyOf(n) {
      const key = keys.get(Number(n));
      if (key === undefined) throw new TypeError(`ledger: there is no metric ${n}`);
      return key;
    },
    numberOf: (key) =>
      numbers.get(key) ??
      know(sql.exec<{ n: number }>("INSERT INTO metrics (metric) VALUES (?) RETURNING n", key).one().n, key),
    keys: () => new Set(numbers.keys()),
  };
};

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
  dimensions: string | null,
  variants: string | null,
  totals: string | null,
  trusted: string | null,
];

const stateFrom = (
  [, , variant, epoch, time, id, dimensions, variants, totals, trusted]: SubjectColumns,
  metrics: MetricNumbers,
): SubjectState => ({
  first:
    variant === null || epoch === null || time === null || id === null
      ? null
      : { variant, epoch, time, id, dimensions: decodeDimensions(dimensions) },
  variants: decodeVariants(variants),
  totals: decodeTotals(totals, metrics.keyOf),
  ...decodeTrusted(trusted),
});

const subjectColumns =
  "s.n, s.subject, s.variant, s.epoch, s.time, s.event, s.dimensions, s.variants, s.totals, s.trusted";

/** Those of these subjects that the ledger has, by name. */
export const readSubjects = (
  sql: SqlStorage,
  metrics: MetricNumbers,
  names: Iterable<string>,
): Map<string, StoredSubject> => {
  const found = new Map<string, StoredSubject>();
  // In the order of the indexes, so that neighbours are found on one page.
  overRows([...names].toSorted(), (json) => {
    const query = `SELECT ${subjectColumns} FROM json_each(?) AS b CROSS JOIN subjects AS s ON s.n = coalesce(
      (SELECT n FROM new_names WHERE subject = b.value), (SELECT n FROM names WHERE subject = b.value))`;
    for (const row of sql.exec(query, json).raw<SubjectColumns>())
      found.set(row[1], { n: row[0], state: stateFrom(row, metrics) });
  });
  return found;
};

export interface NamedSubject extends StoredSubject {
  readonly subject: string;
}

/** Subjects after a number, in order of their numbers: all, or the crossovers. */
export const readSubjectsAfter = (
  sql: SqlStorage,
  metrics: MetricNumbers,
  { after, limit, which }: { readonly after: number; readonly limit: number; readonly which: "all" | "crossovers" },
): readonly NamedSubject[] =>
  Array.from(
    sql
      .exec(
        `SELECT ${subjectColumns} FROM subjects AS s
         WHERE ${which === "crossovers" ? "s.variants IS NOT NULL AND" : ""} s.n > ? ORDER BY s.n LIMIT ?`,
        after,
        limit,
      )
      .raw<SubjectColumns>(),
    (row) => ({ n: row[0], subject: row[1], state: stateFrom(row, metrics) }),
  );

/** Every subject whose first exposure, by whoever's key, is in this epoch, or that has another that is trusted. */
export function* subjectsOfEpoch(sql: SqlStorage, epoch: number): Generator<SubjectState, void, undefined> {
  const metrics = readMetricNumbers(sql);
  const query = `SELECT ${subjectColumns} FROM subjects AS s WHERE s.epoch = ? OR s.trusted IS NOT NULL`;
  for (const row of sql.exec(query, epoch).raw<SubjectColumns>()) yield stateFrom(row, metrics);
}

/** `[event id, hash of the subject]` */
export type ExposureId = readonly [id: string, hash: number];

/** Remembers exposure ids; how many of them were new. */
export const rememberExposures = (sql: SqlStorage, generation: number, ids: readonly ExposureId[]): number => {
  const [current, previous] = generation % 2 === 0 ? [0, 1] : [1, 0];
  const older = sql.exec(`SELECT 1 FROM exposure_ids_${previous} LIMIT 1`).toArray().length > 0;
  let added = 0;
  overRows(ids, (json) => {
    sql.exec(
      older
        ? `INSERT OR IGNORE INTO exposure_ids_${current}
           SELECT unhex(b.value->>0, '-') AS id, b.value->>1 FROM jsonb_each(?) AS b
           WHERE NOT EXISTS (SELECT 1 FROM exposure_ids_${previous} AS p WHERE p.id = unhex(b.value->>0, '-'))`
        : `INSERT OR IGNORE INTO exposure_ids_${current} SELECT unhex(value->>0, '-'), value->>1 FROM jsonb_each(?)`,
      json,
    );
    added += changes(sql);
  });
  return added;
};

/** Says which of these outcomes are counted already. */
export const countedOutcomes = (
  sql: SqlStorage,
  outcomes: readonly OutcomeRow[],
  stored: ReadonlyMap<string, StoredSubject>,
): ((outcome: OutcomeRow) => boolean) => {
  if (stored.size === 0) return () => false;
  const counted = new Set<string>();
  const rows: (readonly [number, string])[] = [];
  for (const [id, subject] of outcomes) {
    const known = stored.get(subject);
    // A subject that has no total and no exposure has no outcome either.
    if (known !== undefined) rows.push([known.n, id]);
  }
  overRows(
    rows.toSorted((a, b) => a[0] - b[0]),
    (json) => {
      const query = `SELECT o.subject, b.value->>1 FROM jsonb_each(?) AS b CROSS JOIN outcomes AS o
        ON o.subject = b.value->>0 AND o.id = unhex(b.value->>1, '-')`;
      for (const [n, id] of sql.exec(query, json).raw<[number, string]>()) counted.add(`${n}${id}`);
    },
  );
  return ([id, subject]) => {
    const known = stored.get(subject);
    return known !== undefined && counted.has(`${known.n}${id}`);
  };
};

const dashed = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;

/** Raw outcomes of these subjects. */
export const readOutcomes = (
  sql: SqlStorage,
  metrics: MetricNumbers,
  subjects: readonly { readonly n: number; readonly subject: string }[],
): ReadonlyMap<string, readonly OutcomeRow[]> => {
  const names = new Map(subjects.map(({ n, subject }) => [n, subject]));
  const found = new Map<string, OutcomeRow[]>();
  overRows([...names.keys()], (json) => {
    const query = `SELECT o.subject, lower(hex(o.id)), o.metric, o.time, o.value
      FROM json_each(?) AS b CROSS JOIN outcomes AS o ON o.subject = b.value`;
    for (const [n, id, number, time, value] of sql.exec(query, json).raw<[number, string, number, number, number]>()) {
      const subject = names.get(n) ?? "";
      const { metric, kind } = metricOfKey(metrics.keyOf(number));
      const row: OutcomeRow = [dashed(id), subject, metric, kind, time, value];
      const own = found.get(subject);
      if (own === undefined) found.set(subject, [row]);
      else own.push(row);
    }
  });
  return found;
};

const columnsOf = (
  { first, variants, totals, ...rest }: SubjectState,
  metrics: MetricNumbers,
  arrived: number,
): readonly (string | number | null)[] => [
  first?.variant ?? null,
  first?.epoch ?? null,
  first?.time ?? arrived,
  first?.id ?? null,
  encodeTotals(totals, metrics.numberOf),
  first === null ? null : encodeDimensions(first.dimensions),
  encodeVariants(variants),
  encodeTrusted(rest),
];

/** The columns that every subject has, and those that few have: a value that is not there takes as long to read as any. */
const usual = ["n", "subject", "variant", "epoch", "time", "event", "totals"] as const;
const seldom = ["dimensions", "variants", "trusted"] as const;

const insertOf = (columns: readonly string[]): string =>
  `INSERT INTO subjects (${columns.join(", ")}) SELECT ${columns.map((_, place) => `value->>${place}`).join(", ")}
   FROM jsonb_each(?)`;
const insertUsual = insertOf(usual);
const insertAny = insertOf([...usual, ...seldom]);

const isUsual = (row: readonly unknown[]): boolean => {
  for (let place = usual.length; place < row.length; place += 1) if (row[place] !== null) return false;
  return true;
};

/** As many as a small table may hold: every batch writes to most of its pages, and the large one is written this seldom. */
const newNamesMax = 32_768;

/** Puts down the names of the subjects that have been written, those after the first number and up to the last. */
const writeNames = (sql: SqlStorage, after: number, last: number): void => {
  sql.exec("INSERT INTO new_names SELECT subject, n FROM subjects WHERE n > ? ORDER BY subject", after);
  const { named } = sql.exec<{ named: number }>("SELECT named FROM ledger").one();
  if (last - named < newNamesMax) return;
  sql.exec("INSERT INTO names SELECT subject, n FROM new_names ORDER BY subject");
  // Every deleted row would be paid for as a written one.
  sql.exec(`DROP TABLE new_names; ${newNamesTable}`);
  sql.exec("UPDATE ledger SET named = ?", last);
};

/**
 * Writes new and changed subjects; the numbers of the new ones.
 *
 * @param arrived now, ms since 1970: how long a subject without an exposure waits is counted from here
 */
export const writeSubjects = (
  sql: SqlStorage,
  metrics: MetricNumbers,
  stored: ReadonlyMap<string, StoredSubject>,
  changed: ReadonlyMap<string, SubjectState>,
  arrived: number,
): ReadonlyMap<string, number> => {
  const numbers = new Map<string, number>();
  const added: (readonly unknown[])[] = [];
  const updated: (readonly unknown[])[] = [];
  const before = sql.exec<{ n: number }>("SELECT coalesce(max(n), 0) AS n FROM subjects").one().n;
  let last = before;
  for (const [subject, state] of changed) {
    const known = stored.get(subject);
    if (known !== undefined) {
      updated.push([known.n, ...columnsOf(state, metrics, arrived)]);
      continue;
    }
    last += 1;
    numbers.set(subject, last);
    added.push([last, subject, ...columnsOf(state, metrics, arrived)]);
  }
  const isPlain = added.every(isUsual);
  overRows(isPlain ? added.map((row) => row.slice(0, usual.length)) : added, (json) => {
    sql.exec(isPlain ? insertUsual : insertAny, json);
  });
  if (last > before) writeNames(sql, before, last);
  overRows(updated, (json) => {
    sql.exec(
      `UPDATE subjects SET variant = b.value->>1, epoch = b.value->>2, event = b.value->>4,
         time = CASE WHEN b.value->>1 IS NULL THEN subjects.time ELSE b.value->>3 END,
         totals = b.value->>5, dimensions = b.value->>6, variants = b.value->>7, trusted = b.value->>8
       FROM (SELECT value FROM jsonb_each(?)) AS b WHERE subjects.n = b.value->>0`,
      json,
    );
  });
  return numbers;
};

/** Writes totals alone, by number. */
export const writeTotals = (
  sql: SqlStorage,
  metrics: MetricNumbers,
  subjects: readonly { readonly n: number; readonly state: SubjectState }[],
): void => {
  overRows(
    subjects.map(({ n, state }) => [n, encodeTotals(state.totals, metrics.numberOf)]),
    (json) => {
      sql.exec(
        `UPDATE subjects SET totals = b.value->>1 FROM (SELECT value FROM jsonb_each(?)) AS b
         WHERE subjects.n = b.value->>0`,
        json,
      );
    },
  );
};

/** Keeps raw outcomes. */
export const writeOutcomes = (
  sql: SqlStorage,
  metrics: MetricNumbers,
  outcomes: readonly OutcomeRow[],
  numberOf: (subject: string) => number,
): void => {
  const rows = outcomes.map(
    ([id, subject, metric, kind, time, value]) =>
      [numberOf(subject), id, metrics.numberOf(metricKey(metric, kind)), time, value] as const,
  );
  overRows(
    rows.toSorted((a, b) => a[0] - b[0] || byText(a[1], b[1])),
    (json) => {
      sql.exec(
        `INSERT INTO outcomes (subject, id, metric, time, value)
         SELECT value->>0, unhex(value->>1, '-'), value->>2, value->>3, value->>4 FROM jsonb_each(?)`,
        json,
      );
    },
  );
};

/** Takes subjects and their outcomes away; how many outcomes there were. */
export const deleteSubjects = (sql: SqlStorage, numbers: readonly number[]): number => {
  let outcomes = 0;
  overRows(numbers, (json) => {
    sql.exec("DELETE FROM outcomes WHERE subject IN (SELECT value FROM json_each(?))", json);
    outcomes += changes(sql);
    for (const table of ["names", "new_names"])
      sql.exec(
        `DELETE FROM ${table} WHERE subject IN
           (SELECT s.subject FROM json_each(?) AS b CROSS JOIN subjects AS s ON s.n = b.value)`,
        json,
      );
    sql.exec("DELETE FROM subjects WHERE n IN (SELECT value FROM json_each(?))", json);
  });
  return outcomes;
};

/** Takes away outcomes of these subjects that were not within this time, ms since 1970; how many. */
export const deleteOutcomesOutside = (
  sql: SqlStorage,
  numbers: readonly number[],
  { from, to }: { readonly from: number; readonly to: number },
): number => {
  let outcomes = 0;
  overRows(numbers, (json) => {
    sql.exec(
      "DELETE FROM outcomes WHERE subject IN (SELECT value FROM json_each(?)) AND NOT (time BETWEEN ? AND ?)",
      json,
      from,
      to,
    );
    outcomes += changes(sql);
  });
  return outcomes;
};

/** These subjects wait since the earliest of the outcomes that they have, or since now. */
export const waitSinceOutcomes = (sql: SqlStorage, numbers: readonly number[], now: number): void => {
  overRows(numbers, (json) => {
    sql.exec(
      `UPDATE subjects SET time = min(?, (SELECT min(time) FROM outcomes WHERE outcomes.subject = subjects.n))
       WHERE n IN (SELECT value FROM json_each(?))`,
      now,
      json,
    );
  });
};

/** Remembers that there were events with a placeholder for the subject. */
export const writeUnnamed = (sql: SqlStorage, { epochs, outcomes }: Unnamed): void => {
  overRows([...epochs.map((epoch) => ["exposure", epoch]), ...(outcomes ? [["outcome", 0]] : [])], (json) => {
    sql.exec("INSERT OR IGNORE INTO unnamed SELECT value->>0, value->>1 FROM jsonb_each(?)", json);
  });
};

export const readUnnamed = (sql: SqlStorage): Unnamed => {
  const rows = Array.from(sql.exec("SELECT kind, epoch FROM unnamed ORDER BY epoch").raw<[string, number]>());
  return {
    epochs: rows.flatMap(([kind, epoch]) => (kind === "exposure" ? [epoch] : [])),
    outcomes: rows.some(([kind]) => kind === "outcome"),
  };
};

/** Keeps Assignment events, each id once. */
export const writeAssignments = (sql: SqlStorage, assignments: readonly AssignmentRow[]): void => {
  overRows(assignments, (json) => {
    sql.exec("INSERT OR IGNORE INTO assignments SELECT unhex(value->>0, '-'), value->>1 FROM jsonb_each(?)", json);
  });
};

/** The arms that the ledger has opened in these epochs. */
export const openArms = (sql: SqlStorage, epochs: ReadonlySet<number>): readonly OpenArm[] => {
  const arms: OpenArm[] = [];
  overRows([...epochs], (json) => {
    const query = "SELECT a.epoch, a.variant FROM json_each(?) AS b CROSS JOIN arms AS a ON a.epoch = b.value";
    arms.push(...sql.exec(query, json).raw<[number, string]>());
  });
  return arms;
};

/** Adds what a batch changes to the counts. */
export const addCounts = (sql: SqlStorage, { arms, unexposed }: CountChanges, metrics: MetricNumbers): void => {
  overRows(
    Array.from(unexposed, ([key, change]) => [metrics.numberOf(key), change]),
    (json) => {
      sql.exec(
        `UPDATE metrics SET unexposed = unexposed + (b.value->>1) FROM (SELECT value FROM jsonb_each(?)) AS b
         WHERE metrics.n = b.value->>0`,
        json,
      );
    },
  );
  overRows(
    arms.map(({ epoch, variant, subjects, settled }) => [epoch, variant, subjects, settled]),
    (json) => {
      sql.exec(
        `INSERT INTO arms SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each(?) WHERE true
         ON CONFLICT DO UPDATE SET subjects = subjects + excluded.subjects, settled = settled + excluded.settled`,
        json,
      );
    },
  );
  overRows(
    arms.flatMap(({ epoch, variant, recent }) =>
      Array.from(recent, ([minute, change]) => [minute, epoch, variant, change]),
    ),
    (json) => {
      sql.exec(
        `INSERT INTO recent SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each(?) WHERE true
         ON CONFLICT DO UPDATE SET subjects = subjects + excluded.subjects`,
        json,
      );
    },
  );
  addSlices(sql, { arms });
};

const totalsKey = (slice: string, metric: string, epoch: number, variant: string): string =>
  JSON.stringify([slice, metric, epoch, variant]);

/** Adds to slices and their totals. Sums are exact decimals, which SQL cannot add. */
export const addSlices = (sql: SqlStorage, { arms }: Pick<CountChanges, "arms">): void => {
  const flat = arms.flatMap(({ epoch, variant, slices }) =>
    Array.from(slices, ([slice, change]) => ({ slice, epoch, variant, change })),
  );
  overRows(
    flat
      .filter(({ change }) => change.subjects !== 0)
      .map(({ slice, epoch, variant, change }) => [slice, epoch, variant, change.subjects]),
    (json) => {
      sql.exec(
        `INSERT INTO slices SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each(?) WHERE true
         ON CONFLICT DO UPDATE SET subjects = subjects + excluded.subjects`,
        json,
      );
    },
  );
  const totals = flat.flatMap(({ slice, epoch, variant, change }) =>
    Array.from(change.totals, ([metric, total]) => ({ key: [slice, metric, epoch, variant] as const, total })),
  );
  const before = new Map<string, readonly [string, string]>();
  overRows(
    totals.map(({ key }) => key),
    (json) => {
      const query = `SELECT t.slice, t.metric, t.epoch, t.variant, t.sum, t.sum_of_squares
        FROM jsonb_each(?) AS b CROSS JOIN totals AS t ON t.slice = b.value->>0 AND t.metric = b.value->>1
          AND t.epoch = b.value->>2 AND t.variant = b.value->>3`;
      for (const [slice, metric, epoch, variant, sum, squares] of sql
        .exec(query, json)
        .raw<[string, string, number, string, string, string]>())
        before.set(totalsKey(slice, metric, epoch, variant), [sum, squares]);
    },
  );
  overRows(
    totals.map(({ key, total }) => {
      const [sum, squares] = before.get(totalsKey(...key)) ?? ["0", "0"];
      return [
        ...key,
        total.observed,
        decimalText(addDecimals(parseDecimal(sum), total.sum)),
        decimalText(addDecimals(parseDecimal(squares), total.sumOfSquares)),
      ];
    }),
    (json) => {
      sql.exec(
        `INSERT INTO totals SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6
         FROM jsonb_each(?) WHERE true
         ON CONFLICT DO UPDATE SET observed = observed + excluded.observed, sum = excluded.sum,
           sum_of_squares = excluded.sum_of_squares`,
        json,
      );
    },
  );
};
