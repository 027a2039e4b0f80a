#!/usr/bin/env node
/** The entry of the command line. It imports nothing before it has looked at the version of Node. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`proviso needs Node.js 22.18 or newer; this is ${process.version}.`);
  process.exitCode = 1;
} else {
  const { runProcess } = await import("./run.ts");
  await runProcess();
}
