/**
 * One route as its callers see it: who may call it, what goes in, what comes out. The same description checks the
 * request, types the client (`hc`) and makes the OpenAPI document, so that the three cannot differ.
 */
import type { Context, Handler, TypedResponse } from "hono";
import type { StatusCode } from "hono/utils/http-status";
import type * as v from "valibot";
import { type ErrorCode, ProvisoError } from "../errors.ts";
import { limits } from "../limits.ts";
import { unobserved } from "../observe/observer.ts";
import { type Access, guardOf, type Guarding } from "./access.ts";
import { readJson } from "./body.ts";
import type { AppEnvironment } from "./dependencies.ts";
import type { ProblemDocument } from "./openapi/schemas.ts";
import { statusOf, type StatusOf } from "./problem.ts";
import { parseQuery, type QueryEntries } from "./query.ts";

export interface EndpointSpec {
  /** The operation's name in the OpenAPI document; no two are the same. */
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  readonly access: Access;
  /** Parameters besides the scope; the handler gets them from `context.req.valid("query")`. */
  readonly query?: QueryEntries;
  /** A JSON body; the handler gets it from `context.req.valid("json")`. */
  readonly body?: v.GenericSchema<unknown, object>;
  /** A body that the handler reads itself, because there is more to it than a schema says. */
  readonly rawBody?: v.GenericSchema;
  /** Media type of `rawBody`, where it is not JSON. */
  readonly rawBodyType?: string;
  /** Changes an experiment through its governor: takes `If-Match` and `Idempotency-Key`. */
  readonly command?: boolean;
  /** Bodies by status, problems aside; null where there is none. With 304 the route takes `If-None-Match`. */
  readonly answers: Readonly<Partial<Record<200 | 201 | 202 | 204 | 304 | 503, v.GenericSchema | null>>>;
  /** Media type of the answers, where it is not JSON: their schema is then one of text. */
  readonly answerType?: string;
  /** Codes besides {@link impliedCodes}. */
  readonly problems?: readonly ErrorCode[];
}

const always = ["internal", "invalid-dsl"] as const;
const inScope = ["invalid-request", "unauthenticated", "forbidden", "rate-limited", "store-unavailable"] as const;
const withBody = ["payload-too-large"] as const;
const ofCommands = [
  "precondition-failed",
  "precondition-required",
  "idempotency-key-reused",
  "request-in-flight",
] as const;
const ofExperiments = ["experiment-not-found"] as const;

/** Codes that follow from what a route takes. */
export const impliedCodes = (spec: EndpointSpec, path: string): readonly ErrorCode[] => [
  ...always,
  ...(spec.access === "public" ? [] : inScope),
  ...(spec.body === undefined && spec.rawBody === undefined ? [] : withBody),
  ...(spec.command === true ? ofCommands : []),
  ...(path.includes(":name") ? ofExperiments : []),
];

// The types are the same rules once more. `_data` of a TypedResponse exists for the compiler only, so nothing at run
// time holds an answer to its schema: tests do, on every answer they get (test/support/contract.ts).

type Nothing = object;
type ScopeQuery = { tenant?: string; environment?: string };
type BodySchema<Spec> = Spec extends { readonly body: infer Body extends v.GenericSchema }
  ? Body
  : Spec extends { readonly rawBody: infer Body extends v.GenericSchema }
    ? Body
    : never;
type QueryOf<Spec> = Spec extends { readonly query: infer Query extends QueryEntries } ? Query : Nothing;
type JsonIn<Spec> = Spec extends { readonly rawBodyType: string }
  ? Nothing
  : [BodySchema<Spec>] extends [never]
    ? Nothing
    : { json: v.InferInput<BodySchema<Spec>> };
type JsonOut<Spec> = Spec extends { readonly body: infer Body extends v.GenericSchema }
  ? { json: v.InferOutput<Body> }
  : Nothing;
type QueryIn<Query> = {
  [Name in keyof Query]?: Query[Name] extends v.GenericSchema ? v.InferInput<Query[Name]> : never;
};
type QueryOut<Query> = {
  [Name in keyof Query]: Query[Name] extends v.GenericSchema ? v.InferOutput<Query[Name]> : never;
};
type HeaderIn<Spec> = Spec extends { readonly command: true }
  ? { header?: { "if-match"?: string; "if-none-match"?: string; "idempotency-key"?: string } }
  : Spec extends { readonly answers: { readonly 304: null } }
    ? { header?: { "if-none-match"?: string } }
    : Nothing;
