import type { KubeClient } from "../client/client.ts";
import { createRequest, patchRequest, readObject } from "../client/object-requests.ts";
import type { RawObject } from "../client/raw.ts";
import { RESOURCES } from "../client/resources.ts";

/** One Lease and the requests about it; each ends within 4 s. */
export interface LeaseApi {
  /** `undefined` when there is none. */
  read(): Promise<RawObject | undefined>;
  create(spec: object): Promise<RawObject>;
  /** Merge `body` into it; `doing` is for messages: `renew`. */
  patch(doing: string, body: object): Promise<RawObject>;
}

/** Address one Lease. */
export function leaseApi(client: KubeClient, namespace: string, name: string): LeaseApi {
  const ref = { resource: RESOURCES.Lease, namespace, name };
  return {
    read: () => readObject(client, ref),
    async create(spec) {
      const request = createRequest(ref, { metadata: { name, namespace }, spec }, "lease");
      return (await client.request(request)) as RawObject;
    },
    async patch(doing, body) {
      return (await client.request(patchRequest(ref, body, "lease", doing))) as RawObject;
    },
  };
}
