import { expect, test } from "vitest";
import { schemaVersion } from "../../../adapters/store/postgres-queries.ts";
import { sha256Hex } from "../../../src/canonical.ts";
import { postgresMigrations } from "../../support/postgres/migrations.ts";

// What a database has applied it never applies again: a change of these files would reach new databases only.
const applied = {
  "0001_governance.sql": "013de7ea71d012b57353f3c835459057f50447504f5484d582e0687426833cc1",
  "0002_relations.sql": "6b3f54e723a6eb146aa9309ea861bd85942bef182724172c52125ff1aad43b40",
};

test("migrations that databases have applied are what they were; what changes comes in another one", () => {
  const digests = Object.fromEntries(postgresMigrations.map(({ name, sql }) => [name, sha256Hex(sql)]));
  expect(digests).toMatchObject(applied);
});

test("migrations are numbered without a gap, and the last one brings the schema that the queries need", () => {
  const numbers = postgresMigrations.map(({ name }) => Number(name.slice(0, 4))).toSorted((a, b) => a - b);
  expect(numbers).toEqual(Array.from({ length: schemaVersion }, (_, index) => index + 1));
});
