/**
 * `proviso/evaluate`: evaluation and exposure alone, for browsers and the edge. No governance, no schema library; a
 * test bundles this file and holds its size.
 */
export {
  compileRule,
  type Assign,
  type Assignment,
  type AssignmentErrorCode,
  type AssignmentReason,
  type Enrolled,
} from "./evaluation/assign.ts";
export { bucket, hashVersion, type BucketPurpose } from "./evaluation/bucket.ts";
export { parseRuleSet, type ParsedRules, type UnreadableRule } from "./evaluation/parse-rules.ts";
export {
  bucketCount,
  ruleSetVersion,
  type ExperimentRule,
  type RuleSet,
  type VariantRule,
} from "./evaluation/rule-set.ts";
export {
  assignFrom,
  httpRules,
  staticRules,
  type CompiledRules,
  type HttpRulesOptions,
  type RuleSource,
  type RulesState,
  type RulesStatus,
} from "./evaluation/rules.ts";
export { compileTargeting, type Attributes, type Predicate } from "./evaluation/targeting.ts";
