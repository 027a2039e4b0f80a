/**
 * `proviso/exposure/hono`: middleware that finds out whose request it is, hands the experiments of that subject to the
 * handlers, and sends what was exposed after the answer has gone.
 */
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, getSignedCookie, setCookie, setSignedCookie } from "hono/cookie";
import type { Attributes } from "../evaluation/targeting.ts";
import type { BoundExperiments, Experiments } from "./experiments.ts";
import { type Identified, type Subject, subjectOf } from "./identity.ts";

/** What the middleware sets: `new Hono<ExposureEnvironment>()`. */
export interface ExposureEnvironment {
  Variables: { readonly experiments: BoundExperiments };
}

export interface SubjectCookie {
  /** Name of the cookie. */
  readonly cookie: string;
  /** Signs it (HMAC-SHA256), so that nobody can choose a subject, and with it a variant. At least 16 characters. */
  readonly secret?: string;
  /** How long it is kept. Default 180 days. */
  readonly maxAgeSeconds?: number;
  /** Only over TLS. Default true; false for http://localhost. */
  readonly secure?: boolean;
  readonly domain?: string;
  /** A new id for somebody without one. Default: a random UUID. */
  readonly newId?: () => string;
}

export interface SubjectHeader {
  /** Name of a header that something trusted in front sets: whoever sends it chooses the subject. */
  readonly header: string;
}

export interface ExposureMiddlewareOptions {
  /** Where the subject is: a cookie, a header, or anywhere the application finds it. The first that knows somebody wins. */
  readonly subject:
    | SubjectCookie
    | SubjectHeader
    | ((context: Context) => Identified | Promise<Identified>)
    | readonly (SubjectCookie | SubjectHeader | ((context: Context) => Identified | Promise<Identified>))[];
  /**
   * Whether this visitor has agreed. Without it nobody is known: no cookie is read or set, control is served and nothing
   * is recorded. One that throws is a no. Left out: agreed.
   */
  readonly consent?: (context: Context) => boolean | Promise<boolean>;
  /** What is known of the subject, for targeting. */
  readonly attributes?: (context: Context) => Attributes | Promise<Attributes>;
}

const shortestSecret = 16;
const dayRoundedSeconds = 180 * 86_400;

type Source = Extract<
  ExposureMiddlewareOptions["subject"],
  SubjectCookie | SubjectHeader | ((...args: never) => unknown)
>;

const isList = (subject: ExposureMiddlewareOptions["subject"]): subject is readonly Source[] => Array.isArray(subject);

/** An id that evaluation would refuse is none: it came from outside, and may be anything. */
const usable = (id: string | false | undefined): string | undefined =>
  typeof id === "string" && id !== "" && id.length <= 512 && id.isWellFormed() && !id.includes("\u0000")
    ? id
    : undefined;

const fromCookie = async (
  context: Context,
  { cookie, secret, maxAgeSeconds = dayRoundedSeconds, secure = true, domain, newId }: SubjectCookie,
): Promise<string> => {
  const sent =
    secret === undefined
      ? getCookie(context, cookie)
      : await getSignedCookie(context, secret, cookie).catch(() => false as const);
  const known = usable(sent);
  if (known !== undefined) return known;
  const id = newId?.() ?? crypto.randomUUID();
  const settings = {
    path: "/",
    httpOnly: true,
    sameSite: "Lax",
    secure,
    maxAge: maxAgeSeconds,
    ...(domain !== undefined && { domain }),
  } as const;
  if (secret === undefined) setCookie(context, cookie, id, settings);
  else await setSignedCookie(context, cookie, id, secret, settings);
  return id;
};

const sourceOf = async (context: Context, source: Source): Promise<Subject | undefined> => {
  if (typeof source === "function") return subjectOf(await source(context));
  const id = "header" in source ? usable(context.req.header(source.header)) : await fromCookie(context, source);
  return id === undefined ? undefined : { id };
};

/** Where the platform lets work go on after the answer; Node keeps it alive by itself. */
const waitUntil = (context: Context, experiments: Experiments): void => {
  try {
    experiments.waitUntil(context.executionCtx);
  } catch {
    // Hono throws where there is no such context.
  }
};

/**
 * @throws RangeError for a secret of less than 16 characters
 * @example
 * const app = new Hono<ExposureEnvironment>();
 * app.use(exposureMiddleware(experiments, { subject: { cookie: "visitor", secret: env.COOKIE_SECRET } }));
 * app.get("/", (context) => context.text(context.get("experiments").serve(page)()));
 */
export const exposureMiddleware = (
  experiments: Experiments,
  { subject, consent, attributes }: ExposureMiddlewareOptions,
): MiddlewareHandler<ExposureEnvironment> => {
  const sources: readonly Source[] = isList(subject) ? subject : [subject];
  for (const source of sources) {
    if ("secret" in source && source.secret !== undefined && source.secret.length < shortestSecret) {
      throw new RangeError(
        `exposure: the secret of cookie ${source.cookie} needs ${shortestSecret} characters or more`,
      );
    }
  }
  const agreed = async (context: Context): Promise<boolean> => {
    try {
      return consent === undefined || (await consent(context));
    } catch (error) {
      experiments.report(error);
      return false;
    }
  };
  const find = async (context: Context): Promise<Subject | undefined> => {
    for (const source of sources) {
      try {
        const found = await sourceOf(context, source);
        if (found === undefined) continue;
        const known = await attributes?.(context);
        return known === undefined ? found : { ...found, attributes: { ...found.attributes, ...known } };
      } catch (error) {
        // A request is answered whoever makes it.
        experiments.report(error);
      }
    }
    return undefined;
  };
  return async (context, next) => {
    const found = (await agreed(context)) ? await find(context) : undefined;
    if (found !== undefined) await experiments.room();
    context.set("experiments", experiments.bind(found));
    await next();
    waitUntil(context, experiments);
  };
};
