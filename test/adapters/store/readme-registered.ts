import { type CustomStores, formatErrors, loadDsl, openCustomStore } from "../../../src/index.ts";
import { type Bucket, bucketStore } from "./readme-store.ts";

/** By the names that configurations call them. */
const stores: CustomStores<Bucket> = { bucket: (_parameters, bucket) => bucketStore(bucket) };

export const openFrom = (text: string, bucket: Bucket) => {
  const loaded = loadDsl(text, { file: "proviso.yaml", environment: {} });
  if (!loaded.ok) throw new Error(formatErrors(loaded.errors));
  return openCustomStore(loaded.value.governance.persistence, stores, bucket);
};
