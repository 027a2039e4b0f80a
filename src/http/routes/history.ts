/** Histories out and in, their heads for keeping elsewhere, and the erasure of what is personal in them. */
import { Hono } from "hono";
import * as v from "valibot";
import { eraseInScope } from "../../governance/erase.ts";
import { exportExperiment } from "../../governance/export/export.ts";
import { importExperiment } from "../../governance/export/import.ts";
import { splitLines } from "../../governance/export/lines.ts";
import { signHead } from "../../governance/signing.ts";
import { byteLength } from "../../canonical.ts";
import { limits } from "../../limits.ts";
import { allowScope } from "../access.ts";
import type { AppEnvironment, Dependencies } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { loadExperiment, refOf } from "../governed.ts";
import { count, digest, time } from "../openapi/schemas.ts";

const ndjson = "application/x-ndjson";

/** What an actor id may be, as identities give it. */
const PersonSchema = v.pipe(
  v.string(),
  v.minLength(1, "at least one character"),
  v.maxLength(1_024, "at most 1,024 characters"),
);
const ReasonSchema = v.pipe(
  v.string(),
  v.check((text) => byteLength(text) <= limits.reasonBytes, `at most ${limits.reasonBytes} bytes`),
  v.description("Recorded with the erasure, so it should not name the person"),
);
const Erasure = v.strictObject({
  actor: v.pipe(PersonSchema, v.description("Id of the person whose values are removed")),
  reason: v.exactOptional(ReasonSchema),
});
const ScopeErasure = v.strictObject({
  ...Erasure.entries,
  after: v.exactOptional(v.pipe(v.string(), v.description("`next` of the last answer"))),
});

const Head = v.object({
  experimentName: v.string(),
  seq: count,
  hash: digest,
  at: v.exactOptional(time),
  signature: v.nullable(v.object({ keyId: v.string(), value: v.string() })),
  publicKey: v.nullable(v.record(v.string(), v.unknown())),
});

const Imported = v.object({
  experimentName: v.string(),
  tenant: v.string(),
  environment: v.string(),
  head: v.object({ seq: count, hash: digest }),
  written: v.pipe(count, v.description("Events that were new here")),
});

/** A stream that asks for the next lines when the reader wants them, so that a slow reader fills no memory. */
const streamOf = (lines: AsyncIterator<string>): ReadableStream<Uint8Array> => {
  const utf8 = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await lines.next();
      if (next.done === true) controller.close();
      else controller.enqueue(utf8.encode(next.value));
    },
    async cancel() {
      await lines.return?.();
    },
  });
};

async function* chunksOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
  } finally {
    // Whoever stops reading early wants no more of it.
    await reader.cancel().catch(() => undefined);
  }
}

export const historyRoutes = (dependencies: Dependencies) => {
  const { store, governor, signer } = dependencies;
  return new Hono<AppEnvironment>()
    .post(
      "/import",
      endpoint(
        dependencies,
        {
          id: "importExperiment",
          summary: "Bring an exported history in",
          description:
            "The file is checked as it is read: chain, digests, state. Where an import stopped, the same file goes on; an experiment with another history is left as it is. A history of more than 100 events shows, while it comes in, as it stood then.",
          access: "import",
          rawBody: v.string(),
          rawBodyType: ndjson,
          answers: { 200: Imported },
          problems: ["experiment-exists", "surface-claimed", "not-found"],
        },
        async (context) => {
          const { raw } = context.req;
          const lines = splitLines(chunksOf(raw.body), { bytesMax: limits.importBytes });
          const { ref, head, written } = await importExperiment(store, lines, {
            // The file says where it belongs, and a credential for one tenant must not reach another by it.
            allow: (found) => allowScope(context, found),
          });
          await governor(ref).reload(ref);
          const { tenant, environment, experiment } = ref;
          return context.json({ experimentName: experiment, tenant, environment, head, written });
        },
      ),
    )
    .post(
      "/erasures",
      endpoint(
        dependencies,
        {
          id: "eraseEverywhere",
          summary: "Remove what is personal of somebody from every experiment of the scope",
          description: `Looks at ${limits.heavyPageRows} experiments in one request; ask again with \`after\` while there is a \`next\`.`,
          access: "erase",
          body: ScopeErasure,
          answers: {
            200: v.object({
              erased: v.array(v.object({ experimentName: v.string(), values: count })),
              next: v.nullable(v.string()),
            }),
          },
        },
        async (context) => {
          const { actor: person, reason, after } = context.req.valid("json");
          const page = await eraseInScope(
            { store, governor },
            context.get("scope"),
            { actor: context.get("actor"), person, ...(reason === undefined ? {} : { reason }) },
            after === undefined ? {} : { after },
          );
          const erased = page.erased.map(({ experiment, values }) => ({ experimentName: experiment, values }));
          return context.json({ erased, next: page.next });
        },
      ),
    )
    .post(
      "/:name/erasures",
      endpoint(
        dependencies,
        {
          id: "erase",
          summary: "Remove what is personal of somebody from the experiment",
          description:
            "Their id and what they wrote. Events keep references that mean nothing, and the chain still verifies. That it happened is recorded, and not whose it was.",
          access: "erase",
          body: Erasure,
          answers: { 200: v.object({ experimentName: v.string(), values: count }) },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          const { actor: person, reason } = context.req.valid("json");
          const actor = context.get("actor");
          const values = await governor(ref).erase({ ref, actor, person, ...(reason === undefined ? {} : { reason }) });
          return context.json({ experimentName: ref.experiment, values });
        },
      ),
    )
    .get(
      "/:name/export",
      endpoint(
        dependencies,
        {
          id: "exportExperiment",
          summary: "The whole history, for another store or for an auditor",
          description:
            "NDJSON: a header, every event with what it names, a trailer. `npx proviso verify` checks it offline. It holds personal values and their salts.",
          access: "export",
          answers: { 200: v.string() },
          answerType: ndjson,
        },
        async (context) => {
          const ref = refOf(context);
          const lines = exportExperiment(store, ref, signer === undefined ? {} : { signer: await signer() });
          // What is wrong at once still gets a status of its own.
          const first = await lines.next();
          const rest = (async function* (): AsyncGenerator<string> {
            if (first.done !== true) yield first.value;
            yield* lines;
          })();
          return new Response(streamOf(rest), {
            headers: {
              "content-type": ndjson,
              "cache-control": "no-store",
              "content-disposition": `attachment; filename="${ref.experiment}.ndjson"`,
            },
          });
        },
      ),
    )
    .get(
      "/:name/audit/head",
      endpoint(
        dependencies,
        {
          id: "readHead",
          summary: "The last event, signed where a key is configured",
          description:
            "Keep it in another place than the store: an export that was cut off or written anew does not contain it.",
          access: "read",
          answers: { 200: Head },
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          const key = await signer?.();
          const signature = key === undefined ? null : (await signHead(key, ref, loaded.head)).signature;
          return context.json({
            experimentName: ref.experiment,
            ...loaded.head,
            signature,
            publicKey: key === undefined ? null : { ...key.publicKey },
          });
        },
      ),
    );
};
