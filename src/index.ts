/**
 * `proviso`: evaluating, exposing and governing experiments in any fetch runtime. `proviso/evaluate` is the part for
 * browsers, `proviso/hono` the HTTP application; stores and sinks have an entry each.
 */
export * from "./browser.ts";
export { createBackpressure, type Backpressure, type BackpressureOptions } from "./exposure/backpressure.ts";
export type { ExposureOptions } from "./exposure/decorator.ts";
export {
  createExperiments,
  type BoundExperiments,
  type Experiments,
  type ExperimentsOptions,
} from "./exposure/experiments.ts";
export { firstOf, fromContext, type Identified, type IdentityProvider, type Subject } from "./exposure/identity.ts";
export { createRedactor, redactingSink, type IdRedaction, type Redaction } from "./exposure/redact.ts";
export type { ShadowCounts, ShadowOptions } from "./exposure/shadow.ts";
export type { ExposureSemantics, FullTrial, FullTrialOptions, Variants } from "./exposure/trial.ts";
export type { WithExposureOptions } from "./exposure/with-exposure.ts";
export { createEventBuffer, type EventBuffer, type EventBufferOptions } from "./events/buffer.ts";
export type { EventBody } from "./events/exposure.ts";
export { allocateBuckets } from "./evaluation/allocation.ts";
export { isCloudEvent, readCloudEvent, toCloudEvent, type CloudEvent } from "./events/cloud-event.ts";
export type { Envelope, EnvelopeInput, EnvelopeType, Exposure, Outcome } from "./events/envelope.ts";
export {
  AnalysisSignalSchema,
  AssignmentSchema,
  EnvelopeSchema,
  envelopeTypes,
  ErrorEventSchema,
  ExposureSchema,
  OutcomeSchema,
  schemaVersion,
} from "./events/envelope.ts";
export { isEvent, parseEvent, type ParsedEvent } from "./events/validate.ts";
export type { EventSink, SinkHealth, SinkReceipt } from "./events/sink.ts";
export { SinkError } from "./events/sink-error.ts";

export { configurationDigest, ConfigurationSchema, type Configuration, type ConfigurationInput } from "./experiment.ts";
export { allowedTransitions, lifecycleStates, parseState, type LifecycleState } from "./lifecycle.ts";
export { limits } from "./limits.ts";
export { ProvisoError, errorCodes, type ErrorCode } from "./errors.ts";
export type { ExperimentRef, Scope } from "./scope.ts";

export { auditRecord, auditText, type AuditRecord } from "./audit/record.ts";
export { auditTrail, type AuditOptions, type AuditSink } from "./audit/sink.ts";
export { createOutbox, type DeliveryTrouble, type Outbox, type OutboxOptions } from "./delivery/outbox.ts";
export type { Delivery, Subscriber } from "./delivery/subscriber.ts";
export { createMetrics, metricsType, type Metrics } from "./observe/metrics.ts";
export { observers, type Attributes as ObservedAttributes, type Observer, type Operation } from "./observe/observer.ts";
export { openTelemetryObserver } from "./observe/open-telemetry.ts";
export { otlpObserver, type OtlpObserverOptions } from "./observe/otlp.ts";
export { kvRules, type KvRulesOptions } from "./evaluation/kv-rules.ts";
export { rulesKey } from "./evaluation/rules-key.ts";
export { noticeKinds, noticeOf, type Notice, type NoticeKind, type Personal } from "./notices/notice.ts";
export {
  webhookMemory,
  webhookReceiver,
  type WebhookMemory,
  type WebhookMessage,
  type WebhookReceiverOptions,
} from "./notices/receiver.ts";
export { parseSecrets, signWebhook, verifyWebhook, type WebhookVerdict } from "./notices/signature.ts";
export { slackMessage, type SlackMessage } from "./notices/slack.ts";
export { noticeWebhook, type NoticeWebhookOptions } from "./notices/webhook.ts";

export type { Actor } from "./governance/actor.ts";
export { sealEvents, verifyChain, createVerifier, type Verification, type Verifier } from "./governance/chain.ts";
export type { Command, Decision, Evidence } from "./governance/commands.ts";
export { decide } from "./governance/decide.ts";
export { diffConfigurations, type ConfigurationChange, type ConfigurationDiff } from "./governance/diff.ts";
export { stateAt, type Moment, type PastState } from "./governance/state-at.ts";
export { backtest, type BacktestedDecision } from "./governance/backtest.ts";
export { checkHistory, type HistoryVerification } from "./governance/check-history.ts";
export { archivable, archiveLines, removeArchived, type Archivable } from "./governance/retention.ts";
export { exportExperiment, type ExportOptions } from "./governance/export/export.ts";
export { importExperiment, type Imported, type ImportOptions } from "./governance/export/import.ts";
export { splitLines } from "./governance/export/lines.ts";
export type { Flaw } from "./governance/export/reader.ts";
export { verifyExport, type ExportVerification } from "./governance/export/verify.ts";
export { createSigner, readPublicKey, type Signer, type Verifying } from "./governance/signing.ts";
export { evolve, replay } from "./governance/evolve.ts";
export type { DomainEvent, EventRecord, EventType } from "./governance/events.ts";
export type { Telemetry } from "./governance/evidence.ts";
export { guardrailName, type GuardrailReading } from "./governance/guardrails.ts";
export type { CustomGate, CustomGates } from "./governance/custom-gates.ts";
export type { CustomGateVerdict } from "./governance/gates/judge.ts";
export {
  createGovernance,
  type By,
  type Governance,
  type GovernanceOptions,
  type Named,
} from "./governance/governance.ts";
export { GateSchema, type Gate, type GateInput } from "./governance/gates/schema.ts";
export {
  createGovernor,
  type CommandAnswer,
  type CommandRequest,
  type Governor,
  type GovernorOptions,
} from "./governance/governor.ts";
export {
  unregisteredPolicies,
  withRegisteredVersions,
  type CustomPolicies,
  type CustomPolicy,
  type CustomPolicyContext,
} from "./governance/policies/custom.ts";
export type { PolicyVerdict } from "./governance/policies/policy.ts";
export { PolicySchema, type Policy, type PolicyInput } from "./governance/policies/schema.ts";
export type { PolicySet } from "./governance/policy-set.ts";
export { publishRules, ruleOf } from "./governance/publish.ts";
export type { ExperimentState, Proposal } from "./governance/state.ts";
export type {
  Commit,
  CommitResult,
  GovernanceStore,
  Head,
  HistoryPage,
  ListPage,
  Loaded,
  Snapshot,
} from "./governance/store.ts";
export { results, type Results } from "./ledger/results.ts";
export type { LedgerCounts } from "./ledger/counts.ts";
export {
  type CustomStoreParameters,
  type CustomStores,
  openCustomStore,
  type OpenCustomStore,
} from "./config/custom-stores.ts";
export { defineDsl, formatErrors, loadDsl, type Dsl, type LocatedError } from "./config/index.ts";
