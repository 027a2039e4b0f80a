/**
 * Hides what must not leave the process: subject and tenant ids, and whatever JSON Pointers name. A sink is wrapped, so
 * nothing gets past it, retries included; the application's own objects are never changed.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { isObject } from "../evaluation/guards.ts";
import type { EnvelopeInput } from "../events/envelope.ts";
import type { EventSink } from "../events/sink.ts";

/**
 * `hmac`: a keyed digest takes the id's place. Equal ids stay equal, so subjects can still be counted and joined, and
 * nobody without the key can find out whose they are. Another key makes another population: rotate it with a new epoch.
 *
 * `placeholder`: one text for all. Nothing can be counted by it any more.
 */
export type IdRedaction = { readonly hmac: string; readonly keyId?: string } | { readonly placeholder: string };

export interface Redaction {
  readonly subject?: IdRedaction;
  /** For sinks of others: Proviso's own ingest takes events of its tenants only. */
  readonly tenant?: IdRedaction;
  /**
   * JSON Pointers (RFC 6901) below `/payload/attributes`, `/payload/data`, `/payload/message`, `/metadata` or
   * `/correlationId`. `*` stands for any one member or element, `**` for any number of levels.
   *
   * @example ["/payload/attributes/email", "/payload/attributes/**\/ssn", "/metadata/*"]
   */
  readonly pointers?: readonly string[];
  /** What stands where something was. Default `[redacted]`. */
  readonly replacement?: string;
}

const openRoots = ["/payload/attributes", "/payload/data", "/payload/message", "/metadata", "/correlationId"];
/** Objects by their schema: they can go, but not become a text. */
const containers = ["/payload/attributes", "/payload/data", "/metadata"];

const shortestKey = 16;

const tokensOf = (pointer: string): readonly string[] => {
  const inside = openRoots.some((root) => pointer === root || pointer.startsWith(`${root}/`));
  if (!inside)
    throw new RangeError(`redact: found ${JSON.stringify(pointer)}; expected a pointer below ${openRoots.join(", ")}`);
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
};

/** Marks what is to go altogether. */
const gone = Symbol("gone");

/** A copy without what the pointers name; the same object where they name nothing in it. */
const strip = (value: unknown, paths: readonly (readonly string[])[], replacement: unknown): unknown => {
  if (paths.some((path) => path.length === 0)) return replacement;
  if (paths.length === 0 || typeof value !== "object" || value === null) return value;
  const below = (key: string): readonly (readonly string[])[] =>
    paths.flatMap((path) => {
      const [token, ...rest] = path;
      // Any number of levels: this one and go on, or none and look at what follows here.
      if (token === "**") return rest[0] === key || rest[0] === "*" ? [path, rest.slice(1)] : [path];
      return token === "*" || token === key ? [rest] : [];
    });
  if (Array.isArray(value)) {
    const list: readonly unknown[] = value;
    return list.map((item, index) => strip(item, below(String(index)), replacement));
  }
  // As JSON will see it, and with own members only: `__proto__` is a name like any other here.
  return Object.fromEntries(
    Object.entries(value).map(([key, item]): [string, unknown] => [key, strip(item, below(key), replacement)]),
  );
};

const withoutGone = (members: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(members).filter(([, item]) => item !== gone));

const rememberedIds = 10_000;

const idRedactor = (how: IdRedaction | undefined, purpose: string): ((id: string) => string) => {
  if (how === undefined) return (id) => id;
  if ("placeholder" in how) {
    if (how.placeholder === "") throw new RangeError(`redact: the placeholder of a ${purpose} must not be empty`);
    return () => how.placeholder;
  }
  const key = utf8ToBytes(how.hmac);
  if (key.length < shortestKey)
    throw new RangeError(`redact: the key for a ${purpose} needs ${shortestKey} bytes or more`);
  // Subjects come again and again, and a digest takes longer than everything else about an exposure.
  let known = new Map<string, string>();
  return (id) => {
    const found = known.get(id);
    if (found !== undefined) return found;
    if (known.size >= rememberedIds) known = new Map();
    // The purpose is hashed, too: a tenant and a subject of one name must not be seen to be equal.
    const digest = bytesToHex(hmac(sha256, key, utf8ToBytes(`${purpose}:${id}`)));
    known.set(id, digest);
    return digest;
  };
};

