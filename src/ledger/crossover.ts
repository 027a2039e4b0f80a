/** A crossover as the Assignment event that reports it. */
import { sha256Hex } from "../canonical.ts";
import { schemaVersion } from "../events/envelope.ts";
import type { ExperimentRef } from "../scope.ts";
import type { VariantSeen } from "./subject.ts";

/** A subject that met another variant than its first. */
export interface Crossing {
  readonly subject: string;
  readonly previousVariant: string;
  readonly to: VariantSeen;
}

/** An Assignment envelope, with every member that a crossover has and no other: it leaves a Durable Object as it is. */
export interface CrossoverEvent {
  readonly eventId: string;
  readonly timestamp: string;
  readonly eventType: "Assignment";
  readonly schemaVersion: string;
  readonly payload: {
    readonly experimentName: string;
    readonly subjectId: string;
    readonly tenantId: string;
    readonly environment: string;
    /** Of the subject's first exposure. */
    readonly previousVariantKey: string;
    readonly newVariantKey: string;
    readonly changeReason: "crossover";
    readonly timestamp: string;
  };
}

export interface CrossoverPage {
  readonly events: readonly CrossoverEvent[];
  /** Go on after this; null at the end. */
  readonly next: number | null;
}

/** A UUID (RFC 9562, version 8) from a text: the same text names the same event, whoever makes it and however often. */
const uuidOf = (text: string): string => {
  const hex = sha256Hex(text);
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

/**
 * The Assignment event of one crossing. Its id follows from experiment, subject and new variant, so that one crossing
 * told twice is one event; its time is that of the earliest exposure to the new variant.
 */
export const crossoverEvent = (ref: ExperimentRef, { subject, previousVariant, to }: Crossing): CrossoverEvent => {
  const timestamp = new Date(to.time).toISOString();
  return {
    eventId: uuidOf(JSON.stringify([ref.tenant, ref.environment, ref.experiment, "crossover", subject, to.variant])),
    timestamp,
    eventType: "Assignment",
    schemaVersion,
    payload: {
      experimentName: ref.experiment,
      subjectId: subject,
      tenantId: ref.tenant,
      environment: ref.environment,
      previousVariantKey: previousVariant,
      newVariantKey: to.variant,
      changeReason: "crossover",
      timestamp,
    },
  };
};
