/** Functions that find out by themselves who is asking: the subject comes from the arguments, or from the context. */
import type { Attributes } from "../evaluation/targeting.ts";
import { type Identified, type Subject, subjectOf } from "./identity.ts";
import type { FullTrial, FullTrialOptions, Variants } from "./trial.ts";

/** What the functions below need of `createExperiments`. */
export interface ExposingParts {
  trial<A extends readonly unknown[], R>(
    experiment: string,
    variants: Variants<(...args: A) => R>,
    options?: FullTrialOptions,
  ): FullTrial<(...args: A) => R>;
  /** Waits for room in the buffer where that is wanted; false when there was none in time. */
  room(): Promise<boolean>;
  /** Hears of identity providers that fail. */
  readonly report: (error: unknown) => void;
}

export type WithExposureOptions<A extends readonly unknown[]> = FullTrialOptions & {
  /** The subject of a call. One that fails, or knows nobody, means control, and no exposure. */
  readonly subject: (...args: A) => Identified | Promise<Identified>;
  /** What is known of the subject besides what its provider says. */
  readonly attributes?: (...args: A) => Attributes;
};

/** The subject as far as a provider knows it. Its own failure must not become the application's. */
export const identify = async (
  ask: () => Identified | Promise<Identified>,
  report: (error: unknown) => void,
): Promise<Subject | undefined> => {
  try {
    return subjectOf(await ask());
  } catch (error) {
    report(error);
    return undefined;
  }
};

/** An empty id is nobody: it is assigned control, and never recorded. */
export const nobody = "";

export const wrapWithExposure = <A extends readonly unknown[], R>(
  parts: ExposingParts,
  experiment: string,
  variants: Variants<(...args: A) => R>,
  { subject, attributes, ...options }: WithExposureOptions<A>,
): ((...args: A) => Promise<Awaited<R>>) => {
  const trial = parts.trial(experiment, variants, options);
  return async (...args): Promise<Awaited<R>> => {
    const found = await identify(() => subject(...args), parts.report);
    await parts.room();
    const known = attributes === undefined ? found?.attributes : { ...found?.attributes, ...attributes(...args) };
    const answer: Awaited<R> = await trial.for(found?.id ?? nobody, known)(...args);
    return answer;
  };
};
