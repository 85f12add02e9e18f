import { isDeepStrictEqual } from "node:util";
import { ReadError } from "../../src/errors.ts";
import type { ServiceRead } from "../../src/model/adapter.ts";
import { type Service, type ServiceKey, serviceKey } from "../../src/model/service.ts";
import type { Intern } from "../intern.ts";
import type { RawService } from "./client/reply.ts";
import type { Look } from "./held-back.ts";
import { type MappingOptions, toService } from "./mapping.ts";
import { aliasesOf, meshName, type NacosName } from "./names.ts";

/** What is known of one service. */
export interface Entry {
  readonly name: NacosName;
  readonly key: ServiceKey;
  /** As Nacos says it now; `undefined` until it has said it, and "outside" where the operator's rules leave all of it out. */
  service?: Service | "outside";
  /** As it was told last. */
  told?: Service;
  /** Why it could not be read, or is not believed, the last time. */
  failure?: ReadError | undefined;
  /** The server's time of what is known. */
  atMs: number;
  /** Counts what was taken from pushes. */
  pushes: number;
  isSubscribed: boolean;
  /** performance.now() of the last question; pushes do not count. */
  verifiedAtMs: number;
  /** performance.now() since when it has no instance at all. */
  emptySinceMs?: number | undefined;
}

/** How entries become services. */
export interface EntryOptions extends MappingOptions {
  readonly registry: string;
  readonly namespace: string;
  readonly pool: Intern;
  /** Whether only one group is read. */
  readonly isOnlyGroup: boolean;
  /** Of the server, for people. */
  readonly source: string;
}

export function newEntry(name: NacosName, registry: string, namespace: string): Entry {
  const key = serviceKey(registry, namespace, meshName(name));
  return { name, key, atMs: 0, pushes: 0, isSubscribed: false, verifiedAtMs: Number.NEGATIVE_INFINITY };
}

/**
 * Take what the server says of a service.
 *
 * @returns Whether it is another than before, and how many of the endpoints that were told are lost by that.
 */
export function take(
  entry: Entry,
  raw: RawService,
  nowMs: number,
  options: EntryOptions,
): { readonly isChanged: boolean; readonly loss: "none" | "some" | "all" } {
  const { registry, namespace, source, pool, isOnlyGroup } = options;
  const before = { service: entry.service, failure: entry.failure?.message };
  entry.atMs = raw.atMs;
  entry.emptySinceMs = raw.hosts.length > 0 ? undefined : (entry.emptySinceMs ?? nowMs);
  entry.failure = raw.isProtected ? new ReadError("answer", PROTECTED) : undefined;
  const name = meshName(entry.name);
  const place = { registry, namespace, name, source: `${source}, namespace ${namespace}` };
  const aliases = aliasesOf(namespace, entry.name, isOnlyGroup);
  const made = toService(place, entry.name.name, raw.hosts, options, pool);
  const service = made === undefined ? ("outside" as const) : { ...made, aliases };
  if (!isDeepStrictEqual(service, entry.service)) entry.service = service;
  const isLoss = !raw.isProtected && typeof entry.service === "object" && lacks(entry.told, entry.service) > 0;
  const loss = !isLoss ? "none" : isEmpty(entry.service) ? "all" : "some";
  return { isChanged: before.service !== entry.service || before.failure !== entry.failure?.message, loss };
}

/** A read failed, or cannot be believed. @returns Whether that is new. */
export function fail(entry: Entry, failure: ReadError): boolean {
  const isNew = entry.failure?.message !== failure.message;
  entry.failure = failure;
  return isNew;
}

const PROTECTED = "so few instances are healthy that Nacos says of all that they are (protectThreshold of the service)";

/** What a snapshot says of an entry; `undefined` where it is not for the mesh. */
export function tell(
  entry: Entry,
  at: Pick<Look, "isGathering" | "isReturning"> & { readonly isSettling: boolean },
): ServiceRead | undefined {
  const { key, service, told } = entry;
  const failed = (cause: ReadError): ServiceRead => ({ state: "failed", key, cause });
  if (entry.failure !== undefined) return failed(entry.failure);
  if (service === undefined) return failed(new ReadError("connection", "it has not been read yet"));
  if (service === "outside") return undefined;
  const lost = lacks(told, service);
  if (lost > 0 && at.isSettling)
    return failed(
      new ReadError(
        "answer",
        `its server answers since a moment ago and lists ${lost} endpoints less, which may come back`,
      ),
    );
  if (lost > 0 && isEmpty(service) && at.isReturning)
    return failed(
      new ReadError("answer", "it lost its last instance together with other services, which mostly come back at once"),
    );
  if (told !== undefined && lost > 0 && at.isGathering) return { state: "ok", service: told };
  entry.told = service;
  return { state: "ok", service };
}

function isEmpty(service: Entry["service"]): boolean {
  return typeof service === "object" && service.endpoints.length === 0;
}

/** How many endpoints fewer than before a service has. */
function lacks(before: Service | undefined, { endpoints }: Service): number {
  return Math.max(0, (before?.endpoints.length ?? 0) - endpoints.length);
}
