/** Versions of an experiment's configuration. The first one creates the experiment. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { ConfigurationSchema } from "../../experiment.ts";
import type { EventRecord } from "../../governance/events.ts";
import { presentVersion } from "../../governance/present.ts";
import { limits } from "../../limits.ts";
import { ExperimentNameSchema } from "../../scope.ts";
import { parseInput, readJson } from "../body.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { execute, loadExperiment, refToCreate } from "../governed.ts";
import { Configuration, count, digest, next, person, State, time } from "../openapi/schemas.ts";
import { page } from "../query.ts";
import { ReasonSchema } from "./lifecycle.ts";

/** Before the name of the path is filled in. */
const UnnamedSchema = v.strictObject({
  configuration: v.record(v.string(), v.unknown()),
  changeDescription: v.exactOptional(ReasonSchema),
});
const NamedSchema = v.strictObject({ configuration: ConfigurationSchema });
const WriteSchema = v.strictObject({
  configuration: v.strictObject({ ...ConfigurationSchema.pipe[0].entries, name: v.optional(ExperimentNameSchema) }),
  changeDescription: v.exactOptional(ReasonSchema),
});

const Version = v.object({
  version: count,
  digest,
  configuration: Configuration,
  createdAt: time,
  createdBy: person,
  changeDescription: person,
  isRollback: v.boolean(),
  rolledBackFrom: v.exactOptional(count),
  rolledBackTo: v.exactOptional(count),
  promotedFrom: v.exactOptional(v.object({ environment: v.string(), version: count, digest })),
});
export const Written = v.object({ experimentName: v.string(), revision: count, version: count, digest, state: State });

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

export const versionRoutes = (dependencies: Dependencies) => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/:name/versions",
      endpoint(
        dependencies,
        {
          id: "listVersions",
          summary: "All versions, oldest first",
          access: "read",
          query: page(limits.heavyPageRows),
          answers: { 200: v.object({ experimentName: v.string(), versions: v.array(Version), next }) },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          const found = await store.history(ref, { ...context.req.valid("query"), types: ["VersionWritten"] });
          const versions = found.events.filter(isVersion).map((event) => presentVersion(event, found.people));
          return context.json({ experimentName: ref.experiment, versions, next: found.next });
        },
      ),
    )
    .get(
      "/:name/versions/:version",
      endpoint(
        dependencies,
        {
          id: "readVersion",
          summary: "One version",
          access: "read",
          answers: { 200: v.object({ experimentName: v.string(), ...Version.entries }) },
          problems: ["version-not-found"],
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          const asked = context.req.param("version") ?? "";
          const version =
            asked === "latest"
              ? loaded.snapshot.state.latest.version
              : /^[1-9]\d{0,8}$/.test(asked)
                ? Number(asked)
                : null;
          const found = version === null ? null : await store.history(ref, { version, limit: 1 });
          const event = found?.events.find(isVersion);
          if (found === null || event === undefined)
            throw new ProvisoError("version-not-found", `${ref.experiment} has no version ${asked}`);
          return context.json({ experimentName: ref.experiment, ...presentVersion(event, found.people) });
        },
      ),
    )
    .post(
      "/:name/versions",
      endpoint(
        dependencies,
        {
          id: "writeVersion",
          summary: "Write a version; the first one creates the experiment",
          description:
            "`configuration.name` may be left out and otherwise equals the path. 200 when it was so already.",
          access: "writeVersion",
          command: true,
          rawBody: WriteSchema,
          answers: { 200: Written, 201: Written },
          problems: ["experiment-exists"],
        },
        async (context) => {
          const { experiment } = refToCreate(context);
          const written = await readJson(UnnamedSchema, context.req.raw, limits.requestBytes);
          const { configuration } = parseInput(NamedSchema, named(written.configuration, experiment));
          const { changeDescription } = written;
          return execute(context, dependencies, {
            type: "WriteVersion",
            configuration,
            createOnly: context.req.header("if-none-match")?.trim() === "*",
            ...(changeDescription === undefined ? {} : { changeDescription }),
          });
        },
      ),
    );
};
