/** A store of one's own as a place. */
import { withCurrentShape } from "../../src/governance/current-shape.ts";
import { exportExperiment } from "../../src/governance/export/export.ts";
import { importExperiment } from "../../src/governance/export/import.ts";
import { createGovernance } from "../../src/governance/governance.ts";
import type { Signer } from "../../src/governance/signing.ts";
import type { GovernanceStore, ListPage } from "../../src/governance/store.ts";
import type { Place } from "./place.ts";

/** Who erases, as the history shows it: a person with access to the database. */
const operator = { id: "service:proviso-cli", kind: "service", roles: ["admin"] } as const;

async function* namesIn(store: GovernanceStore, scope: Parameters<Place["list"]>[0]): AsyncGenerator<string> {
  let cursor: string | null = null;
  do {
    const page: ListPage = await store.list(scope, { limit: 100, ...(cursor === null ? {} : { cursor }) });
    for (const { ref } of page.items) yield ref.experiment;
    cursor = page.next;
  } while (cursor !== null);
}

export const storePlace = (
  name: string,
  opened: GovernanceStore,
  close: () => Promise<void>,
  signer?: Signer,
): Place => {
  const store = withCurrentShape(opened);
  return {
    name,
    store,
    close,
    list: (scope) => namesIn(store, scope),
    export: (ref) => exportExperiment(store, ref, signer === undefined ? {} : { signer }),
    import: (lines, onProgress) => importExperiment(store, lines, onProgress === undefined ? {} : { onProgress }),
    erase: (scope, person, reason, after) =>
      createGovernance({ store }).eraseEverywhere(
        person,
        { actor: operator },
        { scope, ...(reason === undefined ? {} : { reason }), ...(after === undefined ? {} : { after }) },
      ),
  };
};
