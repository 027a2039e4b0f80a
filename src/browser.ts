/** `proviso/browser`: evaluation with trials, exposures and outcomes, without governance. A test holds its size. */
export * from "./evaluate.ts";
export {
  createExperiments,
  type Experiments,
  type ExperimentsHealth,
  type ExperimentsOptions,
} from "./evaluation/experiments.ts";
export { flushWhenHidden, type PageOptions } from "./exposure/page.ts";
export type { Implementations, Trial, TrialOptions } from "./evaluation/trial.ts";
