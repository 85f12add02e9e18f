import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Manifest } from "../../../src/model/objects.ts";
import { sized } from "../../size.ts";
import { decider } from "../at-once.ts";
import {
  service as aService,
  failed,
  foreign,
  HOUR_MS,
  incomplete,
  MESH,
  port,
  readings,
  type Said,
} from "../build.ts";
import { config, type MemoryTarget, memoryTarget } from "../memory.ts";

const KEY = "dc1/shop/orders";
const HOST = "orders.shop.dc1.mesh.internal";
const http = { name: "orders", service: KEY, gateway: "edge/public", hosts: ["shop.example.com"] };
const tcp = { name: "db", service: KEY, gateway: "edge/public", listen: 3306, port: 3306 };
const PORTS = [port("web", 8080), port("mysql", 3306, "MYSQL"), port("dns", 53, "UDP")];
const orders = aService("orders", { ports: PORTS });

interface World {
  readonly target: MemoryTarget;
  readonly said?: Readonly<Record<string, Said>>;
  readonly exposures?: readonly object[];
  readonly policy?: object;
}

function decide({ target, said = { dc1: [orders] }, exposures = [http], policy = {} }: World) {
  const compute = decider(config(["dc1"], { exposures, policy }));
  const input = { standing: target.standing(), nowMs: target.clockMs, allowDeletes: new Set<string>() };
  return compute({ ...input, readings: readings(said) }).plan;
}

/** Decide, write, and tell what was held. */
async function pass(world: World) {
  const plan = decide(world);
  await world.target.write([...plan.update, ...plan.create, ...plan.delete], {
    signal: new AbortController().signal,
    mayWrite: () => true,
  });
  return plan.hold.map(({ reason, subject, service, message }) => ({ reason, subject, service, message }));
}

const routes = ({ objects }: MemoryTarget): readonly Manifest[] =>
  [...objects.values()].map(({ manifest }) => manifest).filter(({ metadata }) => !metadata.name.includes("."));
const specs = (target: MemoryTarget) => routes(target).map(({ spec }) => spec);

const route = (number: number) => [{ destination: { host: HOST, port: { number } } }];
const istio = { gateways: ["edge/public"], exportTo: ["*"] };
const hosts = ["shop.example.com"];
const parent = { group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "edge", name: "public" };
const backendRefs = (number: number) => [
  { group: "networking.istio.io", kind: "Hostname", name: HOST, port: number, weight: 1 },
];
const prefix = (value: string) => [{ path: { type: "PathPrefix", value } }];

const made: readonly { readonly name: string; readonly rule: object; readonly kind: string; readonly spec: object }[] =
  [
    {
      name: "HTTP by host",
      rule: http,
      kind: "VirtualService",
      spec: { hosts, ...istio, http: [{ route: route(8080) }] },
    },
    {
      name: "HTTP by host and path, whole segments of it",
      rule: { ...http, path: "/orders", listen: 443 },
      kind: "VirtualService",
      spec: {
        hosts,
        ...istio,
        http: [
          {
            match: [
              { uri: { exact: "/orders" }, port: 443 },
              { uri: { prefix: "/orders/" }, port: 443 },
            ],
            route: route(8080),
          },
        ],
      },
    },
    {
      name: "HTTP on one port of the gateway",
      rule: { ...http, listen: 80 },
      kind: "VirtualService",
      spec: { hosts, ...istio, http: [{ match: [{ port: 80 }], route: route(8080) }] },
    },
    {
      name: "HTTP on a port whose protocol nobody said",
      rule: { ...http, port: 3306 },
      kind: "VirtualService",
      spec: { hosts, ...istio, http: [{ route: route(3306) }] },
    },
    {
      name: "TCP",
      rule: { ...tcp, listen: 13_306 },
      kind: "VirtualService",
      spec: { hosts: ["*"], ...istio, tcp: [{ match: [{ port: 13_306 }], route: route(3306) }] },
    },
    {
      name: "HTTP by the Gateway API",
      rule: { ...http, api: "gateway", path: "/orders" },
      kind: "HTTPRoute",
      spec: {
        parentRefs: [parent],
        hostnames: hosts,
        rules: [{ matches: prefix("/orders"), backendRefs: backendRefs(8080) }],
      },
    },
    {
      name: "TCP by the Gateway API",
      rule: { ...tcp, api: "gateway" },
      kind: "TCPRoute",
      spec: { parentRefs: [{ ...parent, port: 3306 }], rules: [{ backendRefs: backendRefs(3306) }] },
    },
  ];
