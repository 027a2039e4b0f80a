import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { locateColumns } from "../../cli/replay/columns.ts";
import { findColumns, findRowFile, openRows, type Row } from "../../cli/replay/rows.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proviso-rows-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

let files = 0;
const fileOf = async (content: string | Uint8Array, name = "rows.csv"): Promise<string> => {
  files += 1;
  const path = join(directory, `${files}-${name}`);
  await writeFile(path, content);
  return path;
};

const readAll = async (
  path: string,
  columns: readonly string[] = [],
): Promise<{ columns: readonly string[]; rows: readonly Row[] }> => {
  const opened = await openRows(await findRowFile(path), columns);
  const rows: Row[] = [];
  for await (const row of opened.rows) rows.push(row);
  return { columns: opened.columns, rows };
};
const cellsOf = async (content: string | Uint8Array, name?: string): Promise<readonly unknown[]> =>
  (await readAll(await fileOf(content, name))).rows.map((row) => row.cells ?? row.problem);

describe("CSV", () => {
  test("quotes, commas and line ends inside cells, and three kinds of line ends", async () => {
    expect(await cellsOf('a,b\r\n1,"x, ""y""\r\nz"\n2,b\r3,c')).toEqual([
      ["1", 'x, "y"\r\nz'],
      ["2", "b"],
      ["3", "c"],
    ]);
  });

  test("a byte order mark is no part of the first column, blanks around a column's name neither", async () => {
    const { columns, rows } = await readAll(await fileOf("\uFEFFid, arm \n1,a\n"));
    expect(columns).toEqual(["id", "arm"]);
    expect(rows).toEqual([{ number: 1, cells: ["1", "a"] }]);
  });

  test("empty lines are no rows", async () => {
    expect(await cellsOf("a,b\n\n1,2\n\n\n3,4\n\n")).toEqual([
      ["1", "2"],
      ["3", "4"],
    ]);
  });

  test("a row with another number of cells is a problem, and counts", async () => {
    const { rows } = await readAll(await fileOf("a,b\n1\n2,x\n3,y,z\n4,v\n"));
    expect(rows).toEqual([
      { number: 1, problem: { column: null, value: "1", reason: "1 cells instead of 2" } },
      { number: 2, cells: ["2", "x"] },
      { number: 3, problem: { column: null, value: "3,y,z", reason: "3 cells instead of 2" } },
      { number: 4, cells: ["4", "v"] },
    ]);
  });

  test("a quote that swallows lines is named", async () => {
    const { rows } = await readAll(await fileOf('a,b\n1,"x\n2,y\n3,"z"\n4,v\n'));
    expect(rows.map((row) => row.problem?.reason ?? row.cells)).toEqual([
      "2 cells, over 3 lines: a quote that is not closed?",
      ["4", "v"],
    ]);
  });

  test("a stray quote inside a cell is a character", async () => {
    expect(await cellsOf('a,b\n1,5" disk\n')).toEqual([["1", '5" disk']]);
  });

  test("whatever is written as quoted cells is read back", async () => {
    const text = fc
      .string({
        unit: fc.oneof(fc.constantFrom('"', ",", "\n", "\r\n", " "), fc.string({ unit: "grapheme", maxLength: 1 })),
        maxLength: 12,
      })
      .filter((cell) => !cell.includes("\u0000"));
    const quoted = (cell: string): string => `"${cell.replaceAll('"', '""')}"`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 20 }), async (rows) => {
        const content = ["a,b", ...rows.map((row) => row.map(quoted).join(","))].join("\n");
        expect(await cellsOf(content)).toEqual(rows);
      }),
      { numRuns: 30 },
    );
  });

  test("a cell of several lines whose own first character is a quote is read", async () => {
    expect(await cellsOf('a,b\r\n1,"""x"",\ny"\r\n2,5" disk\r\n')).toEqual([
      ["1", '"x",\ny'],
      ["2", '5" disk'],
    ]);
  });

  test.each(["\n", "\r\n"])("an empty line in a file of one column is a row, and counts (%j)", async (end) => {
    const { rows } = await readAll(await fileOf(["", "a", "1", "", "2", ""].join(end)));
    expect(rows).toEqual([
      { number: 1, cells: ["1"] },
      { number: 2, problem: { column: null, value: "", reason: "an empty line" } },
      { number: 3, cells: ["2"] },
    ]);
  });

  test("a file without a header, or with nothing in it", async () => {
    await expect(readAll(await fileOf(""))).rejects.toThrow("is empty: it has no header");
    expect(await cellsOf("a,b\n")).toEqual([]);
  });
});