type InputOf<Spec> = {
  in: JsonIn<Spec> &
    HeaderIn<Spec> &
    (Spec extends { readonly access: "public" } ? Nothing : { query?: ScopeQuery & QueryIn<QueryOf<Spec>> });
  out: JsonOut<Spec> & { query: QueryOut<QueryOf<Spec>> };
};

type CodesOf<Spec extends EndpointSpec> =
  | (typeof always)[number]
  | (Spec extends { readonly access: "public" } ? never : (typeof inScope)[number] | (typeof ofExperiments)[number])
  | ([BodySchema<Spec>] extends [never] ? never : (typeof withBody)[number])
  | (Spec extends { readonly command: true } ? (typeof ofCommands)[number] : never)
  | (Spec extends { readonly problems: readonly (infer Code extends ErrorCode)[] } ? Code : never);
type CodeUnder<Status, Code extends ErrorCode> = Code extends ErrorCode
  ? StatusOf<Code> extends Status
    ? Code
    : never
  : never;
/** One answer for each status, whatever the codes, so that the client's types stay small. */
type ProblemAnswers<Code extends ErrorCode> = {
  [Status in StatusOf<Code>]: Response & TypedResponse<ProblemDocument<CodeUnder<Status, Code>>, Status, "json">;
}[StatusOf<Code>];
type GoodAnswers<Answers, Format extends "json" | "text"> = {
  [Status in keyof Answers & StatusCode]: Response &
    (Answers[Status] extends v.GenericSchema
      ? TypedResponse<v.InferOutput<Answers[Status]>, Status, Format>
      : TypedResponse<null, Status, "body">);
}[keyof Answers & StatusCode];
type FormatOf<Spec> = Spec extends { readonly answerType: string } ? "text" : "json";
type AnswersOf<Spec extends EndpointSpec> =
  | GoodAnswers<Spec["answers"], FormatOf<Spec>>
  | ProblemAnswers<CodesOf<Spec>>;

type EndpointContext<Spec> = Context<AppEnvironment, string, InputOf<Spec>>;
type Answered = Response | Promise<Response>;

const specs = new WeakMap<object, EndpointSpec>();

/** What a route's handler was described as; undefined for middleware. */
export const specOf = (handler: object): EndpointSpec | undefined => specs.get(handler);

/**
 * A handler that lets in who may, reads and checks what is sent, and only then runs.
 *
 * @example
 * new Hono<AppEnvironment>().post(
 *   "/:name/notes",
 *   endpoint(
 *     dependencies,
 *     { id: "writeNote", summary: "Leave a note", access: "read", body: NoteSchema, answers: { 200: NotedSchema } },
 *     async (context) => context.json(await note(refOf(context), context.req.valid("json"))),
 *   ),
 * )
 */
export function endpoint<const Spec extends EndpointSpec>(
  dependencies: Guarding,
  spec: Spec,
  handler: (context: EndpointContext<Spec>) => Answered,
): Handler<AppEnvironment, string, InputOf<Spec>, Promise<AnswersOf<Spec>>>;
export function endpoint(
  dependencies: Guarding,
  spec: EndpointSpec,
  handler: (context: Context<AppEnvironment>) => Answered,
): Handler<AppEnvironment, string, object, Promise<Response>> {
  const guard = guardOf(spec.access, dependencies);
  const { observer = unobserved } = dependencies;
  const answer = async (context: Context<AppEnvironment>): Promise<Response> => {
    await guard(context);
    if (spec.query !== undefined) context.req.addValidatedData("query", parseQuery(spec.query, context.req.queries()));
    if (spec.body !== undefined) {
      context.req.addValidatedData("json", await readJson(spec.body, context.req.raw, limits.requestBytes));
    }
    return handler(context);
  };
  const run = (context: Context<AppEnvironment>): Promise<Response> =>
    observer.run("request", { route: spec.id, method: context.req.method }, async (note) => {
      try {
        const response = await answer(context);
        note({ status: response.status });
        return response;
      } catch (error) {
        note({ status: statusOf(error instanceof ProvisoError ? error.code : "internal") });
        throw error;
      }
    });
  specs.set(run, spec);
  return run;
}
