import type { Manifest } from "../../src/model/objects.ts";

/** As many requests at once as the kubernetes target has. */
export const IN_FLIGHT = 16;

/** Run `task` on every item, started in order, {@link IN_FLIGHT} at a time. @throws What the first failing one threw. */
export async function inFlight<Item>(items: readonly Item[], task: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (const item of left) await task(item);
    }),
  );
}

/** Where an object is created. */
export function pathOf({ kind, metadata: { namespace } }: Manifest): string {
  if (kind === "Service") return `/api/v1/namespaces/${namespace}/services`;
  const plural = kind === "ServiceEntry" ? "serviceentries" : "virtualservices";
  return `/apis/networking.istio.io/v1/namespaces/${namespace}/${plural}`;
}
