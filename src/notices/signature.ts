/**
 * Signatures of webhooks, as Standard Webhooks 1.0.0 has them (https://www.standardwebhooks.com): HMAC-SHA-256 over
 * `id.timestamp.body`, in the header `webhook-signature`. Any library of that name can make and verify them.
 */

export const idHeader = "webhook-id";
export const timestampHeader = "webhook-timestamp";
export const signatureHeader = "webhook-signature";

const prefix = "whsec_";
const secretBytesMin = 24;
const secretBytesMax = 64;
/** More would be tried one after another for whoever sends rubbish. */
const secretsMax = 5;

/** Signs and verifies with one secret, and shows nothing of it. */
export interface WebhookSecret {
  sign(content: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
  /** Compares in constant time. */
  verify(signature: Uint8Array<ArrayBuffer>, content: Uint8Array<ArrayBuffer>): Promise<boolean>;
}

const secretOf = (bytes: Uint8Array<ArrayBuffer>): WebhookSecret => {
  // Anew each time: a promise that one request of a Worker has begun must not be waited for by another.
  const key = async () =>
    crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
  return {
    sign: async (content) => crypto.subtle.sign("HMAC", await key(), content),
    verify: async (signature, content) => crypto.subtle.verify("HMAC", await key(), signature, content),
  };
};

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> | null => {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
};

const base64Of = (bytes: ArrayBuffer): string => btoa(String.fromCharCode(...new Uint8Array(bytes)));

const isSecret = (bytes: Uint8Array | null): bytes is Uint8Array<ArrayBuffer> =>
  bytes !== null && bytes.length >= secretBytesMin && bytes.length <= secretBytesMax;

/**
 * Reads one secret, or several with blanks between: while a secret is exchanged, what is signed has a signature of each,
 * and either verifies.
 *
 * @param text `whsec_` and the base64 of 24 to 64 random bytes
 * @throws TypeError that says what is wrong and shows nothing of it
 */
export const parseSecrets = (text: string): readonly WebhookSecret[] => {
  const words = text.split(/\s+/).filter((word) => word !== "");
  const bytes = words.map((word) => (word.startsWith(prefix) ? bytesOf(word.slice(prefix.length)) : null));
  if (words.length === 0 || words.length > secretsMax || !bytes.every(isSecret)) {
    throw new TypeError(
      `a webhook secret is ${prefix} and the base64 of ${secretBytesMin} to ${secretBytesMax} bytes; one, or up to ${secretsMax} with blanks between`,
    );
  }
  return bytes.map(secretOf);
};

const encoder = new TextEncoder();

const signedContent = (id: string, timestamp: number, body: Uint8Array): Uint8Array<ArrayBuffer> => {
  const head = encoder.encode(`${id}.${timestamp}.`);
  const content = new Uint8Array(head.length + body.length);
  content.set(head);
  content.set(body, head.length);
  return content;
};

/**
 * @param timestamp seconds since the epoch, of this attempt
 * @returns the three headers
 */
export const signWebhook = async (
  secrets: readonly WebhookSecret[],
  id: string,
  timestamp: number,
  body: string,
): Promise<Readonly<Record<string, string>>> => {
  const content = signedContent(id, timestamp, encoder.encode(body));
  const signatures = await Promise.all(secrets.map(async (secret) => `v1,${base64Of(await secret.sign(content))}`));
  return { [idHeader]: id, [timestampHeader]: String(timestamp), [signatureHeader]: signatures.join(" ") };
};

export type WebhookRefusal = "missing-header" | "bad-header" | "too-old" | "too-new" | "bad-signature";

export type WebhookVerdict =
  | { readonly ok: true; readonly id: string; /** Seconds since the epoch. */ readonly timestamp: number }
  | { readonly ok: false; readonly reason: WebhookRefusal };

export interface WebhookVerification {
  readonly secrets: readonly WebhookSecret[];
  /** How far the sender's clock, or the message's way, may be off. Default: 5 minutes. */
  readonly toleranceSeconds?: number;
  /** Milliseconds since the epoch; default: the clock. */
  readonly now?: () => number;
}

/** Without a dot: it ends the id in what is signed. */
const idPattern = /^[A-Za-z0-9_-]{1,128}$/;
const timestampPattern = /^[1-9]\d{0,11}$/;
const signaturesMax = 20;
/** Base64 of 32 bytes. */
const signaturePattern = /^v1,[A-Za-z0-9+/]{43}=$/;

/** What of the headers is needed: the global `Headers` fits. */
export interface HeaderReader {
  get(name: string): string | null;
}

/**
 * Whether somebody who knows a secret has sent this body, a moment ago. It remembers nothing: that the same message does
 * not count twice is for {@link file://./receiver.ts webhookReceiver} to see to.
 *
 * @param body as it arrived, byte for byte
 */
export const verifyWebhook = async (
  { secrets, toleranceSeconds = 300, now = Date.now }: WebhookVerification,
  headers: HeaderReader,
  body: Uint8Array | string,
): Promise<WebhookVerdict> => {
  const [id, time, signatures] = [headers.get(idHeader), headers.get(timestampHeader), headers.get(signatureHeader)];
  if (id === null || time === null || signatures === null) return { ok: false, reason: "missing-header" };
  const given = signatures.split(" ");
  if (!idPattern.test(id) || !timestampPattern.test(time) || given.length > signaturesMax)
    return { ok: false, reason: "bad-header" };
  const timestamp = Number(time);
  const age = now() / 1_000 - timestamp;
  if (age > toleranceSeconds) return { ok: false, reason: "too-old" };
  if (age < -toleranceSeconds) return { ok: false, reason: "too-new" };
  const content = signedContent(id, timestamp, typeof body === "string" ? encoder.encode(body) : body);
  // Signatures of other versions stand beside ours, and are for others.
  for (const signature of given.filter((text) => signaturePattern.test(text))) {
    const bytes = bytesOf(signature.slice("v1,".length));
    if (bytes === null) continue;
    for (const secret of secrets) if (await secret.verify(bytes, content)) return { ok: true, id, timestamp };
  }
  return { ok: false, reason: "bad-signature" };
};
