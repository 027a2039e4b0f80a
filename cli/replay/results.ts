/** What the server says of an experiment's ledger, to a replay. */
import { readResultsDocument, type ResultsDocument } from "../../src/report/results.ts";
import { CliFailure } from "../failure.ts";
import { author, type Client, describeProblem } from "./client.ts";

export type Results = ResultsDocument;

/** How much has arrived. */
export type Received = Pick<Results, "received" | "exposures" | "outcomeEvents">;

/** @throws CliFailure with the server's reason; `null` stands for looks at every subject that were refused */
export const readResults = async (client: Client, looks: "subject" | "checkpoint"): Promise<Results | null> => {
  const answer = await client.experiment(author, "GET", "/results", { query: `looks=${looks}` });
  if (answer.status === 400 && looks === "subject") return null;
  if (answer.status !== 200) throw new CliFailure(`the results cannot be read: ${describeProblem(answer)}`);
  const read = readResultsDocument(answer.body);
  if (read.ok) return read.results;
  throw new CliFailure(`the server gives results of another form (${read.problem})`);
};
