/** The inbox: what waits in a scope, and talking about it. */
import { Hono } from "hono";
import * as v from "valibot";
import { approvalObjection, needsApproval } from "../../governance/gates/judge.ts";
import { presentProposal, type ViewContext } from "../../governance/present.ts";
import { openProposals, rulesFor } from "../../governance/proposals.ts";
import type { ExperimentState, Proposal as OpenProposal } from "../../governance/state.ts";
import { lifecycleStates } from "../../lifecycle.ts";
import { limits } from "../../limits.ts";
import type { Dependencies, AppEnvironment } from "../dependencies.ts";
import { endpoint } from "../endpoint.ts";
import { execute, viewOf } from "../governed.ts";
import { count, Proposal } from "../openapi/schemas.ts";
import { page, text, word } from "../query.ts";
import { ReasonSchema } from "./lifecycle.ts";

const Inbox = v.object({
  proposals: v.array(v.object({ experimentName: v.string(), ...Proposal.entries })),
  next: v.nullable(v.string()),
});

const CommentSchema = v.strictObject({ text: v.pipe(ReasonSchema, v.minLength(1, "at least one character")) });

/** Whether the asker's word is missing: it would count, and has not been given. */
const awaits = (state: ExperimentState, proposal: OpenProposal, { asker, policySet }: ViewContext): boolean => {
  const { gates } = rulesFor(policySet, state, proposal);
  const context = { proposer: proposal.proposedBy.ref, authors: state.authorsSinceApproval };
  const spoken = proposal.approvals.some(({ actor }) => actor.ref === asker.ref);
  return !spoken && needsApproval(gates) && approvalObjection(gates, asker, context) === null;
};

/** Nothing waits in an archived experiment. */
const waiting = lifecycleStates.filter((state) => state !== "Archived");

export const proposalRoutes = (dependencies: Dependencies) => {
  const { store, policySet } = dependencies;
  return new Hono<AppEnvironment>()
    .get(
      "/proposals",
      endpoint(
        dependencies,
        {
          id: "listAllProposals",
          summary: "What waits in a scope, or waits for the asker",
          description: "A page looks at `limit` experiments, and may have no proposal although there is a next one.",
          access: "read",
          query: {
            awaiting: word(["me"], "Only those that the asker's word is missing for"),
            state: word(["open"], "Open ones are all there are: what has ended is in the audit"),
            cursor: text("`next` of the last page", 1_024),
            limit: page(limits.heavyPageRows).limit,
          },
          answers: { 200: Inbox },
        },
        async (context) => {
          const { awaiting, cursor, limit } = context.req.valid("query");
          const now = dependencies.now();
          const found = await store.list(context.get("scope"), {
            states: waiting,
            limit,
            ...(cursor === undefined ? {} : { cursor }),
          });
          const proposals: unknown[] = [];
          for (const { ref, snapshot } of found.items) {
            if (openProposals(ref, snapshot.state, policySet, now).length === 0) continue;
            // The list says what waits; who is who stands beside each experiment.
            const loaded = await store.load(ref, { actor: context.get("actor").id });
            if (loaded === null) continue;
            const { state } = loaded.snapshot;
            const view = viewOf(context, dependencies, ref, loaded);
            const shown = openProposals(ref, state, policySet, now).filter(
              (proposal) => awaiting === undefined || awaits(state, proposal, view),
            );
            proposals.push(
              ...shown.map((proposal) => ({
                experimentName: ref.experiment,
                ...presentProposal(state, proposal, view),
              })),
            );
          }
          return context.json({ proposals, next: found.next });
        },
      ),
    )
    .post(
      "/:name/proposals/:id/comments",
      endpoint(
        dependencies,
        {
          id: "comment",
          summary: "Say something about a proposal",
          access: "comment",
          command: true,
          body: CommentSchema,
          answers: { 201: v.object({ experimentName: v.string(), revision: count, proposal: v.nullable(Proposal) }) },
          problems: ["proposal-not-found"],
        },
        (context) =>
          execute(context, dependencies, {
            type: "Comment",
            proposal: context.req.param("id") ?? "",
            text: context.req.valid("json").text,
          }),
      ),
    )
    .delete(
      "/:name/proposals/:id",
      endpoint(
        dependencies,
        {
          id: "withdrawProposal",
          summary: "Take back a proposal that one has made",
          access: "transition",
          command: true,
          answers: { 200: v.object({ experimentName: v.string(), revision: count, withdrawn: v.string() }) },
          problems: ["proposal-not-found", "gate-rejected", "invalid-transition"],
        },
        (context) =>
          execute(context, dependencies, { type: "WithdrawProposal", proposal: context.req.param("id") ?? "" }),
      ),
    );
};
