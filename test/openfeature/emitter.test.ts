/** The emitter that both SDKs listen to: handlers come, go and fail by themselves. */
import type { Logger } from "@openfeature/core";
import { ServerProviderEvents } from "@openfeature/core";
import { expect, test, vi } from "vitest";
import { createRulesEmitter } from "../../src/openfeature/emitter.ts";

const stale = { type: "PROVIDER_STALE", message: "old" } as const;

test("one that was added twice and removed once is called once, and a removed one no more", () => {
  const { events, tell } = createRulesEmitter();
  const twice = vi.fn<(details?: unknown) => void>();
  const gone = vi.fn<(details?: unknown) => void>();
  events.addHandler(ServerProviderEvents.Stale, twice);
  events.addHandler(ServerProviderEvents.Stale, gone);
  events.addHandler(ServerProviderEvents.Stale, twice);
  events.removeHandler(ServerProviderEvents.Stale, twice);
  events.removeHandler(ServerProviderEvents.Stale, gone);
  events.removeHandler(ServerProviderEvents.Stale, gone);
  tell(stale);
  expect(twice.mock.calls).toEqual([[{ message: "old", providerName: "proviso" }]]);
  expect(gone).not.toHaveBeenCalled();
  events.removeAllHandlers();
  expect(events.getHandlers(ServerProviderEvents.Stale)).toEqual([]);
});

test.each([
  ["throws", () => fail()],
  ["rejects", () => Promise.reject(new Error("the handler's own"))],
])("a handler that %s is logged, and keeps nobody else from hearing", async (_does, handler) => {
  const { events, tell } = createRulesEmitter();
  const error = vi.fn<(details?: unknown) => void>();
  const ignored = (): void => undefined;
  const logger: Logger = { error, warn: ignored, info: ignored, debug: ignored };
  events.setLogger(logger);
  const other = vi.fn<(details?: unknown) => void>();
  events.addHandler(ServerProviderEvents.Stale, handler);
  events.addHandler(ServerProviderEvents.Stale, other);
  tell(stale);
  expect(other).toHaveBeenCalledOnce();
  await vi.waitFor(() => expect(error).toHaveBeenCalledOnce());
});

const fail = (): never => {
  throw new Error("the handler's own");
};
