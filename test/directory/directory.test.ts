import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { directoryTarget } from "../../src/directory/directory.ts";
import { ConflictError } from "../../src/errors.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  OWNER_LABEL,
  objectKey,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
  type ServiceEntry,
} from "../../src/model/objects.ts";
import type { Change } from "../../src/model/plan.ts";
import type { Target, WriteOptions } from "../../src/model/target.ts";
import { buildNameTable } from "../../src/plan/name-table.ts";

const options: WriteOptions = { signal: new AbortController().signal, mayWrite: () => true };

const metadata = (name: string, namespace: string, service: string) => ({
  name,
  namespace,
  labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "east", [REGISTRY_LABEL]: "vms" },
  annotations: { [SERVICE_ANNOTATION]: service },
});

function entry(name: string, addresses: readonly string[] = ["10.1.4.7"]): Manifest {
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

const companion = (name: string): Manifest =>
  ({
    ...entry(name),
    metadata: metadata(`${name}.shop.vms.mesh.internal-legacy`, "mesh-services", `vms/shop/${name}`),
  }) as Manifest;

const route = (name: string): Manifest => ({
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

const alias = (name: string, namespace = "shop"): Manifest => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: metadata(name, namespace, `vms/shop/${name}`),
  spec: {
    type: "ExternalName",
    externalName: `${name}.shop.vms.mesh.internal`,
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  },
});

const keyOf = ({ kind, metadata: { namespace, name } }: Manifest) => objectKey(kind, namespace, name);
const owned = (manifest: Manifest) => ({
  key: keyOf(manifest),
  service: manifest.metadata.annotations?.[SERVICE_ANNOTATION] ?? "",
  registry: "vms",
  manifest,
});
const create = (manifest: Manifest): Change => ({ kind: "create", object: owned(manifest) });
const standingOf = (target: Target, manifest: Manifest) =>
  target.standing().objects.get(keyOf(manifest)) ?? assert.fail(`${keyOf(manifest)} does not stand`);
const update = (target: Target, manifest: Manifest): Change => ({
  kind: "update",
  object: owned(manifest),
  standing: standingOf(target, manifest),
});
const remove = (target: Target, manifest: Manifest): Change => ({
  kind: "delete",
  standing: standingOf(target, manifest),
  why: "gone for 1h",
});
const fileOf = (path: string, name: string) => join(path, "mesh-services", `${name}.shop.vms.mesh.internal.yaml`);

interface World {
  /** The target's folder; it does not exist yet. */
  readonly path: string;
  readonly warnings: unknown[];
  open(how?: { readonly watch?: boolean; readonly owner?: string }): Promise<Target>;
}

async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
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

async function outcomes(target: Target, changes: readonly Change[], how = options): Promise<string[]> {
  const { results } = await target.write(changes, how);
  const keyOfChange = (change: Change) => (change.kind === "create" ? change.object.key : change.standing.key);
  return changes
    .map((change) => results.find((result) => result.change === change)?.outcome ?? "lost")
    .map((outcome, index) => `${keyOfChange(changes[index] as Change).split("/")[0]} ${outcome}`);
}

async function allFiles(path: string): Promise<string[]> {
  const found = await readdir(path, { recursive: true, withFileTypes: true });
  return found
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name).slice(path.length + 1))
    .sort();
}

async function changed(target: Target, work: () => Promise<unknown>): Promise<void> {
  const version = target.version();
  await work();
  await target.waitForChange(version, AbortSignal.timeout(3000));
}

