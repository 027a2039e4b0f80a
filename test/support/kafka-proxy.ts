/** A Kafka REST proxy that is strict: what version 2 of its API does not have is refused. */
import * as v from "valibot";
import type { Fetcher } from "../../src/fetcher.ts";

/** Confluent REST Proxy, API v2, `POST /topics/(string:topic_name)`, JSON embedded format. */
const ProduceRequest = v.strictObject({
  records: v.pipe(
    v.array(
      v.strictObject({
        key: v.optional(v.unknown()),
        value: v.unknown(),
        partition: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
      }),
    ),
    v.minLength(1),
  ),
});

export const kafkaProxy = (topic = "experiments") => {
  const records: { readonly key: unknown; readonly value: unknown }[] = [];
  const requests: Record<string, string>[] = [];
  let answers: Response[] = [];
  const fetch: Fetcher = async (url, { method, headers, body = "" }) => {
    requests.push(headers);
    const next = answers.shift();
    if (next !== undefined) return next;
    if (method !== "POST" || new URL(url).pathname !== `/topics/${topic}`) return new Response("", { status: 404 });
    if (headers["content-type"] !== "application/vnd.kafka.json.v2+json") return new Response("", { status: 415 });
    if (headers["accept"] !== "application/vnd.kafka.v2+json") return new Response("", { status: 406 });
    const parsed = v.safeParse(ProduceRequest, JSON.parse(body));
    if (!parsed.success) return Response.json({ error_code: 42201, message: "Invalid" }, { status: 422 });
    const offsets = parsed.output.records.map(({ key, value }) => {
      records.push({ key, value });
      return { partition: 0, offset: records.length - 1, error_code: null, error: null };
    });
    return Response.json({ key_schema_id: null, value_schema_id: null, offsets });
  };
  return { fetch, records, requests, answer: (...next: Response[]) => void (answers = next) };
};