describe("NDJSON", () => {
  test("takes the asked columns of each object, in their order", async () => {
    const path = await fileOf(
      '{"id":1,"arm":"a","x":{}}\r\n\n{"arm":"b","id":"2","n":1.5,"ok":false}\n{"id":null}',
      "r.ndjson",
    );
    expect((await readAll(path, ["arm", "id", "n", "ok"])).rows).toEqual([
      { number: 1, cells: ["a", "1", "", ""] },
      { number: 2, cells: ["b", "2", "1.5", "false"] },
      { number: 3, cells: ["", "", "", ""] },
    ]);
  });

  test("lines that are no object, and cells that are no value, are problems", async () => {
    const path = await fileOf('{"id":1\n[1]\n"x"\n{"id":{"a":1}}\n{"id":[1]}\n{"id":5}\n', "r.jsonl");
    expect((await readAll(path, ["id"])).rows.map((row) => row.problem?.reason ?? row.cells)).toEqual([
      "not JSON",
      "not a JSON object",
      "not a JSON object",
      "a list or an object, not one value",
      "a list or an object, not one value",
      ["5"],
    ]);
  });

  test("numbers are taken as they are written, and none beyond a double", async () => {
    const ids = ["1234567890123456781", "1234567890123456789", "0.10", "-0", "1e400", "-1e999"];
    const path = await fileOf(`${ids.map((id) => `{"id":${id},"x":[${id}]}`).join("\n")}\n7\n`, "r.ndjson");
    expect((await readAll(path, ["id"])).rows.map((row) => row.cells ?? row.problem)).toEqual([
      ["1234567890123456781"],
      ["1234567890123456789"],
      ["0.10"],
      ["-0"],
      { column: "id", value: "1e400", reason: "a number too large to be one" },
      { column: "id", value: "-1e999", reason: "a number too large to be one" },
      { column: null, value: "7", reason: "not a JSON object" },
    ]);
  });

  test("names of Object.prototype are columns only where they are written", async () => {
    const path = await fileOf('{"id":1}\n{"id":2,"constructor":"a","__proto__":"b"}\n', "r.ndjson");
    expect((await readAll(path, ["constructor", "__proto__"])).rows.map((row) => row.cells)).toEqual([
      ["", ""],
      ["a", "b"],
    ]);
  });

  test("columns are gathered from the first objects", async () => {
    const path = await fileOf('{"id":1}\nnonsense\n{"arm":"b"}\n', "r.ndjson");
    expect(await findColumns(await findRowFile(path))).toEqual(["id", "arm"]);
  });

  test("a line split between two chunks stays one line, characters too", async () => {
    const rows = Array.from({ length: 20_000 }, (_, index) => ({ id: `ü-${index}-日本` }));
    const path = await fileOf(gzipSync(rows.map((row) => JSON.stringify(row)).join("\n")), "r.ndjson.gz");
    expect((await readAll(path, ["id"])).rows.map((row) => row.cells?.[0])).toEqual(rows.map((row) => row.id));
  });
});

describe("files", () => {
  test("gzip is unpacked", async () => {
    expect(await cellsOf(gzipSync("a,b\n1,2\n"), "rows.csv.gz")).toEqual([["1", "2"]]);
    expect(await cellsOf(gzipSync("a,b\n1,2\n"), "ROWS.CSV.GZ")).toEqual([["1", "2"]]);
  });

  test("a gzip file that ends early is refused, not read as far as it goes", async () => {
    const rows = `a,b\n${Array.from({ length: 50_000 }, (_, index) => `${index},${(index * 7919) % 1000}\n`).join("")}`;
    const whole = gzipSync(rows);
    const path = await fileOf(whole.subarray(0, whole.length - 1_000), "rows.csv.gz");
    await expect(readAll(path)).rejects.toThrow("the gzip data ends too early: the file is not whole");
  });

  test("what is not gzip is said not to be", async () => {
    await expect(readAll(await fileOf("a,b\n1,2\n", "rows.csv.gz"))).rejects.toThrow("it is not gzip data");
  });

  test("bytes that are not UTF-8 are refused: replaced, they would make different subjects one", async () => {
    await expect(readAll(await fileOf(Buffer.from("id\nM\xfcller\n", "latin1")))).rejects.toThrow(
      "it is not UTF-8 text",
    );
    await expect(readAll(await fileOf(Buffer.from("\uFEFFid\nx", "utf16le")))).rejects.toThrow("it is not UTF-8 text");
    // Cut in the middle of a character.
    await expect(readAll(await fileOf(Buffer.from("id\nü").subarray(0, 4)))).rejects.toThrow("it is not UTF-8 text");
  });

  test("a quote that is never closed is refused", async () => {
    await expect(readAll(await fileOf('a,b\n1,2\n3,"x\n4,5\n'))).rejects.toThrow("a quote is opened and never closed");
  });

  test("a missing file, a directory, an unknown ending", async () => {
    await expect(findRowFile(join(directory, "none.csv"))).rejects.toThrow(/there is no file .*none\.csv/);
    await expect(findRowFile("rows.xlsx")).rejects.toThrow("the name must end in .csv, .ndjson or .jsonl");
    await expect(findRowFile("csv")).rejects.toThrow("the name must end in");
  });
});

describe("locateColumns", () => {
  const wanted = {
    subject: "id",
    variant: "arm",
    timestamp: "at",
    outcomes: [{ column: "n", kind: "count", metric: "n" }],
  } as const;

  test("finds each column, and none for #row", () => {
    expect(locateColumns(["n", "at", "arm", "id"], wanted, "f")).toEqual({
      subject: 3,
      variant: 2,
      timestamp: 1,
      outcomes: [0],
    });
    expect(locateColumns(["arm"], { subject: null, variant: "arm", timestamp: undefined, outcomes: [] }, "f")).toEqual({
      subject: null,
      variant: 0,
      timestamp: null,
      outcomes: [],
    });
  });

  test("a missing column is refused with those that there are, and the nearest", () => {
    expect(() => locateColumns(["user_id", "arm", "at", "n"], { ...wanted, subject: "userid" }, "rows.csv")).toThrow(
      '--subject userid: rows.csv has no such column; it has "user_id", "arm", "at", "n"; did you mean user_id?',
    );
  });

  test("a column that stands there twice is refused", () => {
    expect(() => locateColumns(["id", "arm", "id", "at", "n"], wanted, "f")).toThrow(
      "--subject id: f has that column twice",
    );
  });
});
