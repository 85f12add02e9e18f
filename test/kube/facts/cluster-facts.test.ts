import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KubeClient, KubeRequest } from "../../../src/kube/client/client.ts";
import { KubeStatusError } from "../../../src/kube/client/kube-error.ts";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import { readClusterFacts } from "../../../src/kube/facts/cluster-facts.ts";
import {
  toConfigMap,
  toEntry,
  toIstio,
  toIstiodPod,
  toNode,
  toPod,
  toService,
  toSidecar,
} from "../../../src/kube/facts/project.ts";
import { readyCount } from "../../../src/kube/watch/claims.ts";
import { sized } from "../../size.ts";

const options = {
  istioNamespace: "istio-system",
  dnsNamespace: "kube-system",
  rights: [],
  signal: new AbortController().signal,
  pageSize: 2,
};

/** A client of an API server that has these answers by path, lists in pages, and denies all else. */
function clientOf(answers: Readonly<Record<string, unknown>>) {
  const asked: KubeRequest[] = [];
  const request: KubeClient["request"] = async (wanted) => {
    asked.push(wanted);
    const { pathname, searchParams } = new URL(wanted.path, "http://example.org");
    const answer = answers[pathname];
    if (answer === undefined) throw new KubeStatusError(wanted.action, 403, { reason: "Forbidden" });
    if (!Array.isArray(answer)) return answer;
    const from = Number(searchParams.get("continue") ?? 0);
    const limit = Number(searchParams.get("limit"));
    const next = from + limit < answer.length ? String(from + limit) : "";
    return { metadata: { resourceVersion: "1", continue: next }, items: answer.slice(from, from + limit) };
  };
  return { client: { request, nowMs: () => 1 } as unknown as KubeClient, asked };
}

test("readClusterFacts() reads lists in pages, and what it may not read is unknown by itself", async () => {
  const { client, asked } = clientOf({
    "/version": { gitVersion: "v1.36.3" },
    "/api/v1/namespaces": ["a", "b", "c", "d", "e"].map((name) => ({ metadata: { name } })),
    "/api/v1/pods": [{ metadata: { name: "x" }, status: { phase: "Succeeded" } }, { metadata: { name: "y" } }],
  });
  const facts = await readClusterFacts(client, options);
  assert.ok(facts.namespaces.known);
  assert.deepEqual([...facts.namespaces.value.keys()], ["a", "b", "c", "d", "e"]);
  assert.ok(facts.pods.known);
  assert.deepEqual(
    facts.pods.value.map(({ name }) => name),
    ["y"],
    "what has ended is no pod",
  );
  assert.deepEqual(facts.nodes, { known: false, why: "Cannot list nodes: 403 Forbidden" });
  assert.deepEqual(facts.dnsBackends, { known: false, why: "Cannot list services: 403 Forbidden" });
  const pages = asked.filter(({ path }) => path.startsWith("/api/v1/namespaces?"));
  assert.deepEqual(
    pages.map(({ path }) => path),
    ["", "&continue=2", "&continue=4"].map((more) => `/api/v1/namespaces?limit=2${more}`),
  );
});

test("readClusterFacts() asks for the rights of whom it is told, with the groups of a service account", async () => {
  const reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
  const { client, asked } = clientOf({
    "/version": { gitVersion: "v1.36.3" },
    [reviews]: { status: { allowed: true } },
  });
  const right = { namespace: "shop", group: "", resource: "services", verb: "get", name: "x" };
  const user = "system:serviceaccount:x2istio-system:x2istio";
  const facts = await readClusterFacts(client, { ...options, rights: [right], user });
  assert.deepEqual(facts.rights, { known: true, value: [{ right, isAllowed: true }] });
  const [spec] = asked.flatMap(({ path, body }) => (path === reviews ? [(body as { spec: unknown }).spec] : []));
  assert.deepEqual(spec, {
    resourceAttributes: right,
    user,
    groups: ["system:serviceaccounts", "system:serviceaccounts:x2istio-system", "system:authenticated"],
  });
});

test("readClusterFacts() throws when nobody answers, and when it is told to stop", async () => {
  const silent = { request: async () => Promise.reject(new Error("connect ECONNREFUSED")), nowMs: () => 1 };
  await assert.rejects(readClusterFacts(silent as unknown as KubeClient, options), /ECONNREFUSED/);
  const stop = new AbortController();
  const { client } = clientOf({ "/version": { gitVersion: "v1.36.3" } });
  stop.abort(new Error("stopped"));
  await assert.rejects(readClusterFacts(client, { ...options, signal: stop.signal }), /stopped/);
});

const native = {
  metadata: {
    namespace: "shop",
    name: "web-5d8-x",
    labels: { "pod-template-hash": "5d8", "istio.io/dataplane-mode": "none" },
    annotations: {
      "sidecar.istio.io/inject": "false",
      "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8",
    },
    ownerReferences: [{ kind: "ReplicaSet", name: "web-5d8" }],
  },
  spec: { hostNetwork: true, containers: [{ name: "app" }], initContainers: [{ name: "istio-proxy" }] },
  status: { phase: "Running", podIPs: [{ ip: "192.0.2.7" }, { ip: "2001:db8::7" }] },
};

