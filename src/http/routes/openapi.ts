/** The API's description of itself. */
import { Hono } from "hono";
import type { Guarding } from "../access.ts";
import type { AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { members } from "../openapi/schemas.ts";

/** @param app whose routes are described, all of them by the time somebody asks */
export const openApiRoutes = (dependencies: Guarding, app: Pick<Hono<AppEnvironment>, "routes">) => {
  let text: string | undefined;
  return new Hono<AppEnvironment>().get(
    "/openapi.json",
    endpoint(
      dependencies,
      { id: "readOpenApi", summary: "This document", access: "public", answers: { 200: members } },
      async () => {
        // Made when somebody asks: a Worker that starts for an exposure needs none of it.
        text ??= JSON.stringify((await import("../openapi/document.ts")).openApiDocument(app));
        return new Response(text, {
          headers: { "content-type": "application/json", "cache-control": "public, max-age=300" },
        });
      },
    ),
  );
};
