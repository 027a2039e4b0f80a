/** A server of published rules, in this process. */
import type { RuleSet } from "../../src/evaluation/rule-set.ts";
import type { FetchRequest, Fetcher } from "../../src/fetcher.ts";

export const response = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(status === 304 ? null : body, { status, headers });

/** A server of rules that answers as it is told, and keeps what it was asked. */
export const rulesServer = (first: RuleSet) => {
  let current: { readonly body: string; readonly etag: string } = { body: JSON.stringify(first), etag: '"1"' };
  let revision = 1;
  const requests: { url: string; request: FetchRequest }[] = [];
  let answer: (() => Promise<Response>) | undefined;
  const fetch: Fetcher = (url, request) => {
    requests.push({ url, request });
    if (answer !== undefined) return answer();
    const { body, etag } = current;
    const known = request.headers["if-none-match"] === etag;
    return Promise.resolve(known ? response(304, "", { etag }) : response(200, body, { etag }));
  };
  return {
    fetch,
    requests,
    publish(next: RuleSet) {
      revision += 1;
      current = { body: JSON.stringify(next), etag: `"${revision}"` };
    },
    answerWith(next: (() => Promise<Response>) | undefined) {
      answer = next;
    },
  };
};
