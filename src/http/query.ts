/** Query parameters as schemas: what a parameter takes stands once, for the check and for the OpenAPI document. */
import * as v from "valibot";
import { limits } from "../limits.ts";
import { parseInput } from "./body.ts";

/** Schemas of text by the name of the parameter; a list's schema takes a list of texts. */
export type QueryEntries = Readonly<Record<string, v.GenericSchema>>;

/**
 * Checks the parameters that `entries` names; others are ignored. One that is sent twice is refused unless it is a list.
 *
 * @throws ProvisoError `invalid-request` with `errors: [{ path: "?name", … }]`
 */
export const parseQuery = (entries: QueryEntries, sent: Readonly<Record<string, readonly string[]>>): object => {
  const values = Object.keys(entries).map((name): [string, unknown] => {
    const texts = Object.hasOwn(sent, name) ? sent[name] : undefined;
    return [name, texts?.length === 1 ? texts[0] : texts];
  });
  return parseInput(v.object(entries), Object.fromEntries(values), (pointer) => `?${pointer.slice(1)}`);
};

/** A whole number; `fallback` when it is left out. */
export const wholeNumber = (min: number, max: number, fallback: number, description: string) => {
  const wanted = `a whole number from ${min} to ${max}`;
  return v.pipe(
    v.optional(v.string()),
    v.metadata({ type: "integer", minimum: min, maximum: max, default: fallback, description }),
    v.rawTransform(({ dataset: { value }, addIssue, NEVER }): number => {
      if (value === undefined) return fallback;
      const number = Number(value);
      if (/^\d{1,16}$/.test(value) && number >= min && number <= max) return number;
      addIssue({ message: wanted });
      return NEVER;
    }),
  );
};

const isTexts = (value: unknown): value is string | string[] =>
  typeof value === "string" || (Array.isArray(value) && value.every((text) => typeof text === "string"));

/** Several words, as `?name=a,b` or `?name=a&name=b`; none when it is left out. */
export const listOf = <const Word extends string>(
  words: readonly Word[],
  description: string,
  read: (text: string) => Word | undefined = (text) => words.find((word) => word === text),
) =>
  v.pipe(
    v.optional(v.custom<string | string[]>(isTexts, "a list")),
    v.metadata({ type: "array", items: { type: "string", enum: words }, description }),
    v.rawTransform(({ dataset: { value }, addIssue, NEVER }): readonly Word[] => {
      const texts = value === undefined ? [] : typeof value === "string" ? [value] : value;
      const found = texts.flatMap((text) => text.split(",")).map((text) => read(text.trim()));
      const known = found.filter((word) => word !== undefined);
      if (known.length === found.length) return known;
      addIssue({ message: words.join(", ") });
      return NEVER;
    }),
  );

/** Text as it is. */
export const text = (description: string, charactersMax: number) =>
  v.optional(
    v.pipe(v.string(), v.maxLength(charactersMax, `at most ${charactersMax} characters`), v.metadata({ description })),
  );

/** `?after=` and `?limit=` of a paged route. */
export const page = (limitMax: number = limits.pageRows) => ({
  after: wholeNumber(0, Number.MAX_SAFE_INTEGER, 0, "What comes after this: `next` of the last page"),
  limit: wholeNumber(1, limitMax, Math.min(100, limitMax), "How many at most"),
});
