/** The whole SDK of an application: what a browser has, and trials of objects and classes, shadows, and waiting for room. */
import {
  createExperiments as createSmallExperiments,
  type Experiments as SmallExperiments,
  type ExperimentsOptions as SmallOptions,
} from "../evaluation/experiments.ts";
import type { Attributes } from "../evaluation/targeting.ts";
import type { Assignment } from "../evaluation/assign.ts";
import type { EventSink } from "../events/sink.ts";
import { createBackpressure } from "./backpressure.ts";
import { exposureDecorator, type ExposureOptions } from "./decorator.ts";
import type { Subject } from "./identity.ts";
import { type Redaction, redactingSink } from "./redact.ts";
import { createFullTrial, type FullTrial, type MakeTrial, trialsOf, type Variants } from "./trial.ts";
import { type ExposingParts, type WithExposureOptions, wrapWithExposure } from "./with-exposure.ts";

export interface ExperimentsOptions extends SmallOptions {
  /**
   * Where a caller can wait (`withExposure`, asynchronous `@exposure`, the middleware), wait for room in a full buffer
   * instead of losing the exposure. Left out: nobody waits, what does not fit is dropped and counted.
   */
  readonly block?: { readonly blockMs?: number; readonly maxBlocked?: number };
  /** What is hidden of events before anything leaves this process. */
  readonly redact?: Redaction;
}

/** The experiments, for one subject. */
export interface BoundExperiments {
  /** Undefined where nobody is known: control everywhere, and nothing is recorded. */
  readonly subject: Subject | undefined;
  assign(experiment: string, attributes?: Attributes): Assignment;
  expose(experiment: string, attributes?: Attributes): Assignment;
  /** The implementation for this subject. */
  serve<T>(trial: FullTrial<T>, attributes?: Attributes): T;
}

export interface Experiments extends Omit<SmallExperiments, "trial"> {
  /**
   * Wraps functions, objects or classes, and uses the one that a subject is assigned to. Types stay as they are, methods
   * keep their own `this`, generators and promises are followed to their end.
   *
   * @example
   * const pay = experiments.trial("checkout", { control: payV1, treatment: payV2 });
   * const receipt = await pay.for("user-42", { country: "US" })(cart);
   */
  readonly trial: MakeTrial;
  /**
   * A function that finds its subject itself, from its arguments or from its context.
   *
   * @example
   * const pay = experiments.withExposure("checkout", { control: payV1, treatment: payV2 }, { subject: (cart) => cart.user });
   */
  withExposure<A extends readonly unknown[], R>(
    experiment: string,
    variants: Variants<(...args: A) => R>,
    options: WithExposureOptions<A>,
  ): (...args: A) => Promise<Awaited<R>>;
  /**
   * A decorator for methods.
   *
   * @example
   * class Checkout {
   *   @experiments.exposure("checkout", { variants: { treatment: "payV2" }, subject: (self, cart) => cart.user })
   *   pay(cart: Cart) { … }
   *   payV2(cart: Cart) { … }
   * }
   */
  exposure<This, A extends readonly unknown[], R>(
    experiment: string,
    options: ExposureOptions<This, A, R>,
  ): ReturnType<typeof exposureDecorator<This, A, R>>;
  /** Everything for one subject, e.g. that of a request. */
  bind(subject: Subject | undefined): BoundExperiments;
  /** Waits for room in a full buffer, as `block` says; true at once where nobody waits. */
  room(): Promise<boolean>;
  /** What the application hears of, too. */
  readonly report: (error: unknown) => void;
}

const redacted = (sink: EventSink, redact: Redaction | undefined): EventSink =>
  redact === undefined ? sink : redactingSink(sink, redact);

/**
 * @throws RangeError for a `sampling` outside its range
 * @example
 * const experiments = createExperiments({
 *   rules: httpRules({ url: "https://experiments.example" }),
 *   sink: httpSink({ url: "https://experiments.example" }),
 * });
 * await experiments.ready();
 */
export const createExperiments = ({ block, redact, ...options }: ExperimentsOptions): Experiments => {
  const { sink, now } = options;
  const small = createSmallExperiments({ ...options, ...(sink && { sink: redacted(sink, redact) }) });
  const backpressure =
    block === undefined || small.buffer === undefined
      ? undefined
      : createBackpressure({ buffer: small.buffer, ...block, ...(now && { now }) });
  const report = (error: unknown): void => {
    try {
      options.onError?.(error);
    } catch {
      // A reporter that fails has nowhere to report to.
    }
  };
  const room = (): Promise<boolean> => backpressure?.room() ?? Promise.resolve(true);
  const parts: ExposingParts = {
    trial: (experiment, variants, trialOptions) => createFullTrial(small, experiment, variants, trialOptions),
    room,
    report,
  };
  return {
    ...small,
    trial: trialsOf(small),
    withExposure: (experiment, variants, given) => wrapWithExposure(parts, experiment, variants, given),
    exposure: (experiment, given) => exposureDecorator(parts, experiment, given),
    bind(subject) {
      const id = subject?.id ?? "";
      const known = (attributes?: Attributes): Attributes => ({ ...subject?.attributes, ...attributes });
      return {
        subject,
        assign: (experiment, attributes) => small.assign(experiment, id, known(attributes)),
        expose: (experiment, attributes) => small.expose(experiment, id, known(attributes)),
        serve: (trial, attributes) => trial.for(id, known(attributes)),
      };
    },
    room,
    report,
  };
};