test("a service's objects stand in one file, each document a Kubernetes object", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    assert.equal(target.standing().objects.size, 0);
    assert.equal(existsSync(path), false);
    await outcomes(
      target,
      [
        alias("orders", "zoo"),
        alias("orders"),
        route("orders"),
        companion("orders"),
        entry("orders"),
        entry("stock"),
      ].map(create),
    );
    assert.deepEqual(await allFiles(path), [
      "mesh-services/orders.shop.vms.mesh.internal.yaml",
      "mesh-services/stock.shop.vms.mesh.internal.yaml",
    ]);
    const documents = parseAllDocuments(await readFile(fileOf(path, "orders"), "utf8")).map(
      (document) => document.toJS() as Manifest,
    );
    assert.deepEqual(documents, [
      entry("orders"),
      companion("orders"),
      route("orders"),
      alias("orders"),
      alias("orders", "zoo"),
    ]);
  }));

const name = fc.constantFrom("orders", "stock", "billing", "search");
const manifests = fc
  .uniqueArray(
    fc.record({
      name,
      addresses: fc.uniqueArray(fc.ipV4()),
      withAlias: fc.boolean(),
      withRoute: fc.boolean(),
      note: fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()),
    }),
    { selector: (service) => service.name, minLength: 1 },
  )
  .map((services) =>
    services.flatMap(({ name, addresses, withAlias, withRoute, note }) => {
      const main = entry(name, addresses);
      const noted = {
        ...main,
        metadata: { ...main.metadata, annotations: { ...main.metadata.annotations, note } },
      } as Manifest;
      return [noted, ...(withAlias ? [alias(name)] : []), ...(withRoute ? [route(name)] : [])];
    }),
  );

test("what was written is what a new process reads, and writing it again changes no byte", () =>
  fc.assert(
    fc.asyncProperty(manifests, manifests, (first, second) =>
      inWorld(async ({ path, open }) => {
        const target = await open();
        await outcomes(target, first.map(create));
        const wanted = new Map(second.map((manifest) => [keyOf(manifest), manifest]));
        const changes = [
          ...second.map((manifest) =>
            target.standing().objects.has(keyOf(manifest)) ? update(target, manifest) : create(manifest),
          ),
          ...first.filter((manifest) => !wanted.has(keyOf(manifest))).map((manifest) => remove(target, manifest)),
        ];
        assert.deepEqual(
          (await outcomes(target, changes)).filter((outcome) => !outcome.endsWith("written")),
          [],
        );
        for (const reader of [target, await open()]) {
          assert.deepEqual(
            new Map([...reader.standing().objects].map(([key, { manifest }]) => [key, manifest])),
            wanted,
          );
        }
        const reader = await open();
        const before = await Promise.all(
          (await allFiles(path)).map((file) => stat(join(path, file), { bigint: true })),
        );
        await outcomes(
          reader,
          second.map((manifest) => update(reader, manifest)),
        );
        const after = await Promise.all((await allFiles(path)).map((file) => stat(join(path, file), { bigint: true })));
        assert.deepEqual(
          after.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
          before.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
        );
      }),
    ),
    { numRuns: 40 },
  ));

test("an object that stands unchanged keeps its identity, also beside one that moves", () =>
  inWorld(async ({ open }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders")), create(alias("orders"))]);
    const before = standingOf(target, alias("orders"));
    await outcomes(target, [update(target, entry("orders", ["10.1.4.8"]))]);
    assert.equal(standingOf(target, alias("orders")), before);
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.1.4.8"]));
  }));

test("a file without an object left goes", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders")), create(alias("orders"))]);
    assert.deepEqual(await outcomes(target, [remove(target, alias("orders")), remove(target, entry("orders"))]), [
      "Service written",
      "ServiceEntry written",
    ]);
    assert.deepEqual(await allFiles(path), []);
    assert.equal(target.standing().objects.size, 0);
  }));

test("drafts of a process that is gone are removed at start, those of a live one are not", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(join(path, "mesh-services", ".x2istio-4194999-1-abc.tmp"), "half");
    await writeFile(join(path, "mesh-services", ".x2istio-note"), "not a draft");
    const live = `.x2istio-${process.pid}-${(await readFile("/proc/self/stat", "utf8").catch(() => "0 (x) S 0")).split(") ")[1]?.split(" ")[19] ?? 0}-abc.tmp`;
    await writeFile(join(path, "mesh-services", live), "half");
    await open();
    assert.deepEqual(
      (await allFiles(path)).map((file) => file.slice("mesh-services/".length)),
      [live, ".x2istio-note"].sort(),
    );
  }));

