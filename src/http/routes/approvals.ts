/** Proposals and what people said of them. */
import { Hono } from "hono";
import * as v from "valibot";
import { ProvisoError } from "../../errors.ts";
import { personOf, presentProposal } from "../../governance/present.ts";
import { openProposals } from "../../governance/proposals.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { conditionalOn, execute, loadExperiment, viewOf } from "../governed.ts";
import { count, digest, next, person, Proposal, time } from "../openapi/schemas.ts";
import { page } from "../query.ts";
import { ReasonSchema } from "./lifecycle.ts";

const decisions = ["approve", "decline", "withdraw"] as const;

const SaySchema = v.strictObject({
  decision: v.picklist(decisions, decisions.join(", ")),
  /** What the approver looked at. It is not optional: an approval of nothing in particular approves nothing. */
  changeDigest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "the changeDigest of a proposal: 64 hex digits")),
  reason: v.exactOptional(ReasonSchema),
});

const words = { ApprovalGiven: "approve", ApprovalDeclined: "decline", ApprovalWithdrawn: "withdraw" } as const;

const Approvals = v.object({
  experimentName: v.string(),
  approvals: v.array(
    v.object({
      seq: count,
      decision: v.picklist(decisions),
      proposal: v.string(),
      changeDigest: digest,
      actor: person,
      roles: v.array(v.string()),
      reason: person,
      timestamp: time,
    }),
  ),
  next,
});

const Said = v.object({
  experimentName: v.string(),
  revision: count,
  decision: v.picklist(decisions),
  changeDigest: digest,
  actor: v.string(),
  reason: v.nullable(v.string()),
  proposal: v.nullable(Proposal),
});

export const approvalRoutes = (dependencies: Dependencies) => {
  const { store } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/:name/approvals",
      endpoint(
        dependencies,
        {
          id: "listApprovals",
          summary: "What was said of proposals",
          access: "read",
          query: page(),
          answers: { 200: Approvals },
        },
        async (context) => {
          const { ref } = await loadExperiment(context, dependencies);
          const found = await store.history(ref, {
            ...context.req.valid("query"),
            types: ["ApprovalGiven", "ApprovalDeclined", "ApprovalWithdrawn"],
          });
          const approvals = found.events.flatMap((event) =>
            event.type === "ApprovalGiven" || event.type === "ApprovalDeclined" || event.type === "ApprovalWithdrawn"
              ? [
                  {
                    seq: event.seq,
                    decision: words[event.type],
                    proposal: event.data.proposal,
                    changeDigest: event.data.changeDigest,
                    actor: personOf(found.people, event.actor.ref),
                    roles: event.actor.roles,
                    reason: personOf(found.people, event.data.reason),
                    timestamp: event.at,
                  },
                ]
              : [],
          );
          return context.json({ experimentName: ref.experiment, approvals, next: found.next });
        },
      ),
    )
    .post(
      "/:name/approvals",
      endpoint(
        dependencies,
        {
          id: "say",
          summary: "Approve or decline a proposal, or take back what you said of it",
          access: "approve",
          command: true,
          body: SaySchema,
          answers: { 200: Said, 201: Said },
          problems: ["gate-rejected", "proposal-not-found", "approval-stale"],
        },
        (context) => execute(context, dependencies, { type: "Say", ...context.req.valid("json") }),
      ),
    )
    .get(
      "/:name/proposals",
      endpoint(
        dependencies,
        {
          id: "listProposals",
          summary: "What waits",
          access: "read",
          answers: { 200: v.object({ experimentName: v.string(), proposals: v.array(Proposal) }), 304: null },
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          const { state } = loaded.snapshot;
          const view = viewOf(context, dependencies, ref, loaded);
          const open = openProposals(ref, state, dependencies.policySet, view.now);
          return conditionalOn(context, loaded.snapshot, {
            experimentName: ref.experiment,
            proposals: open.map((proposal) => presentProposal(state, proposal, view)),
          });
        },
      ),
    )
    .get(
      "/:name/proposals/:id",
      endpoint(
        dependencies,
        {
          id: "readProposal",
          summary: "One proposal that waits",
          access: "read",
          answers: { 200: v.object({ experimentName: v.string(), ...Proposal.entries }) },
          problems: ["proposal-not-found"],
        },
        async (context) => {
          const { ref, loaded } = await loadExperiment(context, dependencies);
          const { state } = loaded.snapshot;
          const view = viewOf(context, dependencies, ref, loaded);
          const proposal = openProposals(ref, state, dependencies.policySet, view.now).find(
            ({ id }) => id === context.req.param("id"),
          );
          if (proposal === undefined) throw new ProvisoError("proposal-not-found", "no such proposal is open");
          return context.json({ experimentName: ref.experiment, ...presentProposal(state, proposal, view) });
        },
      ),
    );
};
