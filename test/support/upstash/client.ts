/** The real client of Upstash, as an application builds it, and the REST API without it. */
import { Redis, type RedisConfigNodejs } from "@upstash/redis";
import type { UpstashService } from "./global.ts";

/** @param service what `inject("upstash")` gave; a test whose service is missing never gets here */
export const serviceOf = (service: UpstashService | string): UpstashService => {
  if (typeof service === "string") throw new Error(service);
  return service;
};

export const clientOf = (
  service: UpstashService | string,
  options: Partial<Omit<RedisConfigNodejs, "url" | "token">> = {},
): Redis => {
  const { url, token } = serviceOf(service);
  return new Redis({ url, token, enableTelemetry: false, ...options });
};

/** One command as somebody with the token, or with redis-cli, sends it. */
export const commandTo =
  (service: UpstashService | string) =>
  async (...command: readonly string[]): Promise<unknown> => {
    const { url, token } = serviceOf(service);
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(command),
    });
    const answer: unknown = await response.json();
    if (typeof answer === "object" && answer !== null && "result" in answer) return answer.result;
    throw new Error(`${command[0]}: ${JSON.stringify(answer)}`);
  };