for (const { name, rule, kind, spec } of made) {
  test(`an exposure leads a gateway to the service's host: ${name}`, async () => {
    const target = memoryTarget();
    assert.deepEqual(await pass({ target, exposures: [rule] }), []);
    const [manifest, ...more] = routes(target);
    assert.equal(more.length, 0);
    assert.equal(manifest?.kind, kind);
    assert.deepEqual(manifest?.spec, spec);
    assert.deepEqual(manifest?.metadata, {
      name: (rule as { readonly name: string }).name,
      namespace: MESH,
      labels: {
        "app.kubernetes.io/managed-by": "x2istio",
        "x2istio.dev/owner": "east",
        "x2istio.dev/registry": "dc1",
      },
      annotations: {
        "x2istio.dev/service": KEY,
        "x2istio.dev/exposure": (rule as { readonly name: string }).name,
      },
    });
    const again = decide({ target, exposures: [rule] });
    assert.deepEqual([again.create, again.update, again.delete, again.hold], [[], [], [], []]);
  });
}

const ports = [
  { ports: [port("a", 80), port("b", 81)], rule: http, message: /several ports, one must be named by port: 80, 81$/ },
  { ports: PORTS, rule: { ...tcp, port: undefined }, message: /several ports, .*: 8080, 3306$/ },
  { ports: PORTS, rule: { ...http, port: 9090 }, message: /no port 9090: 8080, 3306$/ },
  { ports: PORTS, rule: { ...tcp, port: 53 }, message: /no port 53: 8080, 3306$/ },
  { ports: [port("dns", 53, "UDP")], rule: tcp, message: /its service has no port for TCP$/ },
];
for (const { ports: given, rule, message } of ports) {
  test(`an exposure without a port to lead to is held: ${message}`, async () => {
    const target = memoryTarget();
    const said = { dc1: [aService("orders", { ports: given })] };
    const [hold, ...more] = await pass({ target, said, exposures: [rule] });
    assert.equal(more.length, 0);
    assert.equal(hold?.reason, "invalid");
    assert.equal(hold?.subject, `VirtualService/${MESH}/${rule.name}`);
    assert.equal(hold?.service, KEY);
    assert.match(hold?.message ?? "", message);
    assert.deepEqual(routes(target), []);
  });
}

test("a route stays as it is when the port that it leads to is no longer told", async () => {
  const target = memoryTarget();
  await pass({ target });
  const before = specs(target);
  const said = { dc1: [aService("orders", { ports: [port("a", 80), port("b", 81)] })] };
  assert.deepEqual(
    (await pass({ target, said })).map(({ reason }) => reason),
    ["invalid"],
  );
  assert.deepEqual(specs(target), before);
});

