import assert from "node:assert/strict";
import { test } from "node:test";
import { ledgerSpot } from "../../src/istio/addresses.ts";
import type { RawObject } from "../../src/kube/client/raw.ts";
import type { Marks, ObjectEditor } from "../../src/kube/write/object-editor.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  OWNER_LABEL,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
} from "../../src/model/objects.ts";
import type { LedgerWrite, WriteOptions } from "../../src/model/target.ts";
import { ownerActions, renameActions } from "../../src/ownership/succession.ts";
import { alias, entry, standing } from "../plan/build.ts";

const signal = new AbortController().signal;
const VIPS = ["240.241.0.7", "240.241.0.8", "2001:db8::7"];
const spots = VIPS.map(ledgerSpot);

interface Stage {
  readonly leader?: string;
  readonly rows?: readonly string[];
  readonly raw?: Readonly<Record<string, RawObject>>;
}

const host = "orders.shop.dc1.mesh.internal";
const inMesh = `ServiceEntry/mesh-services/${host}`;
const raw = (addresses: readonly string[], labels: Record<string, string> = {}): RawObject => ({
  metadata: {
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "west", ...labels },
    annotations: { [SERVICE_ANNOTATION]: "dc1/shop/orders" },
  },
  spec: { hosts: [host], addresses },
});

function start({ leader, rows = [], raw: objects = { [inMesh]: raw(VIPS.slice(0, 1)) } }: Stage) {
  const marks: (readonly [string, Marks])[] = [];
  const written: LedgerWrite[] = [];
  const ledger = new Map<string, { resourceVersion: string; data: Record<string, string> }>();
  for (const [at, row] of rows.entries()) {
    const { block, key } = spots[at] ?? assert.fail();
    const known = ledger.get(block) ?? { resourceVersion: "7", data: { other: "kept east used" } };
    ledger.set(block, { ...known, data: { ...known.data, [key]: row } });
  }
  const foreign = new Map(
    Object.entries(objects).map(([key, { metadata }]) => [
      key,
      { kind: key.split("/")[0], hosts: [host], owner: metadata?.labels?.[OWNER_LABEL] },
    ]),
  );
  const target = {
    standing: () => ({ ...standing({}), foreign, ledger }),
    async writeLedger(writes: readonly LedgerWrite[], { mayWrite }: WriteOptions) {
      assert.ok(mayWrite());
      written.push(...writes);
    },
  } as unknown as Parameters<typeof ownerActions>[0];
  const editor = {
    leaderOf: async () => leader,
    read: async (key: string) => objects[key],
    async mark(key: string, _: RawObject, one: Marks) {
      marks.push([key, one]);
      return { outcome: "written" };
    },
  } as unknown as ObjectEditor;
  const take = (isDryRun = false, from = "west") =>
    ownerActions(target, editor, { from, to: "east", namespace: "mesh-services" }, { isDryRun, signal });
  /** Ledger rows of `VIPS` as they were written. */
  const rowsOf = () =>
    spots
      .map(({ block, key }) => written.find(({ name }) => name === block)?.data[key])
      .filter((row) => row !== undefined);
  return { take, marks, written, rowsOf };
}

test("ownerActions() takes over the VIPs in the ledger before any object, and then the objects", async () => {
  const { take, marks, written, rowsOf } = start({ rows: [`${host} west used`] });
  const actions = await take();
  assert.deepEqual(rowsOf(), [`${host} east used`]);
  assert.deepEqual([written[0]?.resourceVersion, written[0]?.data.other], ["7", "kept east used"]);
  assert.deepEqual(marks, []);
  assert.deepEqual(
    actions.map(({ kind, key, service }) => `${kind} ${key} ${service}`),
    [`adopt ${inMesh} dc1/shop/orders`],
  );
  for (const { write } of actions) await write?.();
  assert.deepEqual(marks, [[inMesh, { labels: { [OWNER_LABEL]: "east" } }]]);
});

