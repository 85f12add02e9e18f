import { MESH_KINDS, type ObjectKey } from "../model/objects.ts";
import type { WriteOutcome } from "../model/target.ts";
import { type KubeClient, WRITE_TIMEOUT_MS } from "./client.ts";
import { hasStatus, KubeStatusError } from "./kube-error.ts";
import { parseLease } from "./lease-record.ts";
import type { RawObject } from "./raw.ts";
import { objectPath, RESOURCES, type Resource } from "./resources.ts";

/** Labels and annotations to set, `null` for those to take off. */
export interface Marks {
  readonly labels?: Readonly<Record<string, string | null>>;
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/** What became of one object. */
export interface Handled {
  readonly outcome: Extract<WriteOutcome, "written" | "conflict" | "failed">;
  readonly error?: unknown;
}

/**
 * Single objects, whosever they are, in an operator's hands: passes never touch what is not ours. Each change is tied to the
 * very version that was read.
 */
export interface Hands {
  /**
   * `undefined` when it is not there.
   *
   * @throws When it cannot be read.
   */
  read(key: ObjectKey): Promise<RawObject | undefined>;
  /** Change its labels and annotations, and nothing else. */
  mark(key: ObjectKey, object: RawObject, marks: Marks): Promise<Handled>;
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

/** The hands of whoever runs a command, with the rights of `client`. */
export function createHands(client: KubeClient, namespace: string): Hands {
  async function read(resource: Resource, place: string, name: string): Promise<RawObject | undefined> {
    try {
      return (await client.request({
        method: "GET",
        path: objectPath(resource, place, name),
        action: `read ${resource.kind} ${place}/${name}`,
      })) as RawObject;
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async function send(
    method: "PATCH" | "DELETE",
    doing: string,
    resource: Resource,
    place: string,
    name: string,
    body: object,
  ): Promise<Handled> {
    try {
      await client.request({
        method,
        path: objectPath(resource, place, name),
        action: `${doing} ${resource.kind} ${place}/${name}`,
        body,
        timeoutMs: WRITE_TIMEOUT_MS,
        fieldManager: MANAGER,
      });
      return { outcome: "written" };
    } catch (error) {
      const hasMoved = error instanceof KubeStatusError && (error.status === 409 || error.status === 404);
      return { outcome: hasMoved ? "conflict" : "failed", error };
    }
  }

  const leaseOf = (owner: string) => [RESOURCES.Lease, namespace, `x2istio-${owner}`] as const;
  return {
    read: (key) => read(...partsOf(key)),
    mark: (key, { metadata }, { labels, annotations }) =>
      send("PATCH", "mark", ...partsOf(key), {
        metadata: {
          ...{ uid: metadata?.uid, resourceVersion: metadata?.resourceVersion },
          ...(labels === undefined ? {} : { labels }),
          ...(annotations === undefined ? {} : { annotations }),
        },
      }),
    async declare(key, annotations, manager) {
      const [resource, namespace, name] = partsOf(key);
      try {
        await client.request({
          method: "PATCH",
          path: `${objectPath(resource, namespace, name)}?force=false`,
          action: `set annotations of ${resource.kind} ${namespace}/${name}`,
          contentType: "application/apply-patch+yaml",
          // JSON is YAML.
          body: {
            ...{ apiVersion: resource.apiVersion, kind: resource.kind },
            metadata: { name, namespace, annotations },
          },
          timeoutMs: WRITE_TIMEOUT_MS,
          fieldManager: manager,
        });
        return { outcome: "written" };
      } catch (error) {
        return { outcome: hasStatus(error, 409) ? "conflict" : "failed", error };
      }
    },
    remove: (key, object) => send("DELETE", "delete", ...partsOf(key), deleteOptions(object)),
    async leaderOf(owner) {
      const raw = await read(...leaseOf(owner));
      if (raw === undefined) return undefined;
      const { holder, renewedMs, durationMs } = parseLease(raw);
      const isLive = renewedMs !== undefined && Math.abs(client.nowMs() - renewedMs) < durationMs;
      return holder !== "" && isLive ? holder : undefined;
    },
    async removeLease(owner) {
      const raw = await read(...leaseOf(owner));
      return raw === undefined
        ? { outcome: "written" }
        : send("DELETE", "delete", ...leaseOf(owner), deleteOptions(raw));
    },
  };
}

function deleteOptions({ metadata }: RawObject): object {
  return {
    kind: "DeleteOptions",
    apiVersion: "v1",
    preconditions: { uid: metadata?.uid, resourceVersion: metadata?.resourceVersion },
    propagationPolicy: "Background",
  };
}

function partsOf(key: ObjectKey): readonly [Resource, string, string] {
  const [first, namespace = "", name = ""] = key.split("/");
  const kind = MESH_KINDS.find((one) => one === first);
  if (kind === undefined || name === "")
    throw new Error(`Cannot find "${key}" as an object is named <kind>/<namespace>/<name>`);
  return [RESOURCES[kind], namespace, name];
}
