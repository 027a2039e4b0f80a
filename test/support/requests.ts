/**
 * Requests made from the OpenAPI document: what it allows, that with one thing wrong, and what nobody sane sends.
 * Everything follows from the numbers of one generator, so a seed gives the same requests again.
 */
import type { OpenApiDocument, Operation, Parameter } from "../../src/http/openapi/document.ts";
import { dereference, isMembers, type Schema } from "./json-schema.ts";

/** Whole numbers from 0 up to, not including, `below`. */
export type Draw = (below: number) => number;

/** mulberry32: small, and the same everywhere. */
export const drawFrom = (seed: number): Draw => {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
};

export const pick = <Item>(draw: Draw, items: readonly Item[]): Item => {
  const item = items[draw(items.length)];
  if (item === undefined) throw new RangeError("pick: from nothing");
  return item;
};

const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Names that a path, a key or an object could give a meaning to; written as they stand in a URL. */
const oddSegments = [
  ...words(`__proto__ constructor prototype toString proposals import latest - .. %2e%2e . a%2Fb a/b %00 %ff %E0%A4%A %
    %25 ' : a:b %F0%9F%98%80 💥 * %ED%A0%80 %7B%7D [] 0 NaN null ;-- ~`),
  "a b",
  "x".repeat(128),
  "x".repeat(129),
  "x".repeat(5_000),
];
const oddQueryValues = [
  ...words(`-1 0 1.5 1e3 NaN Infinity 99999999999999999999 9007199254740992 %00 %ff %ED%A0%80 a,b , ,,, __proto__ ' % []
    {} null true %F0%9F%98%80 + && =`),
  "",
  "x".repeat(2_000),
];
const oddTexts = ["", " ", "\u0000", "\ud800", "\udc00x", "__proto__", "💥", "x".repeat(5_000)];
const oddValues: readonly unknown[] = [
  ...oddTexts,
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  [],
  [[]],
  {},
  { toString: 1 },
  { constructor: { prototype: {} } },
  { length: -1 },
  ["a", null],
];
/** Bodies as text; some have no value that says them. */
const oddBodies = [
  ...words(`{ [ null 7 "text" [] {} NaN {'a':1} {"a":1,} {}{} 1e400 {"__proto__":{"admin":true}}
    {"constructor":{"prototype":{}}} {"targetState":"\\ud800"} {"reason":1e400}
    {"targetState":"Draft","targetState":"Running"} {"targetState":"Draft","metadata":{"__proto__":1}}
    {"events":[null,[],{"eventType":"__proto__"}]}`),
  "",
  " ",
  "\ufeff{}",
  nested(63),
  nested(64),
  nested(65),
  nested(10_000),
  "[".repeat(20_000),
  `["${"x".repeat(530_000)}"]`,
  `{"targetState":"Draft","metadata":${nested(70)}}`,
  `{"configuration":${nested(200)}}`,
];
const oddBytes = [
  [0xff, 0xfe],
  [0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d],
  [0xed, 0xa0, 0x80],
  [0x00],
  [0xef, 0xbb, 0xbf, 0x7b, 0x7d],
];
const oddHeaders = [
  "",
  " ",
  ",",
  "*",
  'W/"1"',
  '"',
  '"1-0"',
  '"a", "b"',
  "é",
  "ÿ",
  "x".repeat(300),
  "null",
  "__proto__",
];

/** What earlier answers have shown, for requests that go on from there. */
export interface Seen {
  readonly names: readonly string[];
  readonly digests: string[];
  readonly etags: string[];
  readonly proposals: string[];
  readonly targets: string[];
}

/** Nothing yet; most requests are about the first experiment, so that it gets somewhere. */
export const newSeen = (): Seen => ({
  names: ["checkout", "checkout", "checkout", "search", "constructor"],
  digests: [],
  etags: [],
  proposals: [],
  targets: ["PendingApproval", "Approved"],
});

