/** The deployed Worker over Upstash: chosen in the DSL, bundled with its client, and killed. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { skipWithout } from "../support/services.ts";
import { serviceOf } from "../support/upstash/client.ts";
import { ask, start, startServer, temporaryDirectory } from "./server.ts";

const service = inject("upstash");
skipWithout(typeof service === "string" ? service : null);

test("histories in Upstash outlive the server, and the token is nowhere to be seen", async () => {
  const { url, token } = serviceOf(service);
  const directory = await temporaryDirectory();
  const prefix = `e2e-${crypto.randomUUID()}`;
  const dsl = join(directory.path, "proviso.yaml");
  await writeFile(
    dsl,
    `governance:
  persistence: { type: redis, url: "${url}", token: "\${UPSTASH_TOKEN}", prefix: ${prefix} }
  approvalGates: [{ type: manual, from: PendingApproval, to: Approved }]
`,
  );
  process.env["UPSTASH_TOKEN"] = token;
  let server = await startServer(join(directory.path, "state"), dsl);
  try {
    await start(server.url, "checkout");
    const health = await fetch(`${server.url}/health`);
    expect(await health.json()).toMatchObject({ status: "healthy", dependencies: { upstash: "healthy" } });
    await server.kill();

    // Another server, with a state of its own: only what Redis keeps is there.
    server = await startServer(join(directory.path, "elsewhere"), dsl);
    const { body } = await ask(server.url, "author", "GET", "checkout");
    expect(body).toMatchObject({ state: "Running", latestVersion: 1 });
    const moved = await ask(server.url, "author", "POST", "checkout/lifecycle/transition", { targetState: "Paused" });
    expect(moved).toMatchObject({ status: 200, body: { newState: "Paused" } });
    const verified = await ask(server.url, "author", "GET", "checkout/audit/verify");
    expect(verified.body).toMatchObject({ valid: true, firstInvalid: null });
    expect(JSON.stringify([body, moved, verified])).not.toContain(token);
  } finally {
    delete process.env["UPSTASH_TOKEN"];
    await server.kill();
    await directory.remove();
  }
});
