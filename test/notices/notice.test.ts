/** Which events become notices, and that nothing personal leaves with them unasked. */
import { expect, test } from "vitest";
import { memoryStore } from "../../adapters/store/memory.ts";
import type { EventRecord } from "../../src/governance/events.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import { sampleRatioMetric as metricOfAutoStop } from "../../src/ledger/auto-stop.ts";
import { kindOf, noticeKinds, noticeOf, sampleRatioMetric } from "../../src/notices/notice.ts";
import { slackMessage } from "../../src/notices/slack.ts";
import { isWanted } from "../../src/notices/webhook.ts";
import { approver, author, fullHistory, ref, words } from "./history.ts";

const { events, people } = await fullHistory();
const notices = events.flatMap((event) => noticeOf(ref, event, people) ?? []);

test("the history becomes notices, in its order", () => {
  expect(notices.map(({ kind, summary }) => `${kind}: ${summary}`)).toMatchInlineSnapshot(`
    [
      "committed: checkout: Draft → PendingApproval",
      "proposed: checkout: proposed: PendingApproval → Approved",
      "approved: checkout: somebody approved a proposal",
      "committed: checkout: PendingApproval → Approved",
      "denied: checkout: denied: Approved → Running (policy-violation)",
      "committed: checkout: Approved → Draft",
      "committed: checkout: Draft → PendingApproval",
      "proposed: checkout: proposed: PendingApproval → Approved",
      "declined: checkout: somebody declined a proposal",
      "approved: checkout: somebody approved a proposal",
      "committed: checkout: PendingApproval → Approved",
      "committed: checkout: Approved → Ramping",
      "held: checkout: held: ramp step 2 (evidence-inconclusive)",
      "held: checkout: the ramp is held at step 1: evidence-inconclusive",
      "rolledBack: checkout: the kill switch stopped treatment",
      "committed: checkout: reviving treatment",
      "guardrail: checkout: the guardrail on error is broken",
      "committed: checkout: Ramping → Running",
      "guardrail: checkout: Running → RolledBack, pulled by the guardrail on error",
    ]
  `);
});

test("every kind but those of signals is among them, and each is the event's own", () => {
  const kinds = new Set(notices.map(({ kind }) => kind));
  expect([...kinds].toSorted()).toEqual(
    noticeKinds.filter((kind) => kind !== "sampleRatioMismatch" && kind !== "signal").toSorted(),
  );
  for (const { id, seq, event, at } of notices) expect(events[seq - 1]).toMatchObject({ id, type: event, at });
  expect(new Set(notices.map(({ id }) => id)).size).toBe(notices.length);
});

test("a guardrail on the sample ratio is its own kind", () => {
  expect(sampleRatioMetric).toBe(metricOfAutoStop);
  const broken = events.find((event) => event.type === "GuardrailBroken");
  if (broken?.type !== "GuardrailBroken") throw new Error("no guardrail was broken");
  const ratio: EventRecord = { ...broken, data: { ...broken.data, metric: sampleRatioMetric } };
  expect([kindOf(broken), kindOf(ratio)]).toEqual(["guardrail", "sampleRatioMismatch"]);
});

test("a signal is a notice with its figures; one of the sample ratio is of the kind that is known for it", () => {
  const broken = events.find((event) => event.type === "GuardrailBroken");
  if (broken?.type !== "GuardrailBroken") throw new Error("no guardrail was broken");
  const raised = (signalType: string): EventRecord => ({
    ...broken,
    type: "SignalRaised",
    data: {
      key: "k",
      signalType,
      severity: "Info",
      message: "it was found",
      data: { power: 0.8 },
      version: 1,
      epoch: 0,
    },
  });
  expect(noticeOf(ref, raised("PowerThresholdMet"))).toMatchObject({
    kind: "signal",
    summary: "checkout: PowerThresholdMet: it was found",
    signal: { signalType: "PowerThresholdMet", severity: "Info", data: { power: 0.8 } },
  });
  expect(kindOf(raised("SampleRatioMismatch"))).toBe("sampleRatioMismatch");
});

const names = [author.actor.id, approver.actor.id];

test("unasked, nobody's name and nobody's words leave; what acts by itself is named", () => {
  const text = JSON.stringify(notices);
  for (const value of [...names, words]) expect(text).not.toContain(value);
  expect(text).not.toContain("reason");
  expect(notices.find(({ kind }) => kind === "guardrail")?.actor).toMatchObject({ id: "system:guardrail" });
  // One person is one reference, so that a receiver can tell people apart.
  const proposers = notices.filter(({ event }) => event === "ProposalOpened").map(({ actor }) => actor.ref);
  expect(new Set(proposers).size).toBe(1);
});

test("asked for, names leave, and words only with them", () => {
  const withNames = JSON.stringify(events.map((event) => noticeOf(ref, event, people, "actors")));
  for (const name of names) expect(withNames).toContain(name);
  expect(withNames).not.toContain(words);
  const all = events.flatMap((event) => noticeOf(ref, event, people, "all") ?? []);
  expect(all.filter(({ reason }) => reason === words).length).toBeGreaterThan(8);
});

