/** What the routes of one experiment share: finding it, and sending a command to its governor. */
import type { Context } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../errors.ts";
import type { CommandAnswer, CommandRequest } from "../governance/governor.ts";
import { etagOf, type ViewContext } from "../governance/present.ts";
import type { CommandInput } from "../governance/request.ts";
import type { Loaded, Snapshot } from "../governance/store.ts";
import { limits } from "../limits.ts";
import { ExperimentNameSchema, type ExperimentRef, NameSchema } from "../scope.ts";
import { parseInput } from "./body.ts";
import type { Dependencies, AppEnvironment } from "./dependencies.ts";
import { problemResponse } from "./problem.ts";

export type RouteContext = Context<AppEnvironment>;

/** The experiment that a path names. A name that is not one cannot exist, so it is simply not found. */
export const refOf = (context: RouteContext): ExperimentRef => {
  const experiment = context.req.param("name") ?? "";
  if (!v.is(NameSchema, experiment))
    throw new ProvisoError("experiment-not-found", "there is no experiment of that name");
  return { ...context.get("scope"), experiment };
};

/** The experiment that a path would create: here a name that is none is the caller's mistake, and says why. */
export const refToCreate = (context: RouteContext): ExperimentRef => {
  const { name } = parseInput(v.object({ name: ExperimentNameSchema }), { name: context.req.param("name") });
  return { ...context.get("scope"), experiment: name };
};

/** The experiment as it stands, or `experiment-not-found`. */
export const loadExperiment = async (
  context: RouteContext,
  dependencies: Dependencies,
): Promise<{ ref: ExperimentRef; loaded: Loaded }> => {
  const ref = refOf(context);
  const loaded = await dependencies.store.load(ref, { actor: context.get("actor").id });
  if (loaded === null) throw new ProvisoError("experiment-not-found", `there is no experiment ${ref.experiment}`);
  return { ref, loaded };
};

/** How this asker sees a loaded experiment. */
export const viewOf = (
  context: RouteContext,
  dependencies: Dependencies,
  ref: ExperimentRef,
  loaded: Loaded,
): ViewContext => {
  const { kind, roles } = context.get("actor");
  return {
    ref,
    people: loaded.people,
    policySet: dependencies.policySet,
    now: dependencies.now(),
    asker: { ref: loaded.actor ?? "", kind, roles },
  };
};

/** RFC 9110 §13.1.2: weak comparison, because a proxy may have weakened the tag. */
const tagsMatch = (header: string, etag: string): boolean =>
  header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);

/** What a view may depend on besides its address. */
const identityHeaders =
  "Authorization, Cf-Access-Jwt-Assertion, X-Proviso-Actor, X-Proviso-Roles, X-Proviso-Actor-Kind";

/** The body under its ETag, or 304 for a reader that has it. */
export const conditional = (context: RouteContext, etag: string, body: Readonly<Record<string, unknown>>): Response => {
  const known = context.req.header("if-none-match");
  const headers = { etag, "cache-control": "no-cache", vary: identityHeaders };
  return known !== undefined && tagsMatch(known, etag)
    ? new Response(null, { status: 304, headers })
    : Response.json(body, { headers });
};

/** The tags in `If-None-Match`; `*` matches any, and stands for none that could be named. */
export const knownTags = (context: RouteContext): readonly string[] =>
  (context.req.header("if-none-match") ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));

/** JSON that is text already; null where the reader has it. */
export const conditionalText = (
  context: RouteContext,
  { etag, text }: { readonly etag: string; readonly text: string | null },
): Response => {
  const headers = { etag, "cache-control": "no-cache", vary: identityHeaders };
  return text === null || context.req.header("if-none-match")?.trim() === "*"
    ? new Response(null, { status: 304, headers })
    : new Response(text, { headers: { ...headers, "content-type": "application/json" } });
};

/**
 * A view of a snapshot under the snapshot's ETag. The same state looks different to different people, so a cache must
 * keep them apart.
 */
export const conditionalOn = (
  context: RouteContext,
  snapshot: Snapshot,
  body: Readonly<Record<string, unknown>>,
): Response => conditional(context, etagOf(snapshot), body);

const IdempotencyKeySchema = v.pipe(
  v.string(),
  v.minLength(1, "at least one character"),
  v.maxLength(limits.idempotencyKeyCharacters, `at most ${limits.idempotencyKeyCharacters} characters`),
  v.regex(/^[\x20-\x7e]+$/, "printable ASCII"),
);

const header = (
  context: RouteContext,
  name: "if-match" | "idempotency-key",
  required: boolean | undefined,
): string | undefined => {
  const value = context.req.header(name);
  if (value === undefined && required === true)
    throw new ProvisoError("precondition-required", `this deployment wants the header ${name} on every change`);
  return value;
};

const success = { created: 201, done: 200, held: 202, unchanged: 200 } as const;

/** Who asks, on what they saw, under which key. */
export const attemptOf = (
  context: RouteContext,
  dependencies: Dependencies,
  createOnly = false,
): Pick<CommandRequest, "actor" | "ifMatch" | "idempotencyKey"> => {
  const ifMatch = header(context, "if-match", dependencies.requireIfMatch === true && !createOnly);
  const key = header(context, "idempotency-key", dependencies.requireIdempotencyKey);
  return {
    actor: context.get("actor"),
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(key === undefined ? {} : { idempotencyKey: parseInput(IdempotencyKeySchema, key) }),
  };
};

/** Sends a command to the experiment's governor and turns the answer into a response. */
export const execute = async (
  context: RouteContext,
  dependencies: Dependencies,
  command: CommandInput,
): Promise<Response> => {
  const ref = refOf(context);
  const attempt = attemptOf(context, dependencies, "createOnly" in command && command.createOnly);
  return answerResponse(context, ref, await dependencies.governor(ref).execute({ ref, command, ...attempt }));
};

/** A governor's answer as HTTP. */
export const answerResponse = (context: RouteContext, ref: ExperimentRef, answer: CommandAnswer): Response => {
  if (!answer.ok) return problemResponse(answer.code, answer.message, answer.details);
  const headers = new Headers({ etag: answer.etag, "cache-control": "no-store" });
  if (answer.location !== undefined) {
    const { searchParams } = new URL(context.req.url);
    // What was made may be in another environment than the one that was asked.
    if (ref.environment !== context.get("scope").environment) searchParams.set("environment", ref.environment);
    const search = searchParams.size === 0 ? "" : `?${searchParams}`;
    headers.set("location", `/api/governance/${ref.experiment}/${answer.location}${search}`);
  }
  return Response.json(answer.body, { status: success[answer.outcome], headers });
};
