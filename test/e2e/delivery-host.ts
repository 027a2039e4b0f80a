/** `delivery-host.ts <bundle> <directory>`: that Worker on storage in a directory, in a process that can be killed. */
import { readFile } from "node:fs/promises";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

const [bundle = "", directory = ""] = process.argv.slice(2);
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    resourcePersistencePath: directory,
    name: "delivery",
    modules: [{ type: "ESModule", path: "/worker.mjs", contents: await readFile(bundle, "utf8") }],
    modulesRoot: "/",
    compatibilityDate: "2026-10-01",
    compatibilityFlags: ["nodejs_compat"],
    durableObjects: { LEDGERS: { className: "LedgerObject", useSQLite: true } },
    queueProducers: { DEAD_LETTERS: "dead-letters" },
  }),
);
process.stdout.write(`ready on ${(await miniflare.ready).origin}\n`);
