/** Paused with `stopEnrolment`: whoever is in stays in, and nobody new enters. */
import { describe, expect, test } from "vitest";
import { memorySink } from "../../adapters/sink/memory.ts";
import { compileRule } from "../../src/evaluation/assign.ts";
import { createExperiments } from "../../src/evaluation/experiments.ts";
import { parseRuleSet } from "../../src/evaluation/parse-rules.ts";
import { staticRules } from "../../src/evaluation/rules.ts";
import { rule, ruleSet, subjectFor } from "./fixtures.ts";

const paused = rule({ state: "Paused", mode: "stopEnrolment" });
const running = compileRule(rule());
const treated = subjectFor((id) => running(id).variant === "treatment");

describe("a rule that takes nobody new", () => {
  const assign = compileRule(paused);

  test("asks whether the subject is in, and gives whoever is what they had", () => {
    const asked: (readonly string[])[] = [];
    const enrolled = (experiment: string, subjectId: string): boolean => {
      asked.push([experiment, subjectId]);
      return subjectId === treated;
    };
    expect(assign(treated, {}, enrolled)).toEqual(running(treated));
    expect(assign("somebody-new", {}, enrolled)).toMatchObject({
      variant: "control",
      reason: "DISABLED",
      rulePath: "/mode",
      exposed: false,
    });
    expect(asked).toEqual([
      ["checkout", treated],
      ["checkout", "somebody-new"],
    ]);
  });

  test.each([
    ["nobody to ask", undefined],
    [
      "an answer that throws",
      () => {
        throw new Error("the table is away");
      },
    ],
  ])("with %s everybody gets control", (_what, enrolled) => {
    expect(assign(treated, {}, enrolled)).toMatchObject({ variant: "control", exposed: false, rulePath: "/mode" });
  });

  test("keeps targeting, traffic and kill switches for whoever is in", () => {
    const yes = (): boolean => true;
    const narrow = compileRule({ ...paused, trafficBuckets: 0 });
    expect(narrow(treated, {}, yes)).toMatchObject({ rulePath: "/trafficBuckets", exposed: false });
    const targeted = compileRule({ ...paused, targeting: { attribute: "country", equals: "CA" } });
    expect(targeted(treated, { country: "US" }, yes)).toMatchObject({ rulePath: "/targeting", exposed: false });
    expect(compileRule({ ...paused, killed: true })(treated, {}, yes)).toMatchObject({ rulePath: "/killed" });
    expect(compileRule({ ...paused, killedVariants: ["treatment"] })(treated, {}, yes)).toMatchObject({
      rulePath: "/killedVariants",
      exposed: false,
    });
  });

  test("is asked in no other state", () => {
    const never = (): boolean => {
      throw new Error("it was asked");
    };
    expect(running(treated, {}, never).variant).toBe("treatment");
    expect(compileRule(rule({ state: "Paused" }))(treated, {}, () => true)).toMatchObject({ rulePath: "/state" });
    // A mode beside a state that it does not belong to means nothing.
    expect(compileRule(rule({ state: "RolledBack", mode: "stopEnrolment" }))(treated, {}, () => true)).toMatchObject({
      rulePath: "/state",
    });
  });
});

test("the SDK asks the application, and a trial goes on for whoever is in", async () => {
  const sink = memorySink();
  const members = new Set([treated]);
  const experiments = createExperiments({
    rules: staticRules(ruleSet(paused)),
    sink,
    enrolled: (experiment, subjectId) => experiment === "checkout" && members.has(subjectId),
  });
  const trial = experiments.trial("checkout", {
    control: () => "control",
    treatment: (): string => {
      throw new Error("broken");
    },
  });
  // Control stands in for the treatment that fails, as it does while it runs, and the error counts.
  expect(trial.for(treated)()).toBe("control");
  expect(experiments.assign("checkout", treated).variant).toBe("treatment");
  expect(experiments.assign("checkout", "somebody-new").variant).toBe("control");
  await experiments.close();
  expect(sink.events().map(({ eventType, payload }) => [eventType, payload.subjectId])).toEqual([
    ["Exposure", treated],
    ["Error", treated],
  ]);
});

test.each([true, "", "control", null])("a rule set with the mode %j cannot be read for that experiment", (mode) => {
  const { experiments, unreadable } = parseRuleSet({ ...ruleSet(), experiments: [{ ...paused, mode }] });
  expect([experiments, unreadable.map(({ name }) => name)]).toEqual([[], ["checkout"]]);
});
