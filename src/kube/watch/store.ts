import { objectKey } from "../../model/objects.ts";
import type { RawObject } from "../client/raw.ts";

/** Where the objects of one resource end up. */
export interface Store {
  /** Name of an object in this store; `undefined` when it does not belong in it. */
  keyOf(raw: RawObject): string | undefined;
  /** Keep a projection of the object; tells whether that changed anything. */
  put(key: string, raw: RawObject): boolean;
  /** Tells whether there was such an object. */
  drop(key: string): boolean;
  keys(): Iterable<string>;
}

/** Names objects of a kind that has namespaces by {@link objectKey}. */
export function namespacedKey(kind: string): Store["keyOf"] {
  return ({ metadata }) =>
    metadata?.name === undefined || metadata.namespace === undefined
      ? undefined
      : objectKey(kind, metadata.namespace, metadata.name);
}
