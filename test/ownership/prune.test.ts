import assert from "node:assert/strict";
import { test } from "node:test";
import { orphansOf } from "../../src/ownership/prune.ts";
import { alias, entry, standing } from "../plan/build.ts";

const now = standing({
  objects: [
    entry("dc1/shop/orders"),
    alias("dc1/shop/orders", "shop/orders"),
    entry("vms/shop/stock"),
    entry("dc1/shop/odd", { object: { service: undefined } }),
    entry("dc1/shop/released", { object: { yielded: "it was released" } }),
  ],
});
const OURS = ["Service/shop/orders", "ServiceEntry/mesh-services/orders.shop.dc1.mesh.internal"];

const cases: readonly {
  readonly name: string;
  readonly names: readonly string[];
  readonly merge?: readonly string[];
  readonly want?: readonly string[];
}[] = [
  { name: "has what is ours of a registry that has left, sorted by key", names: ["vms"], want: OURS },
  {
    name: "takes a later member of a merge group for one that has left",
    ...{ names: ["vms", "dc1"], merge: ["vms", "dc1"], want: OURS },
  },
  { name: "refuses a registry that is configured", names: ["vms", "dc1"] },
  { name: "refuses the first of a merge group", names: ["vms", "dc1"], merge: ["dc1", "vms"] },
];
for (const { name, names, merge = [], want } of cases)
  test(`orphansOf() ${name}`, () => {
    const orphans = () => orphansOf(now, "dc1", { names, merge });
    if (want === undefined) assert.throws(orphans, /^Error: Cannot prune "dc1" as it must have left the configuration/);
    else
      assert.deepEqual(
        orphans().map((one) => one.standing.key),
        want,
      );
  });
