import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { feedSettings } from "../../cli/replay/feed.ts";
import { report } from "../../cli/commands/report.ts";
import { replayOptions } from "../../cli/replay/options.ts";

test("docs/cli.md names every option of replay and report as the command does, and its limits", async () => {
  const text = await readFile("docs/cli.md", "utf8");
  for (const [name, { value }] of [...Object.entries(replayOptions), ...Object.entries(report.options)]) {
    const shown = value === undefined ? `--${name}` : `--${name} ${value.replaceAll("|", String.raw`\|`)}`;
    expect(text).toContain(`\`${shown}\``);
  }
  expect(text).toContain(`${feedSettings.lagMax.toLocaleString("en-US")} events ahead`);
  expect(text).toContain(`after ${feedSettings.stallMs / 1_000} seconds without anything new`);
});
