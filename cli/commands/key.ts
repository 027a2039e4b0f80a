/** `proviso key`: an Ed25519 key by which histories are signed. */
import { createSigner } from "../../src/governance/signing.ts";
import type { Command } from "../command.ts";

export const key: Command = {
  name: "key",
  summary: "make a key that signs histories",
  usage: "proviso key [--id NAME] [--json]",
  about: `Prints a private key, which is shown only here: put it into the secret that governance.history.signing names
(npx wrangler secret put PROVISO_SIGNING_KEY). The public key is for whoever verifies: proviso verify --key FILE.`,
  options: {
    id: {
      value: "NAME",
      help: "how signatures name the key, as governance.history.signing.keyId says; default: its thumbprint",
    },
    json: { help: "one JSON document: { privateKey, publicKey }" },
  },
  async run(args, context) {
    const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
    if (!("privateKey" in pair)) throw new TypeError("key: a pair of keys");
    const { kty, crv, x, d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
    const privateKey = { kty, crv, x, d };
    const { publicKey } = await createSigner(JSON.stringify(privateKey), args.value("id"));
    context.out(
      args.has("json")
        ? `${JSON.stringify({ privateKey, publicKey }, null, 2)}\n`
        : `private  ${JSON.stringify(privateKey)}\npublic   ${JSON.stringify(publicKey)}\n`,
    );
    return 0;
  },
};