/** Keeps what an answer's body shows. */
export const remember = (seen: Seen, value: unknown): void => {
  if (Array.isArray(value)) for (const item of value) remember(seen, item);
  if (!isMembers(value)) return;
  if (typeof value["changeDigest"] === "string") seen.digests.push(value["changeDigest"]);
  if (typeof value["id"] === "string" && "targetState" in value) seen.proposals.push(value["id"]);
  const { allowedTransitions } = value;
  if (Array.isArray(allowedTransitions)) seen.targets.push(...allowedTransitions.map(String));
  for (const member of Object.values(value)) remember(seen, member);
};

const integerOf = (draw: Draw, schema: Schema): number => {
  const low = typeof schema["minimum"] === "number" ? schema["minimum"] : -5;
  const high = typeof schema["maximum"] === "number" ? schema["maximum"] : 1_000;
  return draw(3) === 0 ? pick(draw, [low, high]) : low + draw(Math.min(high - low, 50) + 1);
};

const textOf = (draw: Draw, schema: Schema): string => {
  const pattern = typeof schema["pattern"] === "string" ? schema["pattern"] : "";
  if (schema["format"] === "date-time") return `2026-1${draw(2)}-0${1 + draw(9)}T0${draw(10)}:00:00Z`;
  if (pattern.includes("{64}")) return pick(draw, ["0", "a"]).repeat(64);
  if (pattern.includes("{12}")) return `019aa5b6-0000-7000-8000-${String(draw(1e9)).padStart(12, "0")}`;
  if (pattern.includes("T\\d{2}")) return "2026-11-21T11:59:00.000Z";
  if (pattern.startsWith("^1\\.")) return "1.0.0";
  if (schema["examples"] !== undefined && Array.isArray(schema["examples"]))
    return String(pick(draw, schema["examples"]));
  return pick(draw, ["a", "b2", "checkout", "x.y", "Z-1", "control"]);
};

/** A value that fits the schema as far as the schema says everything. */
const valueOf = (document: OpenApiDocument, given: Schema, draw: Draw, depth = 0): unknown => {
  const schema = dereference(document, given);
  const inside = (part: unknown): unknown => (isMembers(part) ? valueOf(document, part, draw, depth + 1) : "any");
  if ("const" in schema) return schema["const"];
  if (Array.isArray(schema["enum"])) return pick(draw, schema["enum"]);
  for (const keyword of ["anyOf", "oneOf"]) {
    const options = schema[keyword];
    // Deep inside, the last option: it is the one that does not recurse.
    if (Array.isArray(options)) return inside(depth > 8 ? options.at(-1) : pick(draw, options));
  }
  switch (Array.isArray(schema["type"]) ? pick(draw, schema["type"]) : schema["type"]) {
    case "string":
      return textOf(draw, schema);
    case "integer":
    case "number":
      return integerOf(draw, schema);
    case "boolean":
      return draw(2) === 0;
    case "null":
      return null;
    case "array": {
      const least = typeof schema["minItems"] === "number" ? schema["minItems"] : 0;
      return Array.from({ length: least + draw(3) }, () => inside(schema["items"]));
    }
    case "object": {
      const required = Array.isArray(schema["required"]) ? schema["required"] : [];
      const properties = isMembers(schema["properties"]) ? schema["properties"] : {};
      const chosen = Object.entries(properties).filter(
        ([name]) => required.includes(name) || draw(depth > 8 ? 50 : 4) === 0,
      );
      return Object.fromEntries(chosen.map(([name, part]) => [name, inside(part)]));
    }
    default:
      return pick(draw, ["any", 1, true]);
  }
};

/** The same value with one place replaced, removed or added. */
const mutate = (value: unknown, draw: Draw): unknown => {
  if (draw(3) > 0 && Array.isArray(value) && value.length > 0) {
    const at = draw(value.length);
    return value.map((item: unknown, index) => (index === at ? mutate(item, draw) : item));
  }
  if (draw(4) > 0 && isMembers(value) && Object.keys(value).length > 0) {
    const at = pick(draw, Object.keys(value));
    const others = Object.entries(value).filter(([name]) => name !== at);
    if (draw(5) === 0) return Object.fromEntries(others);
    if (draw(5) === 0)
      return { ...value, [pick(draw, ["more", "__proto__x", "", "constructor", "a/b~c"])]: pick(draw, oddValues) };
    return Object.fromEntries([...others, [at, mutate(value[at], draw)]]);
  }
  return pick(draw, oddValues);
};

