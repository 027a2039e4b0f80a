/** Who is told of what happens in this deployment, as its DSL says it. */
import { logAudit } from "../adapters/audit/log.ts";
import { type AuditQueue, queueAudit } from "../adapters/audit/queue.ts";
import { webhookAudit } from "../adapters/audit/webhook.ts";
import { auditTrail, type AuditSink } from "../src/audit/sink.ts";
import type { Dsl } from "../src/config/index.ts";
import type { Subscriber } from "../src/delivery/subscriber.ts";
import { parseDuration } from "../src/duration.ts";
import { ProvisoError } from "../src/errors.ts";
import { noticeWebhook } from "../src/notices/webhook.ts";

/** What a deployment is asked for by name. Each throws `invalid-dsl` for what is not there, and names the path. */
export interface Deployment {
  readonly secret: (name: string, path: string) => string;
  readonly queue: (name: string, path: string) => AuditQueue;
  /** http to this machine is allowed. */
  readonly development: boolean;
  readonly writeLine: (line: string) => void;
}

type NoticeSettings = Dsl["governance"]["notices"][number];
type AuditSettings = Dsl["governance"]["audit"][number];

/** What an adapter refuses to begin with is an error of the DSL, or of a secret that it names. */
export const checked = <Made>(path: string, make: () => Made): Made => {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new ProvisoError("invalid-dsl", `${path}: ${cause.message}`, {}, { cause });
  }
};

const noticeOf = (settings: NoticeSettings, path: string, deployment: Deployment): Subscriber => {
  const { name, kinds, tenants, environments, experiments, personal, link } = settings;
  const common = {
    name,
    kinds,
    tenants,
    environments,
    experiments,
    personal,
    link,
    maxAgeMs: parseDuration(settings.maxAge),
    timeoutMs: parseDuration(settings.timeLimit),
    development: deployment.development,
  };
  switch (settings.type) {
    case "webhook": {
      const secret = deployment.secret(settings.secret, `${path}.secret`);
      return checked(path, () => noticeWebhook({ ...common, url: settings.url, secret }));
    }
    case "slack": {
      const url = deployment.secret(settings.urlSecret, `${path}.urlSecret`);
      return checked(path, () => noticeWebhook({ ...common, url, format: "slack" }));
    }
    default:
      return settings satisfies never;
  }
};

const sinkOf = (settings: AuditSettings, path: string, deployment: Deployment): AuditSink => {
  switch (settings.type) {
    case "log":
      return logAudit({ write: deployment.writeLine });
    case "queue":
      return queueAudit({ queue: deployment.queue(settings.queue, `${path}.queue`) });
    case "webhook": {
      const { url, authorizationSecret } = settings;
      const secret = deployment.secret(settings.secret, `${path}.secret`);
      const headers =
        authorizationSecret === undefined
          ? {}
          : { authorization: deployment.secret(authorizationSecret, `${path}.authorizationSecret`) };
      const timeoutMs = parseDuration(settings.timeLimit);
      return checked(path, () =>
        webhookAudit({ url, secret, headers, timeoutMs, development: deployment.development }),
      );
    }
    default:
      return settings satisfies never;
  }
};

/** Notices and audit sinks, in the order of the DSL. */
export const subscribersOf = ({ governance }: Dsl, deployment: Deployment): readonly Subscriber[] => [
  ...governance.notices.map((settings, index) => noticeOf(settings, `governance.notices[${index}]`, deployment)),
  ...governance.audit.map((settings, index) =>
    auditTrail({
      sink: sinkOf(settings, `governance.audit[${index}]`, deployment),
      name: settings.name,
      personal: settings.personal,
    }),
  ),
];
