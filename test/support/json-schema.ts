/** As much of JSON Schema 2020-12 as the OpenAPI document uses; an unknown keyword fails, so none is overlooked. */
export type Schema = Readonly<Record<string, unknown>>;

export const isMembers = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const schemasIn = (value: unknown): readonly Schema[] => (Array.isArray(value) ? value.filter(isMembers) : []);

const words = (text: string): readonly string[] => text.trim().split(/\s+/);
const known = new Set(
  words(`$ref type properties required additionalProperties propertyNames items prefixItems enum const anyOf oneOf allOf
    not pattern format minLength maxLength minItems maxItems minimum exclusiveMinimum maximum minProperties maxProperties description
    default examples title`),
);

/** Finds `#/components/schemas/X`. */
export const dereference = (document: unknown, schema: Schema): Schema => {
  if (typeof schema["$ref"] !== "string") return schema;
  let found: unknown = document;
  for (const token of schema["$ref"].slice(2).split("/")) found = isMembers(found) ? found[token] : undefined;
  if (!isMembers(found)) throw new Error(`the document has no ${schema["$ref"]}`);
  return dereference(document, found);
};

const typeOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value;

const hasType = (type: unknown, value: unknown): boolean => {
  if (Array.isArray(type)) return type.some((one) => hasType(one, value));
  return type === typeOf(value) || (type === "number" && typeOf(value) === "integer");
};

const quote = (value: unknown): string => JSON.stringify(value ?? null).slice(0, 200);

const number = (schema: Schema, keyword: string, otherwise: number): number => {
  const bound = schema[keyword];
  return typeof bound === "number" ? bound : otherwise;
};

/**
 * Where a value differs from its schema.
 *
 * @param closed also refuse members that an object's `properties` do not name: an answer must not hold more than is said
 */
export const mismatches = (
  document: unknown,
  given: Schema,
  value: unknown,
  closed = false,
  path = "",
): readonly string[] => {
  const schema = dereference(document, given);
  const found: string[] = [];
  const fail = (what: string): void => void found.push(`${path === "" ? "/" : path}: ${what}, found ${quote(value)}`);
  const inside = (part: unknown, member: unknown, at: string, shut = closed): readonly string[] =>
    isMembers(part) ? mismatches(document, part, member, shut, at) : [];
  for (const keyword of Object.keys(schema)) if (!known.has(keyword)) throw new Error(`json schema: ${keyword}?`);

  if (schema["type"] !== undefined && !hasType(schema["type"], value)) fail(`type ${quote(schema["type"])}`);
  if (Array.isArray(schema["enum"]) && !schema["enum"].includes(value)) fail(`one of ${schema["enum"].join(", ")}`);
  if ("const" in schema && schema["const"] !== value) fail(quote(schema["const"]));
  if (isMembers(schema["not"]) && inside(schema["not"], value, path).length === 0) fail("something else");
  for (const part of schemasIn(schema["allOf"])) found.push(...inside(part, value, path, false));
  const either = [...schemasIn(schema["anyOf"]), ...schemasIn(schema["oneOf"])].map((part) =>
    inside(part, value, path),
  );
  if (either.length > 0 && either.every((problems) => problems.length > 0))
    found.push(...(either.toSorted((a, b) => a.length - b.length)[0] ?? []));
  if (typeof value === "string") {
    if (typeof schema["pattern"] === "string" && !new RegExp(schema["pattern"], "u").test(value))
      fail(`pattern ${schema["pattern"]}`);
    if (schema["format"] === "date-time" && Number.isNaN(Date.parse(value))) fail("a time");
    const characters = Array.from(value).length;
    if (characters < number(schema, "minLength", 0) || characters > number(schema, "maxLength", Infinity))
      fail("length");
  }
  if (
    typeof value === "number" &&
    (value < number(schema, "minimum", -Infinity) ||
      value <= number(schema, "exclusiveMinimum", -Infinity) ||
      value > number(schema, "maximum", Infinity))
  )
    fail("range");
  if (Array.isArray(value)) {
    if (value.length < number(schema, "minItems", 0) || value.length > number(schema, "maxItems", Infinity))
      fail("items");
    const leading = schemasIn(schema["prefixItems"]);
    for (const [index, item] of value.entries())
      found.push(...inside(leading[index] ?? schema["items"], item, `${path}/${index}`));
  }
  if (isMembers(value)) {
    const properties = isMembers(schema["properties"]) ? schema["properties"] : {};
    for (const name of Array.isArray(schema["required"]) ? schema["required"] : []) {
      if (!Object.hasOwn(value, String(name))) fail(`member ${String(name)}`);
    }
    const count = Object.keys(value).length;
    if (count < number(schema, "minProperties", 0) || count > number(schema, "maxProperties", Infinity))
      fail("members");
    for (const [name, member] of Object.entries(value)) {
      if (Object.hasOwn(properties, name)) found.push(...inside(properties[name], member, `${path}/${name}`));
      else if (
        schema["additionalProperties"] === false ||
        (closed && schema["additionalProperties"] === undefined && "properties" in schema)
      )
        fail(`no member ${name}`);
      else found.push(...inside(schema["additionalProperties"], member, `${path}/${name}`));
    }
  }
  return found;
};
