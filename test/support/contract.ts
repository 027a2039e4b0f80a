/** Holds an answer of the app to what the OpenAPI document says of its route. */
import { errorCodes } from "../../src/errors.ts";
import type { OpenApiDocument, Operation } from "../../src/http/openapi/document.ts";
import { statusOf } from "../../src/http/problem.ts";
import { isMembers, mismatches } from "./json-schema.ts";

const segmentsOf = (path: string): readonly string[] => path.replace(/\/$/, "").split("/");

/** The operation that a path belongs to; words go before parameters. */
export const operationAt = (document: OpenApiDocument, method: string, path: string): Operation | undefined => {
  const asked = segmentsOf(path);
  const fits = (template: string): boolean => {
    const wanted = segmentsOf(template);
    return (
      wanted.length === asked.length &&
      wanted.every((segment, index) => (segment.startsWith("{") ? asked[index] !== "" : segment === asked[index]))
    );
  };
  const [found] = Object.keys(document.paths)
    .filter(fits)
    .filter((template) => document.paths[template]?.[method] !== undefined)
    .toSorted((a, b) => a.split("{").length - b.split("{").length);
  return found === undefined ? undefined : document.paths[found]?.[method];
};

const problemMismatches = (document: OpenApiDocument, status: number, body: unknown): readonly string[] => {
  if (!isMembers(body)) return ["a problem that is no object"];
  const code = errorCodes.find((one) => one === body["code"]);
  if (code === undefined) return [`code ${String(body["code"])} is not known`];
  return [
    ...mismatches(document, { $ref: "#/components/schemas/Problem" }, body),
    ...(statusOf(code) === status && body["status"] === status ? [] : [`${code} under ${status}`]),
    ...(body["type"] === `urn:proviso:problem:${code}` ? [] : [`type ${String(body["type"])}`]),
  ];
};

/** As the router reads it: `%65vents` is `events`, `%2F` stays. */
const decoded = (path: string): string => {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
};

/**
 * What is wrong with an answer.
 *
 * @param text its body
 */
export const contractMismatches = (
  document: OpenApiDocument,
  request: Request,
  response: Response,
  text: string,
): readonly string[] => {
  const method = request.method === "HEAD" ? "get" : request.method.toLowerCase();
  const path = decoded(new URL(request.url).pathname);
  const { status } = response;
  const type = response.headers.get("content-type");
  const operation = operationAt(document, method, path);
  const body = (): unknown => JSON.parse(text);
  if (operation === undefined) {
    // The scope and the page's origin are looked at before it is known that there is no such route.
    const foreign = status === 403 && request.headers.has("origin");
    if (status !== 404 && status !== 400 && !foreign) return [`${status} from something that is no route`];
    return request.method === "HEAD" ? [] : problemMismatches(document, status, body());
  }
  const answer = operation.responses[status];
  if (answer === undefined) return [`${status} is not documented: ${text.slice(0, 300)}`];
  if (request.method === "HEAD" || status === 304 || status === 204)
    return text === "" ? [] : ["a body where there is none"];
  const schema = answer.content?.[type ?? ""]?.schema;
  if (schema === undefined) return [`content type ${type} is not documented for ${status}`];
  if (type !== "application/problem+json")
    return mismatches(document, { ...schema }, type === "application/json" ? body() : text, true);
  return [...problemMismatches(document, status, body()), ...mismatches(document, { ...schema }, body())];
};
