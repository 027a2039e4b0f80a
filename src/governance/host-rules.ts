/** Rules that name functions of the host: bound to the version that is registered, and refused where there is none. */
import { ProvisoError } from "../errors.ts";
import type { CustomGates } from "./custom-gates.ts";
import { gateName } from "./gates/judge.ts";
import type { Gate } from "./gates/schema.ts";
import { type CustomPolicies, unregisteredPolicies, withRegisteredVersions } from "./policies/custom.ts";
import type { PolicySet } from "./policy-set.ts";

const bindGate = (gate: Gate, registered: CustomGates): Gate => {
  if (gate.type !== "custom" || gate.version !== undefined) return gate;
  const version = Object.hasOwn(registered, gate.gate) ? registered[gate.gate]?.version : undefined;
  return version === undefined ? gate : { ...gate, version };
};

const unregisteredGates = (gates: readonly Gate[], registered: CustomGates): readonly string[] =>
  gates.flatMap((gate) =>
    gate.type === "custom" && !Object.hasOwn(registered, gate.gate)
      ? [`gate ${gateName(gate)}: no gate ${gate.gate} is registered`]
      : [],
  );

/**
 * The rules with the versions of the functions that judge them, so that an approval is bound to that code.
 *
 * @throws ProvisoError `invalid-dsl` for a rule whose function is not registered, or is of another version
 */
export const withHostFunctions = (
  set: PolicySet,
  customGates: CustomGates,
  customPolicies: CustomPolicies,
): PolicySet => {
  const problems = [
    ...unregisteredGates(set.gates, customGates),
    ...unregisteredPolicies(set.policies, customPolicies).map(({ policy, problem }) => `policy ${policy}: ${problem}`),
  ];
  if (problems.length > 0)
    throw new ProvisoError("invalid-dsl", `functions that rules name are missing: ${problems.join("; ")}`);
  return {
    ...set,
    gates: set.gates.map((gate) => bindGate(gate, customGates)),
    policies: withRegisteredVersions(set.policies, customPolicies),
  };
};