const foreignEntry =
  "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: theirs, namespace: mesh-services}\nspec: {hosts: [theirs.example.org], addresses: [240.241.0.9, 10.0.0.0/8]}\n";
const inTheWay: readonly { readonly name: string; readonly content: string | Buffer; readonly warns?: RegExp }[] = [
  { name: "a file of another kind", content: "kind: Kustomization\n" },
  { name: "an empty file", content: "" },
  { name: "someone else's ServiceEntry", content: foreignEntry },
  {
    name: "another owner's file",
    content: JSON.stringify({
      ...entry("orders"),
      metadata: { ...entry("orders").metadata, labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "west" } },
    }),
  },
  { name: "broken YAML", content: "kind: ServiceEntry\nmetadata: [\n", warns: /^line 3: / },
  { name: "what is not UTF-8", content: Buffer.from([0x61, 0xff]), warns: /UTF-8/ },
];
for (const { name, content, warns } of inTheWay) {
  test(`${name} in the place of ours is never overwritten, and holds the entry`, () =>
    inWorld(async ({ path, open, warnings }) => {
      await mkdir(join(path, "mesh-services"), { recursive: true });
      await writeFile(fileOf(path, "orders"), content);
      const target = await open();
      assert.ok(target.standing().foreign.has(keyOf(entry("orders"))));
      assert.deepEqual(
        await outcomes(target, [create(alias("orders")), create(entry("orders")), create(entry("stock"))]),
        ["Service skipped", "ServiceEntry foreign", "ServiceEntry written"],
      );
      assert.deepEqual(await readFile(fileOf(path, "orders")), Buffer.from(content));
      if (warns === undefined) return assert.deepEqual(warnings, []);
      assert.equal(warnings.length, 1);
      assert.match((warnings[0] as { problem: string }).problem, warns);
      assert.equal((warnings[0] as { file: string }).file, fileOf(path, "orders"));
    }));
}

test("a file that appears after the start is not overwritten either", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(fileOf(path, "orders"), "mine: true\n");
    assert.deepEqual(await outcomes(target, [create(entry("orders"))]), ["ServiceEntry foreign"]);
    assert.equal(await readFile(fileOf(path, "orders"), "utf8"), "mine: true\n");
  }));

test("a symbolic link in the place of ours is not followed", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(join(dirname(path), "elsewhere.yaml"), "mine: true\n");
    await symlink(join(dirname(path), "elsewhere.yaml"), fileOf(path, "orders"));
    const target = await open();
    assert.deepEqual(await outcomes(target, [create(entry("orders"))]), ["ServiceEntry foreign"]);
    assert.equal(await readFile(join(dirname(path), "elsewhere.yaml"), "utf8"), "mine: true\n");
  }));

test("someone else's objects anywhere in the folder are foreign, with hosts and addresses", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "apps", "base"), { recursive: true });
    await writeFile(
      join(path, "apps", "base", "all.yml"),
      [
        foreignEntry,
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.9}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: knative}\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{kind: ServiceEntry, name: a.b}]}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: [c.d]}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: edge}\nspec: {hosts: [e.f], gateways: [istio-system/edge]}\n",
      ].join("---\n"),
    );
    await mkdir(join(path, ".git"));
    await writeFile(join(path, ".git", "x.yaml"), foreignEntry.replace("theirs,", "hidden,"));
    const { foreign, objects } = (await open()).standing();
    assert.equal(objects.size, 0);
    assert.deepEqual(
      [...foreign].map(([key, { hosts, addresses }]) => [key, hosts, addresses]),
      [
        ["ServiceEntry/mesh-services/theirs", ["theirs.example.org"], ["240.241.0.9"]],
        ["Service/shop/web", ["web"], ["10.96.0.9"]],
        ["HTTPRoute/default/r", ["a.b"], []],
        ["VirtualService/default/v", ["c.d"], []],
        ["VirtualService/default/edge", [], []],
      ],
    );
    assert.deepEqual(await outcomes(await open(), [create(entry("web")), create(alias("web"))]), [
      "ServiceEntry written",
      "Service foreign",
    ]);
  }));