/** Experiments that get somewhere: a configuration made from its schema alone rarely has exactly one control. */
const configurationOf = (draw: Draw): unknown => ({
  salt: pick(draw, ["pepper", "salt"]),
  variants: [
    { key: "control", weight: 1 + draw(3), control: true },
    { key: "treatment", payload: { "a/b": draw(9) } },
  ],
  traffic: pick(draw, [0, 12.34, 100]),
  ...(draw(3) === 0 ? { surfaces: [pick(draw, ["page", "cart"])] } : {}),
  ...(draw(3) === 0
    ? { targeting: { any: [{ attribute: "plan", in: ["pro"] }, { not: { attribute: "x", exists: true } }] } }
    : {}),
  ...(draw(3) === 0 ? { metrics: [{ name: "purchase", kind: "binary" }] } : {}),
});

/** Members whose good values come from earlier answers. */
const goOn = (body: unknown, draw: Draw, seen: Seen): unknown => {
  if (!isMembers(body)) return body;
  return {
    ...body,
    ...("changeDigest" in body && seen.digests.length > 0 && draw(8) > 0
      ? { changeDigest: seen.digests.at(-1 - draw(Math.min(3, seen.digests.length))) }
      : {}),
    ...("decision" in body && draw(2) === 0 ? { decision: "approve" } : {}),
    ...("targetState" in body && seen.targets.length > 0 && draw(6) > 0
      ? { targetState: pick(draw, seen.targets.slice(-6)) }
      : {}),
    ...("configuration" in body && draw(8) > 0 ? { configuration: configurationOf(draw) } : {}),
  };
};

const segmentOf = (parameter: Parameter, draw: Draw, seen: Seen, odd: boolean): string => {
  if (odd && draw(2) === 0) return pick(draw, oddSegments);
  if (parameter.name === "name") return pick(draw, seen.names);
  if (parameter.name === "version") return pick(draw, ["latest", "1", "2", "3", "0", "999999999", "-1", "1e0"]);
  if (parameter.name === "id" && seen.proposals.length > 0) return pick(draw, seen.proposals);
  return "unknown";
};

const queryOf = (document: OpenApiDocument, parameters: readonly Parameter[], draw: Draw, odd: boolean): string => {
  const parts = parameters.flatMap(({ name, schema }) => {
    const isScope = name === "tenant" || name === "environment";
    if (draw(isScope ? 25 : 3) > 0) return [];
    if (odd) return Array.from({ length: 1 + draw(2) }, () => `${name}=${pick(draw, oddQueryValues)}`);
    const value = valueOf(document, { ...schema }, draw);
    return [`${name}=${encodeURIComponent(Array.isArray(value) ? value.join(",") : String(value))}`];
  });
  const more = odd
    ? [pick(draw, ["", "__proto__=1", "x=%ff", "=", "&", "a[b]=c", "limit", "limit[]=1", "%ED%A0%80=1", "?"])]
    : [];
  return parts.length + more.length === 0 ? "" : `?${[...parts, ...more].join("&")}`;
};

export const actors = [
  { "x-proviso-actor": "author", "x-proviso-roles": "editor,operator" },
  { "x-proviso-actor": "approver", "x-proviso-roles": "approver" },
  { "x-proviso-actor": "second-approver", "x-proviso-roles": "approver" },
  { "x-proviso-actor": "reader", "x-proviso-roles": "viewer" },
  { "x-proviso-actor": "everything", "x-proviso-roles": "admin,editor,operator,approver" },
  { "x-proviso-actor": "robot", "x-proviso-roles": "editor,approver", "x-proviso-actor-kind": "agent" },
  { "x-proviso-actor": "stranger", "x-proviso-roles": "unheard-of" },
  { "x-proviso-actor": "", "x-proviso-roles": ",,," },
  { "x-proviso-actor": "system:guardrail", "x-proviso-roles": "admin" },
  { "x-proviso-actor": "caf\u00e9", "x-proviso-roles": "editor", "x-proviso-actor-kind": "ghost" },
  {},
] as const satisfies readonly Readonly<Record<string, string>>[];

