/** Notices as signed webhooks: one request for each, in order. */
import { createPoster, type Post } from "../delivery/post.ts";
import type { Subscriber } from "../delivery/subscriber.ts";
import type { EventRecord } from "../governance/events.ts";
import type { ExperimentRef } from "../scope.ts";
import { kindsOf, type Notice, type NoticeKind, noticeOf, type Personal } from "./notice.ts";
import { idHeader, parseSecrets, signWebhook, timestampHeader } from "./signature.ts";
import { slackMessage } from "./slack.ts";

/** Which notices somebody wants. Each list left out: all. */
export interface NoticeFilter {
  readonly kinds?: readonly NoticeKind[] | undefined;
  readonly tenants?: readonly string[] | undefined;
  readonly environments?: readonly string[] | undefined;
  readonly experiments?: readonly string[] | undefined;
}

export interface NoticeWebhookOptions extends NoticeFilter {
  /** Its position is kept under this name. */
  readonly name: string;
  readonly url: string;
  /** `whsec_…`, or several with blanks between. Left out: unsigned, for receivers that know us by the address. */
  readonly secret?: string | undefined;
  /** `standard`: `{ type, timestamp, data }` · `slack`: what Slack's incoming webhooks take. */
  readonly format?: "standard" | "slack" | undefined;
  readonly personal?: Personal | undefined;
  /** Where a person looks: `{tenant}`, `{environment}` and `{experiment}` are filled in. */
  readonly link?: string | undefined;
  /**
   * What happened longer ago is no news, and is passed over: a webhook that is new, or was away, is not told of the
   * whole past. Default: 3 days.
   */
  readonly maxAgeMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly fetch?: Post | undefined;
  readonly development?: boolean | undefined;
  /** Milliseconds since the epoch; default: the clock. */
  readonly now?: (() => number) | undefined;
}

const dayMs = 86_400_000;

/** Whether a filter lets an event through. Pure. */
export const isWanted = (
  { kinds, tenants, environments, experiments }: NoticeFilter,
  event: EventRecord,
  { tenant, environment, experiment }: ExperimentRef,
): boolean => {
  const ofEvent = kindsOf(event);
  return (
    ofEvent.length > 0 &&
    (kinds?.some((kind) => ofEvent.includes(kind)) ?? true) &&
    (tenants?.includes(tenant) ?? true) &&
    (environments?.includes(environment) ?? true) &&
    (experiments?.includes(experiment) ?? true)
  );
};

/** `experiment.rolledBack`, as Standard Webhooks wants types: what it is about, and what happened. */
export const messageType = (kind: NoticeKind): string => `experiment.${kind}`;

const linkFor = (template: string | undefined, { tenant, environment, experiment }: Notice): string | undefined =>
  template
    ?.replaceAll("{tenant}", encodeURIComponent(tenant))
    .replaceAll("{environment}", encodeURIComponent(environment))
    .replaceAll("{experiment}", encodeURIComponent(experiment));

const bodyOf = (notice: Notice, format: "standard" | "slack", link: string | undefined): string =>
  JSON.stringify(
    format === "slack"
      ? slackMessage(notice, { link })
      : {
          type: messageType(notice.kind),
          timestamp: notice.at,
          data: { ...notice, ...(link === undefined ? {} : { link }) },
        },
  );

/**
 * A subscriber that posts notices.
 *
 * @throws TypeError for an address or a secret that is none
 * @example
 * createGovernance({ store, subscribers: [noticeWebhook({ name: "team", url: "https://example.com/hook", secret })] });
 */
export const noticeWebhook = (options: NoticeWebhookOptions): Subscriber => {
  const { format = "standard", personal = "none", link, maxAgeMs = 3 * dayMs, now = Date.now } = options;
  const { url, fetch, timeoutMs, development } = options;
  const post = createPoster({ url, fetch, timeoutMs, development, now });
  const secrets = options.secret === undefined ? undefined : parseSecrets(options.secret);

  const headersFor = async (id: string, body: string): Promise<Readonly<Record<string, string>>> => {
    // Of the attempt: a message that is sent again is as fresh as the first time.
    const timestamp = Math.floor(now() / 1_000);
    return secrets === undefined
      ? { [idHeader]: id, [timestampHeader]: String(timestamp) }
      : signWebhook(secrets, id, timestamp, body);
  };

  return {
    name: `notices:${options.name}`,
    wants: (event, ref) => now() - Date.parse(event.at) <= maxAgeMs && isWanted(options, event, ref),
    batchEvents: 1,
    async deliver({ ref, events, people }) {
      for (const event of events) {
        const notice = noticeOf(ref, event, people, personal);
        if (notice === null) continue;
        const body = bodyOf(notice, format, linkFor(link, notice));
        await post(body, {
          "content-type": "application/json",
          "user-agent": "Proviso",
          ...(await headersFor(notice.id, body)),
        });
      }
    },
  };
};
