import { type KubeClient, type KubeOperation, type KubeRequest, WRITE_TIMEOUT_MS } from "./client.ts";
import { hasStatus } from "./kube-error.ts";
import type { RawObject } from "./raw.ts";
import { collectionPath, objectPath, type Resource } from "./resources.ts";

/** One object, whether it is there or not. */
export interface ObjectRef {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
}

/** The very version of an object that a request is about. */
export interface ObjectVersion {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** `Service shop/orders`, for messages. */
export function refTitle({ resource, namespace, name }: ObjectRef): string {
  return `${resource.kind} ${namespace}/${name}`;
}

/** Create it: POST, never an apply, which would merge into somebody's live object of that name. */
export function createRequest(ref: ObjectRef, body: object, operation: KubeOperation): KubeRequest {
  const { apiVersion, kind } = ref.resource;
  return {
    method: "POST",
    path: collectionPath(ref.resource, ref.namespace),
    action: `create ${refTitle(ref)}`,
    body: { ...body, apiVersion, kind },
    operation,
  };
}

/** Merge `body` into it. `doing` is for messages: `renew`. */
export function patchRequest(ref: ObjectRef, body: object, operation?: KubeOperation, doing = "patch"): KubeRequest {
  return {
    method: "PATCH",
    path: pathOf(ref),
    action: `${doing} ${refTitle(ref)}`,
    body,
    ...(operation === undefined ? {} : { operation }),
  };
}

/** Delete that version of it and no other. */
export function deleteRequest(ref: ObjectRef, version: ObjectVersion, operation?: KubeOperation): KubeRequest {
  const { uid, resourceVersion } = version;
  return {
    method: "DELETE",
    path: pathOf(ref),
    action: `delete ${refTitle(ref)}`,
    body: {
      kind: "DeleteOptions",
      apiVersion: "v1",
      preconditions: { uid, resourceVersion },
      propagationPolicy: "Background",
    },
    ...(operation === undefined ? {} : { operation }),
  };
}

/** How to read an object. */
interface ReadOptions {
  /** Default 4 s, as it is read between writes. */
  readonly timeoutMs?: number;
  /** Which errors say that it is not there. Default: all with status 404. */
  readonly isMissing?: (error: unknown) => boolean;
}

/**
 * Read it; `undefined` when it is not there.
 *
 * @throws When it cannot be read.
 */
export async function readObject(
  client: KubeClient,
  ref: ObjectRef,
  { timeoutMs = WRITE_TIMEOUT_MS, isMissing = (error) => hasStatus(error, 404) }: ReadOptions = {},
): Promise<RawObject | undefined> {
  try {
    return (await client.request({
      method: "GET",
      path: pathOf(ref),
      action: `read ${refTitle(ref)}`,
      timeoutMs,
    })) as RawObject;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function pathOf({ resource, namespace, name }: ObjectRef): string {
  return objectPath(resource, namespace, name);
}
