import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { CHECKS, type CheckName } from "../../src/doctor/finding.ts";
import type { InstallationFacts } from "../../src/doctor/installation.ts";
import type { DoctorSettings } from "../../src/doctor/settings.ts";
import type { ClusterFacts, IstioFacts } from "../../src/model/cluster-facts.ts";
import {
  corefile,
  DENIED,
  entry,
  installation,
  known,
  NOW_MS,
  pod,
  STUB,
  service as serviceFact,
  settings,
  sidecar,
  soundFacts,
} from "./facts.ts";

interface Case {
  readonly name: string;
  readonly check: CheckName;
  readonly facts?: Partial<ClusterFacts>;
  readonly settings?: Partial<DoctorSettings>;
  readonly installation?: Partial<InstallationFacts>;
  /** What is not fine: its sentence, with its remedy after ` ⇒ `. */
  readonly want: readonly RegExp[];
}

const istio = (fields: Partial<IstioFacts>) =>
  known({
    ...(soundFacts.istio.known ? soundFacts.istio.value : { mesh: new Map(), injectors: new Map(), elections: [] }),
    ...fields,
  });
const mesh = (text: string) => istio({ mesh: new Map([["istio", text]]) });
const injecting = (proxy: object) =>
  istio({ injectors: new Map([["istio-sidecar-injector-v2", JSON.stringify({ global: { proxy } })]]) });
const corefiles = (text: string, name = "coredns", more: Readonly<Record<string, string>> = {}) =>
  [{ namespace: "kube-system", name, data: { Corefile: text, ...more } }] as const;
const services = soundFacts.services.known ? soundFacts.services.value : [];
const election = (name: string, fields: object = {}) => ({
  name,
  holder: "istiod-1",
  key: "default",
  renewedMs: NOW_MS - 5000,
  ...fields,
});
const many = (count: number) => Array.from({ length: count }, (_, at) => entry(`s-${at}`));
const withVips = (...ranges: readonly string[]) => ({ vips: { ...settings.vips, ranges } });
const istioVips = { vips: { ...settings.vips, mode: "istio" as const } };
const shards = { registry: "vms", service: "vms/shop/shards", address: "192.0.2.21", count: 3 };
const ambientShop = (labels: Readonly<Record<string, string>> = {}) =>
  new Map([
    ["mesh-services", { labels, isTerminating: false }],
    ["shop", { labels: { "istio.io/dataplane-mode": "ambient" }, isTerminating: false }],
  ]);

