import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../until.ts";
import { place, service } from "./folder.ts";

function byHand(name: string, metadata: object = {}, spec: object = {}): object {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: {
      name,
      namespace: "mesh-services",
      annotations: { "aeraki.net/polarisNamespace": "default", "aeraki.net/polarisService": "orders" },
      labels: { registry: "vms" },
      ...metadata,
    },
    spec: { hosts: [`${name}.example.org`], addresses: ["240.255.0.7"], resolution: "STATIC", ...spec },
  };
}

const FILE = "mesh-services/by-hand.yaml";

test("an entry written by hand is planned, filled, explained, emptied, and never deleted", async (t) => {
  const { x2istio, write, objects } = await place(t, [service("orders", "192.0.2.1"), service("stock", "192.0.2.9")], {
    policy: { keepEmpty: "1s" },
  });
  const wanted = byHand("by-hand");
  await write(`out/${FILE}`, wanted);
  const spec = async () => (await objects(FILE))[0]?.spec;

  const planned = await x2istio("plan");
  assert.equal(planned.code, 0);
  assert.match(planned.stdout, /^~ by-hand\.example\.org +ports none → http 80; endpoints 0 → 1$/m);
  assert.match(planned.stdout, /^2 to create, 1 to change, 0 to delete, 0 held, 0 unchanged\./m);
  assert.equal((await x2istio("apply")).code, 0);
  const ports = [{ name: "http-p", number: 80, protocol: "HTTP" }];
  assert.deepEqual((await objects(FILE))[0], {
    ...wanted,
    spec: { ...(wanted as { spec: object }).spec, ports, endpoints: [{ address: "192.0.2.1" }] },
  });
  const again = await x2istio("apply");
  assert.equal(again.code, 0, again.stdout);
  assert.match(again.stdout, /3 unchanged/);

  const explained = await x2istio("explain", "by-hand.example.org");
  assert.match(
    explained.stdout,
    /^by-hand\.example\.org is a name on an entry written by hand of vms\/default\/orders$/m,
  );
  assert.match(explained.stdout, /ServiceEntry mesh-services\/by-hand +in step/);

  await write("services.yaml", { services: [service("stock", "192.0.2.9")] });
  const gone = await x2istio("plan");
  assert.match(gone.stdout, /^~ by-hand\.example\.org +vanished from its registry; endpoints 1 → 0$/m);
  assert.equal((await x2istio("apply")).code, 0);
  assert.deepEqual([(await spec())?.endpoints, (await spec())?.ports], [[], ports]);
  let last = gone;
  await until(async () => {
    last = await x2istio("apply");
    return last.code === 3;
  });
  // Its own entry is deleted; this one says that it waits.
  assert.match(last.stdout, /^! by-hand\.example\.org +held: .*registry vms lists no service default\/orders$/m);
  assert.deepEqual((await spec())?.endpoints, []);
});

test("prune removes no entry written by hand", async (t) => {
  const { x2istio, write, configure, objects } = await place(t, [service("orders", "192.0.2.1")]);
  await write(`out/${FILE}`, byHand("by-hand"));
  assert.equal((await x2istio("apply")).code, 0);
  await configure({ registries: [] });
  assert.equal((await x2istio("prune", "--registry", "vms")).code, 0);
  assert.deepEqual((await objects(FILE))[0]?.spec?.endpoints, [{ address: "192.0.2.1" }]);
});

const held = [
  {
    name: "of another resolution",
    entry: byHand("x", {}, { resolution: "NONE" }),
    why: /resolution is NONE, and must be STATIC/,
  },
  {
    name: "of a registry that there is not",
    entry: byHand("x", { labels: { registry: "dc9" } }),
    why: /label registry says dc9/,
  },
  { name: "of no registry", entry: byHand("x", { labels: {} }), why: /no registry of kind polaris is configured/ },
];
for (const { name, entry, why } of held)
  test(`an entry written by hand ${name} is held, and its file stays`, async (t) => {
    const { x2istio, write, objects } = await place(t, [service("orders", "192.0.2.1")]);
    await write(`out/${FILE}`, entry);
    const { code, stdout } = await x2istio("apply");
    assert.equal(code, 3);
    assert.match(stdout, why);
    assert.deepEqual((await objects(FILE))[0], entry);
    const plan = JSON.parse((await x2istio("plan", "-o", "json")).stdout) as { holds: { subject: string }[] };
    assert.deepEqual(
      plan.holds.map(({ subject }) => subject),
      ["ServiceEntry/mesh-services/x"],
    );
  });