const nameOf = (how: IdRedaction): string =>
  "placeholder" in how ? "placeholder" : how.keyId === undefined ? "hmac" : `hmac:${how.keyId}`;

/**
 * Hides in one event; the event itself stays as it is.
 *
 * @throws RangeError for a pointer elsewhere than below what may be hidden, for a key of less than 16 bytes
 * @example
 * const hide = createRedactor({ subject: { hmac: key }, pointers: ["/payload/attributes/email"] });
 * hide(event).payload.subjectId; // "5d41402abc4b2a76…" (64 hex digits)
 */
export const createRedactor = ({
  subject,
  tenant,
  pointers = [],
  replacement = "[redacted]",
}: Redaction): ((event: EnvelopeInput) => EnvelopeInput) => {
  const subjectOf = idRedactor(subject, "subject");
  const tenantOf = idRedactor(tenant, "tenant");
  const whole = pointers.filter((pointer) => containers.includes(pointer)).map(tokensOf);
  const within = pointers.filter((pointer) => !containers.includes(pointer)).map(tokensOf);
  const mark =
    subject === undefined && tenant === undefined
      ? undefined
      : {
          ...(subject && { subject: nameOf(subject) }),
          ...(tenant && { tenant: nameOf(tenant) }),
        };

  const hide = (event: EnvelopeInput): unknown => {
    const stripped = strip(strip(event, within, replacement), whole, gone);
    const { payload, metadata, ...rest } = isObject(stripped) ? stripped : {};
    const { subjectId, tenantId, ...others } = isObject(payload) ? payload : {};
    const kept = metadata === gone ? undefined : metadata;
    return {
      ...rest,
      payload: {
        ...withoutGone(others),
        ...(typeof subjectId === "string" && { subjectId: subjectOf(subjectId) }),
        ...(typeof tenantId === "string" && { tenantId: tenantOf(tenantId) }),
      },
      ...((kept !== undefined || mark !== undefined) && {
        metadata: { ...(isObject(kept) ? kept : {}), ...(mark && { redaction: mark }) },
      }),
    };
  };
  return restored(hide);
};

/** The overload says what holds but TypeScript cannot see: only what an event may lack, or may say otherwise, was touched. */
function restored(hide: (event: EnvelopeInput) => unknown): (event: EnvelopeInput) => EnvelopeInput;
function restored(hide: (event: EnvelopeInput) => unknown): (event: EnvelopeInput) => unknown {
  return hide;
}

/** A sink that is given nothing unhidden. An event that cannot be hidden in (it has no JSON form) is refused, never sent. */
export const redactingSink = (sink: EventSink, redaction: Redaction): EventSink => {
  const hide = createRedactor(redaction);
  return {
    name: sink.name,
    async send(events) {
      const rejected: { readonly index: number; readonly message: string }[] = [];
      const hidden: { readonly index: number; readonly event: EnvelopeInput }[] = [];
      for (const [index, event] of events.entries()) {
        try {
          hidden.push({ index, event: hide(event) });
        } catch (error) {
          const why = error instanceof Error ? error.name : typeof error;
          rejected.push({ index, message: `the event could not be redacted: ${why}` });
        }
      }
      if (hidden.length === 0) return { accepted: 0, rejected };
      const receipt = await sink.send(hidden.map(({ event }) => event));
      const refused = receipt.rejected.map(({ index, message }) => ({ index: hidden[index]?.index ?? index, message }));
      return { accepted: receipt.accepted, rejected: [...rejected, ...refused].toSorted((a, b) => a.index - b.index) };
    },
    health: () => sink.health(),
  };
};
