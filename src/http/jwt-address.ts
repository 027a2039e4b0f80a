/** Where tokens are read from and keys come from: what a configuration may name. It loads nothing. */

/** The one header that a token is read from. */
export const jwtHeaders = ["authorization", "cf-access-jwt-assertion"] as const;
export type JwtHeader = (typeof jwtHeaders)[number];

const loopback = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** True for an address that keys may be read from. */
export const isKeySetAddress = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  return (
    (protocol === "https:" || (protocol === "http:" && loopback.has(hostname))) && username === "" && password === ""
  );
};
