import { availableParallelism } from "node:os";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Long proofs run only with `npm run proof`; tests learn it by `inject`, which works inside workerd as well. */
const provide = { proof: process.env["PROVISO_PROOF"] === "1" };

/** Tests wait for servers most of the time: where there are two cores, one worker leaves both idle. */
const maxWorkers = Math.max(2, availableParallelism() - 1);

export default defineConfig({
  test: {
    maxWorkers,
    // Drivers of databases close their sockets when they are done, and the platform's then reject what is still waiting to read.
    onUnhandledError: (error) => !("message" in error && error.message === "This socket has been closed."),
    // One Redis for all projects: its client cannot be loaded twice into one process.
    globalSetup: ["./test/support/upstash/global.ts"],
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/worker/**", "test/e2e/**"],
          provide,
          // A guard against hanging, not a measurement: machines are shared.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Inside workerd. Storage is shared by the tests of one file and by nobody else.
        plugins: [
          cloudflareTest(({ inject }) => ({
            main: "./test/worker/main.ts",
            miniflare: {
              compatibilityDate: "2026-10-01",
              compatibilityFlags: ["nodejs_compat"],
              d1Databases: ["DB", "SECOND"],
              durableObjects: {
                LEDGERS: { className: "LedgerObject", useSQLite: true },
                EXPERIMENTS: { className: "HistoryObject", useSQLite: true },
                REGISTRIES: { className: "RegistryObject", useSQLite: true },
              },
              r2Buckets: ["ARCHIVE"],
              analyticsEngineDatasets: { EXPERIMENT_EVENTS: { dataset: "experiment_events" } },
              queueProducers: { EVENTS: "events", DEAD_LETTERS: "dead-letters", EXPORT: "export" },
              queueConsumers: {
                events: { maxBatchSize: 10, maxBatchTimeout: 0.05, maxRetries: 3 },
                export: { maxBatchSize: 10, maxBatchTimeout: 0.05, maxRetries: 3 },
              },
              hyperdrives: { HYPERDRIVE: inject("postgresUrl") },
            },
          })),
        ],
        test: {
          name: "worker",
          // As one file: from many, each inner call of SHA-256 goes through Vite's module records, and takes six times as long.
          deps: { optimizer: { ssr: { enabled: true, include: ["@noble/hashes/sha2.js", "@noble/hashes/utils.js"] } } },
          include: ["test/worker/**/*.test.ts"],
          globalSetup: ["./test/support/postgres/global.ts"],
          provide,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // The built command line and its server as processes of their own. One file at a time: each brings a runtime.
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          globalSetup: ["./test/e2e/build.ts"],
          provide,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
