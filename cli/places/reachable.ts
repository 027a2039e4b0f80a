/** Whether a database that was named answers, before anything is asked of it; and why it does not, without its credentials. */
import type { GovernanceStore } from "../../src/governance/store.ts";
import { CliFailure, messageOf } from "../failure.ts";

/** An address as a whole and the password in it, as it is written there; what is no address is a secret as a whole. */
const secretsIn = (credential: string): readonly string[] => {
  const password = URL.canParse(credential) ? new URL(credential).password : "";
  return password === "" ? [credential] : [credential, password];
};

/** What a client says may repeat what it was given. */
export const withoutSecrets = (text: string, credential: string): string =>
  secretsIn(credential).reduce((shown, secret) => shown.replaceAll(secret, "…"), text);

/**
 * Asks a store whether it is healthy.
 *
 * @param credential what must not be shown: an address with a password, or a token
 * @param usable whether one that answers can be used though it is not healthy: a Redis that evicts keys can still be read
 * @returns what is worth saying of a store that can be used all the same
 * @throws CliFailure for one that does not answer, refuses the credential, or has another schema
 */
export const reached = async (
  name: string,
  store: Pick<GovernanceStore, "check">,
  credential: string,
  usable = false,
): Promise<readonly string[]> => {
  try {
    return (await store.check()) ?? [];
  } catch (error) {
    if (usable && error instanceof Error && error.cause === undefined)
      return [withoutSecrets(error.message, credential)];
    const reason = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
    const said = withoutSecrets(`${messageOf(error)}${reason}`, credential);
    const hint = said.includes("migrations have not") ? " (npx proviso migrate applies them)" : "";
    throw new CliFailure(`${name}: ${said}${hint}`, { cause: error });
  }
};
