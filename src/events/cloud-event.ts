/**
 * Envelopes as CloudEvents 1.0 in structured JSON mode, both ways and without loss. Attribute names are lower-case
 * letters and digits, as the specification wants them; what has no attribute of its own travels as an extension.
 */
import { isObject, isText } from "../evaluation/guards.ts";
import { type EnvelopeInput, type EnvelopeType, envelopeTypes, schemaVersion } from "./envelope.ts";

/** One event in the JSON format of CloudEvents 1.0. */
export interface CloudEvent {
  readonly specversion: "1.0";
  readonly id: string;
  /** `proviso.` and the event type in lower case, e.g. `proviso.analysissignal`. */
  readonly type: string;
  /** A URI reference: `proviso/<tenant>/<environment>`, as far as the event names them. */
  readonly source: string;
  /** The experiment. Never the subject: attributes are copied into logs and indexes. */
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: "application/json";
  readonly dataschema: string;
  readonly data: EnvelopeInput["payload"];
  /** Extensions: the envelope's members that CloudEvents has no attribute for. */
  readonly schemaversion: string;
  readonly correlationid?: string;
  /** JSON text, because an extension holds no object. */
  readonly provisometadata?: string;
}

const typePrefix = "proviso.";
const typesByName: ReadonlyMap<string, EnvelopeType> = new Map(
  envelopeTypes.map((type) => [`${typePrefix}${type.toLowerCase()}`, type]),
);

/**
 * @example toCloudEvent(envelope) // { specversion: "1.0", type: "proviso.exposure", source: "proviso/default/default", … }
 */
export const toCloudEvent = (event: EnvelopeInput): CloudEvent => {
  const { eventId, timestamp, eventType, schemaVersion: version = schemaVersion, correlationId, metadata } = event;
  const { experimentName, tenantId, environment } = event.payload;
  const scope = tenantId === undefined || environment === undefined ? "" : `/${tenantId}/${environment}`;
  return {
    specversion: "1.0",
    id: eventId,
    type: `${typePrefix}${eventType.toLowerCase()}`,
    source: `proviso${scope}`,
    subject: experimentName,
    time: timestamp,
    datacontenttype: "application/json",
    dataschema: `urn:proviso:event:${eventType.toLowerCase()}:${version}`,
    data: event.payload,
    schemaversion: version,
    ...(correlationId !== undefined && { correlationid: correlationId }),
    ...(metadata !== undefined && { provisometadata: JSON.stringify(metadata) }),
  };
};

/** Whether something means to be a CloudEvent; whether it is a good one is for {@link readCloudEvent} and the schema. */
export const isCloudEvent = (value: unknown): value is Readonly<Record<string, unknown>> =>
  isObject(value) && Object.hasOwn(value, "specversion");

const parsed = (text: unknown): unknown => {
  if (!isText(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/**
 * The envelope that a CloudEvent carries, not yet validated: hand it to `parseEvent`. Another `specversion` or a type
 * that is not Proviso's keeps its own words, so that the schema refuses it by them. Extensions of others are left out.
 */
export const readCloudEvent = (event: Readonly<Record<string, unknown>>): unknown => {
  const { specversion, id, type, time, data, schemaversion, correlationid, provisometadata } = event;
  const known = isText(type) && specversion === "1.0" ? typesByName.get(type) : undefined;
  return {
    eventId: id,
    timestamp: time,
    eventType: known ?? (specversion === "1.0" ? type : `CloudEvents ${String(specversion)}`),
    payload: data,
    ...(schemaversion !== undefined && { schemaVersion: schemaversion }),
    ...(correlationid !== undefined && { correlationId: correlationid }),
    ...(provisometadata !== undefined && { metadata: parsed(provisometadata) }),
  };
};
