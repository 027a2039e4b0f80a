/**
 * Checks between the items of a list that also run while single items are wrong: valibot's own `check` waits until
 * every item is right, and so would show a person one error after the other.
 */
import * as v from "valibot";

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

const nameOf = (item: unknown, member: string | undefined): unknown => {
  if (member === undefined) return item;
  return isObject(item) && Object.hasOwn(item, member) ? item[member] : undefined;
};

/**
 * Texts that differ, or items whose `member` differs. The issue stands at the later of two equal ones.
 *
 * @example v.pipe(v.array(VariantSchema), differ("variant keys that differ", "key"))
 */
export const differ = <TItem>(message: string, member?: string): v.RawCheckAction<TItem[]> =>
  v.rawCheck(({ dataset, addIssue }) => {
    const list: unknown = dataset.value;
    if (!Array.isArray(list)) return;
    const seen = new Set<string>();
    list.forEach((item: unknown, index) => {
      const name = nameOf(item, member);
      if (typeof name !== "string") return;
      if (seen.has(name)) {
        const place: v.ArrayPathItem = { type: "array", origin: "value", input: list, key: index, value: item };
        const within: v.ObjectPathItem | undefined =
          member !== undefined && isObject(item)
            ? { type: "object", origin: "value", input: item, key: member, value: name }
            : undefined;
        addIssue({ message, input: name, path: within === undefined ? [place] : [place, within] });
      }
      seen.add(name);
    });
  });

/** Exactly one item whose `member` is true. Says nothing while one of them holds something else than a boolean. */
export const exactlyOne = <TItem>(message: string, member: string): v.RawCheckAction<TItem[]> =>
  v.rawCheck(({ dataset, addIssue }) => {
    const list: unknown = dataset.value;
    if (!Array.isArray(list) || !list.every(isObject)) return;
    const flags = list.map((item) => nameOf(item, member));
    if (!flags.every((flag) => flag === undefined || typeof flag === "boolean")) return;
    if (flags.filter((flag) => flag === true).length !== 1) addIssue({ message });
  });
