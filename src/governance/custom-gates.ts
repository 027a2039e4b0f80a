/** Gates that the host wrote: asked before the decision, each within its time. */
import { parseDuration } from "../duration.ts";
import type { PolicyContext } from "./policies/policy.ts";
import { type CustomGateVerdict, gateName } from "./gates/judge.ts";
import type { Gate } from "./gates/schema.ts";

export interface CustomGate {
  /** Raise it when the function decides differently: what was approved under the old one is void. */
  readonly version?: string;
  /**
   * @param context the change, and what was looked up for its policies
   * @param parameters as the configuration names them
   */
  judge(
    context: PolicyContext,
    parameters: Readonly<Record<string, string | number | boolean>>,
  ): CustomGateVerdict | Promise<CustomGateVerdict>;
}

export type CustomGates = Readonly<Record<string, CustomGate>>;

const refusing = (missing: string): CustomGateVerdict => ({ satisfied: false, missing, rejected: true });

const ask = async (
  gate: Extract<Gate, { type: "custom" }>,
  registered: CustomGates,
  context: PolicyContext,
  report: (error: unknown) => void,
): Promise<CustomGateVerdict> => {
  const custom = Object.hasOwn(registered, gate.gate) ? registered[gate.gate] : undefined;
  if (custom === undefined) return refusing("no gate of that name is registered");
  if (gate.version !== undefined && gate.version !== custom.version)
    return refusing(`version ${gate.version} of the gate is not the one that is registered`);
  const limitMs = parseDuration(gate.timeLimit) ?? 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<CustomGateVerdict>((resolve) => {
    timer = setTimeout(() => resolve(refusing(`no answer within ${limitMs} ms`)), limitMs);
  });
  try {
    const { satisfied, missing, rejected } = await Promise.race([
      Promise.resolve(custom.judge(context, gate.parameters ?? {})),
      late,
    ]);
    return {
      satisfied,
      ...(missing === undefined ? {} : { missing: missing.slice(0, 1_000).toWellFormed() }),
      ...(rejected === true ? { rejected } : {}),
    };
  } catch (error) {
    // Its message stays out of the record: nobody knows what it holds.
    report(error);
    return refusing("the gate failed");
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
};

const strictness = ({ satisfied, rejected }: CustomGateVerdict): number => (satisfied ? 0 : rejected === true ? 2 : 1);

/**
 * What each of these gates says, by name. A gate that throws, is late or does not exist refuses. Of several under one
 * name (one function, asked with other parameters) the strictest word is the word of all.
 */
export const askCustomGates = async (
  gates: readonly Gate[],
  registered: CustomGates,
  context: PolicyContext,
  report: (error: unknown) => void,
): Promise<Readonly<Record<string, CustomGateVerdict>>> => {
  const asked = gates.filter((gate) => gate.type === "custom");
  const said = await Promise.all(
    asked.map(async (gate) => [gateName(gate), await ask(gate, registered, context, report)] as const),
  );
  return Object.fromEntries(said.toSorted(([, one], [, other]) => strictness(one) - strictness(other)));
};
