/** The SDK and the ingest route, end to end in one process: what one writes the other takes. */
import { Hono } from "hono";
import { expect, test } from "vitest";
import { httpSink } from "../../adapters/sink/http.ts";
import { createExperiments } from "../../src/evaluation/experiments.ts";
import { staticRules } from "../../src/evaluation/rules.ts";
import { decodeMessage } from "../../src/events/message.ts";
import { parseEvent } from "../../src/events/validate.ts";
import type { AppEnvironment } from "../../src/http/dependencies.ts";
import { developmentIdentity } from "../../src/http/development-identity.ts";
import { eventsRoutes } from "../../src/http/routes/events.ts";
import { rule, ruleSet } from "./fixtures.ts";

const setup = (tenant: string) => {
  const messages: string[] = [];
  const app = new Hono<AppEnvironment>();
  app.use(async (context, next) => {
    context.set("scope", { tenant, environment: "production" });
    await next();
  });
  app.route(
    "/api/events",
    eventsRoutes({
      identity: developmentIdentity({ enabled: true }),
      sendMessages(bodies) {
        messages.push(...bodies);
        return Promise.resolve();
      },
    }),
  );
  const errors: unknown[] = [];
  const experiments = createExperiments({
    rules: staticRules(ruleSet(rule())),
    sink: httpSink({ url: "http://127.0.0.1", fetch: async (url, request) => app.request(url, request) }),
    onError: (error) => errors.push(error),
  });
  const arrived = () =>
    messages.flatMap(decodeMessage).map((event) => {
      const parsed = parseEvent(event);
      return parsed.ok ? parsed.event : parsed.problems;
    });
  return { experiments, errors, arrived };
};

test("exposures, failures and outcomes arrive as valid events, every one", async () => {
  const { experiments, errors, arrived } = setup("acme");
  const pay = experiments.trial("checkout", {
    control: () => "paid",
    treatment: (): string => {
      throw new RangeError("no");
    },
  });
  const subjects = Array.from({ length: 1_500 }, (_, index) => `пользователь-😀-${index}`);
  for (const subject of subjects) {
    pay.for(subject)();
    experiments.outcome({ subject, metric: "purchase", kind: "binary", value: true });
  }
  expect(await experiments.flush()).toBe(true);
  expect(errors).toEqual([]);
  const byType = Map.groupBy(arrived(), (event) => ("eventType" in event ? event.eventType : "unreadable"));
  expect(new Set(byType.keys())).toEqual(new Set(["Exposure", "Error", "Outcome"]));
  expect(byType.get("Exposure")?.length).toBe(1_500);
  expect(byType.get("Outcome")?.length).toBe(1_500);
  const treated = byType
    .get("Exposure")
    ?.filter(
      (event) => "payload" in event && "variantKey" in event.payload && event.payload.variantKey === "treatment",
    );
  expect(byType.get("Error")?.length).toBe(treated?.length);
  expect(experiments.health()).toMatchObject({ status: "healthy", events: { sent: arrived().length, rejected: 0 } });
});

test("events of a tenant that the key does not allow are refused by their places, and told", async () => {
  const { experiments, errors, arrived } = setup("other");
  experiments.expose("checkout", "user-1");
  expect(await experiments.flush()).toBe(true);
  expect(arrived()).toEqual([]);
  expect(experiments.health().events).toMatchObject({ sent: 0, rejected: 1 });
  expect(errors.map(String)).toEqual([expect.stringMatching(/^Error: http: 1 events refused, the first: .*other/)]);
});
