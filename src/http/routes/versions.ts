/** Versions of an experiment's configuration. The first one creates the experiment. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { ConfigurationSchema } from "../../experiment.ts";
import type { EventRecord } from "../../governance/events.ts";
import { presentVersion } from "../../governance/present.ts";
import { limits } from "../../limits.ts";
import { allow } from "../access.ts";
import { parseInput, readJson } from "../body.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { execute, loadExperiment, pageOf, refToCreate } from "../governed.ts";
import { ReasonSchema } from "./lifecycle.ts";

const WriteSchema = v.strictObject({
  configuration: v.record(v.string(), v.unknown()),
  changeDescription: v.exactOptional(ReasonSchema),
});

type VersionWritten = Extract<EventRecord, { type: "VersionWritten" }>;
const isVersion = (event: EventRecord): event is VersionWritten => event.type === "VersionWritten";

/** `configuration.name` may be left out and otherwise must equal the path. */
const named = (configuration: Readonly<Record<string, unknown>>, name: string): unknown => {
  if (configuration["name"] === undefined || configuration["name"] === name)
    return { configuration: { ...configuration, name } };
  throw new ProvisoError("invalid-request", "configuration.name differs from the path", {
    errors: [{ path: "/configuration/name", message: `expected ${JSON.stringify(name)}, or nothing` }],
  });
};

export const versionRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> => {
  const { store } = dependencies;
  const NamedSchema = v.strictObject({ configuration: ConfigurationSchema });
  return new Hono<AppEnvironment>()
    .get("/:name/versions", allow("read", dependencies), async (context) => {
      const { ref } = await loadExperiment(context, dependencies);
      const page = await store.history(ref, { ...pageOf(context, limits.heavyPageRows), types: ["VersionWritten"] });
      const versions = page.events.filter(isVersion).map((event) => presentVersion(event, page.people));
      return context.json({ experimentName: ref.experiment, versions, next: page.next });
    })
    .get("/:name/versions/:version", allow("read", dependencies), async (context) => {
      const { ref, loaded } = await loadExperiment(context, dependencies);
      const asked = context.req.param("version");
      const version =
        asked === "latest" ? loaded.snapshot.state.latest.version : /^[1-9]\d{0,8}$/.test(asked) ? Number(asked) : null;
      const page = version === null ? null : await store.history(ref, { version, limit: 1 });
      const event = page?.events.find(isVersion);
      if (page === null || event === undefined)
        throw new ProvisoError("version-not-found", `${ref.experiment} has no version ${asked}`);
      return context.json({ experimentName: ref.experiment, ...presentVersion(event, page.people) });
    })
    .post("/:name/versions", allow("writeVersion", dependencies), async (context) => {
      const { experiment } = refToCreate(context);
      const written = await readJson(WriteSchema, context.req.raw, limits.requestBytes);
      const { configuration } = parseInput(NamedSchema, named(written.configuration, experiment));
      const { changeDescription } = written;
      return execute(context, dependencies, {
        type: "WriteVersion",
        configuration,
        createOnly: context.req.header("if-none-match")?.trim() === "*",
        ...(changeDescription === undefined ? {} : { changeDescription }),
      });
    });
};
