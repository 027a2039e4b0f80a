/** A running server as a place: what it keeps its histories in is its own affair. */
import * as v from "valibot";
import { splitLines } from "../../src/governance/export/lines.ts";
import { createAsk, type ServerAddress } from "../ask.ts";
import { CliFailure } from "../failure.ts";
import type { Place } from "./place.ts";

export interface ServerOptions extends ServerAddress {
  /** What else ends with the place. */
  readonly close?: () => Promise<void>;
}

const Listed = v.object({
  experiments: v.array(v.object({ experimentName: v.string() })),
  next: v.nullable(v.string()),
});
const Imported = v.object({
  experimentName: v.string(),
  tenant: v.string(),
  environment: v.string(),
  head: v.object({ seq: v.number(), hash: v.string() }),
  written: v.number(),
});
const Erased = v.object({
  erased: v.array(v.object({ experimentName: v.string(), values: v.number() })),
  next: v.nullable(v.string()),
});

const utf8 = new TextEncoder();

const bodyOf = (lines: AsyncIterable<string>): ReadableStream<Uint8Array> => {
  const iterator = lines[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(utf8.encode(`${next.value}\n`));
    },
    async cancel() {
      await iterator.return?.();
    },
  });
};

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

export const serverPlace = ({ url, token, signal, close = () => Promise.resolve() }: ServerOptions): Place => {
  const ask = createAsk({ url, signal, ...(token === undefined ? {} : { token }) }, "admin");

  return {
    name: url,
    store: null,
    close,
    async *list(scope) {
      let cursor: string | null = null;
      do {
        const more: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
        const page: v.InferOutput<typeof Listed> = v.parse(
          Listed,
          await (await ask(`?limit=100${more}`, scope)).json(),
        );
        for (const { experimentName } of page.experiments) yield experimentName;
        cursor = page.next;
      } while (cursor !== null);
    },
    async *export(ref) {
      const response = await ask(`/${encodeURIComponent(ref.experiment)}/export`, ref);
      if (response.body === null) throw new CliFailure(`${url} sent nothing`);
      // Line by line again: what is cut off shows as a missing trailer, and not as half a line.
      for await (const line of splitLines(chunksOf(response.body))) yield `${line}\n`;
    },
    async import(lines, onProgress) {
      const init = { method: "POST", body: bodyOf(lines), duplex: "half" } as const;
      // The file says where it belongs.
      const answer = await ask("/import", { tenant: "default", environment: "default" }, init);
      const { experimentName, tenant, environment, head, written } = v.parse(Imported, await answer.json());
      onProgress?.({ done: head.seq, of: head.seq });
      return { ref: { tenant, environment, experiment: experimentName }, head, written };
    },
    async erase(scope, person, reason, after) {
      const body = {
        actor: person,
        ...(reason === undefined ? {} : { reason }),
        ...(after === undefined ? {} : { after }),
      };
      const answer = await ask("/erasures", scope, { method: "POST", body: JSON.stringify(body) });
      const { erased, next } = v.parse(Erased, await answer.json());
      return { erased: erased.map(({ experimentName, values }) => ({ experiment: experimentName, values })), next };
    },
  };
};
