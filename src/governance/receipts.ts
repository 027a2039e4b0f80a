/** Idempotency: whose key it is, and what request it stands for. */
import * as v from "valibot";
import { digestOf } from "../canonical.ts";
import { errorCodes } from "../errors.ts";
import type { CommandAnswer, CommandRequest } from "./governor.ts";

/** A key belongs to one principal: two people who choose the same key make two requests. */
export const receiptKeyOf = (actorId: string, idempotencyKey: string): string => digestOf([actorId, idempotencyKey]);

/** What was asked, without what may differ between a request and its retry (`If-Match`, time, connection). */
export const fingerprintOf = ({ ref, command }: Pick<CommandRequest, "ref" | "command">): string =>
  digestOf({ tenant: ref.tenant, environment: ref.environment, experiment: ref.experiment, command });

const Members = v.record(v.string(), v.unknown());
const AnswerSchema = v.variant("ok", [
  v.object({
    ok: v.literal(true),
    outcome: v.picklist(["created", "done", "held", "unchanged"]),
    etag: v.string(),
    body: Members,
    location: v.exactOptional(v.string()),
  }),
  v.object({ ok: v.literal(false), code: v.picklist(errorCodes), message: v.string(), details: Members }),
]);

export const parseAnswer = (text: string): CommandAnswer => v.parse(AnswerSchema, JSON.parse(text));