const unknown: readonly {
  readonly said: Readonly<Record<string, Said>>;
  readonly reason: string;
  readonly message: RegExp;
}[] = [
  { said: { dc1: [] }, reason: "service", message: /^exposure orders: registry dc1 lists no service shop\/orders$/ },
  { said: { dc1: "refused" }, reason: "unread", message: /^exposure orders: refused$/ },
  { said: { dc1: undefined }, reason: "unread", message: /has not answered yet/ },
  { said: { dc1: incomplete("dc1", []) }, reason: "unread", message: /page 2 failed/ },
  { said: { dc1: [failed(KEY)] }, reason: "unread", message: /boom/ },
  {
    said: { dc1: [aService("orders", { ports: [port("web", 8080, "NOPE")] })] },
    reason: "invalid",
    message: /^exposure orders: its service dc1\/shop\/orders is held: .*NOPE/,
  },
];
for (const { said, reason, message } of unknown) {
  test(`an exposure whose service has no entry is held: ${message}`, async () => {
    const target = memoryTarget();
    const hold = (await pass({ target, said })).find(({ subject }) => subject === `VirtualService/${MESH}/orders`);
    assert.equal(hold?.reason, reason);
    assert.match(hold?.message ?? "", message);
    assert.deepEqual(routes(target), []);
  });
}

for (const [name, said] of [
  ["unread", { dc1: undefined }],
  ["failed", { dc1: "refused" }],
  ["unreadable", { dc1: [failed(KEY)] }],
  ["held", { dc1: [aService("orders", { ports: [port("web", 8080, "NOPE")] })] }],
  ["empty", { dc1: [aService("orders", { ports: PORTS, endpoints: [] })] }],
] satisfies [string, Readonly<Record<string, Said>>][]) {
  test(`a route leads to the entry that stands while its service is ${name}`, async () => {
    const target = memoryTarget();
    await pass({ target });
    const before = specs(target);
    await pass({ target, said });
    assert.deepEqual(specs(target), before);
    await pass({ target, said, exposures: [{ ...http, path: "/orders" }] });
    assert.notDeepEqual(specs(target), before, "the configuration counts all the same");
    await pass({ target, said, exposures: [] });
    assert.deepEqual(routes(target), [], "and closes what it no longer asks for");
  });
}

test("a route goes when the entry of its service has gone", async () => {
  const target = memoryTarget();
  const said = { dc1: [aService("other")] };
  await pass({ target, said: { dc1: [orders, aService("other")] } });
  assert.deepEqual(await pass({ target, said }), []);
  assert.equal(routes(target).length, 1, "it leads to the tombstone");
  target.clockMs += 2 * HOUR_MS;
  await pass({ target, said });
  assert.deepEqual(
    (await pass({ target, said })).map(({ reason }) => reason),
    ["service"],
  );
  assert.deepEqual(routes(target), []);
});

for (const policy of [{ mode: "upsert-only" }, { maxDeletePercent: 0, minDeletes: 0 }]) {
  test(`an exposure is closed whatever holds its service: ${JSON.stringify(policy)}`, async () => {
    const target = memoryTarget();
    await pass({ target });
    await pass({ target, said: { dc1: [] } });
    target.clockMs += 2 * HOUR_MS;
    await pass({ target, said: { dc1: [] }, policy });
    assert.equal(target.objects.has(`ServiceEntry/${MESH}/${HOST}`), true);
    assert.equal(routes(target).length, 1);
    await pass({ target, said: { dc1: [] }, policy, exposures: [] });
    assert.equal(target.objects.has(`ServiceEntry/${MESH}/${HOST}`), true);
    assert.deepEqual(routes(target), []);
  });
}

test("an exposure is held while someone else's object has its name", async () => {
  const target = memoryTarget();
  const other = foreign("VirtualService", `${MESH}/orders`);
  target.foreign.set(`VirtualService/${MESH}/orders`, other);
  const holds = await pass({ target });
  assert.deepEqual(holds, [
    {
      reason: "foreign",
      subject: `VirtualService/${MESH}/orders`,
      service: KEY,
      message: `VirtualService ${MESH}/orders exists and is not ours`,
    },
  ]);
  assert.deepEqual(routes(target), []);
  await pass({ target, exposures: [] });
  assert.equal(target.foreign.size, 1);
});

