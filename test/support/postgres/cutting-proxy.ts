/** A TCP proxy that loses connections at the worst moment: before a request arrives, or before its answer does. */
import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

export type Cut = "request" | "answer";

export interface CuttingProxy {
  readonly port: number;
  /** The next requests that pass are lost like this, one after another. */
  cut(...cuts: readonly Cut[]): void;
  /** Takes no new connection from now on. */
  refuse(): void;
  /** How many cuts have happened. */
  readonly done: () => number;
  stop(): Promise<void>;
}

export const startCuttingProxy = async (target: number): Promise<CuttingProxy> => {
  const pending: Cut[] = [];
  let done = 0;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = createConnection(target, "127.0.0.1");
    let losing: Cut | undefined;
    const drop = (): void => {
      client.destroy();
      // The server reads what it was sent before it notices that nobody is there.
      upstream.end();
    };
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      socket.on("error", () => undefined);
      socket.setNoDelay(true);
    }
    client.on("data", (chunk) => {
      losing ??= pending.shift();
      if (losing === "request") {
        done += 1;
        drop();
      } else upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      if (losing === "answer") {
        done += 1;
        losing = undefined;
        drop();
      } else client.write(chunk);
    });
    client.on("close", () => upstream.end());
    upstream.on("close", () => client.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return {
    port: address.port,
    cut: (...cuts) => void pending.push(...cuts),
    refuse: () => void server.close(),
    done: () => done,
    async stop() {
      for (const socket of open) socket.destroy();
      if (server.listening) server.close();
      if (open.size > 0) await once(server, "close");
    },
  };
};
