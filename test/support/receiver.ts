/** A real HTTP server on this machine that keeps what it gets, and answers as it is told. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";

export interface Arrived {
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  readonly body: string;
}

export interface HttpReceiver {
  readonly url: string;
  readonly arrived: Arrived[];
  /** What happens to the requests to come, in this order; then they are answered 204. `reset`: taken, and no answer. */
  readonly next: (
    | number
    | "reset"
    | "hang"
    | Readonly<{ status: number; headers: Record<string, string>; body?: string }>
  )[];
  close(): Promise<void>;
}

export const startReceiver = async (port = 0): Promise<HttpReceiver> => {
  const arrived: Arrived[] = [];
  const next: HttpReceiver["next"] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      arrived.push({ headers: request.headers, path: request.url ?? "", body });
      const what = next.shift() ?? 204;
      if (what === "reset") request.socket.destroy();
      if (what === "hang" || what === "reset") return;
      const { status, headers, body: text = "" } = typeof what === "number" ? { status: what, headers: {} } : what;
      response.writeHead(status, headers);
      Readable.from([text]).pipe(response);
    })();
  }).listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the receiver has no address");
  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    arrived,
    next,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};
