/** Small schemas that several sections of the configuration language share. */
import * as v from "valibot";
import { isPostAddress } from "../delivery/post.ts";
import { DurationSchema, parseDuration } from "../duration.ts";
import { limits } from "../limits.ts";

const identifier = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const named = (what: string) => v.pipe(v.string(what), v.regex(identifier, what));

/** The name of a secret; never the secret itself. */
export const secret = (example: string) => named(`the name of a secret, such as ${example}`);
/** The name of a binding of the Worker. */
export const binding = (example: string) => named(`the name of a binding, such as ${example}`);

const address = "an https: address, without a user and password";
export const AddressSchema = v.pipe(
  v.string(address),
  v.maxLength(limits.webhookAddressCharacters, `at most ${limits.webhookAddressCharacters} characters`),
  // http to this machine is for development; a deployment refuses it when it starts.
  v.check((text) => isPostAddress(text, true), address),
);

/** A duration within bounds, both included. */
export const between = (shortest: string, longest: string) => {
  const [least = 0, most = 0] = [parseDuration(shortest), parseDuration(longest)];
  return v.pipe(
    DurationSchema,
    v.check((text) => {
      const milliseconds = parseDuration(text);
      return milliseconds === undefined || (milliseconds >= least && milliseconds <= most);
    }, `${shortest} to ${longest}`),
  );
};

/** How long one request to another machine may take. */
export const TimeLimitSchema = v.optional(between("100ms", "30s"), "10s");
