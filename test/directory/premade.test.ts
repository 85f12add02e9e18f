import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { directoryTarget } from "../../src/directory/directory.ts";
import type { EntryEndpoint } from "../../src/model/objects.ts";
import type { PremadeRule } from "../../src/model/premade.ts";
import type { PremadeEntry } from "../../src/model/standing.ts";
import type { Target, WriteOptions } from "../../src/model/target.ts";

const options: WriteOptions = { signal: new AbortController().signal, mayWrite: () => true };
const premade: PremadeRule = {
  owner: "east",
  namespaces: new Set(["mesh-services", "shop"]),
  registries: [{ name: "prod", kind: "polaris", exportTo: ["*"] }],
  merge: [],
};
const KEY = "ServiceEntry/shop/orders";
const BY_HAND = `# The shop's own.
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: orders
  namespace: shop
  annotations: {aeraki.net/polarisNamespace: Production, aeraki.net/polarisService: orders}
spec:
  hosts: [dev.orders.polaris] # as callers know it
  addresses: ["240.255.0.7"]
  ports: [] # to come
  resolution: STATIC
---
# Nothing of x2istio's.
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: shop}
data: {text: "a long line that nobody may break: ${"x ".repeat(60)}"}
`;

async function folder(t: TestContext, files: Readonly<Record<string, string>>) {
  const path = await mkdtemp(join(tmpdir(), "x2istio-premade-"));
  t.after(() => rm(path, { recursive: true }));
  await mkdir(join(path, "shop"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, "shop", name), text);
  const target = directoryTarget({ path, owner: "east", ledgerNamespace: "mesh-services", premade });
  t.after(() => target.close());
  await target.start({ watch: false, signal: options.signal });
  return { target, read: (name: string) => readFile(join(path, "shop", name), "utf8"), path };
}

function fillWith(target: Target, standing: PremadeEntry, ...endpoints: readonly EntryEndpoint[]) {
  const ports = [{ name: "http", number: 8080, protocol: "HTTP" }];
  const manifest = { ...standing.manifest, spec: { ...standing.manifest.spec, ports, endpoints } };
  const object = { key: standing.key, service: standing.service ?? "", registry: standing.registry, manifest };
  return target.write([{ kind: "update", object, standing, premade: "listed" }], options);
}

function entryOf(target: Target): PremadeEntry {
  const entry = target.standing().premade.get(KEY);
  assert.ok(entry !== undefined);
  return entry;
}

test("an entry written by hand gets ports and endpoints; all else in its file stays, comments too", async (t) => {
  const { target, read } = await folder(t, { "orders.yaml": BY_HAND });
  const before = entryOf(target);
  assert.deepEqual([before.service, before.registry], ["prod/Production/orders", "prod"]);
  assert.ok(target.standing().foreign.has(KEY), "its hosts and addresses are someone else's");
  const { results } = await fillWith(target, before, { address: "192.0.2.1", weight: 3 });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["written"],
  );
  const text = await read("orders.yaml");
  const [ours = "", theirs] = text.split("---\n");
  assert.equal(theirs, BY_HAND.split("---\n")[1]);
  for (const line of ["# The shop's own.", "hosts: [dev.orders.polaris] # as callers know it", "resolution: STATIC"])
    assert.ok(ours.includes(line), ours);
  const after = entryOf(target);
  assert.deepEqual(after.manifest.spec.endpoints, [{ address: "192.0.2.1", weight: 3 }]);
  assert.deepEqual(after.manifest.spec.ports, [{ name: "http", number: 8080, protocol: "HTTP" }]);
  assert.deepEqual(after.manifest.metadata, before.manifest.metadata);
  assert.equal(target.standing().objects.size, 0);
});

test("nothing is written over a change that nobody has read", async (t) => {
  const { target, read, path } = await folder(t, { "orders.yaml": BY_HAND });
  const before = entryOf(target);
  const edited = BY_HAND.replace("to come", "edited");
  await writeFile(join(path, "shop", "orders.yaml"), edited);
  const { results } = await fillWith(target, before, { address: "192.0.2.1" });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["conflict"],
  );
  assert.equal(await read("orders.yaml"), edited);
  const again = await fillWith(target, entryOf(target), { address: "192.0.2.1" });
  assert.deepEqual(
    again.results.map(({ outcome }) => outcome),
    ["written"],
  );
});

test("of an entry in two files one is filled, and the other when that goes", async (t) => {
  const { target, read, path } = await folder(t, { "a.yaml": BY_HAND, "b.yaml": BY_HAND });
  await fillWith(target, entryOf(target), { address: "192.0.2.1" });
  const [a, b] = [await read("a.yaml"), await read("b.yaml")];
  assert.equal([a, b].filter((text) => text === BY_HAND).length, 1);
  await rm(join(path, "shop", a === BY_HAND ? "b.yaml" : "a.yaml"));
  const other = directoryTarget({ path, owner: "east", ledgerNamespace: "mesh-services", premade });
  await other.start({ watch: false, signal: options.signal });
  assert.deepEqual(entryOf(other).manifest.spec.ports, []);
});

test("an entry whose spec is not its own is refused, and its file stays", async (t) => {
  const shared = BY_HAND.replace(
    "spec:\n",
    "x: &x {hosts: [dev.orders.polaris], ports: [], resolution: STATIC}\nspec: *x\n",
  ).replace(/\n {2}hosts: .*\n.*\n.*\n.*STATIC\n---/, "\n---");
  const { target, read } = await folder(t, { "orders.yaml": shared });
  const { results } = await fillWith(target, entryOf(target), { address: "192.0.2.1" });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["failed"],
  );
  assert.equal(await read("orders.yaml"), shared);
});

test("entries count only where the rule says", async (t) => {
  const { target } = await folder(t, { "orders.yaml": BY_HAND.replace("namespace: shop", "namespace: other") });
  assert.equal(target.standing().premade.size, 0);
  assert.ok(target.standing().foreign.has("ServiceEntry/other/orders"));
});
