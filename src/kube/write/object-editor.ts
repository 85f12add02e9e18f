import { MESH_KINDS, type ObjectKey, objectKey } from "../../model/objects.ts";
import type { WriteOutcome } from "../../model/target.ts";
import { type KubeClient, type KubeRequest, READ_TIMEOUT_MS, WRITE_TIMEOUT_MS } from "../client/client.ts";
import { hasStatus } from "../client/kube-error.ts";
import { listAll } from "../client/list.ts";
import {
  createRequest,
  deleteRequest,
  type ObjectRef,
  patchRequest,
  readObject,
  refTitle,
} from "../client/object-requests.ts";
import type { RawObject } from "../client/raw.ts";
import { collectionPath, objectPath, RESOURCES } from "../client/resources.ts";
import { leaseName, parseLease } from "../lease/lease-record.ts";
import { isHeldLive } from "../lease/lease-state.ts";

/** Labels and annotations to set, and fields of the spec, `null` for those to take off. */
export interface Marks {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly labels?: Readonly<Record<string, string | null>>;
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/** What became of one object. */
export interface Handled {
  readonly outcome: Extract<WriteOutcome, "written" | "conflict" | "failed">;
  readonly error?: unknown;
}

/**
 * Edits single objects, whosever they are, for an operator: passes never touch what is not ours. Each change is tied to the
 * very version that was read.
 */
export interface ObjectEditor {
  /**
   * `undefined` when it is not there.
   *
   * @throws When it cannot be read.
   */
  read(key: ObjectKey): Promise<RawObject | undefined>;
  /**
   * Entries of all namespaces that have these labels.
   *
   * @throws When they cannot be listed.
   */
  entries(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ReadonlyMap<ObjectKey, RawObject>>;
  /** Change its labels and annotations, and with `spec` these fields of that, and nothing else. */
  mark(key: ObjectKey, object: RawObject, marks: Marks): Promise<Handled>;
  /** Make an object that is not there; one that is there is a conflict. */
  create(key: ObjectKey, object: Pick<RawObject, "metadata" | "spec">): Promise<Handled>;
  remove(key: ObjectKey, object: RawObject): Promise<Handled>;
  /**
   * Own annotations of an object by server-side apply, as field manager `manager`, and nothing else of it; those that it owned and
   * that are not named are taken off. What somebody else owns is a conflict, and stays.
   */
  declare(key: ObjectKey, annotations: Readonly<Record<string, string>>, manager: string): Promise<Handled>;
  /**
   * The process of another owner that writes now, if there is one.
   *
   * @throws When its Lease cannot be read.
   */
  leaderOf(owner: string): Promise<string | undefined>;
  /** Delete the Lease of an owner that writes no more. */
  removeLease(owner: string): Promise<Handled>;
}

/** Marks of an operator are no writes of the controller's. */
const MANAGER = "x2istio-cli";

/** With the rights of `client`, those of whoever runs a command. */
export function createObjectEditor(client: KubeClient, namespace: string): ObjectEditor {
  const leaseOf = (owner: string) => ({ resource: RESOURCES.Lease, namespace, name: leaseName(owner) });
  return {
    read: (key) => read(client, refOf(key)),
    entries: (labels, signal) => entries(client, labels, signal),
    mark: (key, object, marks) => mark(client, refOf(key), object, marks),
    create(key, { metadata, spec }) {
      const ref = refOf(key);
      return send(
        client,
        createRequest(ref, { metadata: { ...metadata, namespace: ref.namespace, name: ref.name }, spec }, "create"),
      );
    },
    declare: (key, annotations, manager) => applyAnnotations(client, refOf(key), annotations, manager),
    remove: (key, object) => remove(client, refOf(key), object),
    async leaderOf(owner) {
      const raw = await read(client, leaseOf(owner));
      if (raw === undefined) return undefined;
      const record = parseLease(raw);
      return isHeldLive({ identity: "" }, record, client.nowMs()) ? record.holder : undefined;
    },
    async removeLease(owner) {
      const raw = await read(client, leaseOf(owner));
      return raw === undefined ? { outcome: "written" } : remove(client, leaseOf(owner), raw);
    },
  };
}

function read(client: KubeClient, ref: ObjectRef): Promise<RawObject | undefined> {
  return readObject(client, ref, { timeoutMs: READ_TIMEOUT_MS });
}

async function entries(
  client: KubeClient,
  labels: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ReadonlyMap<ObjectKey, RawObject>> {
  const found = new Map<ObjectKey, RawObject>();
  const words = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  await listAll(client, {
    path: collectionPath(RESOURCES.ServiceEntry),
    query: { labelSelector: words.join() },
    ...{ title: `ServiceEntries with ${words.join(" and ")}`, pageSize: 500, signal },
    onBegin: () => found.clear(),
    onItem(raw) {
      const { namespace = "", name = "" } = raw.metadata ?? {};
      found.set(objectKey("ServiceEntry", namespace, name), raw);
    },
  });
  return found;
}

function mark(client: KubeClient, ref: ObjectRef, { metadata }: RawObject, marks: Marks): Promise<Handled> {
  const { labels, annotations, spec } = marks;
  const body = {
    metadata: {
      ...{ uid: metadata?.uid, resourceVersion: metadata?.resourceVersion },
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    ...(spec === undefined ? {} : { spec }),
  };
  return send(client, patchRequest(ref, body, undefined, "mark"));
}

function remove(client: KubeClient, ref: ObjectRef, { metadata = {} }: RawObject): Promise<Handled> {
  return send(client, deleteRequest(ref, metadata));
}

async function send(client: KubeClient, request: KubeRequest): Promise<Handled> {
  try {
    await client.request({ ...request, timeoutMs: WRITE_TIMEOUT_MS, fieldManager: MANAGER });
    return { outcome: "written" };
  } catch (error) {
    return { outcome: hasStatus(error, 409) || hasStatus(error, 404) ? "conflict" : "failed", error };
  }
}

async function applyAnnotations(
  client: KubeClient,
  ref: ObjectRef,
  annotations: Readonly<Record<string, string>>,
  manager: string,
): Promise<Handled> {
  const { namespace, name } = ref;
  const { apiVersion, kind } = ref.resource;
  try {
    await client.request({
      method: "PATCH",
      path: `${objectPath(ref.resource, namespace, name)}?force=false`,
      action: `set annotations of ${refTitle(ref)}`,
      contentType: "application/apply-patch+yaml",
      // JSON is YAML.
      body: { apiVersion, kind, metadata: { name, namespace, annotations } },
      timeoutMs: WRITE_TIMEOUT_MS,
      fieldManager: manager,
    });
    return { outcome: "written" };
  } catch (error) {
    return { outcome: hasStatus(error, 409) ? "conflict" : "failed", error };
  }
}

function refOf(key: ObjectKey): ObjectRef {
  const [first, namespace = "", name = ""] = key.split("/");
  const kind = MESH_KINDS.find((one) => one === first);
  if (kind === undefined || name === "")
    throw new Error(`Cannot find "${key}" as an object is named <kind>/<namespace>/<name>`);
  return { resource: RESOURCES[kind], namespace, name };
}