test("what was erased is null, and the notice is whole", () => {
  const [notice] = events.flatMap((event) => noticeOf(ref, event, new Map(), "all") ?? []);
  expect(notice).toMatchObject({ kind: "committed", actor: { id: null }, reason: null });
});

test("a denial says what was in the way", () => {
  expect(notices.find(({ kind }) => kind === "denied")).toMatchObject({
    code: "policy-violation",
    violations: ["trafficLimit"],
    change: { from: "Approved", to: "Running", kind: "transition" },
  });
});

test("a filter lets through what it names, and no more", () => {
  const wanted = (filter: Parameters<typeof isWanted>[0]) => events.filter((event) => isWanted(filter, event, ref));
  expect(wanted({})).toHaveLength(notices.length);
  expect(wanted({ kinds: ["denied"] }).map(({ type }) => type)).toEqual(["ChangeDenied", "ChangeDenied"]);
  expect(wanted({ kinds: [] })).toEqual([]);
  expect(wanted({ tenants: ["default"], environments: ["default"], experiments: ["checkout"] })).toHaveLength(
    notices.length,
  );
  for (const filter of [{ tenants: ["acme"] }, { environments: ["staging"] }, { experiments: ["other"] }])
    expect(wanted(filter)).toEqual([]);
});

test("a change that somebody asked for and gates hold is told as held, with the gates; a proposal as proposed", async () => {
  const store = memoryStore();
  const governance = createGovernance({
    store,
    gates: [{ type: "manual", name: "launch", from: "Approved", to: "Running" }],
  });
  const variants = [{ key: "control", control: true }, { key: "treatment" }];
  await governance.define("checkout", { variants }, author);
  for (const to of ["PendingApproval", "Approved", "Running"] as const)
    await governance.transition("checkout", to, {}, author);
  const page = await store.history(ref, { limit: 100 });
  const opened = page.events.filter((event) => event.type === "ProposalOpened");
  expect(opened.map(kindOf)).toEqual(["proposed", "held"]);
  const held = opened.filter((event) => kindOf(event) === "held");
  expect(held.flatMap((event) => noticeOf(ref, event) ?? [])).toMatchObject([
    {
      kind: "held",
      missing: ["launch"],
      summary: "checkout: held: Approved → Running waits for launch, and is proposed",
    },
  ]);
  const wanted = (kind: "held" | "proposed" | "denied") =>
    held.filter((event) => isWanted({ kinds: [kind] }, event, ref)).length;
  expect([wanted("held"), wanted("proposed"), wanted("denied")]).toEqual([1, 1, 0]);
  const asked = events.filter((event) => event.type === "ProposalOpened");
  expect(asked.every((event) => isWanted({ kinds: ["proposed"] }, event, ref))).toBe(true);
  expect(asked.some((event) => isWanted({ kinds: ["held"] }, event, ref))).toBe(false);
  const inconclusive = events.filter((event) => noticeOf(ref, event)?.code === "evidence-inconclusive");
  expect(inconclusive.map(({ type }) => type)).toEqual(["ChangeDenied", "RampHeld"]);
  expect(inconclusive.map((event) => isWanted({ kinds: ["held"] }, event, ref))).toEqual([true, true]);
});

test("Slack gets one line, its facts, and nothing that it would act on", () => {
  const hostile = "<!channel> & <https://evil.example|click> *bold*";
  const denied = events.find((event) => event.type === "ChangeDenied");
  if (denied?.type !== "ChangeDenied") throw new Error("nothing was denied");
  const notice = noticeOf(ref, denied, new Map([...people].map(([key]) => [key, hostile])), "all");
  if (notice === null) throw new Error("no notice");
  const message = slackMessage(notice, { link: "https://console.example/?a=1&b=2" });
  expect(message.text).toBe("Denied: checkout: denied: Approved → Running (policy-violation)".replaceAll(">", "&gt;"));
  const text = JSON.stringify(message);
  expect(text).toContain("<https://console.example/?a=1&amp;b=2|Look at it>");
  expect(text).toContain("&lt;!channel&gt;");
  expect(text.replace("<https://console.example/?a=1&amp;b=2|Look at it>", "")).not.toMatch(/[<>]/);
});

test("nothing that somebody names makes a message that Slack refuses", () => {
  const [first] = notices;
  if (first === undefined) throw new Error("no notice");
  const long = "x&<>".repeat(2_000);
  const message = slackMessage({ ...first, summary: long, reason: long, code: long, violations: [long, long] });
  expect(message.text.length).toBeLessThanOrEqual(3_000);
  for (const block of message.blocks) {
    const fields: unknown = block["fields"];
    for (const field of Array.isArray(fields) ? fields : []) expect(JSON.stringify(field).length).toBeLessThan(2_000);
  }
});
