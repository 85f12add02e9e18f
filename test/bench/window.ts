import type { AuditEvent } from "../servers/kube-writes.ts";

/** What the API server's audit log says of one run. Times are milliseconds since the epoch. */
export interface Window {
  /** The first write of any kind but a Lease's was received. */
  readonly beganMs: number;
  /** The first mesh object was received; the last was answered. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Mesh objects created. */
  readonly objects: number;
  readonly entries: number;
  readonly objectsPerSecond: number;
  readonly entriesPerSecond: number;
  /** All other writes, by resource. */
  readonly others: Readonly<Record<string, number>>;
}

const MESH = new Set(["serviceentries", "virtualservices", "services"]);

/** Look at what was written between two times. */
export function windowOf(events: readonly AuditEvent[], startMs: number, endMs: number): Window {
  const done = events
    .filter(({ stage }) => stage === "ResponseComplete")
    .map((event) => ({
      resource: event.objectRef?.resource ?? "",
      isOk: event.responseStatus?.code === 201,
      isOurs: !event.user.username.startsWith("system:apiserver"),
      receivedMs: msOf(event.requestReceivedTimestamp),
      answeredMs: msOf(event.stageTimestamp),
    }))
    .filter(({ receivedMs, isOurs }) => isOurs && receivedMs >= startMs && receivedMs <= endMs);
  const mesh = done.filter(({ resource, isOk }) => MESH.has(resource) && isOk);
  const entries = mesh.filter(({ resource }) => resource === "serviceentries");
  const others = Object.groupBy(
    done.filter((write) => !mesh.includes(write)),
    ({ resource }) => resource,
  );
  return {
    beganMs: least(done.filter(({ resource }) => resource !== "leases").map(({ receivedMs }) => receivedMs)),
    firstMs: least(mesh.map(({ receivedMs }) => receivedMs)),
    lastMs: -least(mesh.map(({ answeredMs }) => -answeredMs)),
    objects: mesh.length,
    entries: entries.length,
    objectsPerSecond: rateOf(mesh),
    entriesPerSecond: rateOf(entries),
    others: Object.fromEntries(Object.entries(others).map(([resource, writes]) => [resource, writes?.length ?? 0])),
  };
}

function rateOf(writes: readonly { readonly receivedMs: number; readonly answeredMs: number }[]): number {
  const first = least(writes.map(({ receivedMs }) => receivedMs));
  const last = -least(writes.map(({ answeredMs }) => -answeredMs));
  return (writes.length / (last - first)) * 1000;
}

function least(values: readonly number[]): number {
  return values.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY);
}

/** The log has microseconds, which Date does not. */
function msOf(time: string): number {
  const [, fraction = "0"] = /\.(\d+)Z$/.exec(time) ?? [];
  return Date.parse(time.replace(/\.\d+Z$/, "Z")) + Number(`0.${fraction}`) * 1000;
}
