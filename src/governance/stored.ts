/**
 * From stored text back to records. What is stored was written by this code and is guarded by the hash chain, so the
 * guards look at what tells one record from another and leave the insides to {@link file://./chain.ts verifyChain}.
 */
import { ProvisoError } from "../errors.ts";
import { parseState } from "../lifecycle.ts";
import { type EventRecord, eventTypes } from "./events.ts";
import { type ExperimentState, stateShape } from "./state.ts";

type Members = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isText = (value: unknown): value is string => typeof value === "string";

/** True for an event of the present schema. A newer schema is refused rather than misread. */
export const isEventRecord = (value: unknown): value is EventRecord =>
  isObject(value) &&
  value["v"] === 1 &&
  Number.isSafeInteger(value["seq"]) &&
  eventTypes.some((type) => type === value["type"]) &&
  isText(value["id"]) &&
  isText(value["at"]) &&
  !Number.isNaN(Date.parse(value["at"])) &&
  isObject(value["actor"]) &&
  isText(value["actor"]["ref"]) &&
  isObject(value["data"]) &&
  isText(value["prevHash"]) &&
  isText(value["hash"]);

const isVersion = (value: unknown): boolean =>
  isObject(value) && Number.isSafeInteger(value["version"]) && isObject(value["configuration"]);

/** True for a state that can be stored and read again. */
export const isExperimentState = (value: unknown): value is ExperimentState =>
  isObject(value) &&
  typeof value["shape"] === "number" &&
  value["shape"] <= stateShape &&
  isText(value["name"]) &&
  isText(value["lifecycle"]) &&
  parseState(value["lifecycle"]) === value["lifecycle"] &&
  isVersion(value["latest"]) &&
  (value["live"] === null || isVersion(value["live"])) &&
  Array.isArray(value["approved"]) &&
  Array.isArray(value["authorsSinceApproval"]) &&
  Array.isArray(value["written"]) &&
  Array.isArray(value["proposals"]) &&
  Array.isArray(value["schedule"]) &&
  isText(value["updatedAt"]);

/**
 * Members that came with later shapes. They make an older state one that can be read, and no more: `withCurrentShape`
 * sees its shape, and builds it from its history.
 */
const laterMembers = {
  shape: 1,
  liveSince: null,
  paused: null,
  servingSince: null,
  earlierPlans: [],
  written: [],
  claims: [],
  ramp: null,
  schedule: [],
  killed: { experiment: false, variants: [] },
  conclusion: null,
  frozen: null,
  signals: [],
  notified: [],
};

/** The same value with what a later shape has added, where it is a state of an older one. */
export const filled = (value: unknown): unknown => (isObject(value) ? { ...laterMembers, ...value } : value);

const read =
  <Value>(what: string, is: (value: unknown) => value is Value, fill: (value: unknown) => unknown = (same) => same) =>
  (text: string): Value => {
    const value: unknown = fill(JSON.parse(text));
    if (is(value)) return value;
    throw new ProvisoError("internal", `the store holds something that is not ${what} of this version of Proviso`);
  };

/** @throws ProvisoError `internal` when the text is not an event */
export const readEvent = read("an event", isEventRecord);

/** @throws ProvisoError `internal` when the text is not a state */
export const readState = read("a state", isExperimentState, filled);
