import { expect, test } from "vitest";
import { endpoint } from "../src/fetcher.ts";

test.each([
  ["https://edge.example", "https://edge.example/api/rules"],
  ["https://edge.example/", "https://edge.example/api/rules"],
  ["https://edge.example/proviso", "https://edge.example/proviso/api/rules"],
  ["https://edge.example/proviso//", "https://edge.example/proviso/api/rules"],
  ["http://127.0.0.1:8787/?q=1#top", "http://127.0.0.1:8787/api/rules"],
])("below %s", (base, expected) => {
  expect(endpoint(base, "api/rules").href).toBe(expected);
});

test.each(["", "edge.example", "//edge.example", "javascript:alert(1)", "data:,x", "ftp://edge.example"])(
  "%j is no base",
  (base) => {
    expect(() => endpoint(base, "api/rules")).toThrow(
      `url: found ${JSON.stringify(base)}; expected an absolute http or https URL`,
    );
  },
);
