/** Every bound of the product in one table; `docs/limits.md` shows it and a test compares the two. */
export const limits = {
  nameCharacters: 128,
  variantKeyCharacters: 64,
  variants: 100,
  configurationBytes: 256 * 1024,
  metadataBytes: 16 * 1024,
  reasonBytes: 4 * 1024,
  subjectIdCharacters: 512,
  eventBytes: 32 * 1024,
  batchEvents: 1_000,
  /** Room for a full batch of ordinary events; a batch of 1,000 events of 32 KiB must be sent in parts. */
  batchBytes: 8 * 1024 * 1024,
  requestBytes: 512 * 1024,
  /** Levels of lists and objects in anything that is stored. */
  jsonDepth: 64,
  /** Places that one refusal names. */
  reportedErrors: 100,
  idempotencyKeyCharacters: 256,
  targetingDepth: 8,
  targetingNodes: 200,
  /** Outcome values: a subject's total and its square stay exact and printable. */
  outcomeMagnitude: 1e15,
  /** What the ledger of one experiment opens: variants in each epoch, the last epoch, and metrics by kind. */
  ledgerVariants: 200,
  ledgerEpoch: 500,
  ledgerMetrics: 1_000,
  ledgerShards: 256,
  /** Above this, the sequential test has no look at every subject: it reads and sorts all of them. */
  subjectLooks: 2_000_000,
  pageRows: 1_000,
  /** Rows that may hold a whole configuration each. */
  heavyPageRows: 100,
  metrics: 100,
  /** What results show apart: attributes, and values of each. */
  dimensions: 10,
  dimensionValues: 50,
  rampSteps: 50,
  guardrails: 50,
  surfaces: 32,
  /** Text of a CEL expression, and what judging one may cost: about one step for each operation and 16 characters. */
  expressionCharacters: 2_000,
  expressionSteps: 200_000,
  fieldPathCharacters: 256,
  openProposals: 50,
  proposalComments: 100,
  scheduledChanges: 20,
  /** Events in one commit, and names that one commit takes or releases. */
  commitEvents: 100,
  commitClaims: 5_000,
  claimBytes: 1_024,
  /** Definitions of rules in one commit. */
  commitRules: 200,
  /** One event, state or answer as stored. D1 refuses a row of more than 2,000,000 bytes; the rest is for its columns. */
  storedTextBytes: 1_500_000,
  /** One line of an exported history: what is stored as text stands in it as text, so every quote in it is escaped. */
  historyLineBytes: 4 * 1024 * 1024,
  /** One imported history in one request. */
  importBytes: 64 * 1024 * 1024,
  dslBytes: 1024 * 1024,
  /** Levels of lists and mappings: the parser recurses, and Workers have small stacks. */
  dslDepth: 64,
  dslAliases: 100,
  /** Values that aliases may stand for, all together: aliases of aliases multiply. */
  dslAliasedValues: 20_000,
  /** Gates, and policies. */
  dslRules: 200,
  dslExperiments: 1_000,
  /** A signed token, before anything of it is read. */
  credentialCharacters: 16 * 1024,
  keyIdCharacters: 256,
  /** What a token's issuer publishes. */
  keySetBytes: 256 * 1024,
  keySetKeys: 100,
  corsOrigins: 100,
  notices: 20,
  auditSinks: 5,
  eventSinks: 10,
  webhookAddressCharacters: 2_000,
  /** Callers whose rate one isolate remembers. */
  rateLimitEntries: 10_000,
} as const;
