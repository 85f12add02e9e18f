import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { directoryTarget } from "../../src/directory/directory.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  OWNER_LABEL,
  objectKey,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
} from "../../src/model/objects.ts";
import type { Change } from "../../src/model/plan.ts";
import type { Target, WriteOptions } from "../../src/model/target.ts";

/** Writing is allowed, and nothing ends it. */
export const options: WriteOptions = { signal: new AbortController().signal, mayWrite: () => true };

/** Name and place of an object of ours. */
export const metadata = (name: string, namespace: string, service: string) => ({
  name,
  namespace,
  labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "east", [REGISTRY_LABEL]: "vms" },
  annotations: { [SERVICE_ANNOTATION]: service },
});

/** The entry of a service of registry `vms`. */
export function entry(name: string, addresses: readonly string[] = ["10.1.4.7"]): Manifest {
  const host = `${name}.shop.vms.mesh.internal`;
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: metadata(host, "mesh-services", `vms/shop/${name}`),
    spec: {
      hosts: [host],
      addresses: ["240.241.0.7"],
      ports: [{ name: "http", number: 8080, protocol: "HTTP" }],
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      endpoints: addresses.map((address) => ({ address })),
    },
  };
}

/** The entry that stands beside it for legacy names. */
export const companion = (name: string): Manifest =>
  ({
    ...entry(name),
    metadata: metadata(`${name}.shop.vms.mesh.internal-legacy`, "mesh-services", `vms/shop/${name}`),
  }) as Manifest;

/** The VirtualService of its legacy names. */
export const route = (name: string): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind: "VirtualService",
  metadata: metadata(`${name}.shop.vms.mesh.internal`, "mesh-services", `vms/shop/${name}`),
  spec: {
    hosts: [`${name}.shop.vms.mesh.internal`, `${name}.corp.example.com`],
    http: [
      {
        match: [{ port: 8080 }],
        route: [{ destination: { host: `${name}.shop.vms.mesh.internal`, port: { number: 8080 } } }],
      },
    ],
  },
});

/** Its alias in a namespace. */
export const alias = (name: string, namespace = "shop"): Manifest => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: metadata(name, namespace, `vms/shop/${name}`),
  spec: {
    type: "ExternalName",
    externalName: `${name}.shop.vms.mesh.internal`,
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  },
});

/** Its key in the state. */
export const keyOf = ({ kind, metadata: { namespace, name } }: Manifest) => objectKey(kind, namespace, name);
const owned = (manifest: Manifest) => ({
  key: keyOf(manifest),
  service: manifest.metadata.annotations?.[SERVICE_ANNOTATION] ?? "",
  registry: "vms",
  manifest,
});
/** A new object. */
export const create = (manifest: Manifest): Change => ({ kind: "create", object: owned(manifest) });
/** The object as it stands; the test fails if it does not. */
export const standingOf = (target: Target, manifest: Manifest) =>
  target.standing().objects.get(keyOf(manifest)) ?? assert.fail(`${keyOf(manifest)} does not stand`);
/** A change of what stands. */
export const update = (target: Target, manifest: Manifest): Change => ({
  kind: "update",
  object: owned(manifest),
  standing: standingOf(target, manifest),
});
/** What stands is to go. */
export const remove = (target: Target, manifest: Manifest): Change => ({
  kind: "delete",
  standing: standingOf(target, manifest),
  why: "gone for 1h",
});
/** Where the objects of a service stand. */
export const fileOf = (path: string, name: string) =>
  join(path, "mesh-services", `${name}.shop.vms.mesh.internal.yaml`);

/** A folder for one test, and the targets that are opened on it. */
export interface World {
  /** The target's folder; it does not exist yet. */
  readonly path: string;
  readonly warnings: unknown[];
  open(how?: { readonly watch?: boolean; readonly owner?: string }): Promise<Target>;
}

/** Work in a folder that is removed afterwards. */
export async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "x2istio-directory-"));
  const path = join(folder, "out");
  const abort = new AbortController();
  const warnings: unknown[] = [];
  const open = async ({ watch = false, owner = "east" } = {}) => {
    const target = directoryTarget({
      path,
      owner,
      ledgerNamespace: "mesh-services",
      log: { warn: (fields: unknown) => warnings.push(fields) },
    });
    await target.start({ watch, signal: abort.signal });
    return target;
  };
  try {
    await work({ path, warnings, open });
  } finally {
    abort.abort();
    await rm(folder, { recursive: true });
  }
}

/** Write, and give `<kind> <outcome>` of each change. */
export async function outcomes(target: Target, changes: readonly Change[], how = options): Promise<string[]> {
  const { results } = await target.write(changes, how);
  const keyOfChange = (change: Change) => (change.kind === "create" ? change.object.key : change.standing.key);
  return changes
    .map((change) => results.find((result) => result.change === change)?.outcome ?? "lost")
    .map((outcome, index) => `${keyOfChange(changes[index] as Change).split("/")[0]} ${outcome}`);
}

/** All files below a folder, sorted. */
export async function allFiles(path: string): Promise<string[]> {
  const found = await readdir(path, { recursive: true, withFileTypes: true });
  return found
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name).slice(path.length + 1))
    .sort();
}

/** Do `work` and wait until the target has seen it. */
export async function changed(target: Target, work: () => Promise<unknown>): Promise<void> {
  const version = target.version();
  await work();
  await target.waitForChange(version, AbortSignal.timeout(60_000));
}

/** An entry that somebody else wrote, as YAML. */
export const foreignEntry =
  "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: theirs, namespace: mesh-services}\nspec: {hosts: [theirs.example.org], addresses: [240.241.0.9, 10.0.0.0/8]}\n";
