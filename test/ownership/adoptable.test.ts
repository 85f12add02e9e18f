import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawObject } from "../../src/kube/client/raw.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, NAMES_ANNOTATION, OWNER_LABEL } from "../../src/model/objects.ts";
import { takeActions } from "../../src/ownership/actions.ts";
import { answeringEntry, type Candidate, keyFrom, refusal } from "../../src/ownership/adoptable.ts";
import { entry, standing } from "../plan/build.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const LEGACY = "orders.corp.example.com";

const cases: readonly {
  readonly title: string;
  readonly kind?: string;
  readonly place?: Candidate["place"];
  readonly metadata?: object;
  readonly spec?: object;
  readonly want: RegExp | undefined;
}[] = [
  { title: "an entry in the place of ours", want: undefined },
  { title: "an entry whose host is written in upper case", spec: { hosts: [HOST.toUpperCase()] }, want: undefined },
  { title: "an entry with all hosts of ours", spec: { hosts: [HOST, LEGACY] }, want: undefined },
  {
    title: "an entry whose first host is another of ours",
    spec: { hosts: [LEGACY, HOST] },
    want: /^its host is orders\.corp/,
  },
  { title: "such an entry elsewhere", place: "elsewhere", spec: { hosts: [LEGACY] }, want: undefined },
  { title: "an entry without hosts", spec: {}, want: /^its host is none/ },
  {
    title: "an entry that speaks for more",
    spec: { hosts: [HOST, "a.example.org"] },
    want: /^it also has the hosts a\.example\.org/,
  },
  {
    title: "an entry that selects workloads",
    spec: { hosts: [HOST], workloadSelector: { labels: { a: "b" } } },
    want: /workloads/,
  },
  { title: "an entry with an empty selector", spec: { hosts: [HOST], workloadSelector: {} }, want: undefined },
  {
    title: "what is being deleted",
    metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" },
    want: /^it is being deleted$/,
  },
  {
    title: "what another owner has",
    metadata: { labels: { [OWNER_LABEL]: "west" } },
    want: /^it belongs to owner west/,
  },
  {
    title: "what a controller has",
    metadata: { ownerReferences: [{ kind: "App", name: "shop" }] },
    want: /^App shop controls it/,
  },
  { title: "what another manager has", metadata: { labels: { [MANAGED_BY_LABEL]: "Helm" } }, want: /^Helm manages it/ },
  { title: "what we managed", metadata: { labels: { [MANAGED_BY_LABEL]: MANAGED_BY } }, want: undefined },
  { title: "a route", kind: "VirtualService", want: /^its routes may do more than ours would/ },
  { title: "an alias", kind: "Service", spec: { type: "ExternalName" }, want: undefined },
  {
    title: "an alias with a selector",
    kind: "Service",
    spec: { type: "ExternalName", selector: { a: "b" } },
    want: /selector/,
  },
  { title: "a Service with an address", kind: "Service", spec: {}, want: /^it is of type ClusterIP/ },
];
for (const { title, kind = "ServiceEntry", place = "same", metadata = {}, spec = { hosts: [HOST] }, want } of cases)
  test(`refusal() ${want === undefined ? "lets take over" : "refuses"} ${title}`, () => {
    const candidate: Candidate = {
      ...{ key: `${kind}/mesh-services/orders`, service: "dc1/shop/orders", registry: "dc1", place },
      hosts: new Set([HOST, LEGACY]),
    };
    const found = refusal(candidate, { metadata, spec } as RawObject);
    if (want === undefined) assert.equal(found, undefined);
    else assert.match(found ?? "", want);
  });

const REVIEWS: Candidate = {
  ...({ key: "ServiceEntry/istio-system/reviews", service: "dc1/default/reviews", registry: "dc1" } as const),
  place: "elsewhere",
  hosts: new Set(["reviews.default.dc1.mesh.internal", "reviews.service.consul", "reviews"]),
  dnsOnly: new Map([["reviews", "Istio reads a name of one label as a Service"]]),
  ports: new Set([9080]),
};
const ports = (...numbers: readonly number[]) =>
  numbers.map((number) => ({ number, name: `http-${number}`, protocol: "HTTP" }));

