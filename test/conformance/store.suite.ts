/**
 * What every governance store must do. An adapter's test gives it a store and the ways past that store's own door:
 * `describeStore("d1", makeStore)`. `stores-complete.test.ts` fails for an adapter without that call.
 */
import { describe } from "vitest";
import { attackCases } from "./store/attacks.ts";
import { claimCases } from "./store/claims.ts";
import { commitCases } from "./store/commits.ts";
import { historyCases } from "./store/history.ts";
import { limitCases } from "./store/limits.ts";
import { listCases } from "./store/list.ts";
import { modelCases } from "./store/model.ts";
import { nameCases } from "./store/names.ts";
import { personalCases } from "./store/personal.ts";
import { positionCases } from "./store/positions.ts";
import { receiptCases } from "./store/receipts.ts";
import { retentionCases } from "./store/retention.ts";
import { ruleCases } from "./store/rules.ts";
import type { MakeStore } from "./store/under-test.ts";
import { valueCases } from "./store/values.ts";

export type { Attack, MakeStore, StoreUnderTest } from "./store/under-test.ts";

/** @param makeStore called once for each case; the stores it gives may share a database */
export const describeStore = (name: string, makeStore: MakeStore): void => {
  describe(`store ${name}`, () => {
    commitCases(makeStore);
    attackCases(makeStore);
    claimCases(makeStore);
    receiptCases(makeStore);
    personalCases(makeStore);
    ruleCases(makeStore);
    positionCases(makeStore);
    retentionCases(makeStore);
    valueCases(makeStore);
    nameCases(makeStore);
    historyCases(makeStore);
    listCases(makeStore);
    limitCases(makeStore);
    modelCases(makeStore);
  });
};
