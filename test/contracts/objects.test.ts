import assert from "node:assert/strict";
import { test } from "node:test";
import { place, service } from "./folder.ts";

const HTTP = { ports: [{ name: "http", number: 8080, protocol: "HTTP" }] };

test("one file for each service, ledger files beside them, our labels and annotations on every object", async (t) => {
  const { x2istio, files, objects } = await place(
    t,
    [{ ...service("Orders.V2", "192.0.2.1"), ...HTTP, namespace: "shop", legacyNames: ["Orders.Corp.Example.com"] }],
    {
      owner: "east",
      registries: [{ kind: "static", name: "vms", file: "services.yaml", xds: true }],
      aliases: [{ registry: "vms", namespace: "shop", as: "orders-{namespace}", service: "Orders.V2" }],
      vips: { ledgerNamespace: "ledgers" },
    },
  );
  const { code, stdout, stderr } = await x2istio("apply");
  assert.equal(code, 0, stdout + stderr);
  const host = "orders.v2.shop.vms.mesh.internal";
  const all = await files();
  assert.deepEqual(
    all.map((file) => file.replace(/-\d+-0\.yaml$/, "-N-0.yaml")),
    ["ledgers/x2istio-vips-240-241-N-0.yaml", `mesh-services/${host}.yaml`],
  );
  const stood = await objects(all[1] ?? "");
  assert.deepEqual(stood.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`).sort(), [
    "Service mesh-services/orders-shop", // `in` defaults to target.namespace
    `ServiceEntry mesh-services/${host}`,
    `ServiceEntry mesh-services/${host}-legacy`,
    `VirtualService mesh-services/${host}`,
  ]);
  for (const { kind, metadata, spec } of stood) {
    assert.equal(metadata.annotations?.["x2istio.dev/service"], "vms/shop/Orders.V2");
    const { "networking.istio.io/enable-autoallocate-ip": allocate, ...labels } = metadata.labels;
    assert.deepEqual(labels, {
      "app.kubernetes.io/managed-by": "x2istio",
      "x2istio.dev/owner": "east",
      "x2istio.dev/registry": "vms",
    });
    assert.equal(allocate, metadata.name.endsWith("-legacy") ? "false" : undefined);
    if (kind === "Service") assert.equal(spec?.externalName, host);
  }
  const [ledger] = await objects(all[0] ?? "");
  assert.equal(ledger?.kind, "ConfigMap");
  assert.deepEqual(ledger.metadata.labels, { "app.kubernetes.io/managed-by": "x2istio" }, "owners share it");
});

test("x2istio.dev/service is split at its first two slashes: a service's name may have more", async (t) => {
  const { x2istio, write, objects, files } = await place(t, [service("team/orders/v2", "192.0.2.1")]);
  assert.equal((await x2istio("apply")).code, 0);
  const found = (await files()).find((file) =>
    /^mesh-services\/team-orders-v2-[0-9a-f]{16}\.default\.vms\./.test(file),
  );
  const [entry] = await objects(found ?? "");
  assert.equal(entry?.metadata.annotations?.["x2istio.dev/service"], "vms/default/team/orders/v2");
  const explained = await x2istio("explain", "vms/default/team/orders/v2");
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /^vms\/default\/team\/orders\/v2$/m);
  assert.equal((await x2istio("apply")).code, 0, "it is the same service in the next pass");
  await write("services.yaml", { services: [service("team/orders/v2", "192.0.2.2")] });
  assert.equal((await x2istio("apply")).code, 0);
});

test("static services without a namespace get `default`, or the registry option `namespace`", async (t) => {
  const { x2istio, files } = await place(t, [service("a", "192.0.2.1")], {
    registries: [
      { kind: "static", name: "vms", file: "services.yaml" },
      { kind: "static", name: "metal", file: "services.yaml", namespace: "Production" },
    ],
  });
  assert.equal((await x2istio("apply")).code, 0);
  assert.deepEqual(
    (await files()).filter((file) => file.includes("mesh.internal")),
    ["mesh-services/a.default.vms.mesh.internal.yaml", "mesh-services/a.production.metal.mesh.internal.yaml"],
  );
});

test("an alias that is no DNS label is held, and only the alias", async (t) => {
  const { x2istio, files } = await place(t, [service("orders.v2", "192.0.2.1")], {
    aliases: [{ registry: "vms", as: "{service}", in: "shop" }],
  });
  const { code, stdout } = await x2istio("apply");
  assert.equal(code, 0, "nobody has to decide: the rule can leave it out, or rewrite it");
  assert.match(stdout, /alias shop\/orders\.v2 held: "orders\.v2" is not a DNS label/);
  assert.ok((await files()).includes("mesh-services/orders.v2.default.vms.mesh.internal.yaml"));
});

test("a legacy name that DNS cannot carry is dropped with a reason, and an L5 sid becomes modid.cmdid", async (t) => {
  const { x2istio } = await place(t, [
    { ...service("parcels", "192.0.2.1"), ...HTTP, legacyNames: ["64001:65536", "no such name", "a..b"] },
  ]);
  assert.equal((await x2istio("apply")).code, 0);
  const { stdout } = await x2istio("explain", "64001:65536");
  assert.match(stdout, /^64001:65536 is a legacy name of vms\/default\/parcels$/m);
  assert.match(stdout, /64001\.65536 +A 240\.241\.\d+\.\d+, .*not routed: its last label is a number/);
  assert.match(stdout, /legacy name "no such name" was dropped: its label "no such name" has characters/);
  assert.match(stdout, /legacy name "a\.\.b" was dropped: it has an empty label/);
});

test("a full range holds only the new services", async (t) => {
  const { x2istio, write, objects } = await place(t, [service("a", "192.0.2.1"), service("b", "192.0.2.2")], {
    vips: { ranges: ["240.241.0.0/30"] },
  });
  assert.equal((await x2istio("apply")).code, 0);
  await write("services.yaml", {
    services: [service("a", "192.0.2.9"), service("b", "192.0.2.2"), service("c", "192.0.2.3")],
  });
  const { code, stdout } = await x2istio("apply");
  assert.equal(code, 3);
  assert.match(
    stdout,
    /! c\.default\.vms\.mesh\.internal .*range "240\.241\.0\.0\/30" must have a free address: 2 of 2 are held/,
  );
  const [entry] = await objects("mesh-services/a.default.vms.mesh.internal.yaml");
  assert.deepEqual(entry?.spec?.endpoints, [{ address: "192.0.2.9" }]);
});
