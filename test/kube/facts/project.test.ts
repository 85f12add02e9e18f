import assert from "node:assert/strict";
import { test } from "node:test";
import {
  toConfigMap,
  toEntry,
  toIstiodPod,
  toNode,
  toPod,
  toService,
  toTlsRule,
} from "../../../src/kube/facts/project.ts";

for (const [conditions, want] of [
  [[{ type: "Ready", status: "True" }], true],
  [[{ type: "Ready", status: "False" }], false],
  [[{ type: "Ready", status: "Unknown" }], false],
  [[{ type: "Initialized", status: "True" }], false],
  [
    [
      { type: "Initialized", status: "True" },
      { type: "Ready", status: "True" },
    ],
    true,
  ],
  [[], false],
] as const)
  test(`toIstiodPod() is ${want ? "" : "not "}ready by ${JSON.stringify(conditions)}`, () =>
    assert.equal(toIstiodPod({ status: { conditions } }).isReady, want));

for (const phase of ["Pending", "Running", "Unknown", undefined])
  test(`toPod() takes a pod of phase ${phase}`, () => assert.notEqual(toPod({ status: { phase } }), undefined));
for (const phase of ["Succeeded", "Failed"])
  test(`toPod() takes no pod of phase ${phase}`, () => assert.equal(toPod({ status: { phase } }), undefined));

test("toService() has all its single addresses once, and its UDP ports", () => {
  const { addresses, askedAddresses, udpPorts, isOurs, isClusterDns } = toService({
    metadata: { name: "web", namespace: "shop" },
    spec: {
      clusterIP: "10.96.0.7",
      clusterIPs: ["10.96.0.7", "fd00::7"],
      externalIPs: ["192.0.2.7"],
      ports: [{ port: 80 }, { port: 53, protocol: "UDP" }, { port: 53, protocol: "TCP" }],
    },
    status: { loadBalancer: { ingress: [{ ip: "198.51.100.7" }, { hostname: "lb" }] } },
  });
  assert.deepEqual(addresses, ["10.96.0.7", "fd00::7", "192.0.2.7", "198.51.100.7"]);
  assert.deepEqual(askedAddresses, ["192.0.2.7"]);
  assert.deepEqual(udpPorts, [53]);
  assert.deepEqual([isOurs, isClusterDns], [false, false]);
  assert.deepEqual(toService({ spec: { clusterIP: "None", clusterIPs: ["None"] } }).addresses, []);
  assert.equal(toService({ metadata: { labels: { "app.kubernetes.io/name": "x2istio" } } }).isOurs, true);
  assert.equal(toService({ metadata: { labels: { "k8s-app": "kube-dns" } } }).isClusterDns, true);
  assert.equal(toService({ metadata: { name: "kube-dns" } }).isClusterDns, true);
});

const tls = (spec: object) => toTlsRule({ metadata: { name: "r", namespace: "shop" }, spec });
const wide = { host: "*.example.org", trafficPolicy: { tls: { mode: "ISTIO_MUTUAL" } } };

test("toTlsRule() is what covers more than one host, of all workloads", () => {
  assert.deepEqual(tls(wide), {
    namespace: "shop",
    name: "r",
    host: "*.example.org",
    mode: "ISTIO_MUTUAL",
    isExported: true,
  });
  for (const other of [
    { ...wide, host: "a.example.org" },
    { ...wide, host: 7 },
    { ...wide, workloadSelector: { matchLabels: {} } },
  ])
    assert.equal(tls(other), undefined);
  assert.notEqual(tls({ ...wide, workloadSelector: null }), undefined);
});

for (const [policy, want] of [
  [undefined, undefined],
  [{}, undefined],
  [{ tls: {} }, "DISABLE"],
  [{ tls: { mode: "SIMPLE" } }, "SIMPLE"],
] as const)
  test(`toTlsRule() reads mode ${want} of ${JSON.stringify(policy)}`, () =>
    assert.equal(tls({ ...wide, trafficPolicy: policy })?.mode, want));

for (const [exportTo, want] of [
  [undefined, true],
  [[], true],
  [["*"], true],
  [["shop", "*"], true],
  [["."], false],
  [["shop"], false],
] as const)
  test(`toTlsRule() is ${want ? "" : "not "}exported by ${JSON.stringify(exportTo)}`, () =>
    assert.equal(tls({ ...wide, exportTo })?.isExported, want));

test("toEntry() tells ours and those to be filled from others", () => {
  const labels = { "app.kubernetes.io/managed-by": "x2istio" };
  assert.equal(toEntry({ metadata: { labels } }).isOurs, true);
  assert.equal(toEntry({ metadata: { labels: { "app.kubernetes.io/managed-by": "helm" } } }).isOurs, false);
  const { ports, addresses, exportTo } = toEntry({
    spec: { ports: [{ number: 80 }], addresses: ["192.0.2.0/24"], exportTo: ["."] },
  });
  assert.deepEqual([ports, addresses, exportTo], [[80], ["192.0.2.0/24"], ["."]]);
});

test("toNode() has its pods' ranges once, and its addresses but for its names", () => {
  const node = toNode({
    metadata: { name: "n" },
    spec: { podCIDR: "10.1.0.0/24", podCIDRs: ["10.1.0.0/24", "fd00::/64"] },
    status: {
      addresses: [
        { type: "InternalIP", address: "192.0.2.7" },
        { type: "ExternalIP", address: "198.51.100.7" },
        { type: "Hostname", address: "n" },
      ],
    },
  });
  assert.deepEqual(node, {
    name: "n",
    podRanges: ["10.1.0.0/24", "fd00::/64"],
    addresses: ["192.0.2.7", "198.51.100.7"],
  });
});

test("toConfigMap() takes a Corefile and its parts, and nothing else", () => {
  const data = { Corefile: "a", "x.server": "b", "y.override": "c", "z.txt": "d", server: "e" };
  assert.deepEqual(toConfigMap({ data })?.data, { Corefile: "a", "x.server": "b", "y.override": "c" });
  assert.equal(toConfigMap({ data: { "z.txt": "d" } }), undefined);
});