test("toPod() knows a sidecar that is an init container, and the Deployment behind a ReplicaSet", () => {
  assert.deepEqual(toPod(native), {
    namespace: "shop",
    name: "web-5d8-x",
    owner: { kind: "Deployment", name: "web" },
    addresses: ["192.0.2.7", "2001:db8::7"],
    isHostNetwork: true,
    hasSidecar: true,
    dataplaneMode: "none",
    inject: "false",
    includeRanges: undefined,
    excludeRanges: "10.0.0.0/8",
    excludePorts: undefined,
    isDns: false,
  });
  const others = [
    { owner: { kind: "StatefulSet", name: "web-5d8" }, want: { kind: "StatefulSet", name: "web-5d8" } },
    { owner: { kind: "ReplicaSet", name: "lone" }, want: { kind: "ReplicaSet", name: "lone" } },
    { owner: { kind: "Job" }, want: undefined },
  ];
  for (const { owner, want } of others)
    assert.deepEqual(
      toPod({ ...native, metadata: { ...native.metadata, ownerReferences: [owner] } } as RawObject)?.owner,
      want,
    );
});

test("toIstiodPod() reads the version off any image", () => {
  const images = [
    { image: "docker.io/istio/pilot:1.31.1-distroless", want: "1.31.1-distroless" },
    { image: "registry.example.org:5000/pilot:1.30.0@sha256:0123", want: "1.30.0" },
    { image: "registry.example.org:5000/pilot", want: "" },
    { image: "pilot@sha256:0123", want: "" },
  ];
  for (const { image, want } of images)
    assert.equal(toIstiodPod({ spec: { containers: [{ name: "discovery", image }] } }).version, want, image);
});

test("toIstio() knows elections by ConfigMap and by Lease", () => {
  const renewTime = "2026-03-01T12:00:00Z";
  const record = JSON.stringify({ holderIdentity: "istiod-1", holderKey: "^v2", renewTime });
  const annotated = (name: string, text: string) => ({
    metadata: { name, annotations: { "control-plane.alpha.kubernetes.io/leader": text } },
  });
  const { elections, mesh, injectors } = toIstio(
    [
      annotated("istio-leader", record),
      annotated("broken", "{"),
      annotated("nobody", JSON.stringify({ holderIdentity: "", renewTime })),
      { metadata: { name: "istio" }, data: { mesh: "a: b" } },
      { metadata: { name: "istio-v2" }, data: { mesh: "c: d" } },
      { metadata: { name: "istio-sidecar-injector-v2" }, data: { values: "{}", config: "…" } },
      { metadata: { name: "istio-ca-root-cert" }, data: { "root-cert.pem": "…" } },
    ],
    [
      { metadata: { name: "istio-gateway-status-leader-default" }, spec: { holderIdentity: "istiod-2", renewTime } },
      { metadata: { name: "never-held" }, spec: {} },
    ],
  );
  const renewedMs = Date.parse(renewTime);
  assert.deepEqual(elections, [
    { name: "istio-leader", holder: "istiod-1", key: "^v2", renewedMs },
    { name: "istio-gateway-status-leader-default", holder: "istiod-2", key: "", renewedMs },
  ]);
  assert.deepEqual([...mesh.keys()], ["istio", "istio-v2"]);
  assert.deepEqual([...injectors.keys()], ["istio-sidecar-injector-v2"]);
});

test("toSidecar() tells no egress from an egress without hosts", () => {
  const hosts = ({ spec }: { spec: object }) => toSidecar({ spec }).egressHosts;
  assert.equal(hosts({ spec: {} }), undefined);
  assert.deepEqual(hosts({ spec: { egress: [{}] } }), []);
  assert.deepEqual(hosts({ spec: { egress: [{ hosts: ["./*"] }, { hosts: ["a/*"] }] } }), ["./*", "a/*"]);
});

test("readyCount() counts those that do not say they are not", () => {
  const endpoints = [{ conditions: { ready: true } }, { conditions: { ready: false } }, {}];
  assert.equal(readyCount({ endpoints } as RawObject), 2);
});

test("nothing that stands in a cluster keeps its facts from being read", () => {
  const part = fc.jsonValue({ maxDepth: 4 });
  const text = fc.string({ maxLength: 8 });
  const metadata = fc.record(
    {
      name: text,
      namespace: text,
      labels: fc.dictionary(text, text),
      annotations: fc.dictionary(text, text),
      ownerReferences: part,
    },
    { requiredKeys: [] },
  );
  const known = fc.constantFrom(
    "containers",
    "podIPs",
    "addresses",
    "ports",
    "egress",
    "exportTo",
    "podCIDRs",
    "conditions",
    "env",
  );
  const section = fc.oneof(part, fc.dictionary(known, fc.oneof(part, fc.array(part))));
  const raw = fc.record(
    { metadata, spec: section, status: section, data: section, endpoints: section },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(raw, (one) => {
      const object = one as RawObject;
      for (const project of [toPod, toIstiodPod, toNode, toService, toEntry, toSidecar, toConfigMap, readyCount])
        project(object);
      toIstio([object], [object]);
    }),
    { numRuns: sized(1000) },
  );
});
