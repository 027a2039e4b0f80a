/** Names in code point order, as databases sort UTF-8. JavaScript's own order puts an emoji before U+FFFF. */
export const byCodePoint = (left: string, right: string): number => {
  for (let index = 0; index < left.length && index < right.length; index += 1) {
    if (left[index] === right[index]) continue;
    // Two names that part at a low surrogate share the high one, so the low ones order them as code points would.
    return (left.codePointAt(index) ?? 0) - (right.codePointAt(index) ?? 0);
  }
  return left.length - right.length;
};
