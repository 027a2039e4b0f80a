/** Histories with everything that notices are made of, and with names and words that must not leave unasked. */
import { memoryStore } from "../../adapters/store/memory.ts";
import { type By, createGovernance, type GovernanceOptions } from "../../src/governance/governance.ts";
import type { CommandAnswer } from "../../src/governance/governor.ts";
import { startOfTime } from "../support/scenario.ts";

const minute = 60_000;
const by = (id: string, ...roles: readonly string[]): By => ({ actor: { id, kind: "human", roles } });
export const author = by("ada.lovelace@example.com", "editor", "operator");
export const approver = by("bob.approver@example.com", "approver");
export const ref = { tenant: "default", environment: "default", experiment: "checkout" };
export const words = "because-carol-said-so";

const digestOf = (answer: CommandAnswer): string => {
  const proposal: unknown = answer.ok ? answer.body["proposal"] : answer.details["proposal"];
  const found: unknown = typeof proposal === "object" && proposal !== null ? Reflect.get(proposal, "changeDigest") : "";
  return String(found);
};

const variants = [{ key: "control", control: true }, { key: "treatment" }];
const guardrails = [{ metric: "error", maximumIncrease: 0.01, onViolation: "rollBack" as const }];

/** From a draft to a guardrail that pulls the brake, with a refusal, a decline, a kill and a ramp on the way. */
export const fullHistory = async (more: Partial<GovernanceOptions> = {}) => {
  let time = startOfTime;
  let broken: "notify" | "rollBack" | null = null;
  const store = memoryStore();
  const governance = createGovernance({
    store,
    now: () => time,
    gates: [{ type: "manual", from: "PendingApproval", to: "Approved", expiresAfter: "2d" }],
    policies: [
      { type: "trafficLimit", maxTrafficPercentage: 50 },
      { type: "errorRate", maxErrorRate: 0.1, onMissing: "hold", on: ["rampStep"] },
    ],
    telemetry: {
      read: () => Promise.reject(new Error("no figures")),
      guardrails: () =>
        Promise.resolve([
          {
            guardrail: "error maximumIncrease 0.01",
            metric: "error",
            verdict: broken === "rollBack" ? "violated" : "safe",
            variant: "treatment",
            why: "1.2 % more errors",
            figures: { p: 0.001 },
            action: broken ?? "none",
          },
        ]),
    },
    ...more,
  });
  const reason = words;
  const steps = [{ traffic: 5, hold: "30m" }, { traffic: 50 }];
  const configuration = { variants, guardrails, traffic: 80 };
  await governance.define("checkout", configuration, author, words);
  const first = digestOf(await governance.submit("checkout", { reason }, author));
  await governance.approve("checkout", { changeDigest: first, reason }, approver);
  await governance.transition("checkout", "Approved", { reason }, author);
  await governance.transition("checkout", "Running", { reason }, author);
  await governance.transition("checkout", "Draft", { reason }, author);
  await governance.revise("checkout", { ...configuration, traffic: 50, ramp: { steps } }, author, words);
  const second = digestOf(await governance.submit("checkout", { reason }, author));
  await governance.decline("checkout", { changeDigest: second, reason }, approver);
  await governance.withdraw("checkout", { changeDigest: second, reason }, approver);
  await governance.approve("checkout", { changeDigest: second, reason }, approver);
  await governance.transition("checkout", "Approved", { reason }, author);
  await governance.ramp.start("checkout", { reason }, author);
  time += 31 * minute;
  await governance.tick();
  await governance.kill("checkout", author, { variant: "treatment", reason });
  await governance.revive("checkout", author, { variant: "treatment", reason });
  broken = "notify";
  await governance.tick();
  await governance.schedule("checkout", [{ at: new Date(time + minute).toISOString(), to: "Running" }], author, reason);
  broken = null;
  time += 2 * minute;
  await governance.tick();
  broken = "rollBack";
  await governance.tick();
  const { events, people } = await governance.history("checkout", { limit: 1_000 });
  return { governance, store, events, people, now: () => time };
};
