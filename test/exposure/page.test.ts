import { expect, test } from "vitest";
import { flushWhenHidden } from "../../src/exposure/page.ts";

const target = () => {
  const listeners = new Map<string, Set<() => void>>();
  return {
    visibilityState: "visible",
    addEventListener: (type: string, listener: () => void) =>
      void listeners.set(type, (listeners.get(type) ?? new Set()).add(listener)),
    removeEventListener: (type: string, listener: () => void) => void listeners.get(type)?.delete(listener),
    fire: (type: string) => listeners.get(type)?.forEach((listener) => listener()),
  };
};

test("flushes when the page is hidden or goes, and not when it comes back", () => {
  let flushes = 0;
  const [document, window] = [target(), target()];
  const stop = flushWhenHidden({ flush: async () => (flushes += 1) }, { document, window });
  document.fire("visibilitychange");
  expect(flushes).toBe(0);
  document.visibilityState = "hidden";
  document.fire("visibilitychange");
  expect(flushes).toBe(1);
  window.fire("pagehide");
  expect(flushes).toBe(2);
  stop();
  window.fire("pagehide");
  document.fire("visibilitychange");
  expect(flushes).toBe(2);
});

test("does nothing where there is no page", () => {
  expect(() => flushWhenHidden({ flush: async () => true })()).not.toThrow();
});
