/** True for `https://host[:port]` or `http://host[:port]`, written as browsers write it; a pattern is none. */
export const isOrigin = (text: string): boolean =>
  /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;
