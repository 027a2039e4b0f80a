/** Rules that name functions of the host: bound to the version that is registered, and refused where there is none. */
import { ProvisoError } from "../errors.ts";
import type { CustomGates } from "./custom-gates.ts";
import { gateName } from "./gates/judge.ts";
import type { Gate } from "./gates/schema.ts";
import { type CustomPolicies, unregisteredPolicies, withRegisteredVersions } from "./policies/custom.ts";
import type { Policy } from "./policies/schema.ts";
import type { PolicySet } from "./policy-set.ts";

const bindGate = (gate: Gate, registered: CustomGates): Gate => {
  if (gate.type !== "custom" || gate.version !== undefined) return gate;
  const version = Object.hasOwn(registered, gate.gate) ? registered[gate.gate]?.version : undefined;
  return version === undefined ? gate : { ...gate, version };
};

/** A rule whose function is not there, by its place in the DSL. */
interface Missing {
  readonly path: string;
  readonly message: string;
}

const unregisteredGates = (gates: readonly Gate[], registered: CustomGates): readonly Missing[] =>
  gates.flatMap((gate, index) =>
    gate.type === "custom" && !Object.hasOwn(registered, gate.gate)
      ? [
          {
            path: `/governance/approvalGates/${index}/gate`,
            message: `gate ${gateName(gate)}: no gate ${gate.gate} is registered`,
          },
        ]
      : [],
  );

const missingPolicies = (policies: readonly Policy[], registered: CustomPolicies): readonly Missing[] =>
  policies.flatMap((policy, index) =>
    unregisteredPolicies([policy], registered).map(({ policy: name, problem }) => ({
      path: `/governance/policies/${index}/function`,
      message: `policy ${name}: ${problem}`,
    })),
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
  const errors = [...unregisteredGates(set.gates, customGates), ...missingPolicies(set.policies, customPolicies)];
  if (errors.length > 0) {
    const sentences = errors.map(({ path, message }) => `${path} ${message}`).join("; ");
    throw new ProvisoError("invalid-dsl", `functions that rules name are missing: ${sentences}`, { errors });
  }
  return {
    ...set,
    gates: set.gates.map((gate) => bindGate(gate, customGates)),
    policies: withRegisteredVersions(set.policies, customPolicies),
  };
};
