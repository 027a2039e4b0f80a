/** Finding, reading and judging the DSL file of a command. */
import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { formatErrors, loadDsl, type LoadResult } from "../src/config/index.ts";
import { limits } from "../src/limits.ts";
import type { CommandContext } from "./command.ts";
import { CliFailure, messageOf } from "./failure.ts";
import { packageRoot } from "./package-root.ts";

export interface DslFile {
  readonly path: string;
  /** As people call it: relative to where they are, when it lies below. */
  readonly name: string;
}

export const namedFile = (path: string, directory: string): DslFile => {
  const full = resolve(directory, path);
  const below = relative(directory, full);
  return { path: full, name: below.startsWith("..") ? full : below };
};

/** `PROVISO_CONFIG`, else `proviso.yaml` here, else the example that comes with the package. */
export const findDsl = ({ environment, directory }: Pick<CommandContext, "environment" | "directory">): DslFile => {
  const configured = environment["PROVISO_CONFIG"];
  if (configured !== undefined && configured !== "") return namedFile(configured, directory);
  const here = namedFile("proviso.yaml", directory);
  return existsSync(here.path) ? here : namedFile(join(packageRoot(), "proviso.yaml"), directory);
};

/** The text of a file, or a sentence about why not. */
export const readDsl = async ({ path, name }: DslFile): Promise<string> => {
  try {
    const { size } = await stat(path);
    if (size > limits.dslBytes) throw new CliFailure(`${name} has ${size} bytes; at most ${limits.dslBytes} are read`);
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof CliFailure) throw cause;
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw new CliFailure(missing ? `there is no file ${name}` : `${name} cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
};

export const judgeDsl = (file: DslFile, text: string, environment: CommandContext["environment"]): LoadResult =>
  loadDsl(text, { file: file.name, environment });

const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`;

/** One line about a valid file. */
export const summarize = (result: Extract<LoadResult, { ok: true }>): string => {
  const { governance, experiments } = result.value;
  const counted = [
    plural(experiments.length, "experiment"),
    plural(governance.approvalGates.length, "gate"),
    governance.policies.length === 1 ? "1 policy" : `${governance.policies.length} policies`,
  ].join(", ");
  return `${counted}, store ${governance.persistence.type}`;
};

/** Errors and warnings with their lines, and how many there are. */
export const explain = (result: LoadResult, text: string, color: boolean): string => {
  const sections = [
    ...(result.ok ? [] : [formatErrors(result.errors, { source: text, color })]),
    ...(result.ok ? [] : [plural(result.errors.length, "error")]),
    ...(result.warnings.length === 0
      ? []
      : [`${plural(result.warnings.length, "warning")}:`, formatErrors(result.warnings, { source: text, color })]),
  ];
  return sections.map((section) => `${section}\n`).join("");
};
