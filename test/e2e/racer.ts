/** One of two racing processes: each line on standard input names a state, and is answered with the status it got. */
import { createInterface } from "node:readline";
import { ask } from "./server.ts";

const [url = "", name = ""] = process.argv.slice(2);
for await (const targetState of createInterface({ input: process.stdin })) {
  const { status } = await ask(url, "author", "POST", `${name}/lifecycle/transition`, { targetState });
  process.stdout.write(`${status}\n`);
}