test("ownerActions() takes over VIPs of both families, in whatever spelling", async () => {
  const { take, rowsOf } = start({
    rows: [`${host} west used`, "", `${host} west used`],
    raw: { [inMesh]: raw(["240.241.0.7", "2001:DB8:0:0::7"]) },
  });
  await take();
  assert.deepEqual(
    rowsOf().filter((row) => row !== ""),
    [`${host} east used`, `${host} east used`],
  );
});

for (const [title, row] of [
  ["another host", "stock.shop.dc1.mesh.internal west used"],
  ["another owner", `${host} north used`],
] as const)
  test(`ownerActions() leaves a VIP that the ledger has for ${title}`, async () => {
    const { take, written } = start({ rows: [row] });
    await take();
    assert.deepEqual(written, []);
  });

test("ownerActions() writes nothing in a dry run", async () => {
  const { take, written } = start({ rows: [`${host} west used`] });
  assert.equal((await take(true)).length, 1);
  assert.deepEqual(written, []);
});

test("ownerActions() leaves what is another owner's, of another manager, or in another namespace", async () => {
  const elsewhere = `ServiceEntry/other/${host}`;
  const { take } = start({
    raw: {
      [inMesh]: raw([], { [OWNER_LABEL]: "north" }),
      [elsewhere]: raw([]),
      "ServiceEntry/mesh-services/x": raw([], { [MANAGED_BY_LABEL]: "helm" }),
      "Service/shop/orders": raw([]),
      "VirtualService/mesh-services/orders": raw([]),
    },
  });
  assert.deepEqual(
    (await take()).map(({ key }) => key),
    ["Service/shop/orders", "VirtualService/mesh-services/orders"],
  );
});

test("ownerActions() does nothing while the other owner's process is at work, or for our own", async () => {
  const { take, written } = start({ leader: "node-1", rows: [`${host} west used`] });
  await assert.rejects(take(), /^Error: Cannot adopt the objects of "west" as node-1 is running: stop it first$/);
  await assert.rejects(take(false, "east"), /as they are ours already$/);
  assert.deepEqual(written, []);
});

const renamed = standing({
  objects: [
    entry("old/shop/orders"),
    alias("old/shop/orders", "shop/orders"),
    entry("old/shop/stock"),
    entry("old/shop/gone"),
    entry("new/shop/stock"),
    entry("vms/shop/other"),
  ],
});
const keyOf = (registry: string, name: string) => `ServiceEntry/mesh-services/${name}.shop.${registry}.mesh.internal`;

test("renameActions() gives objects the new name, and refuses what would be two of one name", async () => {
  const marks: Marks[] = [];
  const editor = {
    read: async (key: string) => (key === keyOf("old", "gone") ? undefined : { metadata: {} }),
    async mark(_key: string, _object: RawObject, one: Marks) {
      marks.push(one);
      return { outcome: "written" };
    },
  } as unknown as ObjectEditor;
  const actions = await renameActions(renamed, editor, { from: "old", to: "new" }, ["new", "vms"]);
  assert.deepEqual(
    actions.map(({ kind, key, service, why }) => [kind, key, service, why]),
    [
      ["adopt", "Service/shop/orders", "new/shop/orders", "now belongs to new/shop/orders"],
      ["refuse", keyOf("old", "gone"), "old/shop/gone", "it is not there any more"],
      ["adopt", keyOf("old", "orders"), "new/shop/orders", "now belongs to new/shop/orders"],
      ["refuse", keyOf("old", "stock"), "old/shop/stock", "new/shop/stock stands already"],
    ],
  );
  for (const { write } of actions) await write?.();
  const want = { labels: { [REGISTRY_LABEL]: "new" }, annotations: { [SERVICE_ANNOTATION]: "new/shop/orders" } };
  assert.deepEqual(marks, [want, want]);
});

for (const registries of [["old", "new"], ["old"], ["vms"]])
  test(`renameActions() of old to new does nothing with ${registries} configured`, async () => {
    await assert.rejects(
      renameActions(renamed, {} as ObjectEditor, { from: "old", to: "new" }, registries),
      /as the configuration must have the new name only$/,
    );
  });
