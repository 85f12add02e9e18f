import assert from "node:assert/strict";
import { test } from "node:test";
import { planUninstall } from "../../src/ownership/uninstall.ts";
import { alias, entry, standing } from "../plan/build.ts";

test("planUninstall() removes what is ours, and leaves what cannot be told or was yielded, saying why", () => {
  const { remove, left } = planUninstall(
    standing({
      objects: [
        entry("dc1/shop/orders"),
        alias("dc1/shop/orders", "shop/orders"),
        entry("dc1/shop/odd", { object: { service: undefined } }),
        alias("dc1/shop/released", "shop/released", { yielded: "it was released" }),
      ],
    }),
  );
  assert.deepEqual(
    remove.map(({ key }) => key),
    ["Service/shop/orders", "ServiceEntry/mesh-services/orders.shop.dc1.mesh.internal"],
  );
  assert.deepEqual(
    left.map(({ kind, key, why }) => [kind, key, why]),
    [
      ["leave", "Service/shop/released", "stays: it was released"],
      [
        "leave",
        "ServiceEntry/mesh-services/odd.shop.dc1.mesh.internal",
        "stays: it has no readable annotation x2istio.dev/service",
      ],
    ],
  );
});
