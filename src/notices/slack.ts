/** A notice as Slack's incoming webhooks take it, and whatever else speaks that dialect. */
import type { Notice, NoticeKind } from "./notice.ts";

const titles: Readonly<Record<NoticeKind, string>> = {
  proposed: "Proposed",
  approved: "Approved",
  declined: "Declined",
  held: "Held",
  committed: "Done",
  rolledBack: "Rolled back",
  guardrail: "Guardrail",
  sampleRatioMismatch: "Sample ratio mismatch",
  signal: "Signal",
  denied: "Denied",
};

export interface SlackMessage {
  /** For where blocks are not shown: notifications, old clients. */
  readonly text: string;
  readonly blocks: readonly Readonly<Record<string, unknown>>[];
}

/** Slack gives these three a meaning: without it, a reason could call a whole channel (`<!channel>`). */
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Slack refuses a section of more than 3,000 characters, and a block of more than 10 fields. */
const sectionMax = 2_900;
const fieldMax = 300;

const cut = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);

const markdown = (text: string, most: number) => ({ type: "mrkdwn", text: cut(escaped(text), most) });

/**
 * @param link where a person looks at the experiment
 * @example slackMessage(notice, { link: "https://console.example/checkout" }).text // "Done: checkout: Approved → Running"
 */
export const slackMessage = (notice: Notice, { link }: { readonly link?: string | undefined } = {}): SlackMessage => {
  const { kind, summary, tenant, environment, actor, reason, code, missing = [], violations = [] } = notice;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["Scope", tenant === "default" && environment === "default" ? undefined : `${tenant} / ${environment}`],
    ["By", actor.id ?? undefined],
    ["Code", code],
    ["Missing", missing.length === 0 ? undefined : missing.join(", ")],
    ["Policies", violations.length === 0 ? undefined : violations.join(", ")],
    ["Guardrail", notice.guardrail?.why],
    ["Reason", reason ?? undefined],
    ["Break-glass", notice.breakGlass === true ? "gates and policies were passed by" : undefined],
  ];
  const fields = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [markdown(`*${name}* ${value}`, fieldMax)],
  );
  const where = link === undefined ? "" : `\n<${escaped(link)}|Look at it>`;
  const text = `${titles[kind]}: ${summary}`;
  return {
    text: cut(escaped(text), sectionMax),
    blocks: [
      {
        type: "section",
        text: { type: "mrkdwn", text: `${cut(escaped(`*${titles[kind]}*  ${summary}`), sectionMax)}${where}` },
      },
      ...(fields.length === 0 ? [] : [{ type: "section", fields }]),
      { type: "context", elements: [markdown(`${notice.at} · event ${notice.seq}`, fieldMax)] },
    ],
  };
};
