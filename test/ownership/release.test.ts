import assert from "node:assert/strict";
import { test } from "node:test";
import type { ObjectEditor } from "../../src/kube/write/object-editor.ts";
import { RELEASED_ANNOTATION } from "../../src/model/objects.ts";
import { releaseActions } from "../../src/ownership/release.ts";
import { alias, entry, NOW_MS, standing } from "../plan/build.ts";

const now = standing({
  objects: [
    entry("dc1/shop/orders"),
    alias("dc1/shop/orders", "shop/orders"),
    entry("dc1/shop/stock"),
    entry("dc1/shop/paid", { annotations: { [RELEASED_ANNOTATION]: "2026-01-01T00:00:00Z" } }),
  ],
});
const entryKey = (name: string) => `ServiceEntry/mesh-services/${name}.shop.dc1.mesh.internal`;

const editor: Pick<ObjectEditor, "read"> = {
  async read(key) {
    return key === entryKey("stock") ? undefined : { metadata: { name: key } };
  },
};

const cases: readonly { readonly named: string; readonly isStripped?: boolean; readonly want: readonly string[] }[] = [
  { named: "dc1/shop/orders", want: ["release Service/shop/orders", `release ${entryKey("orders")}`] },
  { named: "Orders.Shop.dc1.mesh.internal", want: ["release Service/shop/orders", `release ${entryKey("orders")}`] },
  { named: "service/shop/orders", want: ["release Service/shop/orders"] },
  { named: "dc1/shop/stock", want: [`refuse ${entryKey("stock")}`] },
  { named: "dc1/shop/paid", want: [`leave ${entryKey("paid")}`] },
  { named: "dc1/shop/paid", isStripped: true, want: [`release ${entryKey("paid")}`] },
  { named: "nothing", want: ["refuse nothing"] },
];
for (const { named, isStripped = false, want } of cases)
  test(`releaseActions() of ${named}${isStripped ? ", stripped," : ""} is to ${want.join(", ")}`, async () => {
    const actions = await releaseActions(now, editor as ObjectEditor, { names: [named], isStripped, nowMs: NOW_MS });
    assert.deepEqual(
      actions.map(({ kind, key }) => `${kind} ${key}`),
      want,
    );
  });
