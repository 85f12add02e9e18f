import { type KubeClient, WRITE_TIMEOUT_MS } from "./client.ts";
import { hasStatus } from "./kube-error.ts";
import type { RawObject } from "./raw.ts";
import { collectionPath, objectPath, RESOURCES } from "./resources.ts";

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
  const { apiVersion, kind } = RESOURCES.Lease;
  const path = objectPath(RESOURCES.Lease, namespace, name);
  const subject = `Lease ${namespace}/${name}`;
  return {
    async read() {
      try {
        return (await client.request({
          method: "GET",
          path,
          action: `read ${subject}`,
          timeoutMs: WRITE_TIMEOUT_MS,
        })) as RawObject;
      } catch (error) {
        if (hasStatus(error, 404)) return undefined;
        throw error;
      }
    },
    async create(spec) {
      const body = { apiVersion, kind, metadata: { name, namespace }, spec };
      const collection = collectionPath(RESOURCES.Lease, namespace);
      return (await client.request({
        method: "POST",
        path: collection,
        action: `create ${subject}`,
        body,
        operation: "lease",
      })) as RawObject;
    },
    async patch(doing, body) {
      return (await client.request({
        method: "PATCH",
        path,
        action: `${doing} ${subject}`,
        body,
        operation: "lease",
      })) as RawObject;
    },
  };
}