for (const [rule, kind] of [
  [{ ...http, api: "gateway" }, "HTTPRoute"],
  [{ ...tcp, api: "gateway" }, "TCPRoute"],
] as const) {
  test(`an exposure is held where the cluster has no ${kind}`, async () => {
    const target = memoryTarget();
    target.absentKinds.add(kind);
    const [hold, ...more] = await pass({ target, exposures: [rule] });
    assert.equal(more.length, 0);
    assert.equal(hold?.reason, "kind");
    assert.match(hold?.message ?? "", new RegExp(`the cluster has no ${kind} in gateway\\.networking\\.k8s\\.io/v1`));
    target.absentKinds.clear();
    assert.deepEqual(await pass({ target, exposures: [rule] }), []);
    assert.deepEqual(
      routes(target).map((one) => one.kind),
      [kind],
    );
  });
}

test("an exposure whose route the gateway does not take says so, until it is another route", async () => {
  const target = memoryTarget();
  const rule = { ...http, api: "gateway" };
  const key = `HTTPRoute/${MESH}/orders`;
  await pass({ target, exposures: [rule] });
  const standing = target.objects.get(key);
  assert.ok(standing !== undefined);
  target.objects.set(key, { ...standing, refused: "NotAllowedByListeners: no" });
  const refused = {
    reason: "gateway",
    subject: key,
    service: KEY,
    message: "exposure orders: Gateway edge/public does not take it: NotAllowedByListeners: no",
  };
  assert.deepEqual(await pass({ target, exposures: [rule] }), [refused]);
  assert.equal(routes(target).length, 1, "it stands all the same");
  assert.deepEqual(await pass({ target, exposures: [{ ...rule, listen: 80 }] }), []);
  assert.match(JSON.stringify(specs(target)), /"port":80\b/);
});

test("an exposure that is led elsewhere takes its route along, and drift is put back", async () => {
  const target = memoryTarget();
  const said = { dc1: [orders, aService("stock")] };
  await pass({ target, said });
  await pass({ target, said, exposures: [{ ...http, service: "dc1/shop/stock" }] });
  const [manifest] = routes(target);
  assert.equal(manifest?.metadata.annotations?.["x2istio.dev/service"], "dc1/shop/stock");
  assert.match(JSON.stringify(manifest?.spec), /stock\.shop\.dc1\.mesh\.internal/);
  const key = `VirtualService/${MESH}/orders`;
  const standing = target.objects.get(key);
  assert.ok(standing !== undefined);
  const drifted = { ...standing.manifest, spec: { hosts: ["stolen.example.com"] } } as Manifest;
  target.objects.set(key, { ...standing, manifest: drifted });
  await pass({ target, said });
  assert.deepEqual(specs(target), [{ hosts, ...istio, http: [{ route: route(8080) }] }]);
});

test("whatever happened before, the routes are those that the rules ask for", async () => {
  const rules = [http, tcp, { ...http, name: "c", api: "gateway" }, { ...tcp, name: "d", api: "gateway", listen: 1 }];
  const step = fc.record({
    said: fc.constantFrom<Readonly<Record<string, Said>>>(
      { dc1: [orders] },
      { dc1: [] },
      { dc1: "refused" },
      { dc1: [failed(KEY)] },
      { dc1: [aService("orders", { ports: PORTS, endpoints: [] })] },
    ),
    exposures: fc.subarray(rules),
    hours: fc.nat({ max: 3 }),
  });
  const run = fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
    const target = memoryTarget();
    for (const { said, exposures, hours } of steps) {
      target.clockMs += hours * HOUR_MS;
      await pass({ target, said, exposures });
      const asked = new Set(exposures.map(({ name }) => name));
      for (const { metadata } of routes(target)) assert.ok(asked.has(metadata.name), "none that nobody asks for");
    }
    await pass({ target, exposures: rules });
    assert.equal(routes(target).length, rules.length);
    await pass({ target, said: { dc1: "refused" }, exposures: [] });
    assert.deepEqual(routes(target), []);
  });
  await fc.assert(run, { numRuns: sized(200) });
});