const cases: readonly Case[] = [
  {
    name: "nothing of Istio is served",
    check: "definitions",
    facts: { served: known(new Map()) },
    want: [/^serviceentries and virtualservices are not served in networking.istio.io\/v1: .* ⇒ helm .*istio\/base/],
  },
  {
    name: "an Istio before 1.22",
    check: "definitions",
    facts: {
      served: known(new Map([["networking.istio.io/v1beta1", new Set(["serviceentries", "virtualservices"])]])),
    },
    want: [/only in networking.istio.io\/v1beta1/],
  },
  {
    name: "exposures by the Gateway API, of which TCPRoutes are missing",
    check: "definitions",
    settings: {
      exposures: [
        { api: "gateway", hosts: ["a.example.org"] },
        { api: "gateway", hosts: [] },
      ],
    },
    facts: {
      served: known(
        new Map([
          ["networking.istio.io/v1", new Set(["serviceentries", "virtualservices"])],
          ["gateway.networking.k8s.io/v1", new Set(["httproutes"])],
        ]),
      ),
    },
    want: [/^exposures need tcproutes in gateway.networking.k8s.io\/v1, .* ⇒ kubectl apply .*standard-install.yaml/],
  },
  {
    name: "exposures by Istio's own API",
    check: "definitions",
    settings: { exposures: [{ api: "istio", hosts: [] }] },
    want: [],
  },
  {
    name: "an old Kubernetes",
    check: "definitions",
    facts: { version: known("v1.28.4-eks-1") },
    want: [/Kubernetes is v1.28.4-eks-1, but 1.30/],
  },
  {
    name: "a Kubernetes that says nothing",
    check: "definitions",
    facts: { version: known("") },
    want: [/could not be checked: Kubernetes calls itself ""/],
  },

  {
    name: "an election of long ago, and no pod",
    check: "istiod",
    facts: {
      istio: istio({ elections: [election("istio-leader", { renewedMs: NOW_MS - 600_000 })] }),
      istiodPods: known([]),
    },
    want: [/^no istiod uses this cluster as its config cluster.* ⇒ helm .*istio\/istiod/],
  },
  {
    name: "an istiod of another config cluster",
    check: "istiod",
    facts: {
      istio: istio({ elections: [election("istio-namespace-controller-election", { key: "^default" })] }),
      istiodPods: known([]),
    },
    want: [/^istiod-1 serves this cluster but reads its configuration from another one.* ⇒ kubectl config/],
  },
  {
    name: "an istiod outside of the cluster",
    check: "istiod",
    facts: { istio: istio({ elections: [election("istio-gateway-status-leader-v2")] }), istiodPods: known([]) },
    want: [],
  },
  {
    name: "an istiod that is ready but holds no election",
    check: "istiod",
    facts: { istio: istio({ elections: [] }) },
    want: [/could not be checked: istiod-1 is ready but holds none/],
  },
  {
    name: "an istiod that is not ready",
    check: "istiod",
    facts: {
      istio: istio({ elections: [] }),
      istiodPods: known([{ name: "istiod-1", revision: "default", version: "1.31.1", isReady: false, env: {} }]),
    },
    want: [/^no istiod is ready: istiod-1 ⇒ kubectl describe/],
  },
  {
    name: "an old istiod",
    check: "istiod",
    facts: {
      istiodPods: known([
        { name: "istiod-1", revision: "default", version: "1.20.3-distroless", isReady: true, env: {} },
      ]),
    },
    want: [/version 1.20.3-distroless, but 1.22/],
  },
  ...(
    [
      ["1.21.9", [/version 1\.21\.9, but 1\.22/]],
      ["1.22.0", []],
      ["v1.9.0", [/version v1\.9\.0, but 1\.22/]],
      ["2.0.0", []],
    ] as const
  ).map(([version, want]) => ({
    name: `an istiod of version ${version}`,
    check: "istiod" as const,
    facts: {
      istiodPods: known([{ name: "istiod-1", revision: "default", version, isReady: true, env: {} }]),
    },
    want,
  })),
  {
    name: "an istiod of a version that is no number",
    check: "istiod",
    facts: {
      istiodPods: known([{ name: "istiod-1", revision: "default", version: "latest", isReady: true, env: {} }]),
    },
    want: [],
  },
  {
    name: "sources without the cluster",
    check: "istiod",
    facts: { istio: mesh('configSources: [{address: "xds://192.0.2.1:15010"}]') },
    want: [
      /configSources .* name "xds:\/\/192.0.2.1:15010" but not k8s:\/\/.* ⇒ kubectl edit configmap -n istio-system istio/,
    ],
  },
  {
    name: "sources with the cluster",
    check: "istiod",
    facts: { istio: mesh('configSources: [{address: "xds://192.0.2.1:15010"}, {address: "k8s://"}]') },
    want: [],
  },
  {
    name: "a mesh configuration that is no YAML",
    check: "istiod",
    facts: { istio: mesh("a: [") },
    want: [/could not be checked: Cannot read Istio's ConfigMap istio/],
  },

  {
    name: "a template of legacy names in a zone of others",
    check: "names",
    settings: { templateWarnings: [{ registry: "vms", message: "its legacy names end in corp.example.com" }] },
    want: [
      /^registry vms: its legacy names end in corp\.example\.com ⇒ in x2istio\.yaml end the template in a zone of dns\.zones/,
    ],
  },
  {
    name: "a namespace that is missing, one that is going",
    check: "namespaces",
    facts: { namespaces: known(new Map([["shop", { labels: {}, isTerminating: true }]])) },
    want: [
      /mesh-services does not exist ⇒ kubectl create namespace mesh-services/,
      /shop is being deleted ⇒ kubectl wait/,
    ],
  },
  {
    name: "a ledger elsewhere",
    check: "namespaces",
    settings: { vips: { ...settings.vips, ledgerNamespace: "ledger" } },
    want: [/namespace ledger does not exist/],
  },
  {
    name: "discovery selectors that one namespace suits",
    check: "namespaces",
    facts: {
      istio: mesh(
        "discoverySelectors: [{matchExpressions: [{key: istio-injection, operator: In, values: [enabled]}]}]",
      ),
    },
    want: [/do not select namespace mesh-services: .* ⇒ kubectl edit/],
  },
  {
    name: "discovery selectors that exclude none",
    check: "namespaces",
    facts: {
      istio: mesh(
        "discoverySelectors: [{matchExpressions: [{key: hidden, operator: DoesNotExist}, {key: a, operator: NotIn, values: [b]}]}]",
      ),
    },
    want: [],
  },
  {
    name: "discovery selectors by label",
    check: "namespaces",
    facts: { istio: mesh('discoverySelectors: [{matchLabels: {team: "a b"}}]') },
    want: [/⇒ kubectl label namespace mesh-services 'team=a b'/, /namespace shop/],
  },

  {
    name: "ranges for documentation and of the Internet",
    check: "vips",
    settings: withVips("198.51.100.0/24", "10.9.0.0/16", "8.8.8.0/24"),
    want: [
      /^vips\.ranges has 198\.51\.100\.0\/24, which overlaps .* for documentation.* ⇒ in x2istio\.yaml write vips: \{ranges: \[240\.241\.0\.0\/16\]\}/,
      /^vips\.ranges has 8\.8\.8\.0\/24, which has addresses of the Internet/,
    ],
  },
  {
    name: "addresses of Services",
    check: "vips",
    settings: withVips("10.96.0.0/12"),
    want: [
      /vips.ranges has 10.96.0.0\/12, but Services get their addresses from 10.96.0.0\/16 \(and 2 more\) ⇒ in x2istio.yaml write vips: \{ranges: \[240.241.0.0\/16\]\}/,
    ],
  },
  {
    name: "addresses of pods and nodes",
    check: "vips",
    settings: withVips("10.244.0.0/16", "192.168.0.0/16"),
    want: [/but the pods of node node-1 have 10.244.0.0\/24/, /but node node-1 has 192.168.7.1/],
  },
  {
    name: "addresses of pods of unknown ranges",
    check: "vips",
    facts: { nodes: known([]) },
    settings: withVips("10.244.0.0/16"),
    want: [/pod kube-system\/coredns-1 has 10.244.0.3/],
  },
  {
    name: "a prefix of Istio's that was changed",
    check: "vips",
    facts: {
      istiodPods: known([
        {
          name: "istiod-1",
          revision: "default",
          version: "1.31.1",
          isReady: true,
          env: { PILOT_IP_AUTOALLOCATE_IPV4_PREFIX: "240.241.128.0/17" },
        },
      ]),
    },
    want: [/istiod \(istiod-1\) gives addresses from 240.241.128.0\/17 ⇒ .*240.242.0.0\/16/],
  },
  {
    name: "a range on somebody else's entry",
    check: "vips",
    facts: { entries: known([entry("theirs", { isOurs: false, addresses: ["240.0.0.0/8", "240.241.0.1"] })]) },
    want: [/ServiceEntry mesh-services\/theirs has 240.0.0.0\/8/],
  },
  {
    name: "a Service that asks for an address of the range",
    check: "vips",
    facts: { services: known([serviceFact("thief", { addresses: ["240.241.0.7"], askedAddresses: ["240.241.0.7"] })]) },
    installation: { vipClashes: [{ object: "Service/shop/thief", message: "Service shop/thief also claims 40 VIPs" }] },
    want: [/^Service shop\/thief also claims 40 VIPs ⇒ kubectl -n shop edit service thief$/],
  },
  {
    name: "more objects that claim VIPs than can be shown",
    check: "vips",
    installation: {
      vipClashes: Array.from({ length: 12 }, (_, n) => ({ object: `Service/shop/s${n}`, message: `s${n} claims` })),
    },
    want: [
      ...Array.from({ length: 10 }, (_, n) => new RegExp(`^s${n} claims ⇒ `)),
      /2 further objects of others claim VIPs/,
    ],
  },
  {
    name: "IPv6",
    check: "vips",
    facts: { pods: known([]), serviceRanges: known(["fd00:241::/108"]) },
    settings: withVips("fd00:241::/64"),
    want: [/Services get their addresses from fd00:241::\/108 ⇒ .*fd00:242::\/64/],
  },
  {
    name: "IPv6 where sidecars have none",
    check: "vips",
    settings: withVips("240.241.0.0/16", "fd00:241::/64"),
    facts: { istio: mesh('defaultConfig: {proxyMetadata: {ISTIO_DUAL_STACK: "true"}}') },
    want: [
      /^there are IPv6 VIPs, but 1 pod with a sidecar has no IPv6 address.*: in shop ⇒ in x2istio.yaml write vips: \{ranges: \[240.241.0.0\/16\]\}/,
    ],
  },
  {
    name: "both families without dual stack",
    check: "vips",
    settings: { vips: { ...settings.vips, mode: "istio", families: ["v4", "v6"] } },
    facts: {
      istio: istio({ elections: [election("istio-ip-autoallocate")] }),
      pods: known([]),
    },
    want: [/ISTIO_DUAL_STACK is not set for sidecars by ConfigMap istio.* ⇒ helm .*env.ISTIO_DUAL_STACK=true/],
  },
  {
    name: "both families in a mesh of both",
    check: "vips",
    settings: withVips("240.241.0.0/16", "fd00:241::/64"),
    facts: {
      istio: mesh('defaultConfig: {proxyMetadata: {ISTIO_DUAL_STACK: "true"}}'),
      pods: known([pod("web-1", { addresses: ["10.244.0.7", "fd00:9::7"] })]),
    },
    want: [],
  },
  {
    name: "nodes that may not be read",
    check: "vips",
    facts: { nodes: DENIED },
    want: [/could not be checked: Cannot list things/],
  },
  {
    name: "Istio's own VIPs without an allocator",
    check: "vips",
    settings: istioVips,
    want: [
      /no istiod gives addresses to ServiceEntries.* ⇒ helm .*PILOT_ENABLE_IP_AUTOALLOCATE=true/,
      /do not capture DNS by ConfigMap istio.* ⇒ helm .*ISTIO_META_DNS_CAPTURE=true/,
    ],
  },
  {
    name: "Istio's own VIPs",
    check: "vips",
    settings: istioVips,
    facts: {
      istio: istio({
        elections: [election("istio-ip-autoallocate")],
        mesh: new Map([["istio", 'defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}']]),
      }),
    },
    want: [],
  },
  {
    name: "Istio's own VIPs without sidecars",
    check: "vips",
    settings: istioVips,
    facts: { pods: known([]), istio: istio({ elections: [election("istio-ip-autoallocate")] }) },
    want: [],
  },

  {
    name: "an injector that takes the cluster only",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "10.0.0.0/8,172.16.0.0/12" }) },
    want: [
      /240.241.0.0\/16: ConfigMap istio-sidecar-injector-v2 says: include "10.0.0.0\/8", "172.16.0.0\/12" ⇒ helm .*'global.proxy.includeIPRanges=10.0.0.0\/8\\,172.16.0.0\/12\\,240.241.0.0\/16'/,
    ],
  },
  {
    name: "an injector that excludes a part",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "*", excludeIPRanges: "240.241.8.0/24,192.0.2.1/32" }) },
    want: [/exclude "240.241.8.0\/24", "192.0.2.1\/32" ⇒ .*includeIPRanges=\*'.*excludeIPRanges=192.0.2.1\/32, then/],
  },
  {
    name: "an injector that includes nothing",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "" }) },
    want: [/say(s)?: include nothing/],
  },
  {
    name: "an injector that has the range among others",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "10.0.0.0/8, 240.0.0.0/4" }) },
    want: [],
  },
  {
    name: "no injector",
    check: "capture",
    facts: { istio: istio({ injectors: new Map() }) },
    want: [/could not be checked: there is no ConfigMap istio-sidecar-injector in istio-system/],
  },
  {
    name: "an injector that is no JSON",
    check: "capture",
    facts: { istio: istio({ injectors: new Map([["istio-sidecar-injector", "{"]]) }) },
    want: [/^could not be checked: Cannot read Istio's ConfigMap istio-sidecar-injector: [^\n]+$/],
  },
  {
    name: "sidecars that take nothing",
    check: "capture",
    facts: { istio: mesh("defaultConfig: {interceptionMode: NONE}") },
    want: [/interceptionMode .* is NONE/],
  },
  {
    name: "pods that say what the injector says",
    check: "capture",
    facts: {
      istio: injecting({ includeIPRanges: "10.0.0.0/8" }),
      pods: known([pod("web-1", { includeRanges: "10.0.0.0/8" })]),
    },
    want: [/ConfigMap istio-sidecar-injector-v2/],
  },
  {
    name: "pods that exclude the range",
    check: "capture",
    facts: { pods: known([pod("a", { excludeRanges: "240.0.0.0/4" }), pod("b", { excludeRanges: "240.0.0.0/4" })]) },
    want: [
      /^Deployment shop\/web .*annotations of 2 pods say: include "\*", exclude "240.0.0.0\/4" ⇒ kubectl patch deployment -n shop web .*excludeOutboundIPRanges":""/,
    ],
  },
  {
    name: "a pod of nobody",
    check: "capture",
    facts: { pods: known([pod("lone", { includeRanges: "x'; reboot; '", owner: undefined })]) },
    want: [/^pod shop\/lone .*include "x'; reboot; '" ⇒ kubectl delete pod/],
  },
  {
    name: "an injector that has the range in two halves",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "240.241.0.0/17,240.241.128.0/18,240.241.192.0/18" }) },
    want: [],
  },
  {
    name: "an injector that has half of the range",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "240.241.0.0/17,240.241.128.0/18" }) },
    want: [/do not capture traffic to 240.241.0.0\/16/],
  },
  {
    name: "ports that go past all sidecars",
    check: "capture",
    facts: { istio: injecting({ includeIPRanges: "*", excludeOutboundPorts: "25,8080" }) },
    want: [
      /^calls to port 8080 bypass sidecars because of ConfigMap .* ⇒ helm .*excludeOutboundPorts=25, then restart/,
    ],
  },
  {
    name: "a port that goes past the sidecar of a pod",
    check: "capture",
    facts: { pods: known([pod("a", { excludePorts: "3306, 6379" }), pod("b", { excludePorts: "25" })]) },
    installation: { ports: [3306] },
    want: [
      /^Deployment shop\/web sends port 3306 around its sidecar.* from 1 pod: a ⇒ kubectl patch deployment .*excludeOutboundPorts":"6379"/,
    ],
  },
  {
    name: "a pod without a sidecar",
    check: "capture",
    facts: { pods: known([pod("a", { hasSidecar: false, excludeRanges: "0.0.0.0/0" })]) },
    want: [],
  },

  {
    name: "pods without a data plane",
    check: "pods",
    facts: {
      pods: known([
        pod("a"),
        pod("b", { hasSidecar: false }),
        pod("c", { hasSidecar: false, inject: "false" }),
        pod("d", {
          hasSidecar: false,
          isHostNetwork: true,
          dataplaneMode: "ambient",
          owner: { kind: "DaemonSet", name: "agent" },
        }),
      ]),
    },
    want: [
      /^3 of 4 pods in namespace shop have no sidecar and are not ambient.*: b, c, d \(1 opted out by sidecar.istio.io\/inject, 1 in the node's network.* ⇒ kubectl rollout restart -n shop daemonset\/agent deployment\/web/,
    ],
  },
  {
    name: "pods of another namespace",
    check: "pods",
    facts: { pods: known([pod("a", { namespace: "elsewhere", hasSidecar: false })]) },
    want: [],
  },
  {
    name: "an ambient namespace",
    check: "pods",
    facts: {
      namespaces: known(
        new Map([["shop", { labels: { "istio.io/dataplane-mode": "ambient" }, isTerminating: false }]]),
      ),
      pods: known([pod("a", { hasSidecar: false }), pod("b", { hasSidecar: false, dataplaneMode: "none" })]),
    },
    want: [/1 of 2 pods .*: b ⇒ kubectl label namespace shop istio-injection=enabled/],
  },
  {
    name: "a namespace for a revision",
    check: "pods",
    facts: {
      istiodPods: known([{ name: "istiod-v2", revision: "v2", version: "1.31.1", isReady: true, env: {} }]),
      namespaces: known(new Map([["shop", { labels: {}, isTerminating: false }]])),
      pods: known([pod("a", { hasSidecar: false, owner: { kind: "Job", name: "once" } })]),
    },
    want: [/⇒ kubectl label namespace shop istio.io\/rev=v2 && kubectl rollout restart -n shop deployment$/],
  },

  {
    name: "endpoints on one address where nobody is ambient",
    check: "ambient",
    installation: { crowded: [shards] },
    want: [],
  },
  {
    name: "endpoints on one address in an ambient mesh",
    check: "ambient",
    facts: { namespaces: known(ambientShop()) },
    installation: { crowded: [shards, { ...shards, service: "vms/shop/led", waypoint: "edge/waypoint" }] },
    want: [
      /^1 service of registry vms has several endpoints on one address, of which ambient callers in shop reach one only: vms\/shop\/shards has 3 on 192.0.2.21 ⇒ istioctl waypoint apply -n mesh-services --name waypoint, then in x2istio.yaml write waypoint: mesh-services\/waypoint for registry vms$/,
    ],
  },
  {
    name: "endpoints on one address with an ambient pod, and a waypoint for the namespace of the entries",
    check: "ambient",
    facts: {
      namespaces: known(ambientShop({ "istio.io/use-waypoint": "waypoint" })),
      pods: known([pod("a", { namespace: "edge", dataplaneMode: "ambient" })]),
    },
    installation: { crowded: [shards, { ...shards, service: "vms/shop/none", waypoint: "none" }] },
    want: [/^1 service of .* in edge, shop reach one only: vms\/shop\/none has 3/],
  },

  {
    name: "a Sidecar that imports one host only",
    check: "scope",
    facts: { sidecars: known([sidecar({ egressHosts: ["./*", "other/*"] })]) },
    want: [
      /Sidecar shop\/default imports nothing from mesh-services.* ⇒ kubectl patch sidecars.networking.istio.io -n shop default .*"mesh-services\/\*"/,
    ],
  },
  {
    name: "a Sidecar that imports single hosts",
    check: "scope",
    facts: { sidecars: known([sidecar({ egressHosts: ["mesh-services/orders.shop.vms.mesh.internal"] })]) },
    want: [
      /^Sidecar shop\/default imports single hosts from mesh-services: its pods have no route by an alias ⇒ kubectl/,
    ],
  },
  {
    name: "Sidecars that import enough, or are elsewhere",
    check: "scope",
    facts: {
      sidecars: known([
        sidecar(),
        sidecar({ egressHosts: ["*/*.mesh.internal"] }),
        sidecar({ egressHosts: ["mesh-services/*"] }),
        sidecar({ namespace: "elsewhere", egressHosts: ["./*"] }),
      ]),
    },
    want: [],
  },

  { name: "2,000 entries for all", check: "exports", facts: { entries: known(many(2000)) }, want: [] },
  {
    name: "2,001 entries for all",
    check: "exports",
    facts: { entries: known([...many(2000), entry("theirs", { isOurs: false, exportTo: [] })]) },
    want: [/^2001 entries are exported to everyone, 2000 of them X2Istio's: more than 2000 .* ⇒ in x2istio.yaml/],
  },
  {
    name: "2,001 entries of which one is not yet written",
    check: "exports",
    facts: { entries: known(many(2000)) },
    installation: { newForAll: 1 },
    want: [/2001 of them X2Istio's \(1 not yet written\)/],
  },
  {
    name: "entries that the mesh's default keeps at home",
    check: "exports",
    facts: {
      entries: known([...many(2000), entry("theirs", { exportTo: [] })]),
      istio: mesh('defaultServiceExportTo: ["."]'),
    },
    want: [],
  },
  {
    name: "2,001 entries that a Sidecar for all limits",
    check: "exports",
    facts: {
      entries: known(many(2001)),
      sidecars: known([sidecar({ namespace: "istio-system", egressHosts: ["./*", "mesh-services/*"] })]),
    },
    want: [],
  },
  {
    name: "aliases where the entries are not seen",
    check: "exports",
    settings: { registries: [{ name: "vms", exportTo: ["."] }] },
    want: [
      /aliases of registry vms are in namespace shop, to which its entries are not exported.* ⇒ .*exportTo: \[., shop\]/,
    ],
  },
  {
    name: "aliases beside entries that stay at home",
    check: "exports",
    settings: { registries: [{ name: "vms", exportTo: ["."] }], aliases: [{ registry: "vms", in: "mesh-services" }] },
    want: [],
  },

  {
    name: "names that others have",
    check: "names",
    installation: {
      clashes: [
        {
          name: "orders.shop",
          message: "legacy name orders.shop withheld: it also means Service shop/orders, which is not ours",
        },
      ],
    },
    want: [/orders.shop withheld.* ⇒ x2istio explain orders.shop --config x2istio.yaml/],
  },
  {
    name: "more names that others have than anyone reads",
    check: "names",
    installation: { clashes: Array.from({ length: 12 }, (_, at) => ({ name: `n${at}`, message: `n${at} withheld` })) },
    want: [
      ...Array.from({ length: 10 }, (_, at) => new RegExp(`^n${at} withheld`)),
      /^2 further names clash ⇒ x2istio plan/,
    ],
  },
  {
    name: "aliases that begin with a digit, on an old Kubernetes",
    check: "names",
    facts: { version: known("v1.33.1") },
    installation: { aliasHosts: new Map(["shop/orders", "shop/3d"].map((alias) => [alias, "a.mesh.internal"])) },
    want: [/^1 alias name begins with a digit, which Kubernetes v1.33.1 refuses .*: shop\/3d ⇒ in x2istio.yaml/],
  },
  {
    name: "aliases that begin with a digit",
    check: "names",
    installation: { aliasHosts: new Map([["shop/3d", "a.mesh.internal"]]) },
    want: [],
  },
  {
    name: "a registry that cannot be read",
    check: "names",
    installation: { unread: ["registry dc1 cannot be read: connect ECONNREFUSED"] },
    want: [/could not be checked: registry dc1/],
  },

  {
    name: "no block for a zone",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile("mesh.internal { \n forward . 10.96.0.53\n }"))) },
    want: [
      /^consul is not sent to X2Istio, .*kube-system\/coredns has no block for it ⇒ kubectl get configmap .*consul:53 241\.240\.in-addr\.arpa:53 \{.*forward . 10.96.0.53/s,
    ],
  },
  {
    name: "a zone that is sent elsewhere",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile(STUB.replace("0.53", "0.99")))) },
    want: [
      /^mesh.internal and consul are sent to 10.96.0.99, which is not X2Istio by ConfigMap kube-system\/coredns ⇒ .*sed/,
    ],
  },
  {
    name: "a zone that is sent elsewhere with others",
    check: "dns",
    facts: {
      corefiles: known(corefiles(corefile(`${STUB.replace("0.53", "0.99")}\nexample.org {\n forward . 10.96.0.99\n}`))),
    },
    want: [/⇒ kubectl edit configmap/],
  },
  {
    name: "a zone that is sent to us and to another",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile(STUB.replace("0.53", "0.53 10.96.0.99")))) },
    want: [/sent to 10.96.0.53 10.96.0.99, which is not X2Istio.* ⇒ kubectl edit/],
  },
  {
    name: "a zone that is sent over TLS",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile(STUB.replace("10.96.0.53", "tls://10.96.0.53")))) },
    want: [/sent to tls:\/\/10.96.0.53, which is not X2Istio/],
  },
  {
    name: "a zone that a block answers itself",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile("mesh.internal consul {\n template ANY ANY\n}"))) },
    want: [
      /sent nowhere/,
      /^241\.240\.in-addr\.arpa is not sent to X2Istio by .*, so that VIPs have no names ⇒ kubectl get/s,
    ],
  },
  {
    name: "forwards within the block for everything",
    check: "dns",
    facts: {
      corefiles: known(
        corefiles(
          ".:53 {\n forward mesh.internal 10.96.0.53:53\n forward consul dns://10.96.0.53\n forward 241.240.in-addr.arpa 10.96.0.53\n forward . /etc/resolv.conf\n}",
        ),
      ),
    },
    want: [],
  },
  {
    name: "names of VIPs that are not sent to us",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile(STUB.replace(" 241.240.in-addr.arpa:53", "")))) },
    want: [
      /^241\.240\.in-addr\.arpa is not sent to X2Istio by ConfigMap kube-system\/coredns, so that VIPs have no names ⇒ .*241\.240\.in-addr\.arpa:53 \{/s,
    ],
  },
  {
    name: "names of VIPs in a block of their own that is not ours",
    check: "dns",
    facts: {
      corefiles: known(
        corefiles(
          corefile(
            `${STUB.replace(" 241.240.in-addr.arpa:53", "")}\n241.240.in-addr.arpa:53 {\n forward . 192.0.2.1\n}`,
          ),
        ),
      ),
    },
    want: [/^241\.240\.in-addr\.arpa is not sent to X2Istio .* ⇒ .*sed/],
  },
  {
    name: "names of Istio's own VIPs that are not sent to us",
    check: "dns",
    settings: { vips: { ...settings.vips, mode: "istio", families: ["v4"] } },
    want: [/^240\.240\.in-addr\.arpa is not sent to X2Istio/],
  },
  {
    name: "a Corefile on a port of its own",
    check: "dns",
    facts: {
      corefiles: known(
        corefiles(
          ".:5353 {\n forward . /etc/resolv.conf\n}\nmesh.internal:5353 consul:5353 240.241.0.0/16:5353 {\n forward . 10.96.0.53\n}",
        ),
      ),
    },
    want: [],
  },
  {
    name: "a block on another port",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile(STUB.replaceAll(":53 ", ":5353 ")))) },
    want: [/are not sent to X2Istio/],
  },
  {
    name: "an imported part",
    check: "dns",
    facts: {
      corefiles: known([
        ...corefiles(corefile("import /etc/coredns/custom/*.server")),
        { namespace: "kube-system", name: "coredns-custom", data: { "x2istio.server": STUB } },
      ]),
    },
    want: [],
  },
  {
    name: "a part to be imported",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile("import custom/*.server"))) },
    want: [
      /⇒ kubectl get configmap -n kube-system coredns-custom --ignore-not-found .* && kubectl create configmap -n kube-system coredns-custom '?--from-literal=/s,
    ],
  },
  {
    name: "a Corefile that cannot be read",
    check: "dns",
    facts: { corefiles: known(corefiles(". {")) },
    want: [/could not be checked: Cannot read the Corefile/],
  },
  {
    name: "no Corefile",
    check: "dns",
    facts: { corefiles: known([]) },
    want: [/could not be checked: no ConfigMap in kube-system has a Corefile/],
  },
  {
    name: "a node cache without a block",
    check: "dns",
    facts: {
      corefiles: known([
        ...corefiles(corefile(STUB)),
        ...corefiles(
          ".:53 {\n bind 169.254.20.10 10.96.0.10\n forward . __PILLAR__UPSTREAM__SERVERS__\n}",
          "node-local-dns",
        ),
      ]),
    },
    want: [
      /node-local-dns has no block .* ⇒ .*bind 169.254.20.10 10.96.0.10/s,
      /dns.allow does not include 192.168.7.1/,
    ],
  },
  {
    name: "a node cache that leaves it to CoreDNS",
    check: "dns",
    settings: { dns: { ...settings.dns, allow: ["0.0.0.0/0"] } },
    facts: {
      corefiles: known([
        ...corefiles(corefile(STUB)),
        ...corefiles(".:53 {\n forward . __PILLAR__CLUSTER__DNS__\n}", "nodelocaldns"),
      ]),
    },
    want: [],
  },
  {
    name: "a service that is not installed",
    check: "dns",
    facts: { services: known(services.filter(({ isOurs }) => !isOurs)), corefiles: known(corefiles(corefile(""))) },
    want: [
      /are not sent to X2Istio.* ⇒ kubectl apply -k .*, then run this again/,
      /^no Service leads to X2Istio's DNS.* ⇒ kubectl apply -k deploy\/kustomize\/example/,
    ],
  },
  {
    name: "an X2Istio outside of the cluster",
    check: "dns",
    settings: { dns: { ...settings.dns, listen: [{ address: "192.0.2.5", port: 53 }] } },
    facts: {
      services: known(services.filter(({ isOurs }) => !isOurs)),
      corefiles: known(corefiles(corefile(STUB.replace("10.96.0.53", "192.0.2.5")))),
    },
    want: [],
  },
  {
    name: "an X2Istio that may be outside of the cluster",
    check: "dns",
    facts: {
      services: known(services.filter(({ isOurs }) => !isOurs)),
      corefiles: known(corefiles(corefile(STUB.replace("10.96.0.53", "192.0.2.5:5353")))),
    },
    want: [
      /could not be checked: mesh.internal is sent to 192.0.2.5:5353 by .* nothing in the cluster tells/,
      /consul/,
    ],
  },
  {
    name: "nobody behind the Service",
    check: "dns",
    facts: { dnsBackends: known(new Map()) },
    want: [/^no replica is ready behind Service x2istio-system\/x2istio-dns.* ⇒ kubectl rollout status/],
  },
  {
    name: "a pod that listens to itself only",
    check: "dns",
    settings: { dns: { ...settings.dns, listen: [{ address: "127.0.0.1", port: 5353 }] } },
    want: [/dns.listen is 127.0.0.1:5353, which cannot be reached from outside the pod/],
  },
  {
    name: "a loop by the Service",
    check: "dns",
    settings: { dns: { ...settings.dns, forward: [{ address: "10.96.0.10", port: 53 }] } },
    want: [/dns.forward names 10.96.0.10, which is the cluster's DNS/],
  },
  {
    name: "a loop to ourselves",
    check: "dns",
    settings: { dns: { ...settings.dns, forward: [{ address: "10.96.0.53", port: 53 }] } },
    want: [/dns.forward names 10.96.0.53, which is X2Istio's own Service/],
  },
  {
    name: "a node cache on nodes that may not be read",
    check: "dns",
    facts: {
      nodes: DENIED,
      corefiles: known([
        ...corefiles(corefile(STUB)),
        ...corefiles(".:53 {\n forward . 10.96.0.10\n}", "node-local-dns"),
      ]),
    },
    want: [/^could not be checked: Cannot list things/],
  },
  {
    name: "a loop of an overlay by a pod",
    check: "dns",
    settings: {
      dns: {
        ...settings.dns,
        zones: [
          { name: "mesh.internal", forward: [] },
          { name: "consul", forward: [{ address: "10.244.0.3", port: 53 }] },
        ],
      },
    },
    want: [/forward of zone consul names 10.244.0.3/],
  },
  {
    name: "a cluster DNS that dns.allow does not include",
    check: "dns",
    settings: { dns: { ...settings.dns, allow: ["192.168.0.0/16", "fd00::/8"] } },
    want: [
      /dns.allow does not include 10.244.0.3.* ⇒ in x2istio.yaml write dns: \{allow: \[192.168.0.0\/16, fd00::\/8, 10.244.0.3\/32\]\}/,
    ],
  },
  {
    name: "names that are in no zone",
    check: "dns",
    installation: { names: ["db.corp.example.org", "a.mesh.internal", "64001.65536"] },
    want: [/^2 names are in none of dns.zones, .*: 64001.65536, db.corp.example.org ⇒ /],
  },
  {
    name: "a name below a zone that is led elsewhere",
    check: "dns",
    facts: { corefiles: known(corefiles(corefile(`${STUB}\nold.mesh.internal {\n forward . 192.0.2.1\n}`))) },
    installation: { names: ["a.old.mesh.internal"] },
    want: [/1 name .*: a.old.mesh.internal/],
  },
];

for (const { name, check, want, ...given } of cases)
  test(`doctor, ${check}: ${name}`, () => {
    const found = diagnose(
      { ...soundFacts, ...given.facts },
      { ...settings, ...given.settings },
      known({ ...installation, ...given.installation }),
      CHECKS.filter((one) => one !== check),
    );
    const wrong = found.filter(({ state }) => state !== "fine");
    for (const { state, fix } of wrong)
      assert.equal(fix !== undefined, state !== "unchecked", "a problem has a remedy");
    const texts = wrong.map(({ message, fix }) => (fix === undefined ? message : `${message} ⇒ ${fix}`));
    assert.equal(texts.length, want.length, texts.join("\n"));
    for (const [at, text] of texts.entries()) assert.match(text, want[at] ?? /^$/);
    if (want.length === 0) assert.ok(found.length > 0, "what is fine is said, too");
  });

const dnsAlone = CHECKS.filter((one) => one !== "dns");
const dnsFindings = (facts: Partial<ClusterFacts>) =>
  diagnose({ ...soundFacts, ...facts }, settings, known(installation), dnsAlone).filter(
    ({ state }) => state !== "fine",
  );

test("doctor shows what a Corefile would become as a diff, and keeps what stands before it changes it", () => {
  const before = corefile("");
  const [missing] = dnsFindings({ corefiles: known(corefiles(before)) });
  const lines = missing?.diff?.split("\n") ?? [];
  assert.deepEqual(lines.slice(0, 2), ["--- kube-system/coredns Corefile", "+++ kube-system/coredns Corefile"]);
  assert.match(lines[2] ?? "", /^@@ -\d+,3 \+\d+,\d+ @@$/);
  const added = lines.filter((line) => /^\+(?!\+\+)/.test(line)).join("\n");
  assert.match(added, /^\+mesh\.internal:53 consul:53 241\.240\.in-addr\.arpa:53 \{$/m);
  assert.match(added, /^\+ {4}forward \. 10\.96\.0\.53 \{$/m);
  assert.ok(
    lines.slice(2).every((line) => !line.startsWith("-")),
    "nothing is taken away",
  );
  assert.match(
    missing?.fix ?? "",
    /^kubectl get configmap -n kube-system coredns .* > "coredns-backup-\$\(date \+%s\)\.yaml" && kubectl get/,
  );
});

test("doctor shows a forward that leads elsewhere as one line of a diff", () => {
  const [wrong] = dnsFindings({ corefiles: known(corefiles(corefile(STUB.replaceAll("10.96.0.53", "192.0.2.9")))) });
  const changed = (wrong?.diff ?? "").split("\n").filter((line) => /^[-+](?![-+])/.test(line));
  assert.equal(changed.length, 2);
  assert.match(changed[0] ?? "", /^-\s+forward \. 192\.0\.2\.9/);
  assert.match(changed[1] ?? "", /^\+\s+forward \. 10\.96\.0\.53/);
});

test("doctor shows before the installation what CoreDNS will need", () => {
  const found = dnsFindings({
    corefiles: known(corefiles(corefile(""))),
    services: known(services.filter(({ isOurs }) => !isOurs)),
  });
  const [first] = found;
  assert.match(first?.diff ?? "", /^\+ {4}forward \. CLUSTER-IP-OF-X2ISTIO \{$/m);
  assert.match(first?.fix ?? "", /^kubectl apply -k deploy\/kustomize\/example/);
  assert.ok(found.some(({ message }) => message.startsWith("no Service leads to X2Istio's DNS")));
});

const rule = (kind: "VirtualService" | "DestinationRule", ...hosts: readonly string[]) => ({
  kind,
  namespace: "shop",
  name: "canary",
  hosts,
});
for (const [host, isAlias] of [
  ["orders.shop.svc.cluster.local", true],
  ["orders.shop.svc", true],
  ["orders.shop", true],
  ["orders", true],
  ["stock.shop.svc.cluster.local", false],
  ["orders.shop.vms.mesh.internal", false],
  ["orders.web.svc.cluster.local", false],
] as const)
  test(`doctor, names: a rule of someone for ${host}`, () => {
    for (const kind of ["VirtualService", "DestinationRule"] as const) {
      const facts = { ...soundFacts, hostRules: known([rule(kind, "other.example.org", host)]) };
      const skip = CHECKS.filter((one) => one !== "names");
      const found = diagnose(facts, settings, known(installation), skip).filter(({ state }) => state === "warning");
      assert.equal(found.length, isAlias ? 1 : 0);
      if (!isAlias) continue;
      assert.match(
        found[0]?.message ?? "",
        new RegExp(`^${kind} shop/canary is for ${host}, which is an alias: .* orders.shop.vms.mesh.internal$`),
      );
      assert.match(found[0]?.fix ?? "", /write orders\.shop\.vms\.mesh\.internal instead of/);
    }
  });

test("doctor, ambient: xds: true beside ambient callers", () => {
  const skip = CHECKS.filter((one) => one !== "ambient");
  const registries = [{ name: "vms", exportTo: ["*"], xds: true, legacyNames: ["{service}.consul"] }];
  const namespaces = known(
    new Map([["shop", { labels: { "istio.io/dataplane-mode": "ambient" }, isTerminating: false }]]),
  );
  const wrong = (facts: Partial<ClusterFacts>, own: Partial<DoctorSettings>) =>
    diagnose({ ...soundFacts, ...facts }, { ...settings, ...own }, known(installation), skip).filter(
      ({ state }) => state !== "fine",
    );
  const [found, ...more] = wrong({ namespaces }, { registries });
  assert.match(found?.message ?? "", /^registry vms has xds: true, and pods in shop are ambient/);
  assert.match(found?.fix ?? "", /write xds: false for registry vms/);
  assert.deepEqual(more, []);
  assert.deepEqual(wrong({}, { registries }), []);
  assert.deepEqual(wrong({ namespaces }, { registries: registries.map((one) => ({ ...one, xds: false })) }), []);
});

test("doctor.md describes every check", async () => {
  const text = await readFile(join(import.meta.dirname, "../../deploy/docs/doctor.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z]+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(rows, [...CHECKS]);
});

test("doctor finds nothing wrong with what is sound", () => {
  const found = diagnose(soundFacts, settings, known(installation));
  assert.deepEqual(
    found.filter(({ state }) => state !== "fine"),
    [],
  );
  assert.deepEqual([...new Set(found.map(({ check }) => check))], [...CHECKS]);
});

test("doctor says of everything unknown that it could not be checked, and nothing else", () => {
  const facts = Object.fromEntries(
    Object.entries(soundFacts).map(([name, value]) => [name, name === "nowMs" ? value : DENIED]),
  ) as unknown as ClusterFacts;
  const found = diagnose(facts, settings, DENIED);
  assert.deepEqual([...new Set(found.map(({ state }) => state))], ["unchecked"]);
  assert.deepEqual([...new Set(found.map(({ check }) => check))], [...CHECKS]);
});
