/**
 * Upstash's REST API in front of a real Redis: what `@upstash/redis` speaks to, as its documentation describes it.
 * There are commands in the path and in the body, pipelines, transactions, both encodings of strings, both ways to
 * authorise, sync tokens, limits of size, one primary and, where there is one, a replica that reads go to.
 */
import { timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import ioredis from "ioredis";
import * as v from "valibot";

/** `before`: the connection ends and nothing was done. `after`: it was done, and the answer is lost. */
export type Fault = "before" | "after" | "not json" | "unavailable" | null;

export interface ProxyOptions {
  readonly port: number;
  readonly token: string;
  /** A Redis user to connect as, for what that user may not do. */
  readonly user?: { readonly name: string; readonly password: string };
  /** A Redis that follows the first: commands that only read go there unless a sync token forbids it. */
  readonly replicaPort?: number;
}

export interface Proxy {
  readonly url: string;
  readonly token: string;
  /** Past the REST API, as an operator with redis-cli. */
  readonly redis: InstanceType<typeof ioredis.Redis>;
  /** Asked once for every HTTP request, in order. */
  fault: (command: string) => Fault;
  /** HTTP requests so far. */
  requests(): number;
  close(): Promise<void>;
}

const requestBytesMax = 10 * 1024 * 1024;
const keyBytesMax = 32 * 1024;

type Command = readonly [string, ...string[]];

/** An error of the service: its text is the `error` member, and the status is 400 unless it says otherwise. */
class ServiceError extends Error {
  readonly status: number;
  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

const Argument = v.union([
  v.string(),
  v.pipe(v.union([v.number(), v.boolean()]), v.transform(String)),
  v.pipe(
    v.union([v.record(v.string(), v.unknown()), v.array(v.unknown())]),
    v.transform((value) => JSON.stringify(value)),
  ),
]);
const CommandSchema = v.tupleWithRest([v.string()], Argument);

const commandOf = (value: unknown): Command => {
  const parsed = v.safeParse(CommandSchema, value);
  if (!parsed.success) throw new ServiceError("ERR failed to parse command");
  const [name, ...args] = parsed.output;
  // Upper case: what ioredis does to replies of commands it knows is keyed by lower-case names.
  const command: Command = [name.toUpperCase(), ...args];
  const bytes = command.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  if (bytes > requestBytesMax)
    throw new ServiceError(`ERR max request size exceeded. Limit: ${requestBytesMax} bytes, Actual: ${bytes} bytes`);
  if (command[0].startsWith("EVAL")) {
    for (const key of args.slice(2, 2 + Number(args[1])))
      if (Buffer.byteLength(key) > keyBytesMax)
        throw new ServiceError(`ERR max key size exceeded. Limit: ${keyBytesMax} bytes, Actual: ${key.length} bytes`);
  }
  return command;
};

/** What the service offers of the server's configuration: nothing that we ask for. */
const ownAnswer = ([name, ...args]: Command): unknown =>
  name === "CONFIG" && args[0]?.toUpperCase() === "GET" ? [] : undefined;

const encode = (value: unknown, base64: boolean): unknown => {
  if (Buffer.isBuffer(value) || typeof value === "string") {
    const bytes = Buffer.from(value);
    const text = bytes.toString("utf8");
    return !base64 || text === "OK" ? text : bytes.toString("base64");
  }
  if (Array.isArray(value)) return value.map((element: unknown) => encode(element, base64));
  return value;
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const readBody = async (request: IncomingMessage): Promise<string> => {
  // A decoder of its own, so that a character on the seam of two chunks stays whole.
  request.setEncoding("utf8");
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
};

const bodyOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw new ServiceError("ERR failed to parse JSON body");
  }
};

const Commands = v.array(v.unknown());
const CommandInfo = v.tupleWithRest([v.string(), v.number(), v.array(v.string())], v.unknown());

export const startProxy = async ({ port, token, user, replicaPort }: ProxyOptions): Promise<Proxy> => {
  const connect = async (at: number, as = user): Promise<InstanceType<typeof ioredis.Redis>> => {
    const redis = new ioredis.Redis({
      host: "127.0.0.1",
      port: at,
      protocol: 2,
      maxRetriesPerRequest: 0,
      enableAutoPipelining: false,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      lazyConnect: true,
      ...(as === undefined ? {} : { username: as.name, password: as.password }),
    });
    // A lost connection is the answer of the request that meets it.
    redis.on("error", () => undefined);
    await redis.connect();
    return redis;
  };
  const primary = await connect(port);
  const operator = await connect(port, undefined);
  const replica = replicaPort === undefined ? null : await connect(replicaPort, undefined);
  const wanted = Buffer.from(token);
  let requests = 0;

  const isAuthorised = (request: IncomingMessage, url: URL): boolean => {
    const header = /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1];
    const given = Buffer.from(header ?? url.searchParams.get("_token") ?? "");
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  };

  const offsetOf = async (redis: InstanceType<typeof ioredis.Redis>): Promise<number> => {
    const info = await redis.info("replication");
    return Number(/^(?:slave_repl_offset|master_repl_offset):(\d+)/m.exec(info)?.[1] ?? 0);
  };

  const onlyReads = async (commands: readonly Command[]): Promise<boolean> => {
    const names = [...new Set(commands.map(([name]) => name))];
    const infos = v.parse(v.array(v.nullable(CommandInfo)), await operator.call("COMMAND", "INFO", ...names));
    return infos.every((info) => info?.[2].includes("readonly") ?? false);
  };

  /** A read is served by the replica when it has caught up with what the client has seen. */
  const serverFor = async (
    commands: readonly Command[],
    syncToken: string,
  ): Promise<InstanceType<typeof ioredis.Redis>> => {
    if (replica === null || !(await onlyReads(commands))) return primary;
    return (await offsetOf(replica)) >= Number(syncToken) ? replica : primary;
  };

  const one = async (redis: InstanceType<typeof ioredis.Redis>, command: Command): Promise<unknown> =>
    ownAnswer(command) ?? redis.callBuffer(...command);

  const answer = async (request: IncomingMessage, url: URL, text: string): Promise<unknown> => {
    const base64 = request.headers["upstash-encoding"] === "base64";
    const format = request.headers["upstash-response-format"];
    if (format !== undefined && format !== "json") throw new ServiceError("ERR this proxy answers in JSON only");
    const syncToken = String(request.headers["upstash-sync-token"] ?? "");
    const path = url.pathname.split("/").filter((part) => part !== "");
    if (path[0] === "pipeline") {
      const commands = v.parse(Commands, bodyOf(text)).map(commandOf);
      const redis = await serverFor(commands, syncToken);
      const results: unknown[] = [];
      for (const command of commands)
        results.push(
          await one(redis, command).then(
            (result) => ({ result: encode(result, base64) }),
            (error: unknown) => ({ error: messageOf(error) }),
          ),
        );
      return results;
    }
    if (path[0] === "multi-exec") {
      const multi = primary.multi();
      for (const command of v.parse(Commands, bodyOf(text)).map(commandOf)) multi.callBuffer(...command);
      const results = (await multi.exec()) ?? [];
      return results.map(([error, result]) =>
        error === null ? { result: encode(result, base64) } : { error: messageOf(error) },
      );
    }
    const command =
      path.length === 0
        ? commandOf(bodyOf(text))
        : commandOf([
            ...path.map(decodeURIComponent),
            ...(text === "" ? [] : [text]),
            ...[...url.searchParams].filter(([key]) => key !== "_token").flat(),
          ]);
    const redis = await serverFor([command], syncToken);
    try {
      return { result: encode(await one(redis, command), base64) };
    } catch (error) {
      throw new ServiceError(messageOf(error));
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const send = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(body));
    };
    const text = await readBody(request);
    requests += 1;
    if (!["HEAD", "GET", "POST", "PUT"].includes(request.method ?? ""))
      return send(405, { error: "ERR Method not allowed" });
    if (!isAuthorised(request, url)) return send(401, { error: "WRONGPASS invalid or missing auth token" });
    const fault = proxy.fault(text);
    if (fault === "before") return void request.socket.destroy();
    if (fault === "not json") {
      response.writeHead(502, { "content-type": "text/html" });
      return void response.end("<html>Bad Gateway</html>");
    }
    if (fault === "unavailable") return send(503, { error: "ERR the database is being moved" });
    try {
      const body = await answer(request, url, text);
      if (fault === "after") return void request.socket.destroy();
      const offset = replica === null ? 0 : await offsetOf(operator);
      return send(200, body, { "upstash-sync-token": String(offset) });
    } catch (error) {
      return error instanceof ServiceError
        ? send(error.status, { error: error.message })
        : send(500, { error: `ERR ${messageOf(error)}` });
    }
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  const proxy: Proxy = {
    url: `http://127.0.0.1:${address.port}`,
    token,
    redis: operator,
    fault: () => null,
    requests: () => requests,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      for (const redis of [primary, operator, replica]) redis?.disconnect();
    },
  };
  return proxy;
};