const headersOf = (operation: Operation, draw: Draw, seen: Seen, odd: boolean): Headers => {
  const headers = new Headers({ ...(draw(8) === 0 ? pick(draw, actors) : actors[draw(2) === 0 ? 4 : draw(5)]) });
  const takes = (name: string): boolean =>
    operation.parameters.some((parameter) => parameter.in === "header" && parameter.name === name);
  const set = (name: string, good: readonly string[]): void => {
    const value = odd && draw(3) === 0 ? pick(draw, oddHeaders) : pick(draw, [...good, "*"]);
    // Fetch refuses some of them before anything is sent.
    try {
      headers.set(name, value);
    } catch {
      headers.delete(name);
    }
  };
  if (takes("If-Match") && draw(6) === 0) set("if-match", seen.etags.slice(-4));
  if (takes("If-None-Match") && draw(5) === 0) set("if-none-match", seen.etags.slice(-4));
  if (takes("Idempotency-Key") && draw(2) === 0) set("idempotency-key", ["key-1", "key-2", "key-3"]);
  if (odd && draw(2) === 0)
    set(
      pick(draw, [
        "accept",
        "origin",
        "x-forwarded-for",
        "content-type",
        "authorization",
        "range",
        "x-http-method-override",
      ]),
      ["DELETE", "text/plain", "bytes=0-1"],
    );
  return headers;
};

const bodyOf = (
  document: OpenApiDocument,
  operation: Operation,
  draw: Draw,
  seen: Seen,
  mode: Mode,
): string | Uint8Array<ArrayBuffer> | undefined => {
  const schema = operation.requestBody?.content["application/json"]?.schema;
  if (mode === "hostile" && draw(2) === 0)
    return draw(4) === 0 ? Uint8Array.from(pick(draw, oddBytes)) : pick(draw, oddBodies);
  if (schema === undefined) return mode === "hostile" ? "{}" : undefined;
  const good = goOn(valueOf(document, { ...schema }, draw), draw, seen);
  return JSON.stringify(mode === "valid" ? good : mutate(good, draw));
};

type Mode = "valid" | "mutated" | "hostile";

/** One request, by whoever, for whatever. */
export const requestOf = (document: OpenApiDocument, draw: Draw, seen: Seen): Request => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      // What changes something comes more often: there is nothing to read otherwise.
      Array.from({ length: method === "get" ? 1 : 6 }, () => ({ path, method, operation })),
    ),
  );
  const { path, method, operation } = pick(draw, operations);
  const mode = pick(draw, ["valid", "valid", "valid", "valid", "mutated", "hostile"] as const);
  const odd = mode === "hostile";
  const pathParameters = operation.parameters.filter((parameter) => parameter.in === "path");
  let url = path;
  for (const parameter of pathParameters)
    url = url.replace(`{${parameter.name}}`, () => segmentOf(parameter, draw, seen, odd));
  if (odd && draw(6) === 0) url += pick(draw, ["/", "//", "/x", "/%2e%2e", "?", ";a=b", "/latest", ".json"]);
  const query = queryOf(
    document,
    operation.parameters.filter((parameter) => parameter.in === "query"),
    draw,
    odd,
  );
  const asked =
    odd && draw(4) === 0
      ? pick(draw, ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE"])
      : method.toUpperCase();
  const body = asked === "GET" || asked === "HEAD" ? undefined : bodyOf(document, operation, draw, seen, mode);
  return new Request(`http://127.0.0.1${url}${query}`, {
    method: asked,
    headers: headersOf(operation, draw, seen, odd),
    ...(body === undefined ? {} : { body }),
  });
};
