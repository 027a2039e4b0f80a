/** Whether two values hold the same: what a shadow's answer is compared by, unless the application says how. */

/** Deeper than this nothing is called equal: a comparison must end, whatever it is given. */
const depthMax = 64;

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

const kindOf = (value: object): string => Object.prototype.toString.call(value);

const sameEntries = (a: object, b: object, depth: number): boolean => {
  const left = Object.entries(a);
  const right = new Map<string, unknown>(Object.entries(b));
  return (
    left.length === right.size && left.every(([key, value]) => right.has(key) && same(value, right.get(key), depth))
  );
};

const same = (a: unknown, b: unknown, depth: number): boolean => {
  if (Object.is(a, b) || (a === 0 && b === 0)) return true;
  if (!isObject(a) || !isObject(b) || depth === 0 || kindOf(a) !== kindOf(b)) return false;
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (a instanceof Error && b instanceof Error) return a.name === b.name && a.message === b.message;
  if (a instanceof Map && b instanceof Map) {
    const right = [...b];
    return a.size === b.size && [...a].every((entry, index) => same(entry, right[index], depth - 1));
  }
  if (a instanceof Set && b instanceof Set) return same([...a], [...b], depth - 1);
  if (a instanceof ArrayBuffer && b instanceof ArrayBuffer) {
    return same(new Uint8Array(a), new Uint8Array(b), depth - 1);
  }
  return sameEntries(a, b, depth - 1);
};

/** Structural equality of data: objects by their own members, lists, maps and sets in their order, dates by time. */
export const sameValue = (a: unknown, b: unknown): boolean => same(a, b, depthMax);
