/** Who is asked about: a subject and what is known of it, from wherever the application keeps that. */
import type { Attributes } from "../evaluation/targeting.ts";

export interface Subject {
  readonly id: string;
  readonly attributes?: Attributes;
}

/** An id alone will do. Undefined: nobody is known, so control is served and nothing is recorded. */
export type Identified = Subject | string | undefined;

/**
 * Finds the subject of a context: a request, the arguments of a call, whatever the application has. May look it up
 * somewhere; whatever goes wrong there makes nobody known.
 */
export type IdentityProvider<Context> = (context: Context) => Identified | Promise<Identified>;

/** As much of `AsyncLocalStorage` as is needed; Node, Workers and Deno have it, and this library imports none of them. */
export interface ContextStorage<Value> {
  getStore(): Value | undefined;
}

/**
 * The subject that the surrounding context is bound to: set once where a request comes in, known wherever it leads.
 *
 * @example
 * const storage = new AsyncLocalStorage<Subject>();
 * const subject = fromContext(storage);
 * await storage.run({ id: "user-42" }, () => handle(request)); // inside, `subject()` is user-42
 */
export const fromContext =
  (storage: ContextStorage<Identified>): (() => Identified) =>
  () =>
    storage.getStore();

/** The first provider that knows somebody. One that fails is reported, and the next is asked. */
export const firstOf =
  <Context>(
    providers: readonly IdentityProvider<Context>[],
    report: (error: unknown) => void = () => undefined,
  ): ((context: Context) => Promise<Subject | undefined>) =>
  async (context) => {
    for (const provider of providers) {
      try {
        const found = subjectOf(await provider(context));
        if (found !== undefined) return found;
      } catch (error) {
        report(error);
      }
    }
    return undefined;
  };

export const subjectOf = (identified: Identified): Subject | undefined =>
  typeof identified === "string" ? { id: identified } : identified;