for (const { title, candidate = {}, spec, status, want } of [
  { title: "the same port", spec: { hosts: ["reviews.service.consul"], ports: ports(9080) }, want: undefined },
  {
    title: "fewer ports",
    candidate: { ports: new Set([9080, 80]) },
    spec: { hosts: ["reviews.service.consul"], ports: ports(80) },
    want: undefined,
  },
  {
    title: "a port 80 beside its own",
    spec: { hosts: ["reviews.service.consul"], ports: ports(80, 9080) },
    want: /^its port 80 would close \(reviews\.service\.consul:80\), as ours would have 9080 only: keep it by ports: of registry dc1 \(ports: \[\{service: reviews, also: \[80\]\}\]\)/,
  },
  {
    title: "the union of its instances' ports",
    spec: { hosts: ["reviews.service.consul"], ports: ports(80, 9080, 9081) },
    want: /^its ports 80, 9081 would close \(reviews\.service\.consul:80, reviews\.service\.consul:9081\).*\(ports: \[\{service: reviews, also: \[80, 9081\]\}\]\)/,
  },
  {
    title: "a host of one label with HTTP",
    spec: { hosts: ["Reviews"], ports: ports(9080) },
    want: /^HTTP by its host Reviews \(Reviews:9080\) would not be routed any more: Istio reads .* aliases .* ports: of the registry/,
  },
  {
    title: "a host of one label without HTTP",
    spec: { hosts: ["reviews"], ports: [{ number: 9080, protocol: "TCP" }] },
    want: undefined,
  },
  {
    title: "a host of one label that Istio's DNS finds",
    spec: { hosts: ["reviews"], addresses: ["240.240.0.1"], ports: [{ number: 9080, protocol: "TCP" }] },
    want: /^its host reviews \(reviews:9080\) would not be found any more: .* aliases .* legacyNames of registry dc1/,
  },
  {
    title: "a host of one label to which Istio gave a VIP",
    spec: { hosts: ["reviews"], ports: [{ number: 9080, protocol: "TCP" }] },
    status: { addresses: [{ host: "reviews", value: "240.240.0.1" }] },
    want: /^its host reviews \(reviews:9080\) would not be found/,
  },
  {
    title: "a host of several labels with a VIP",
    spec: { hosts: ["reviews.service.consul"], addresses: ["240.240.0.1"], ports: ports(9080) },
    want: undefined,
  },
  {
    title: "a host that ours would not have",
    spec: { hosts: ["reviews.shop"], ports: ports(9080) },
    want: /^it also has the hosts reviews\.shop, which ours would not have \(reviews\.shop:9080\): give them by legacyNames of registry dc1/,
  },
  {
    title: "ports that are not known",
    candidate: { ports: undefined },
    spec: { hosts: ["reviews.service.consul"], ports: ports(1) },
    want: undefined,
  },
  {
    title: "an alias with a port more",
    candidate: { key: "Service/shop/reviews", place: "same" as const },
    spec: { type: "ExternalName", ports: [{ port: 80 }, { port: 9080 }] },
    want: /^its port 80 would close \(reviews:80\)/,
  },
])
  test(`refusal() ${want === undefined ? "lets take over" : "names host, port and option of"} ${title}`, () => {
    const found = refusal({ ...REVIEWS, ...candidate }, { metadata: {}, spec, status } as unknown as RawObject);
    if (want === undefined) assert.equal(found, undefined);
    else assert.match(found ?? "", want);
  });

test("keyFrom() takes a kind in any case, and three parts only", () => {
  assert.deepEqual(
    ["serviceentry/a/b", "HTTPROUTE/a/b", "Service/a/b", "Pod/a/b", "service/a", "service/a/", "service/a/b/c"].map(
      keyFrom,
    ),
    ["ServiceEntry/a/b", "HTTPRoute/a/b", "Service/a/b", undefined, undefined, undefined, undefined],
  );
});

test("answeringEntry() is the entry of the service that answers for all hosts", () => {
  const names = JSON.stringify([LEGACY]);
  const now = standing({ objects: [entry("dc1/shop/orders", { annotations: { [NAMES_ANNOTATION]: names } })] });
  const key = `ServiceEntry/mesh-services/${HOST}`;
  for (const [service, hosts, want] of [
    ["dc1/shop/orders", [HOST], key],
    ["dc1/shop/orders", [HOST.toUpperCase()], key],
    ["dc1/shop/orders", [HOST, "other.example.org"], undefined],
    ["dc1/shop/stock", [HOST], undefined],
  ] as const)
    assert.equal(answeringEntry(now, service, hosts), want, `${service} ${hosts}`);
});

test("takeActions() goes on after one that fails, takes none in a dry run, and ends when it is told to", async () => {
  const taken: string[] = [];
  const end = new AbortController();
  const action = (key: string, outcome: "written" | "failed" = "written") => ({
    ...({ kind: "adopt", key, why: "becomes ours" } as const),
    async write() {
      taken.push(key);
      if (key === "last") end.abort(new Error("enough"));
      return { outcome };
    },
  });
  const refused = { kind: "refuse", key: "no", why: "it is not" } as const;
  const results = await takeActions([action("a", "failed"), refused, action("b")], {
    isDryRun: false,
    signal: end.signal,
  });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["failed", undefined, "written"],
  );
  assert.deepEqual(taken.splice(0), ["a", "b"]);
  const dry = await takeActions([action("a")], { isDryRun: true, signal: end.signal });
  assert.deepEqual([dry[0]?.outcome, taken.length], [undefined, 0]);
  await assert.rejects(takeActions([action("last"), action("c")], { isDryRun: false, signal: end.signal }), /enough/);
  assert.deepEqual(taken, ["last"]);
});
