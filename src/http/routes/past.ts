/** What has changed between versions, and how an experiment stood at an earlier moment. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import type { SettledConfiguration } from "../../experiment.ts";
import { diffConfigurations } from "../../governance/diff.ts";
import { type Moment, stateAt } from "../../governance/state-at.ts";
import { servedTraffic } from "../../governance/serving.ts";
import { type GovernanceStore, surfacesOf } from "../../governance/store.ts";
import type { ExperimentRef } from "../../scope.ts";
import type { AppEnvironment, Dependencies } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment } from "../governed.ts";
import { Conclusion, Configuration, count, digest, Killed, State, time } from "../openapi/schemas.ts";
import { text, wholeNumber } from "../query.ts";

const versionMax = 1_000_000_000;

const Diff = v.object({
  experimentName: v.string(),
  fromVersion: count,
  toVersion: count,
  changes: v.array(
    v.object({
      kind: v.picklist(["added", "removed", "modified"]),
      path: v.pipe(
        v.string(),
        v.description("JSON Pointer into the newer version; of what was removed, into the older"),
      ),
      old: v.exactOptional(v.unknown()),
      new: v.exactOptional(v.unknown()),
    }),
  ),
  patch: v.pipe(v.array(v.unknown()), v.description("RFC 6902, from the older version to the newer")),
});

const Past = v.object({
  experimentName: v.string(),
  at: v.object({ seq: count, time }),
  state: v.object({
    state: State,
    latestVersion: count,
    liveVersion: v.nullable(count),
    digest,
    liveDigest: v.nullable(digest),
    epoch: count,
    traffic: v.number(),
    configuration: Configuration,
    surfaces: v.array(v.string()),
    openProposals: count,
    killed: Killed,
    conclusion: v.nullable(Conclusion),
  }),
});

const configurationOf = async (
  store: GovernanceStore,
  ref: ExperimentRef,
  version: number,
): Promise<SettledConfiguration> => {
  const [event] = (await store.history(ref, { version, limit: 1 })).events;
  if (event?.type !== "VersionWritten")
    throw new ProvisoError("version-not-found", `${ref.experiment} has no version ${version}`);
  return event.data.configuration;
};

const momentOf = (written: string | undefined): Moment => {
  if (written !== undefined && /^[1-9]\d{0,14}$/.test(written)) return { seq: Number(written) };
  const moment = written === undefined || !/^\d{4}-\d\d-\d\d/.test(written) ? Number.NaN : Date.parse(written);
  if (!Number.isNaN(moment)) return { time: moment };
  throw new ProvisoError("invalid-request", "?at= is the number of an event, or a time such as 2026-12-01T09:00:00Z", {
    errors: [{ path: "?at", message: "the number of an event, or an ISO 8601 time" }],
  });
};

export const pastRoutes = (dependencies: Dependencies) => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/:name/versions/diff",
      endpoint(
        dependencies,
        {
          id: "diffVersions",
          summary: "What differs between two versions",
          access: "read",
          query: {
            fromVersion: wholeNumber(0, versionMax, 0, "0: the live version, or the first where none is live"),
            toVersion: wholeNumber(0, versionMax, 0, "0: the newest version"),
          },
          answers: { 200: Diff },
          problems: ["version-not-found"],
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          const { latest, live } = loaded.snapshot.state;
          const asked = context.req.valid("query");
          const fromVersion = asked.fromVersion === 0 ? (live?.version ?? 1) : asked.fromVersion;
          const toVersion = asked.toVersion === 0 ? latest.version : asked.toVersion;
          const [before, after] = await Promise.all([
            configurationOf(store, ref, fromVersion),
            configurationOf(store, ref, toVersion),
          ]);
          return context.json({
            experimentName: ref.experiment,
            fromVersion,
            toVersion,
            ...diffConfigurations(before, after),
          });
        },
      ),
    )
    .get(
      "/:name/state",
      endpoint(
        dependencies,
        {
          id: "readPast",
          summary: "The experiment as it was, rebuilt from its history",
          access: "read",
          query: { at: text("The number of an event, or a time (ISO 8601, inclusive)", 64) },
          answers: { 200: Past },
          problems: ["not-found"],
        },
        async (context) => {
          const moment = momentOf(context.req.valid("query").at);
          const { ref } = await loadExperiment(context, dependencies);
          const { state, last } = await stateAt(store, ref, moment);
          if (state === null || last === null)
            throw new ProvisoError("not-found", "the experiment had no version yet at that moment");
          return context.json({
            experimentName: ref.experiment,
            at: { seq: last.seq, time: last.at },
            state: {
              state: state.lifecycle,
              latestVersion: state.latest.version,
              liveVersion: state.live?.version ?? null,
              digest: state.latest.digest,
              liveDigest: state.live?.digest ?? null,
              epoch: state.epoch,
              traffic: servedTraffic(state),
              configuration: state.latest.configuration,
              surfaces: surfacesOf(state.claims),
              openProposals: state.proposals.length,
              killed: state.killed,
              conclusion: state.conclusion,
            },
          });
        },
      ),
    );
};
