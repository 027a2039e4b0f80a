/** Identity on one's own machine: whoever you say you are. */
import * as v from "valibot";
import { ProvisoError } from "../errors.ts";
import { actorKinds } from "../governance/gates/schema.ts";
import { NameSchema } from "../scope.ts";
import { browserRole, type Identity } from "./identity.ts";

/** Printable, without commas and quotes that could pass for a list; `system:` is the product's own prefix. */
export const ActorIdSchema = v.pipe(
  v.string(),
  v.minLength(1, "at least one character"),
  v.maxLength(256, "at most 256 characters"),
  v.regex(/^[^\p{C},"]+$/u, "printable characters without commas and quotes"),
  v.check((id) => !id.toLowerCase().startsWith("system:"), "an id that does not begin with system:"),
);

export const RolesSchema = v.pipe(v.array(NameSchema), v.maxLength(32, "at most 32 roles"));
export const KindSchema = v.picklist(actorKinds, actorKinds.join(", "));

const loopback = new Set(["localhost", "127.0.0.1", "[::1]"]);

const unauthenticated = (message: string): ProvisoError => new ProvisoError("unauthenticated", message);

const read = <Schema extends v.GenericSchema>(
  schema: Schema,
  header: string,
  value: unknown,
): v.InferOutput<Schema> => {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw unauthenticated(`${header}: ${result.issues[0].message}`);
};

/**
 * Believes `X-Proviso-Actor`, `X-Proviso-Roles` (comma-separated) and `X-Proviso-Actor-Kind`, and lets every
 * application in; one that says `X-Proviso-Key: browser` as a page. `enabled` is set by the dev command alone; everywhere else, and for any address but loopback,
 * nobody gets in.
 */
export const developmentIdentity = ({ enabled }: { readonly enabled: boolean }): Identity => {
  const atHome = (request: Request): void => {
    if (!enabled)
      throw unauthenticated(
        "development identity works under `npm run dev` only: configure governance.auth for a deployment",
      );
    if (!loopback.has(new URL(request.url).hostname))
      throw unauthenticated("development identity answers on loopback only");
  };
  return {
    async authenticate(request) {
      atHome(request);
      const id = request.headers.get("x-proviso-actor");
      if (id === null) throw unauthenticated("say who you are in the X-Proviso-Actor header");
      const roles = (request.headers.get("x-proviso-roles") ?? "viewer").split(",").map((role) => role.trim());
      return {
        actor: {
          id: read(ActorIdSchema, "X-Proviso-Actor", id),
          roles: [...new Set(read(RolesSchema, "X-Proviso-Roles", roles))],
          kind: read(KindSchema, "X-Proviso-Actor-Kind", request.headers.get("x-proviso-actor-kind") ?? "human"),
        },
        pin: {},
      };
    },
    async admit(request) {
      atHome(request);
      return { sender: request.headers.get("x-proviso-key") === browserRole ? "browser" : "server" };
    },
  };
};
