/** Paths into a configuration: dotted (`labels.team`), or a JSON Pointer (`/labels/cost.centre`). */

const unescape = (segment: string): string => segment.replaceAll("~1", "/").replaceAll("~0", "~");

/**
 * @example parseFieldPath("/labels/a~1b") // ["labels", "a/b"]
 * @returns undefined for what is no path
 */
export const parseFieldPath = (path: string): readonly string[] | undefined => {
  const isPointer = path.startsWith("/");
  if (isPointer && /~(?![01])/.test(path)) return undefined;
  const segments = isPointer ? path.slice(1).split("/").map(unescape) : path.split(".");
  return segments.some((segment) => segment === "" || segment === "__proto__") ? undefined : segments;
};
