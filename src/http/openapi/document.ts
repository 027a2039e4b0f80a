/** The OpenAPI 3.1 document, made from what the routes were described as. */
import type { JsonSchema } from "@valibot/to-json-schema";
import type { Hono } from "hono";
import type { ErrorCode } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { roles } from "../access.ts";
import type { AppEnvironment } from "../dependencies.ts";
import { type EndpointSpec, impliedCodes, specOf } from "../endpoint.ts";
import { statusOf, titleOf } from "../problem.ts";
import { componentRef, componentSchemas, jsonSchemaOf } from "./json-schema.ts";

/** The parts that are built here; whoever reads more of OpenAPI reads the JSON. */
export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}
export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
}
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: {
    readonly required: true;
    readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  };
  readonly responses: Readonly<Record<string, Answer>>;
}
export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: Readonly<Record<string, unknown>>;
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
}

const pathParameters: Readonly<Record<string, { readonly description: string; readonly schema: JsonSchema }>> = {
  name: { description: "The experiment", schema: { $ref: componentRef("Name") } },
  version: {
    description: "A version's number, or `latest`",
    schema: { type: "string", pattern: "^(latest|[1-9][0-9]*)$" },
  },
  id: { description: "A proposal", schema: { type: "string" } },
};

const scopeParameters: readonly Parameter[] = (["tenant", "environment"] as const).map((name) => ({
  name,
  in: "query",
  required: false,
  description: `The ${name} that the request is about; \`default\` when it is left out`,
  schema: { $ref: componentRef("Name") },
}));

const header = (name: string, description: string, schema: JsonSchema = { type: "string" }): Parameter => ({
  name,
  in: "header",
  required: false,
  description,
  schema,
});
const ifNoneMatch = header("If-None-Match", "ETags that the caller has: 304 when one is the present one");
const createOnly = header("If-None-Match", "`*`: only create, 409 when the experiment exists");
const commandHeaders: readonly Parameter[] = [
  header("If-Match", "The ETag that the change is based on: 412 when the experiment is another one by now"),
  header("Idempotency-Key", "A retry with the same key gets the first answer", {
    type: "string",
    minLength: 1,
    maxLength: limits.idempotencyKeyCharacters,
    pattern: "^[ -~]+$",
  }),
];

const parametersOf = (spec: EndpointSpec, names: readonly string[]): readonly Parameter[] => {
  const inPath = names.map((name): Parameter => {
    const { description, schema } = pathParameters[name] ?? { description: name, schema: { type: "string" } };
    return { name, in: "path", required: true, description, schema };
  });
  const inQuery = Object.entries(spec.query ?? {}).map(([name, schema]): Parameter => {
    const { description, ...rest } = jsonSchemaOf(schema, "input");
    const required = !["optional", "exact_optional", "nullish"].includes(schema.type);
    return { name, in: "query", required, ...(description === undefined ? {} : { description }), schema: rest };
  });
  return [
    ...inPath,
    ...(spec.access === "public" ? [] : scopeParameters),
    ...inQuery,
    ...(spec.answers[304] === undefined ? [] : [ifNoneMatch]),
    ...(spec.command === true ? commandHeaders : []),
    ...(spec.command === true && spec.access === "writeVersion" ? [createOnly] : []),
  ];
};

const json = "application/json";
const meanings: Readonly<Record<string, string>> = {
  200: "Done, or found",
  201: "Written",
  202: "Taken, to be done later",
  204: "Done, and nothing more to say",
  304: "The caller has it already",
  503: "Something that is needed cannot be reached",
};
const etag = { ETag: { description: "Strong; for If-Match and If-None-Match", schema: { type: "string" } } };
const location = { Location: { description: "Where what was made can be read", schema: { type: "string" } } };
const retryAfter = { "Retry-After": { description: "Seconds", schema: { type: "string" } } };

const goodAnswers = (spec: EndpointSpec): readonly (readonly [string, Answer])[] =>
  Object.entries(spec.answers).map(([status, schema]) => {
    const headers = {
      ...(spec.command === true || spec.answers[304] !== undefined ? etag : {}),
      ...(spec.command === true && status !== "200" ? location : {}),
    };
    return [
      status,
      {
        description: meanings[status] ?? status,
        ...(Object.keys(headers).length === 0 ? {} : { headers }),
        ...(schema === null || schema === undefined
          ? {}
          : { content: { [spec.answerType ?? json]: { schema: jsonSchemaOf(schema, "output") } } }),
      },
    ] as const;
  });

