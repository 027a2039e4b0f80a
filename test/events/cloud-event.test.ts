import { describe, expect, test } from "vitest";
import { isCloudEvent, readCloudEvent, toCloudEvent } from "../../src/events/cloud-event.ts";
import type { EnvelopeInput } from "../../src/events/envelope.ts";
import { parseEvent } from "../../src/events/validate.ts";
import { everyType, exposure } from "./fixtures.ts";

const cases = everyType().map((event): [string, EnvelopeInput] => [event.eventType, event]);

describe.each(cases)("%s as a CloudEvent", (_, event) => {
  test("comes back as it went", () => {
    const wire: unknown = JSON.parse(JSON.stringify(toCloudEvent(event)));
    if (!isCloudEvent(wire)) throw new TypeError("not a CloudEvent");
    expect(readCloudEvent(wire)).toEqual(event);
  });

  test("keeps to the specification", () => {
    // CloudEvents 1.0.2 §3: names of lower-case letters and digits; here each attribute is a text.
    const { data: _data, ...attributes } = toCloudEvent(event);
    for (const [name, value] of Object.entries(attributes)) {
      expect(name).toMatch(/^[a-z0-9]{1,20}$/);
      expect(value).toMatch(/./);
    }
    const { source, dataschema, time } = attributes;
    expect(new URL(source, "http://base.example/").pathname).toBe(`/${source}`);
    expect(URL.canParse(dataschema)).toBe(true);
    expect(new Date(time).toISOString()).toBe(time);
  });

  test("tells no subject in its attributes", () => {
    const { data: _data, ...attributes } = toCloudEvent(event);
    expect(JSON.stringify(attributes)).not.toContain("user-");
  });
});

test("extensions of others are ignored", () => {
  const event = { ...toCloudEvent(exposure(1)), traceparent: "00-1-2-01" };
  expect(readCloudEvent(event)).toEqual(exposure(1));
});

test.each([
  ["another specversion", { specversion: "0.3" }, "/eventType"],
  ["a type of somebody else", { type: "com.example.click" }, "/eventType"],
  ["an unknown major version", { schemaversion: "2.0.0" }, "/schemaVersion"],
  ["metadata that is no JSON", { provisometadata: "{" }, "/metadata"],
  ["no data", { data: undefined }, "/payload"],
  ["a type that every object has", { type: "constructor" }, "/eventType"],
])("refuses %s, and says where", (_, change, path) => {
  const parsed = parseEvent(readCloudEvent({ ...toCloudEvent(exposure(1)), ...change }));
  expect(parsed).toMatchObject({ ok: false, problems: [{ path }] });
});
