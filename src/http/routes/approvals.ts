/** Proposals and what people said of them. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { personOf, presentProposal } from "../../governance/present.ts";
import { openProposals } from "../../governance/proposals.ts";
import { limits } from "../../limits.ts";
import { allow } from "../access.ts";
import { readJson } from "../body.ts";
import type { AppDependencies, AppEnvironment } from "../dependencies.ts";
import { conditionalOn, execute, loadExperiment, pageOf, viewOf } from "../governed.ts";
import { ReasonSchema } from "./lifecycle.ts";

const decisions = ["approve", "decline", "withdraw"] as const;

const SaySchema = v.strictObject({
  decision: v.picklist(decisions, decisions.join(", ")),
  /** What the approver looked at. It is not optional: an approval of nothing in particular approves nothing. */
  changeDigest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "the changeDigest of a proposal: 64 hex digits")),
  reason: v.exactOptional(ReasonSchema),
});

const words = { ApprovalGiven: "approve", ApprovalDeclined: "decline", ApprovalWithdrawn: "withdraw" } as const;

export const approvalRoutes = (dependencies: AppDependencies): Hono<AppEnvironment> => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get("/:name/approvals", allow("read", dependencies), async (context) => {
      const { ref } = await loadExperiment(context, dependencies);
      const page = await store.history(ref, {
        ...pageOf(context),
        types: ["ApprovalGiven", "ApprovalDeclined", "ApprovalWithdrawn"],
      });
      const approvals = page.events.flatMap((event) =>
        event.type === "ApprovalGiven" || event.type === "ApprovalDeclined" || event.type === "ApprovalWithdrawn"
          ? [
              {
                seq: event.seq,
                decision: words[event.type],
                proposal: event.data.proposal,
                changeDigest: event.data.changeDigest,
                actor: personOf(page.people, event.actor.ref),
                roles: event.actor.roles,
                reason: personOf(page.people, event.data.reason),
                timestamp: event.at,
              },
            ]
          : [],
      );
      return context.json({ experimentName: ref.experiment, approvals, next: page.next });
    })
    .post("/:name/approvals", allow("approve", dependencies), async (context) =>
      execute(context, dependencies, {
        type: "Say",
        ...(await readJson(SaySchema, context.req.raw, limits.requestBytes)),
      }),
    )
    .get("/:name/proposals", allow("read", dependencies), async (context) => {
      const { ref, loaded } = await loadExperiment(context, dependencies);
      const { state } = loaded.snapshot;
      const view = viewOf(context, dependencies, ref, loaded);
      const open = openProposals(ref, state, dependencies.policySet, view.now);
      return conditionalOn(context, loaded.snapshot, {
        experimentName: ref.experiment,
        proposals: open.map((proposal) => presentProposal(state, proposal, view)),
      });
    })
    .get("/:name/proposals/:id", allow("read", dependencies), async (context) => {
      const { ref, loaded } = await loadExperiment(context, dependencies);
      const { state } = loaded.snapshot;
      const view = viewOf(context, dependencies, ref, loaded);
      const proposal = openProposals(ref, state, dependencies.policySet, view.now).find(
        ({ id }) => id === context.req.param("id"),
      );
      if (proposal === undefined) throw new ProvisoError("proposal-not-found", "no such proposal is open");
      return context.json({ experimentName: ref.experiment, ...presentProposal(state, proposal, view) });
    });
};