test("two owners share a folder and leave each other alone", () =>
  inWorld(async ({ path, open }) => {
    const east = await open();
    await outcomes(east, [create(entry("orders"))]);
    const west = await open({ owner: "west" });
    assert.equal(west.standing().objects.size, 0);
    assert.equal(west.standing().foreign.get(keyOf(entry("orders")))?.owner, "east");
    assert.deepEqual(await outcomes(west, [create(entry("orders"))]), ["ServiceEntry foreign"]);
    assert.equal((await allFiles(path)).length, 1);
  }));

test("a file of ours edited by hand is drift; a document that someone added to it is kept", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    const added = "# why\napiVersion: v1\nkind: ConfigMap # mine\nmetadata: {name: note}\n";
    await writeFile(fileOf(path, "orders"), `${text.replace("10.1.4.7", "10.9.9.9")}---\n${added}`);
    const target = await open();
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.9.9.9"]));
    assert.deepEqual(await outcomes(target, [update(target, entry("orders"))]), ["ServiceEntry written"]);
    assert.match(await readFile(fileOf(path, "orders"), "utf8"), /kind: ConfigMap # mine/);
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders"));
    assert.deepEqual(await outcomes(target, [remove(target, entry("orders"))]), ["ServiceEntry written"]);
    assert.match(await readFile(fileOf(path, "orders"), "utf8"), /^[^-]*kind: ConfigMap # mine/);
  }));

test("an entry spoiled by hand stands without what makes no sense, and is put right", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    await writeFile(fileOf(path, "orders"), text.replace("    - orders.shop.vms.mesh.internal\n", ""));
    const target = await open();
    const { spec } = standingOf(target, entry("orders")).manifest as ServiceEntry;
    assert.deepEqual(spec.hosts, []);
    assert.deepEqual([...buildNameTable(target.standing(), { settleMs: 0, nowMs: 0 }).names], []);
    assert.deepEqual(await outcomes(target, [update(target, entry("orders"))]), ["ServiceEntry written"]);
    assert.equal(await readFile(fileOf(path, "orders"), "utf8"), text);
  }));

test("a Service that was given a selector or another type is yielded", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders")), create(alias("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    await writeFile(fileOf(path, "orders"), text.replace("type: ExternalName", "type: ClusterIP"));
    assert.match(standingOf(await open(), alias("orders")).yielded ?? "", /its type to ClusterIP/);
    await writeFile(fileOf(path, "orders"), `${text}  selector: {app: orders}\n`);
    assert.match(standingOf(await open(), alias("orders")).yielded ?? "", /a selector/);
  }));

test("a file that changed between read and write is a conflict, and stands as it is now", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders")), create(entry("stock"))]);
    const changes = [update(target, entry("orders", ["10.1.4.8"])), remove(target, entry("stock"))];
    for (const service of ["orders", "stock"])
      await writeFile(
        fileOf(path, service),
        (await readFile(fileOf(path, service), "utf8")).replace("10.1.4.7", "10.9.9.9"),
      );
    assert.deepEqual(await outcomes(target, changes), ["ServiceEntry conflict", "ServiceEntry conflict"]);
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.9.9.9"]));
    assert.match(await readFile(fileOf(path, "stock"), "utf8"), /10\.9\.9\.9/);
    assert.deepEqual(
      await outcomes(target, changes),
      ["ServiceEntry conflict", "ServiceEntry conflict"],
      "computed from an older state",
    );
    assert.deepEqual(await outcomes(target, [update(target, entry("orders")), create(entry("stock"))]), [
      "ServiceEntry written",
      "ServiceEntry conflict",
    ]);
  }));

