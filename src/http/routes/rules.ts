/** Published rules of a scope: what the SDK evaluates. They hold nothing that a browser must not see. */
import { Hono } from "hono";
import { digestOf } from "../../canonical.ts";
import { publishRules } from "../../governance/publish.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { conditional } from "../governed.ts";

export const rulesRoutes = ({ store, dataPlane }: AppDependencies): Hono<AppEnvironment> =>
  new Hono<AppEnvironment>().get("/", async (context) => {
    const published = await publishRules(store, context.get("scope"));
    const rules = dataPlane === undefined ? published : { ...published, dataPlane };
    return conditional(context, `"${digestOf(rules).slice(0, 32)}"`, { ...rules });
  });
