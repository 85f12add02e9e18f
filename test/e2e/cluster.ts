import assert from "node:assert/strict";
import type { Kube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";

/** An object as the API server shows it. */
export interface Live<Spec = Readonly<Record<string, unknown>>> {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Spec;
  readonly data?: Readonly<Record<string, string>>;
}

/** A ServiceEntry's spec, as far as the tests look at it. */
export interface EntrySpec {
  readonly hosts: readonly string[];
  readonly addresses?: readonly string[];
  readonly resolution?: string;
  readonly endpoints?: readonly { readonly address: string }[];
}

export const MESH = "mesh-services";
export const SHOP = "shop";
const ISTIO = "/apis/networking.istio.io/v1";

export const entriesPath = (namespace = MESH) => `${ISTIO}/namespaces/${namespace}/serviceentries`;
export const routesPath = `${ISTIO}/namespaces/${MESH}/virtualservices`;
export const servicesPath = (namespace = SHOP) => `/api/v1/namespaces/${namespace}/services`;
export const configMapsPath = `/api/v1/namespaces/${MESH}/configmaps`;
export const eventsPath = (namespace = SHOP) => `/api/v1/namespaces/${namespace}/events`;
export const leasePath = (owner = "east") => `/apis/coordination.k8s.io/v1/namespaces/${MESH}/leases/x2istio-${owner}`;

/** The items of a list, by name. */
export async function list<Spec = Readonly<Record<string, unknown>>>(
  kube: Kube,
  path: string,
): Promise<Map<string, Live<Spec>>> {
  const { status, body } = await kube.request<{ readonly items: readonly Live<Spec>[] }>("GET", path);
  assert.equal(status, 200, `GET ${path}: ${JSON.stringify(body)}`);
  return new Map(body.items.map((item) => [item.metadata.name, item]));
}

/** All ServiceEntries of a namespace, by name, which is their host. */
export function entries(kube: Kube, namespace?: string): Promise<Map<string, Live<EntrySpec>>> {
  return list<EntrySpec>(kube, entriesPath(namespace));
}

/** One object; `undefined` when it is not there. */
export async function get(kube: Kube, path: string): Promise<Live | undefined> {
  const { status, body } = await kube.request<Live>("GET", path);
  if (status === 404) return undefined;
  assert.equal(status, 200, `GET ${path}: ${JSON.stringify(body)}`);
  return body;
}

/** Delete everything in these collections. */
export async function wipe(kube: Kube, ...paths: readonly string[]): Promise<void> {
  for (const path of paths)
    for (const name of (await list(kube, path)).keys()) await admin(kube, "DELETE", `${path}/${name}`);
}

/** Send a write as administrator; any answer but success fails the test. */
export async function admin(
  kube: Kube,
  method: "POST" | "PATCH" | "DELETE",
  path: string,
  body?: object,
): Promise<Live> {
  const answer = await kube.request<Live>(method, path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Endpoint addresses of a ServiceEntry, sorted. */
export function endpointsOf(entry: Live<EntrySpec> | undefined): readonly string[] | undefined {
  return entry === undefined ? undefined : (entry.spec.endpoints ?? []).map(({ address }) => address).sort();
}

/** Wait until the entry of `host` has just these endpoints; the time it took, in milliseconds. */
export async function untilEndpoints(
  kube: Kube,
  host: string,
  addresses: readonly string[],
  timeoutMs?: number,
): Promise<number> {
  const started = performance.now();
  await until(
    `${host} has the endpoints ${addresses.join()}`,
    async () => endpointsOf((await entries(kube)).get(host))?.join() === [...addresses].sort().join(),
    timeoutMs,
  );
  return Math.round(performance.now() - started);
}

/** VIPs by host. @throws When two hosts share one, whoever owns them. */
export function vipsOf(standing: ReadonlyMap<string, Live<EntrySpec>>): Map<string, string> {
  const holders = new Map<string, string>();
  const vips = new Map<string, string>();
  for (const { spec } of standing.values()) {
    const [host = ""] = spec.hosts;
    const [vip = ""] = spec.addresses ?? [];
    assert.notEqual(vip, "", `${host} has no VIP`);
    assert.equal(holders.get(vip), undefined, `${host} shares VIP ${vip}`);
    holders.set(vip, host);
    vips.set(host, vip);
  }
  return vips;
}

/** The VIP ledger: `<host> <owner> <state> …` by IPv4 address. */
export async function ledgerLines(kube: Kube): Promise<Map<string, string>> {
  const lines = new Map<string, string>();
  for (const [name, { data }] of await list(kube, configMapsPath)) {
    if (!name.startsWith("x2istio-vips-")) continue;
    for (const [address, line] of Object.entries(data ?? {})) lines.set(address.replaceAll("-", "."), line);
  }
  return lines;
}

/** Who holds the Lease; `undefined` when nobody does. */
export async function leader(kube: Kube, owner?: string): Promise<string | undefined> {
  const holder = (await get(kube, leasePath(owner)))?.spec.holderIdentity;
  return typeof holder === "string" && holder !== "" ? holder : undefined;
}

/** Wait until the API server writes nothing of its own any more, so that every write counted from then on is somebody's. */
export async function quiet(kube: Kube): Promise<void> {
  let before = "";
  let sinceMs = Date.now();
  await until("the API server has come to rest", async () => {
    const now = JSON.stringify(await kube.writeCount());
    if (now !== before) sinceMs = Date.now();
    before = now;
    return Date.now() - sinceMs > 1500;
  });
}

const MESH_OBJECTS = /^\S+ (?:serviceentries|virtualservices)\.networking\.istio\.io$|^\S+ services$/;

/** Of counted writes, those of ServiceEntries, VirtualServices and Services, and all else but Leases. */
export function split(counts: Readonly<Record<string, number>>): {
  readonly mesh: number;
  readonly other: Readonly<Record<string, number>>;
} {
  const all = Object.entries(counts);
  const isLease = (key: string) => / leases\.coordination\.k8s\.io$/.test(key);
  return {
    mesh: all.filter(([key]) => MESH_OBJECTS.test(key)).reduce((sum, [, count]) => sum + count, 0),
    other: Object.fromEntries(all.filter(([key]) => !MESH_OBJECTS.test(key) && !isLease(key))),
  };
}