test("a write that fails says why, leaves the old file and does not stop the others", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await writeFile(
      join(await mkdir(path, { recursive: true }).then(() => path), "mesh-services"),
      "a file where the folder should be",
    );
    const { results } = await target.write([create(entry("orders"))], options);
    assert.equal(results[0]?.outcome, "failed");
    assert.match(String(results[0]?.error), /Cannot write ".*orders\.shop\.vms\.mesh\.internal\.yaml"/);
    await unlink(join(path, "mesh-services"));
    assert.deepEqual(await outcomes(target, [create(entry("orders"))]), ["ServiceEntry written"]);
  }));

test(
  "a folder without write permission fails the write",
  { skip: process.getuid?.() === 0 ? "root may write anywhere" : false },
  () =>
    inWorld(async ({ path, open }) => {
      const target = await open();
      await outcomes(target, [create(entry("orders"))]);
      await chmod(join(path, "mesh-services"), 0o555);
      assert.deepEqual(await outcomes(target, [update(target, entry("orders", [])), create(entry("stock"))]), [
        "ServiceEntry failed",
        "ServiceEntry failed",
      ]);
      await chmod(join(path, "mesh-services"), 0o755);
      assert.deepEqual((await allFiles(path)).length, 1);
    }),
);

test("a name that leads out of the folder is refused", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    const evil = {
      ...entry("orders"),
      metadata: { ...metadata("../../evil", "mesh-services", "vms/shop/orders") },
    } as Manifest;
    const evilToo = { ...entry("stock"), metadata: { ...metadata("stock", "..", "vms/shop/stock") } } as Manifest;
    assert.deepEqual(await outcomes(target, [create(evil), create(evilToo)]), [
      "ServiceEntry failed",
      "ServiceEntry failed",
    ]);
    assert.equal(existsSync(path), false);
  }));

test("an alias without its entry is not written", () =>
  inWorld(async ({ path, open }) => {
    assert.deepEqual(await outcomes(await open(), [create(alias("orders"))]), ["Service skipped"]);
    assert.equal(existsSync(path), false);
  }));

test("nothing is written once writing is forbidden", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    assert.deepEqual(await outcomes(target, [create(entry("orders"))], { ...options, mayWrite: () => false }), [
      "ServiceEntry skipped",
    ]);
    assert.deepEqual(await outcomes(target, [create(entry("orders"))], { ...options, signal: AbortSignal.abort() }), [
      "ServiceEntry skipped",
    ]);
    await assert.rejects(
      target.writeLedger([{ name: "x2istio-vips-240-241-0-0", resourceVersion: "", data: {} }], {
        ...options,
        mayWrite: () => false,
      }),
      /may not write/,
    );
    assert.equal(existsSync(path), false);
  }));

test("ledger blocks are ConfigMaps, written only from the version they were computed from", () =>
  inWorld(async ({ path, open }) => {
    const [target, other] = [await open(), await open({ owner: "west" })];
    const block = "x2istio-vips-240-241-0-0";
    const versionOf = (of: Target) => of.standing().ledger.get(block)?.resourceVersion ?? "";
    await target.writeLedger([{ name: block, resourceVersion: "", data: { "240.241.0.7": "orders used" } }], options);
    assert.deepEqual(
      parseAllDocuments(await readFile(join(path, "mesh-services", `${block}.yaml`), "utf8"))[0]?.toJS(),
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: block, namespace: "mesh-services", labels: { [MANAGED_BY_LABEL]: MANAGED_BY } },
        data: { "240.241.0.7": "orders used" },
      },
    );
    await assert.rejects(other.writeLedger([{ name: block, resourceVersion: "", data: {} }], options), ConflictError);
    assert.deepEqual(other.standing().ledger.get(block)?.data, { "240.241.0.7": "orders used" });
    const stale = versionOf(target);
    await target.writeLedger(
      [{ name: block, resourceVersion: stale, data: { "240.241.0.7": "orders resting" } }],
      options,
    );
    await assert.rejects(
      target.writeLedger([{ name: block, resourceVersion: stale, data: {} }], options),
      ConflictError,
    );
    assert.deepEqual((await open()).standing().ledger.get(block), target.standing().ledger.get(block));
    assert.notEqual(versionOf(target), stale);
  }));

