/**
 * The questions of docs/audit-queries.md, as they stand there, on histories that governance has made: what they answer,
 * and that none reads more of the history than an index leads it to. Each SQL engine gives itself:
 * `describeAuditQuestions("d1", engine)`.
 */
import { beforeAll, describe, expect, test } from "vitest";
import document from "../../docs/audit-queries.md?raw";
import type { GovernanceStore } from "../../src/governance/store.ts";
import { checkpointAt, freshScope } from "../support/governance.ts";
import { governedWorld, type GovernedWorld, type ProcessOptions } from "../support/governed-world.ts";

interface Question {
  readonly title: string;
  readonly sql: string;
}

const questions: readonly Question[] = [...document.matchAll(/^### (\d+\. .+)\n+```sql\n([\s\S]+?)```/gm)].map(
  ([, title = "", sql = ""]) => ({ title, sql }),
);

const question = (number: number): Question => {
  const found = questions.find(({ title }) => title.startsWith(`${number}. `));
  if (found === undefined) throw new TypeError(`docs/audit-queries.md has no question ${number}`);
  return found;
};

type Values = Readonly<Record<string, string | number>>;

/** `:tenant` becomes `?1`, and so on: neither D1 nor an object knows named values. */
const numbered = (sql: string, values: Values): readonly [string, ...(string | number)[]] => {
  const names = [...new Set([...sql.matchAll(/:([a-z]+)/g)].map(([, name = ""]) => name))];
  const text = sql.replaceAll(/:([a-z]+)/g, (_all, name: string) => `?${names.indexOf(name) + 1}`);
  return [
    text,
    ...names.map((name) => {
      const value = values[name];
      if (value === undefined) throw new TypeError(`no value for :${name}`);
      return value;
    }),
  ];
};

export type Row = Readonly<Record<string, unknown>>;

export interface AuditEngine {
  readonly store: () => Promise<GovernanceStore>;
  /** Runs a statement, on D1 for the whole scope, on objects for one experiment after another. */
  readonly run: (world: GovernedWorld, sql: string, values: readonly (string | number)[]) => Promise<readonly Row[]>;
  /** Lines of the statement's plan that read more than an index leads them to. */
  readonly unled: (
    world: GovernedWorld,
    sql: string,
    values: readonly (string | number)[],
  ) => Promise<readonly string[]>;
  /** What it says to somebody who writes to a relation. */
  readonly refusal: string;
}

/** The experiments of the story. */
export const auditExperiments = ["checkout", "basket"] as const;

const rules: ProcessOptions = {
  gates: [{ type: "manual", from: "PendingApproval", to: "Approved" }],
  breakGlass: { roles: ["security"] },
  policies: [
    { type: "trafficLimit", name: "small", maxTrafficPercentage: 20, to: ["Running"], on: ["transition"] },
    { type: "trafficLimit", name: "smaller", maxTrafficPercentage: 5, to: ["Running"], severity: "Warning" },
  ],
};

const day = 86_400_000;

/** What happens in the story is what the tests below expect to read. */
const tell = async (world: GovernedWorld): Promise<void> => {
  const { author, approver, as } = world.start(rules);
  const basket = {
    author: as("author@example.com", "editor,operator", "basket"),
    approver: as("other@example.com", "approver", "basket"),
  };
  const agent = as("robot@example.com", "editor,operator", "checkout", "agent");
  const officer = as("officer@example.com", "security,operator");
  for (const person of [author, basket.author]) {
    expect((await person.write({ traffic: 10 })).status).toBe(201);
    expect((await person.move("PendingApproval")).status).toBe(200);
  }
  await approver.approve();
  await basket.approver.approve();
  for (const person of [author, basket.author]) expect((await person.move("Approved")).status).toBe(200);
  expect((await author.move("Running")).status).toBe(200);
  world.wait(day);
  // Too much traffic: refused, then pushed through.
  await author.write({ traffic: 50 });
  await author.post("/versions/2/publish", { reason: "everybody" });
  await approver.approve();
  expect((await author.post("/versions/2/publish")).status).toBe(200);
  expect((await author.move("Paused", { reason: "lunch" })).status).toBe(200);
  expect((await author.move("Running")).status).toBe(409);
  expect((await author.move("Running")).status).toBe(409);
  world.wait(day);
  expect((await officer.post("/break-glass", { targetState: "Running", reason: "the shop is on fire" })).status).toBe(
    200,
  );
  expect((await agent.post("/versions/rollback", { targetVersion: 1, reason: "go back" })).body).toMatchObject({
    isLive: true,
  });
  world.wait(day);
  expect((await basket.author.move("Running")).status).toBe(200);
  expect((await basket.author.move("RolledBack", { reason: "errors" })).status).toBe(200);
};

export const describeAuditQuestions = (engineName: string, engine: AuditEngine): void => {
  describe(`audit questions on ${engineName}`, () => {
    let world: GovernedWorld;
    beforeAll(async () => {
      world = governedWorld(await engine.store(), freshScope());
      await tell(world);
    });

    const ask = async (number: number, values: Values = {}): Promise<readonly Row[]> => {
      const period = { from: "2026-11-01T00:00:00.000Z", until: "2026-12-01T00:00:00.000Z" };
      const { tenant, environment } = world.ref;
      const [sql, ...bound] = numbered(question(number).sql, { tenant, environment, ...period, ...values });
      expect(await engine.unled(world, sql, bound)).toEqual([]);
      return engine.run(world, sql, bound);
    };
    const at = (days: number): string => new Date(Date.parse("2026-11-21T12:00:00Z") + days * day).toISOString();

    test("1: who approved what is live now", async () => {
      expect(await ask(1)).toMatchObject([
        { experiment: "checkout", live_version: 3, gate: "manual", approver_name: "approver@example.com", at: at(0) },
      ]);
    });

    test("2: changes under break-glass", async () => {
      expect(await ask(2)).toEqual([
        {
          experiment: "checkout",
          at: at(2),
          kind: "transition",
          from_state: "Paused",
          to_state: "Running",
          version: 2,
          actor_name: "officer@example.com",
          reason: "the shop is on fire",
        },
      ]);
      expect(await ask(2, { until: at(1) })).toEqual([]);
    });

    test("3: refused attempts of a person", async () => {
      const refused = { experiment: "checkout", at: at(1), attempt: "make", from_state: "Paused", to_state: "Running" };
      const violation = { ...refused, code: "policy-violation" };
      expect(await ask(3, { person: "author@example.com" })).toEqual([violation, violation]);
      expect(await ask(3, { person: "author@example.com", from: at(2) })).toEqual([]);
      expect(await ask(3, { person: "approver@example.com" })).toEqual([]);
    });

    test("4: live content that was rolled back", async () => {
      expect((await ask(4)).toSorted((a, b) => String(a["at"]).localeCompare(String(b["at"])))).toEqual([
        {
          experiment: "checkout",
          at: at(2),
          kind: "content",
          version: 3,
          guardrail: null,
          actor_name: "robot@example.com",
          reason: "go back",
        },
        {
          experiment: "basket",
          at: at(3),
          kind: "lifecycle",
          version: 1,
          guardrail: null,
          actor_name: "author@example.com",
          reason: "errors",
        },
      ]);
    });

    test("5: the rules that let a change pass", async () => {
      const events = await world.history();
      const approved = events.find((event) => event.type === "Transitioned" && event.data.to === "Approved");
      const [row, ...more] = await ask(5, { experiment: "checkout", seq: approved?.seq ?? 0 });
      expect(more).toEqual([]);
      expect(row).toMatchObject({ kind: "transition", from_state: "PendingApproval", to_state: "Approved" });
      expect(JSON.parse(String(row?.["text"]))).toMatchObject({ gates: [{ type: "manual" }] });
    });

    test("6: approvals by an author of the content that counted", async () => {
      expect(await ask(6)).toEqual([]);
      // Without four eyes it happens, and is seen.
      const process = world.start({ gates: [{ type: "manual", to: "Approved", fourEyes: false }] });
      const alone = process.as("alone@example.com", "editor,operator,approver", "basket");
      expect((await alone.move("Draft")).status).toBe(200);
      expect((await alone.write({ traffic: 7 })).status).toBe(201);
      expect((await alone.move("PendingApproval")).status).toBe(200);
      expect((await alone.approve()).status).toBe(201);
      expect((await alone.move("Approved")).status).toBe(200);
      expect(await ask(6)).toMatchObject([{ experiment: "basket", version: 2, approver_name: "alone@example.com" }]);
    });

    test("7: which policies stop the most", async () => {
      expect(await ask(7)).toEqual([{ policy: "small", refused: 2, experiments: 1 }]);
    });

    test("8: what passed although a policy was violated", async () => {
      const rows = await ask(8);
      expect(rows.map((row) => [row["experiment"], row["policy"], row["compliant"], row["severity"]])).toEqual(
        expect.arrayContaining([
          ["checkout", "smaller", 0, "Warning"],
          ["checkout", "small", 0, "Critical"],
          ["basket", "smaller", 0, "Warning"],
        ]),
      );
      expect(rows.filter((row) => row["severity"] === "Critical")).toMatchObject([{ at: at(2) }]);
    });

    test("9: what was live at a moment", async () => {
      const live = async (moment: string) => (await ask(9, { experiment: "checkout", moment }))[0];
      expect(await live(at(0.5))).toMatchObject({ since: at(0), live_version: 1, author_name: "author@example.com" });
      expect(await live(at(1.5))).toMatchObject({ since: at(1), live_version: 2 });
      expect(JSON.parse(String((await live(at(1.5)))?.["configuration"]))).toMatchObject({ traffic: 50 });
      expect(await live(at(2.5))).toMatchObject({ since: at(2), live_version: 3 });
      expect(await live(at(-1))).toBeUndefined();
    });

    test("10: what agents and services changed", async () => {
      expect(await ask(10)).toMatchObject([
        { experiment: "checkout", at: at(2), actor_kind: "agent", actor_name: "robot@example.com", kind: "rollback" },
      ]);
    });

    test("an erased person is a reference without a name", async () => {
      const person = (await world.store.personal(world.ref)).values.find(
        ({ value }) => value === "officer@example.com",
      );
      await world.store.erase(world.ref, [person?.ref ?? ""]);
      expect(await ask(2)).toMatchObject([{ experiment: "checkout", actor_name: null, reason: "the shop is on fire" }]);
    });

    test.each([
      "lifecycle_transitions",
      "approvals",
      "configuration_versions",
      "policy_evaluations",
      "rollbacks",
      "changes",
      "change_approvers",
      "refused_changes",
      "experiments",
      "people",
    ])("%s has rows, its documented columns, and no way to write to it", async (relation) => {
      const rows = await engine.run(world, `SELECT * FROM ${relation} WHERE tenant = ?1`, [world.ref.tenant]);
      expect(rows.length).toBeGreaterThan(0);
      const line = document.split("\n").find((text) => text.startsWith(`| \`${relation}\``)) ?? "";
      const cell = line.split("|")[3] ?? "";
      const documented = [...cell.replaceAll(/\([^)]*\)/g, "").matchAll(/`([a-z_]+)`/g)].map(([, name]) => name);
      const common = ["tenant", "environment", "experiment", "seq", "at"];
      expect(Object.keys(rows[0] ?? {}).filter((name) => !common.includes(name))).toEqual(documented);
      for (const sql of [
        `UPDATE ${relation} SET tenant = ?1`,
        `DELETE FROM ${relation} WHERE tenant = ?1`,
        `INSERT INTO ${relation} (tenant) VALUES (?1)`,
      ])
        await expect(engine.run(world, sql, [world.ref.tenant])).rejects.toThrow(engine.refusal);
    });

    test("archived events leave the relations; what is kept beside the events stays", async () => {
      const { store, ref } = world;
      const count = async (relation: string): Promise<unknown> =>
        (
          await engine.run(world, `SELECT count(*) AS count FROM ${relation} WHERE tenant = ?1 AND experiment = ?2`, [
            ref.tenant,
            ref.experiment,
          ])
        )[0]?.["count"];
      const { events } = await store.history(ref, { limit: 1_000 });
      const moves = events.filter(({ type }) => type === "Transitioned");
      const [last, definitions] = [moves.at(-1), await count("rules")];
      if (last === undefined) throw new TypeError("nothing moved");
      expect(await count("lifecycle_transitions")).toBe(moves.length);
      expect(await store.archive(ref, checkpointAt(last))).toBe(true);
      // The event at the checkpoint stays.
      expect(await count("lifecycle_transitions")).toBe(1);
      expect(await count("approvals")).toBe(0);
      expect(await count("experiments")).toBe(1);
      expect(await count("rules")).toBe(definitions);
    });
  });
};

test("there are ten questions, and no other SQL in the document", () => {
  expect(questions).toHaveLength(10);
  expect(document.match(/```sql/g)).toHaveLength(10);
});
