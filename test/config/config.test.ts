import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Config } from "../../src/config/config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { configChanges } from "../../src/config/watch.ts";
import { ConfigError } from "../../src/errors.ts";
import { GENEROUS_MS } from "../until.ts";

const adapters = {
  static: { options: z.strictObject({ file: z.union([z.string(), z.array(z.string())]) }) },
  consul: { options: z.strictObject({ address: z.url(), token: z.string().optional() }) },
};
const read = (text: string, env: Record<string, string> = {}) => parseConfig(text, "x.yaml", { env, adapters });

function problemsIn(text: string, env: Record<string, string> = {}): string[] {
  try {
    read(text, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message
      .split("\n")
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

test("parseConfig() gives absent sections their defaults", () => {
  assert.deepEqual(parseConfig("{}", "/etc/x2istio/x.yaml", { env: {}, adapters }), {
    file: "/etc/x2istio/x.yaml",
    dir: "/etc/x2istio",
    owner: "x2istio",
    registries: [],
    hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" },
    aliases: [],
    exposures: [],
    merge: [],
    vips: {
      mode: "ledger",
      ranges: ["240.241.0.0/16"],
      families: ["v4"],
      quarantineMs: 3_600_000,
      ledgerNamespace: "mesh-services",
    },
    policy: {
      mode: "sync",
      maxDeletePercent: 20,
      minDeletes: 2,
      maxShrinkPercent: 35,
      minShrinks: 4,
      keepEmptyMs: 3_600_000,
    },
    migration: { allow: [], claims: [], stepBack: true, auto: false, retireAfterMs: 30 * 86_400_000 },
    target: { kind: "directory", path: "/etc/x2istio/out", namespace: "mesh-services", clusterDomain: "cluster.local" },
    dns: {
      listen: [{ address: "127.0.0.1", port: 5353 }],
      ttlSeconds: 30,
      zones: [{ name: "mesh.internal", forward: [] }],
      names: { suffixes: [] },
      forward: [],
      cacheMiB: 16,
      views: [],
      clientSubnetFrom: [],
      queryLog: 0,
      allow: ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"],
      tellsServices: false,
    },
    http: { listen: { address: "127.0.0.1", port: 8080 }, readyWaitMs: 60_000 },
  } satisfies Config);
});

test("parseConfig() reads every section", () => {
  const config = read(`
owner: east
registries:
  - {kind: static, name: vms, file: services.yaml}
  - kind: consul
    name: dc1
    address: http://consul.example.org:8500
    poll: "0 */5 * * * *"
    legacyNames: ["{service}.service.consul"]
    exportTo: [".", shop]
    xds: true
    waypoint: shop/edge
    demandTtl: 7d
hosts: {template: "{service}.{namespace}.corp.example.com"}
aliases:
  - {registry: dc1, namespace: Production, service: "order*", as: "{service}-old", in: shop}
  - {registry: vms, as: "{service}"}
merge: [dc1, vms]
vips: {mode: istio, ranges: [240.242.0.0/20, "fd00:1::/64"], families: [IPv6, IPv4], quarantine: 30d, ledgerNamespace: vips}
policy: {mode: upsert-only, maxDeletePercent: 0.5, minDeletes: 0, keepEmpty: 500ms}
target: {kind: kubernetes, namespace: mesh, clusterDomain: Cluster.Example., context: kind-east}
dns:
  names: {secretFile: names.secret, ca: names.pem, tokenFile: names.token, suffixes: [Corp.Example.org., .]}
  listen: ["0.0.0.0:53", "[::]:53"]
  ttl: 5m
  zones: [Corp.Example.COM., {name: consul, forward: ["10.0.0.2:8600", "[fd00::2]:8600"]}]
  forward: [10.0.0.53, "fd00::53", {address: 10.0.0.54, tls: Dns.example.org, ca: ca.pem}]
  cacheMiB: 64
  views: [{name: vms, clients: [10.8.0.0/16], answer: endpoints, region: eu, zone: eu-1}, {name: dmz, clients: [10.9.0.0/16], answer: [192.0.2.7, "fd00::7"]}]
  clientSubnetFrom: [10.0.0.53/32]
  rateLimit: {perSecond: 500}
  queryLog: 0.01
  allow: [10.0.0.0/8]
  nsid: east-1
  txt: true
  workers: 2
http: {listen: "[::1]:0", reports: {tokenFile: token, tokenReview: {audiences: [x2istio]}, perSecond: 50}}
`);
  const [vms, dc1] = config.registries;
  assert.deepEqual(vms, {
    kind: "static",
    name: "vms",
    poll: "*/30 * * * * *",
    legacyNames: [],
    dots: false,
    singleLabels: false,
    endpoints: { deny: [] },
    exportTo: ["*"],
    xds: false,
    demand: "all",
    demandTtlMs: 30 * 86_400_000,
    options: { file: "services.yaml" },
  });
  assert.deepEqual(dc1, {
    kind: "consul",
    name: "dc1",
    poll: "0 */5 * * * *",
    legacyNames: ["{service}.service.consul"],
    dots: false,
    singleLabels: false,
    endpoints: { deny: [] },
    exportTo: [".", "shop"],
    xds: true,
    waypoint: "shop/edge",
    demand: "all",
    demandTtlMs: 7 * 86_400_000,
    options: { address: "http://consul.example.org:8500" },
  });
  assert.deepEqual(config.aliases, [
    { registry: "dc1", namespace: "Production", service: "order*", as: "{service}-old", in: "shop" },
    { registry: "vms", namespace: "*", service: "*", as: "{service}", in: "mesh" },
  ]);
  assert.deepEqual(config.merge, ["dc1", "vms"]);
  assert.deepEqual(config.vips, {
    mode: "istio",
    ranges: ["240.242.0.0/20", "fd00:1::/64"],
    families: ["v6", "v4"],
    quarantineMs: 30 * 86_400_000,
    ledgerNamespace: "vips",
  });
  assert.deepEqual(config.policy, {
    ...{ mode: "upsert-only", maxDeletePercent: 0.5, minDeletes: 0, keepEmptyMs: 500 },
    ...{ maxShrinkPercent: 35, minShrinks: 4 },
  });
  assert.deepEqual(config.target, {
    kind: "kubernetes",
    namespace: "mesh",
    clusterDomain: "cluster.example",
    context: "kind-east",
  });
  assert.deepEqual(config.dns, {
    listen: [
      { address: "0.0.0.0", port: 53 },
      { address: "::", port: 53 },
    ],
    ttlSeconds: 300,
    zones: [
      { name: "corp.example.com", forward: [] },
      {
        name: "consul",
        forward: [
          { address: "10.0.0.2", port: 8600 },
          { address: "fd00::2", port: 8600 },
        ],
      },
    ],
    names: {
      secretFile: resolve("names.secret"),
      ca: resolve("names.pem"),
      tokenFile: resolve("names.token"),
      suffixes: ["corp.example.org", ""],
    },
    forward: [
      { address: "10.0.0.53", port: 53 },
      { address: "fd00::53", port: 53 },
      { address: "10.0.0.54", port: 853, tls: { name: "dns.example.org", ca: resolve("ca.pem") } },
    ],
    cacheMiB: 64,
    views: [
      { name: "vms", clients: ["10.8.0.0/16"], answer: "endpoints", region: "eu", zone: "eu-1" },
      { name: "dmz", clients: ["10.9.0.0/16"], answer: ["192.0.2.7", "fd00::7"] },
    ],
    clientSubnetFrom: ["10.0.0.53/32"],
    rateLimit: { perSecond: 500, slip: 2 },
    queryLog: 0.01,
    allow: ["10.0.0.0/8"],
    tellsServices: true,
    nsid: "east-1",
    workers: 2,
  });
  assert.deepEqual(config.http, {
    readyWaitMs: 60_000,
    listen: { address: "::1", port: 0 },
    reports: {
      tokenFile: resolve("token"),
      tokenReview: { audiences: ["x2istio"] },
      waitMs: 5000,
      perSecond: 50,
    },
  });
});

test("parseConfig() finds the files of http beside its own, and takes tokens for the API server by default", () => {
  const { http } = read(
    "target: {kind: kubernetes}\nhttp: {tls: {certFile: a.crt, keyFile: /b.key}, authorization: {}}",
  );
  assert.deepEqual(http, {
    listen: { address: "127.0.0.1", port: 8080 },
    tls: { certFile: resolve("a.crt"), keyFile: "/b.key" },
    authorization: { audiences: [] },
    readyWaitMs: 60_000,
  });
});

const vms = "registries: [{kind: static, name: vms, file: a.yaml}, {kind: static, name: dc1, file: b.yaml}]";
const wrong: readonly { readonly text: string; readonly want: readonly RegExp[] }[] = [
  { text: "", want: [/^x\.yaml:1:1 \(top level\): is empty/] },
  { text: "# nothing\n", want: [/^x\.yaml:\d:1 \(top level\): is empty/] },
  { text: "- a", want: [/^x\.yaml:1:1 \(top level\): must be a mapping/] },
  { text: "owner: a\nowner: b", want: [/^x\.yaml:2:1 .*unique/] },
  { text: "owner: [", want: [/^x\.yaml:1:\d+ /] },
  { text: "owner: a\n---\nowner: b", want: [/^x\.yaml:2:\d+ .*multiple documents/i] },
  { text: "owner: &a [*a]", want: [/cannot be read/] },
  {
    text: `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]`,
    want: [/alias/i],
  },
  { text: "owner: East", want: [/^x\.yaml:1:8 owner: must be a DNS label/] },
  { text: `owner: ${"a".repeat(41)}`, want: [/owner: must be a DNS label .* 40/] },
  { text: "ownr: east", want: [/^x\.yaml:1:1 ownr: is not an option; known here: registries, owner, /] },
  { text: "demand: all", want: [/demand: is not an option/] },
  {
    text: "migration: {allow: [{registry: x, by: [shop]}]}",
    want: [/migration\.allow\[0\]\.registry: no registry is named "x"/],
  },
  { text: `${vms}\nmigration: {allow: [{registry: vms, by: []}]}`, want: [/migration\.allow\[0\]\.by: /] },
  {
    text: `${vms}\nmigration: {allow: [{registry: vms, by: [Shop]}]}`,
    want: [/by\[0\]: must be a namespace, or a pattern/],
  },
  {
    text: `${vms}\nmigration: {allow: [{registry: vms, to: [a]}]}`,
    want: [/by: is missing/, /is not an option; known here: registry, namespace, service, by/],
  },
  {
    text: `${vms}\nmigration: {claims: [{service: orders, by: a/b}]}`,
    want: [/service: must be <registry>\/<namespace>\/<service>/],
  },
  {
    text: `${vms}\nmigration: {claims: [{service: vms/shop/a, by: a}]}`,
    want: [/by: must be <namespace>\/<name> of a Service/],
  },
  { text: `${vms}\nmigration: {claims: [{service: x/shop/a, by: a/b}]}`, want: [/service: no registry is named "x"/] },
  {
    text: `${vms}\nmigration: {claims: [{service: vms/shop/a, by: a/b, weight: 10}]}`,
    want: [/weight: is valid with stage split only, not outside/],
  },
  {
    text: `${vms}\nmigration: {claims: [{service: vms/shop/a, by: a/b, stage: split, weight: 101}]}`,
    want: [/weight: /],
  },
  { text: `${vms}\nmigration: {claims: [{service: vms/shop/a, by: a/b, stage: in}]}`, want: [/stage: must be /] },
  {
    text: `${vms}\nmigration: {claims: [{service: vms/shop/a, by: a/b}, {service: vms/shop/c, by: a/b}]}`,
    want: [/claims\[1\]\.by: claims another service already/],
  },
  {
    text: `${vms}\nmerge: [dc1, vms]\nmigration: {allow: [{registry: vms, by: [a]}]}`,
    want: [/registry: "vms" is merged: its services go by the name of "dc1"/],
  },
  {
    text: "migration: {retireAfter: soon, force: yes}",
    want: [/retireAfter: must be a duration/, /migration\.force: is not an option/],
  },
  { text: "registries: {}", want: [/^x\.yaml:1:13 registries: must be a list/] },
  { text: "registries:\n  - a", want: [/^x\.yaml:2:5 registries\[0\]: must be a mapping/] },
  { text: "registries:\n  - {name: vms}", want: [/^x\.yaml:2:5 registries\[0\]\.kind: is missing/] },
  {
    text: "registries:\n  - kind: eureka\n    name: vms",
    want: [/^x\.yaml:2:11 registries\[0\]\.kind: must be a known kind of registry \(consul, static\), not "eureka"/],
  },
  { text: "registries:\n  - {kind: constructor, name: vms}", want: [/known kind/] },
  {
    text: "registries:\n  - kind: static\n    file: a\n    nam: vms",
    want: [
      /^x\.yaml:2:5 registries\[0\]\.name: is missing/,
      /^x\.yaml:4:5 registries\[0\]\.nam: is not an option of a static registry/,
    ],
  },
  {
    text: "registries:\n  - {kind: static, name: vms}",
    want: [/^x\.yaml:2:5 registries\[0\]\.file: must be a string|is missing/],
  },
  {
    text: `${vms.replace("dc1", "vms")}`,
    want: [/^x\.yaml:1:\d+ registries\[1\]\.name: "vms" is the name of another registry/],
  },
  {
    text: "registries:\n  - {kind: static, name: V_1, file: a}",
    want: [/^x\.yaml:2:26 registries\[0\]\.name: must be a DNS label/],
  },
  ...[
    ["poll: often", /poll: must be a cron expression/],
    [`poll: "*/5 * * * *"`, /poll: must have six fields/],
    [`legacyNames: ["{svc}.x"]`, /legacyNames\[0\]: knows \{service\}/],
    [`legacyNames: [orders.corp]`, /legacyNames\[0\]: must contain \{service\}/],
    [`legacyNames: ["{service}..x"]`, /legacyNames\[0\]: must be a DNS name/],
    [`legacyNames: ["*.{service}"]`, /legacyNames\[0\]: must be a DNS name/],
    [`legacyNames: ["a.*.{service}.x"]`, /legacyNames\[0\]: must be a DNS name/],
    [`legacyNames: ["{service}.x."]`, /legacyNames\[0\]: must be written without the trailing dot/],
    ...["{service}.localhost", "{service}.local", "{service}.Invalid", "{service}.{namespace}.in-addr.arpa"].map(
      (template) =>
        [`legacyNames: ["${template}"]`, /legacyNames\[0\]: must not give such names: .* is in \w+, a domain/] as const,
    ),
    [`legacyNames: ["wpad.{service}.example.org"]`, /legacyNames\[0\]: must not give such names: .* begins with wpad/],
    [`singleLabels: "yes"`, /singleLabels: must be/],
    [`legacyNames: ["{service}.x", "{service}.x"]`, /legacyNames\[1\]: is listed twice/],
    ["endpoints: {allow: []}", /endpoints\.allow: must have a range, or be left out/],
    ["endpoints: {allow: [10.0.0.1]}", /endpoints\.allow\[0\]: must be a range such as/],
    ["endpoints: {allow: [10.0.0.0/8, 10.0.0.0/8]}", /endpoints\.allow\[1\]: is listed twice/],
    ["endpoints: {deny: [10.0.0.1/8]}", /endpoints\.deny\[0\]: must be a network address, such as 10\.0\.0\.0\/8/],
    ["endpoints: {only: [10.0.0.0/8]}", /endpoints\.only: is not an option; known here: allow, deny/],
    ["endpoints: {allow: [224.0.0.0/8]}", /endpoints\.allow\[0\]: cannot allow 224\.0\.0\.0\/8: .*\(not multicast\)/],
    [`endpoints: {allow: ["::/128"]}`, /endpoints\.allow\[0\]: cannot allow .*\(not the unspecified address\)/],
    ["endpoints: {allow: [240.240.1.0/24]}", /endpoints\.allow\[0\]: cannot allow .* in a range of VIPs/],
    ["endpoints: {allow: [240.241.1.0/24]}", /endpoints\.allow\[0\]: is in 240\.241\.0\.0\/16, a range of VIPs/],
    ["dots: yes please", /dots: must be true or false/],
    ["exportTo: []", /exportTo: must have at least 1 entry/],
    ["exportTo: [a, a]", /exportTo\[1\]: is listed twice/],
    [`exportTo: ["*", a]`, /exportTo: must hold nothing else beside "\*"/],
    [`exportTo: ["~", "."]`, /exportTo: must hold nothing else beside "~"/],
    [`exportTo: [".", mesh-services]`, /exportTo: names one namespace twice/],
    [`exportTo: [A]`, /exportTo\[0\]: must be a DNS label/],
    ["xds: yes please", /xds: must be true or false/],
    ["demand: some", /demand: must be "all" or "reported"/],
    ["demandTtl: 999ms", /demandTtl: must be at least 1s/],
    ["waypoint: edge", /waypoint: must be "none" or <namespace>\/<name> of a waypoint, not "edge"/],
    ["waypoint: a/b/c", /waypoint: must be "none" or <namespace>\/<name>/],
    ["waypoint: a_b/c", /waypoint: must be a DNS label/],
  ].map(([line, want]) => ({
    text: `registries:\n  - kind: static\n    name: vms\n    file: a\n    ${String(line)}`,
    want: [new RegExp(`^x\\.yaml:5:\\d+ registries\\[0\\]\\.${(want as RegExp).source}`)],
  })),
  { text: "http: {reports: {}}", want: [/http\.reports: must say who may report: tokenFile, tokenReview or both/] },
  {
    text: "http: {reports: {tokenFile: a, wait: 9s, perSecond: 0}}",
    want: [/http\.reports\.wait: must be at most 8s/, /http\.reports\.perSecond: /],
  },
  {
    text: "http: {reports: {tokenReview: {audiences: [a]}}}",
    want: [/http\.reports\.tokenReview: is valid with a kubernetes target only/],
  },
  { text: "http: {authorization: {}}", want: [/http\.authorization: is valid with a kubernetes target only/] },
  {
    text: "target: {kind: kubernetes}\nhttp: {authorization: {audiences: [a, a], role: x}}",
    want: [/http\.authorization\.audiences\[1\]: /, /http\.authorization\.role: /],
  },
  { text: "http: {tls: {certFile: a}}", want: [/http\.tls\.keyFile: /] },
  {
    text: "target: {kind: kubernetes}\nhttp: {reports: {tokenReview: {audiences: []}}}",
    want: [/http\.reports\.tokenReview\.audiences: must have at least 1 entry/],
  },
  {
    text: "registries: [{kind: static, name: a, file: a, demand: reported}, {kind: static, name: b, file: b}]\nmerge: [a, b]",
    want: [/merge\[1\]: must have the same demand as "a"/],
  },
  { text: `hosts: {template: "{service}"}`, want: [/^x\.yaml:1:19 hosts\.template: must end with a fixed domain/] },
  { text: `hosts: {template: "{service}.mesh.{registry}"}`, want: [/must end with a fixed domain/] },
  { text: `hosts: {template: "orders.mesh.internal"}`, want: [/must contain \{service\}/] },
  { text: `hosts: {template: "{service}.Mesh.internal"}`, want: [/must give DNS labels in lower case/] },
  { text: `hosts: {template: "{service}.mesh.1"}`, want: [/must not end with a label of digits/] },
  { text: `hosts: {template: "{service}.local"}`, want: [/hosts\.template: must not give such names: .* is in local/] },
  { text: `hosts: {template: "{service}.mesh.onion"}`, want: [/must not give such names: .* is in onion/] },
  { text: `hosts: {template: "{service}.svc.cluster.local"}`, want: [/must not end with the cluster's own domain/] },
  {
    text: "aliases: [{registry: nope, as: '{service}'}]",
    want: [/^x\.yaml:1:22 aliases\[0\]\.registry: no registry is named "nope"/],
  },
  { text: `${vms}\naliases: [{registry: vms}]`, want: [/^x\.yaml:2:11 aliases\[0\]\.as: is missing/] },
  { text: `${vms}\naliases: [{registry: vms, as: fixed}]`, want: [/aliases\[0\]\.as: must contain \{service\}/] },
  {
    text: `${vms}\naliases: [{registry: vms, service: a, as: a.b}]`,
    want: [/aliases\[0\]\.as: must give a DNS label/],
  },
  { text: `${vms}\nmerge: [vms]`, want: [/^x\.yaml:2:8 merge: must name at least two/] },
  { text: `${vms}\nmerge: [vms, dc1, vms]`, want: [/^x\.yaml:2:19 merge\[2\]: is listed twice/] },
  { text: `${vms}\nmerge: [vms, dc9]`, want: [/^x\.yaml:2:14 merge\[1\]: no registry is named "dc9"/] },
  ...[
    ["[]", /ranges: must have at least 1 entry/],
    ["[240.240.128.0/17]", /ranges\[0\]: overlaps 240\.240\.0\.0\/16/],
    ["[240.0.0.0/8]", /ranges\[0\]: overlaps 240\.240\.0\.0\/16/],
    [`["2001:2::/64"]`, /ranges\[0\]: overlaps 2001:2::\/48/],
    ["[10.0.0.0/31]", /ranges\[0\]: must have a prefix from \/8 to \/30/],
    [`["fd00::/63"]`, /ranges\[0\]: must have a prefix from \/64 to \/126/],
    ["[10.0.0.1/24]", /ranges\[0\]: must be a network address, such as 10\.0\.0\.0\/24/],
    ["[10.0.0.0]", /ranges\[0\]: must be a range/],
    ["[10.1.0.0/16, 10.1.2.0/24]", /ranges\[1\]: overlaps 10\.1\.0\.0\/16/],
  ].map(([ranges, want]) => ({
    text: `vips:\n  ranges: ${String(ranges)}`,
    want: [new RegExp(`^x\\.yaml:2:\\d+ vips\\.${(want as RegExp).source}`)],
  })),
  ...[
    ["[]", /ranges: must have at least 1 entry/],
    ["[240.240.128.0/17]", /ranges\[0\]: overlaps 240\.240\.0\.0\/16/],
    ["[240.241.8.0/24]", /ranges\[0\]: overlaps 240\.241\.0\.0\/16 of vips\.ranges/],
    ["[10.8.0.0/24, 10.9.0.0/16]", /ranges\[1\]: overlaps 10\.9\.0\.0\/16 of registry "dc0"/],
    [`["fd00:241::/64"]`, /ranges: must be of the same address families as vips\.ranges/],
    [`[10.8.0.0/24, "fd00:241::/64"]`, /ranges: must be of the same address families as vips\.ranges/],
  ].map(([ranges, want]) => ({
    text: `registries:\n  - {kind: static, name: dc0, file: a, ranges: [10.9.0.0/16]}\n  - {kind: static, name: dc1, file: b, ranges: ${String(ranges)}}`,
    want: [new RegExp(`^x\\.yaml:3:\\d+ registries\\[1\\]\\.${(want as RegExp).source}`)],
  })),
  {
    text: "registries: [{kind: static, name: dc1, file: a, ranges: [10.9.0.0/16]}]\nvips: {mode: istio}\ntarget: {kind: kubernetes}",
    want: [/registries\[0\]\.ranges: is valid with vips\.mode ledger only/],
  },
  {
    text: `registries:\n  - {kind: static, name: dc0, file: a, maxServices: 1}\n  - {kind: static, name: dc1, file: b, maxServices: 1}\nmerge: [dc0, dc1]`,
    want: [/^x\.yaml:3:\d+ registries\[1\]\.maxServices: of merged registries that of "dc0" counts/],
  },
  {
    text: "vips: {quarantine: 5}",
    want: [/x\.yaml:1:20 vips\.quarantine: must be a duration such as 500ms, 30s, .*, not "5"$/],
  },
  { text: "vips: {quarantine: 5 minutes}", want: [/vips\.quarantine: must be a duration such as/] },
  { text: "vips: {quarantine: 29s}", want: [/vips\.quarantine: must be at least dns\.ttl/] },
  { text: "vips: {mode: istio}", want: [/^x\.yaml:1:14 vips\.mode: must be ledger with a directory target/] },
  { text: "vips: {families: [IPv6]}", want: [/^x\.yaml:1:18 vips\.families: is valid with mode istio only/] },
  { text: "vips: {mode: none}", want: [/vips\.mode: must be "ledger" or "istio"/] },
  {
    text: "policy: {maxDeletePercent: 101, minDeletes: 1.5, mode: x, keepEmpty: x}",
    want: [/at most 100/, /a whole number/, /must be "sync" or/, /a duration/],
  },
  { text: "target: {namespace: a}", want: [/^x\.yaml:1:9 target\.kind: must be "directory" or "kubernetes"/] },
  {
    text: "target: {kind: directory, context: a}",
    want: [/target\.context: is not an option; known here: kind, path, namespace, clusterDomain/],
  },
  { text: "target: {kind: kubernetes, path: a}", want: [/target\.path: is not an option/] },
  { text: "dns: {names: {suffixes: [a b]}}", want: [/dns\.names\.suffixes\[0\]: must be a DNS name/] },
  { text: "dns: {names: {secret: x}}", want: [/dns\.names\.secret: is not an option/] },
  { text: "dns: {workers: 65}", want: [/dns\.workers: /] },
  { text: "dns: {threads: 2}", want: [/dns\.threads: is not an option/] },
  { text: "dns: {listen: []}", want: [/dns\.listen: must have at least 1 entry/] },
  { text: "dns: {listen: [localhost:53]}", want: [/dns\.listen\[0\]: must be address:port/] },
  { text: "dns: {listen: ['127.0.0.1']}", want: [/dns\.listen\[0\]: must be address:port/] },
  {
    text: "dns: {listen: ['127.1:53', '::1:53', '127.0.0.1:65536']}",
    want: [/listen\[0\]/, /listen\[1\]/, /listen\[2\]/],
  },
  { text: "dns: {ttl: 500ms}", want: [/dns\.ttl: must be whole seconds from 1s to 1d/] },
  { text: "dns: {ttl: 2d}", want: [/dns\.ttl: must be whole seconds/] },
  {
    text: "dns:\n  zones:\n    - mesh.internal\n    - {name: consul}",
    want: [/^x\.yaml:4:7 dns\.zones\[1\]\.forward: is missing: an overlay without upstream/],
  },
  {
    text: "dns: {zones: [{name: consul, forward: []}]}",
    want: [/dns\.zones\[0\]\.forward: is an overlay without upstream/],
  },
  { text: "dns: {zones: [a, A.]}", want: [/dns\.zones\[1\]: zone "a" is listed twice/] },
  { text: "dns: {forward: [dns.example.org]}", want: [/dns\.forward\[0\]: must be an IP address/] },
  {
    text: "dns: {forward: ['127.0.0.1:5353']}",
    want: [/^x\.yaml:1:17 dns\.forward\[0\]: leads back to our own dns\.listen/],
  },
  {
    text: "dns: {views: [{name: a, clients: [10.0.0.0/8], answer: vip}]}",
    want: [/dns\.views\[0\]\.answer: must be "vips" or "endpoints"/],
  },
  { text: "dns: {views: [{name: a, clients: [], answer: []}]}", want: [/clients: must have/, /answer: must be vips/] },
  {
    text: "dns: {rateLimit: {perSecond: 0}, queryLog: 2}",
    want: [/perSecond: must be at least 1/, /queryLog: must be at most 1/],
  },
  { text: "dns: {forward: [{address: 10.0.0.53}]}", want: [/dns\.forward\[0\]\.tls: is missing/] },
  {
    text: "dns: {forward: [{address: 10.0.0.53, tls: x, port: 1}]}",
    want: [/dns\.forward\[0\]\.port: is not an option/],
  },
  { text: "dns: {listen: ['0.0.0.0:53'], forward: [127.0.0.53]}", want: [/dns\.forward\[0\]: leads back/] },
  {
    text: "dns: {listen: ['[::]:53'], zones: [{name: a, forward: ['::1']}]}",
    want: [/dns\.zones\[0\]\.forward\[0\]: leads back/],
  },
  {
    text: "dns: {listen: ['127.0.0.1:53'], forward: [0.0.0.0, '::ffff:127.0.0.1']}",
    want: [/dns\.forward\[0\]: leads back/, /dns\.forward\[1\]: leads back/],
  },
  { text: "dns: {allow: [10.0.0.5]}", want: [/dns\.allow\[0\]: must be a range/] },
  { text: "http: {listen: 8080}", want: [/^x\.yaml:1:16 http\.listen: must be address:port, .*, not "8080"$/] },
];
for (const { text, want } of wrong) {
  test(`parseConfig() refuses ${JSON.stringify(text).slice(0, 90)}`, () => {
    const problems = problemsIn(text);
    assert.equal(problems.length, want.length, problems.join("\n"));
    for (const [index, pattern] of want.entries()) assert.match(problems[index] ?? "", pattern);
  });
}

test("parseConfig() names everything wrong at once, in the order of the file", () => {
  const problems = problemsIn(
    `owner: East\nregistries:\n  - {kind: eureka, name: a}\n  - {kind: static, name: a, file: x, nope: 1}\ndns: {ttl: 0s}\nvips: {ranges: [x]}\nhttp: no`,
  );
  assert.deepEqual(
    problems.map((line) => line.split(" ").slice(0, 2).join(" ")),
    [
      "x.yaml:1:8 owner:",
      "x.yaml:3:12 registries[0].kind:",
      "x.yaml:4:26 registries[1].name:",
      "x.yaml:4:38 registries[1].nope:",
      "x.yaml:5:12 dns.ttl:",
      "x.yaml:6:17 vips.ranges[0]:",
      "x.yaml:7:7 http:",
    ],
  );
});

test("parseConfig() lets an upstream on another port or address be", () => {
  assert.deepEqual(problemsIn("dns: {listen: ['0.0.0.0:53'], forward: [10.0.0.53, '127.0.0.1:5300']}"), []);
});

test("parseConfig() expands ${ENV} in string values only", () => {
  const config = read(
    `registries:\n  - kind: consul\n    name: dc1\n    address: http://\${HOST}:\${PORT}\n    token: "$\${KEPT}\${EMPTY}"\n    legacyNames: ["{service}.\${HOST}"]`,
    { HOST: "consul.example.org", PORT: "8500", EMPTY: "" },
  );
  assert.deepEqual(config.registries[0]?.options, { address: "http://consul.example.org:8500", token: "${KEPT}" });
  assert.deepEqual(config.registries[0]?.legacyNames, ["{service}.consul.example.org"]);
  assert.deepEqual(read(`owner: "\${A}"`, { A: "b" }).owner, "b");
  assert.match(problemsIn(`"\${A}": b`, { A: "owner" })[0] ?? "", /is not an option/);
});

test("parseConfig() does not expand what a variable holds", () => {
  assert.match(problemsIn(`owner: \${A}`, { A: "${B}", B: "east" })[0] ?? "", /must be a DNS label/);
});

test("parseConfig() names an unset variable once, with its line", () => {
  assert.deepEqual(problemsIn(`owner: east\nhttp:\n  listen: "\${WHERE}:80"`), [
    `x.yaml:3:11 http.listen: environment variable "WHERE" is not set`,
  ]);
  assert.match(problemsIn("owner: ${}")[0] ?? "", /environment variable "" is not set/);
});

test("parseConfig() never shows what came from a variable", () => {
  const [problem = ""] = problemsIn(`owner: "\${TOKEN}"`, { TOKEN: "S3cr$&t" });
  assert.match(problem, /not "\$\{TOKEN\}"$/);
});

for (const [file, why] of [
  ["/nowhere/x.yaml", "no such file; name yours by --config"],
  ["/", "it is a folder; name the file in it"],
] as const) {
  test(`loadConfig() says of ${file}: ${why}`, async () => {
    await assert.rejects(
      loadConfig(file, { env: {}, adapters }),
      (error) => error instanceof ConfigError && error.message === `Cannot read config "${file}": ${why}`,
    );
  });
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "x2istio-config-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Follow a file, one change at a time. */
async function follow(file: string) {
  const abort = new AbortController();
  const changes = configChanges(await loadConfig(file, { env: {}, adapters }), { env: {}, adapters }, abort.signal);
  const next = async () => {
    const { value } = await Promise.race([
      changes.next(),
      sleep(GENEROUS_MS, undefined, { ref: false }).then(() => assert.fail("no change was seen")),
    ]);
    return value instanceof ConfigError ? "error" : value?.owner;
  };
  const stop = async () => {
    abort.abort();
    await changes.next();
  };
  return { next, stop };
}

test("configChanges() sees a write, a rename and a broken file, and passes over a comment", () =>
  withFolder(async (folder) => {
    const file = join(folder, "x.yaml");
    await writeFile(file, "owner: a");
    const { next, stop } = await follow(file);
    const beside = join(folder, "y.yaml");
    await writeFile(beside, "owner: z");
    const other = await follow(beside);
    /** Until a later change of the file beside it has been seen twice. */
    const passedOver = async () => {
      for (const owner of ["y", "z"]) {
        await writeFile(beside, `owner: ${owner}`);
        assert.equal(await other.next(), owner);
      }
    };
    let change = next();
    await writeFile(file, "owner: a # the same");
    await passedOver();
    await writeFile(file, "owner: b");
    assert.equal(await change, "b");
    change = next();
    await writeFile(`${file}~`, "owner: c");
    await rename(`${file}~`, file);
    assert.equal(await change, "c");
    change = next();
    await writeFile(file, "owner: [");
    assert.equal(await change, "error");
    change = next();
    await unlink(file);
    await passedOver();
    await writeFile(file, "owner: d");
    assert.equal(await change, "d");
    await stop();
    await other.stop();
  }));

test("configChanges() sees the swap of a ConfigMap's symlinks", () =>
  withFolder(async (folder) => {
    for (const name of ["a", "b"]) {
      await mkdir(join(folder, `..${name}`));
      await writeFile(join(folder, `..${name}`, "x.yaml"), `owner: ${name}`);
    }
    await symlink("..a", join(folder, "..data"));
    await symlink("..data/x.yaml", join(folder, "x.yaml"));
    const { next, stop } = await follow(join(folder, "x.yaml"));
    const change = next();
    await symlink("..b", join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
    assert.equal(await change, "b");
    await stop();
  }));

test("configChanges() sees what changed before it began to watch", () =>
  withFolder(async (folder) => {
    const file = join(folder, "x.yaml");
    await writeFile(file, "owner: a");
    const { next, stop } = await follow(file);
    await writeFile(file, "owner: b");
    assert.equal(await next(), "b");
    await stop();
  }));