test("a ledger that cannot be read is never taken for an empty one", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(join(path, "mesh-services", "x2istio-vips-240-241-0-0.yaml"), "data: [\n");
    const target = await open();
    await assert.rejects(
      target.writeLedger([{ name: "x2istio-vips-240-241-0-0", resourceVersion: "", data: {} }], options),
      /Cannot write the VIP ledger: ".*" line 2: /,
    );
  }));

test("a watching target sees what others do and stays quiet about its own writes", () =>
  inWorld(async ({ path, open }) => {
    const [target, writer] = [await open({ watch: true }), await open()];
    await sleep(1200); // the folder is not there yet: it is looked for once a second
    await changed(target, () => outcomes(writer, [create(entry("orders"))]));
    await sleep(100);
    assert.ok(target.standing().objects.has(keyOf(entry("orders"))));

    await outcomes(target, [create(entry("stock")), create(alias("stock"))]);
    const version = target.version();
    await sleep(300);
    assert.equal(target.version(), version);

    const file = fileOf(path, "orders");
    const text = await readFile(file, "utf8");
    await changed(target, () => writeFile(file, text.replace("10.1.4.7", "10.1.4.8")));
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.1.4.8"]));
    await changed(target, async () => {
      await writeFile(join(path, "draft"), text);
      await rename(join(path, "draft"), file);
    });
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders"));
    await changed(target, async () => {
      await mkdir(join(path, "apps", "base"), { recursive: true });
      await writeFile(join(path, "apps", "base", "theirs.yaml"), foreignEntry);
    });
    assert.ok(target.standing().foreign.has("ServiceEntry/mesh-services/theirs"));
    await changed(target, () => rm(path, { recursive: true }));
    await sleep(300);
    assert.equal(target.standing().objects.size + target.standing().foreign.size, 0);
    await outcomes(target, [create(entry("orders"))]);
    await changed(target, () => unlink(file));
    assert.equal(target.standing().objects.size, 0);
    await target.close();
  }));

test("an object that stands in two files counts once, in its own", () =>
  inWorld(async ({ path, open, warnings }) => {
    await outcomes(await open(), [create(entry("orders"))]);
    await mkdir(join(path, "backup"));
    await writeFile(
      join(path, "backup", "a.yaml"),
      (await readFile(fileOf(path, "orders"), "utf8")).replace("10.1.4.7", "10.9.9.9"),
    );
    const target = await open();
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders"));
    assert.ok(warnings.length > 0);
    await outcomes(target, [update(target, entry("orders", ["10.1.4.8"]))]);
    assert.match(await readFile(join(path, "backup", "a.yaml"), "utf8"), /10\.9\.9\.9/);
  }));

test("waitForChange() rejects when it is aborted", () =>
  inWorld(async ({ open }) => {
    const target = await open();
    await assert.rejects(target.waitForChange(target.version(), AbortSignal.timeout(20)));
    await assert.rejects(target.waitForChange(target.version(), AbortSignal.abort()));
  }));

test("a file in the place of the folder is refused at start", () =>
  inWorld(async ({ path, open }) => {
    await writeFile(path, "");
    await assert.rejects(open(), /is not a folder/);
  }));
