/** For the tests inside workerd: a server behind a Hyperdrive binding. */
import type { TestProject } from "vitest/node";
import { missingPostgres, startEmbedded, startPostgres } from "./server.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await (missingPostgres() === null ? startPostgres() : startEmbedded());
  project.provide("postgresUrl", server.url);
  return () => server.stop();
}