const problemAnswers = (codes: readonly ErrorCode[]): readonly (readonly [string, Answer])[] =>
  [...new Set(codes.map(statusOf))]
    .toSorted((a, b) => a - b)
    .map((status) => {
      const here = [...new Set(codes.filter((code) => statusOf(code) === status))];
      const schema: JsonSchema = {
        allOf: [
          { $ref: componentRef("Problem") },
          { type: "object", properties: { status: { const: status }, code: { enum: here } } },
        ],
      };
      return [
        String(status),
        {
          description: here.map((code) => `\`${code}\`: ${titleOf(code)}`).join("; "),
          ...(status === 429 || status === 503 ? { headers: retryAfter } : {}),
          content: { "application/problem+json": { schema } },
        },
      ] as const;
    });

/** One status can have an answer and a problem: each has its content type. */
const responsesOf = (spec: EndpointSpec, path: string): Readonly<Record<string, Answer>> => {
  const responses: Record<string, Answer> = {};
  const codes = [...impliedCodes(spec, path), ...(spec.problems ?? [])];
  for (const [status, answer] of [...goodAnswers(spec), ...problemAnswers(codes)]) {
    const before = responses[status];
    responses[status] =
      before === undefined
        ? answer
        : {
            ...before,
            ...answer,
            description: `${before.description}; ${answer.description}`,
            content: { ...before.content, ...answer.content },
          };
  }
  return responses;
};

const tagDescriptions: Readonly<Record<string, string>> = {
  "data plane": "What applications send and read, with keys of their own",
  deployment: "About the deployment itself",
};

const tagOf = (path: string): string => {
  if (!path.startsWith("/api/governance"))
    return path.startsWith("/health") || path.endsWith(".json") ? "deployment" : "data plane";
  return path.split("/")[4] ?? "experiments";
};

const whoMay = (access: EndpointSpec["access"]): string => {
  if (access === "public") return "For anybody.";
  if (access === "ingest" || access === "evaluate") return `For applications with a key for \`${access}\`.`;
  return `For the roles ${roles[access].join(", ")}${access === "writeVersion" ? "" : ", and those that gates of the deployment name"}.`;
};

const security = [{ token: [] }, { developmentActor: [] }];

const operationOf = (spec: EndpointSpec, path: string, names: readonly string[]): Operation => {
  const body = spec.body ?? spec.rawBody;
  return {
    operationId: spec.id,
    summary: spec.summary,
    description: [...(spec.description === undefined ? [] : [spec.description]), whoMay(spec.access)].join(" "),
    tags: [tagOf(path)],
    security: spec.access === "public" ? [] : security,
    parameters: parametersOf(spec, names),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { [spec.rawBodyType ?? json]: { schema: jsonSchemaOf(body, "input") } },
          },
        }),
    responses: responsesOf(spec, path),
  };
};

/** The routes that were described, as Hono keeps them. Middleware has no description. */
export const endpointsOf = (app: Pick<Hono<AppEnvironment>, "routes">) =>
  app.routes.flatMap(({ method, path, handler }) => {
    const spec = specOf(handler);
    return spec === undefined ? [] : [{ method: method.toLowerCase(), path, spec }];
  });

/** Hono's `/:name/versions` as OpenAPI's `/{name}/versions`. */
export const openApiPath = (path: string): string => path.replaceAll(/:(\w+)(?:\{[^}]*\})?/g, "{$1}");

export const openApiDocument = (app: Pick<Hono<AppEnvironment>, "routes">): OpenApiDocument => {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const { method, path, spec } of endpointsOf(app)) {
    const key = openApiPath(path);
    const names = [...key.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
    paths[key] = { ...paths[key], [method]: operationOf(spec, path, names) };
  }
  const tags = new Set(
    Object.values(paths).flatMap((operations) => Object.values(operations).flatMap(({ tags: of }) => of)),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "Proviso",
      // Of this API, not of the package.
      version: "1.0.0",
      description: "Governed experiments: versions, proposals, approvals, transitions, history, results.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: [...tags].map((name) => ({ name, description: tagDescriptions[name] ?? `${name} of an experiment` })),
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "A token, or a key of the data plane" },
        developmentActor: {
          type: "apiKey",
          in: "header",
          name: "X-Proviso-Actor",
          description: "Under `npm run dev` only, with X-Proviso-Roles and X-Proviso-Actor-Kind beside it",
        },
      },
    },
  };
};
