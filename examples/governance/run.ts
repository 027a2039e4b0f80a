/**
 * One experiment from draft to conclusion, over HTTP: refused, approved, ramped by the clock, changed while it runs,
 * rolled back, and its history proved.
 *
 *   PROVISO_CONFIG=examples/governance/proviso.yaml npm run dev
 *   npx node examples/governance/run.ts
 */
const url = process.env["PROVISO_URL"] ?? "http://127.0.0.1:8787";
const api = `${url}/api/governance`;
const name = `checkout-${Date.now()}`;

type Body = Readonly<Record<string, unknown>>;
const isBody = (value: unknown): value is Body => typeof value === "object" && value !== null;

/** Speaks as one person. On your own machine you are whoever you say; a deployment knows people by their tokens. */
const as =
  (actor: string, roles: string) =>
  async (method: string, path: string, body?: unknown): Promise<Body> => {
    const response = await fetch(`${api}/${name}${path}`, {
      method,
      headers: { "x-proviso-actor": actor, "x-proviso-roles": roles },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!isBody(answer)) throw new Error(`${method} ${path}: ${response.status}`);
    return { status: response.status, ...answer };
  };

const author = as("author@example.com", "editor");
const operator = as("operator@example.com", "operator,team.platform");
const payments = as("payments@example.com", "approver,team.payments");
const growth = as("growth@example.com", "approver,team.growth");
const say = (line: string): void => console.log(line);

/** What waits, as its approvers name it. */
const waiting = async (): Promise<unknown> => {
  const { proposals } = await author("GET", "/proposals");
  const open: unknown = Array.isArray(proposals) ? proposals[0] : undefined;
  return isBody(open) ? open["changeDigest"] : undefined;
};
const approve = async (person: typeof author): Promise<Body> =>
  person("POST", "/approvals", { decision: "approve", changeDigest: await waiting(), reason: "looks right" });
const untilState = async (holds: (state: Body) => boolean): Promise<Body> => {
  for (let tries = 0; tries < 100; tries += 1) {
    const state = await author("GET", "");
    if (holds(state)) return state;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error("it did not come to that");
};

say("== states and policies");
const variants = [{ key: "control", control: true }, { key: "one-page" }];
const ramp = { steps: [{ traffic: 5, hold: "1s" }, { traffic: 25 }] };
const configuration = { variants, traffic: 50, ramp, surfaces: [name] };
await author("POST", "/versions", { configuration });
const refused = await author("POST", "/lifecycle/transition", { targetState: "PendingApproval" });
say(`without an owner: ${String(refused["code"])}`);
const described = { ...configuration, owner: "payments", description: "One page instead of three" };
await author("POST", "/versions", { configuration: described, changeDescription: "say whose it is" });
const submitted = await author("POST", "/lifecycle/transition", { targetState: "PendingApproval" });
say(`with one: ${String(submitted["newState"])}`);

say("== approvals");
const own = await as("author@example.com", "editor,approver")("POST", "/approvals", {
  decision: "approve",
  changeDigest: await waiting(),
});
say(`one's own: ${String(own["code"])}`);
await approve(payments);
say(`somebody else's: ${String((await author("GET", ""))["state"])}`);

say("== a ramp, by the clock");
const tried = await author("POST", "/ramp/start");
say(`by an editor: ${String(tried["code"])}`);
await operator("POST", "/ramp/start", { reason: "the launch" });
say(`by an operator: ${String((await author("GET", ""))["traffic"])} %`);
const widened = await untilState((state) => state["traffic"] === 25);
say(`a second later: ${String(widened["traffic"])} %`);

say("== a new version while it serves");
const more = await author("POST", "/versions", { configuration: { ...described, traffic: 40 } });
const held = await author("POST", `/versions/${String(more["version"])}/publish`, { reason: "a little less" });
say(`asked for: ${String(held["status"])}, and two teams must agree`);
await approve(payments);
await approve(growth);
say(`live: version ${String((await author("GET", ""))["liveVersion"])}`);

say("== rolling back");
const back = await operator("POST", "/versions/rollback", {
  targetVersion: 2,
  transition: "RolledBack",
  reason: "slow",
});
say(
  `version ${String(back["newVersion"])} is version ${String(back["rolledBackTo"])} again, and the state is ${String(back["state"])}`,
);

say("== history");
const { transitions } = await author("GET", "/lifecycle/history");
for (const line of Array.isArray(transitions) ? transitions.filter(isBody) : [])
  say(`${String(line["from"])} → ${String(line["to"])} by ${String(line["actor"])}`);
const { evaluations } = await author("GET", "/policies/evaluations");
say(`${Array.isArray(evaluations) ? evaluations.length : 0} decisions with what the policies said of them`);
const proof = await author("GET", "/audit/verify");
say(`${String(proof["length"])} events, valid: ${String(proof["valid"])}`);
