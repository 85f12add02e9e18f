import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import {
  cidr,
  dnsLabel,
  dnsName,
  durationMs,
  ipAddress,
  literalSuffix,
  socketAddress,
} from "../../src/config/fields.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { ConfigError } from "../../src/errors.ts";

const vms = "registries: [{kind: static, name: vms, file: a.yaml}, {kind: static, name: dc1, file: b.yaml}]";
const registry = (line: string) => `registries:\n  - kind: static\n    name: vms\n    file: a\n    ${line}`;

/** Whether a configuration can be used. */
function isRead(text: string): boolean {
  try {
    parseConfig(text, "x.yaml", { env: {}, adapters });
    return true;
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return false;
  }
}

/** Each limit at its last good value and the first bad one. */
const limits: readonly { readonly good: string; readonly bad: string }[] = [
  { good: `owner: ${"a".repeat(40)}`, bad: `owner: ${"a".repeat(41)}` },
  { good: "vips: {ranges: [10.0.0.0/8]}", bad: "vips: {ranges: [10.0.0.0/7]}" },
  { good: "vips: {ranges: [10.0.0.0/30]}", bad: "vips: {ranges: [10.0.0.0/31]}" },
  { good: `vips: {ranges: ["fd00::/64"]}`, bad: `vips: {ranges: ["fd00::/63"]}` },
  { good: `vips: {ranges: ["fd00::/126"]}`, bad: `vips: {ranges: ["fd00::/127"]}` },
  { good: "vips: {ranges: [240.241.0.0/16]}", bad: "vips: {ranges: [240.240.0.0/16]}" },
  { good: `vips: {ranges: ["2001:3::/64"]}`, bad: `vips: {ranges: ["2001:2:0:1::/64"]}` },
  { good: "vips: {ranges: [10.0.0.0/24, 10.0.1.0/24]}", bad: "vips: {ranges: [10.0.1.0/24, 10.0.0.0/23]}" },
  { good: "vips: {quarantine: 30s}", bad: "vips: {quarantine: 29999ms}" },
  { good: "vips: {quarantine: 1s}\ndns: {ttl: 1s}", bad: "vips: {quarantine: 1s}\ndns: {ttl: 2s}" },
  { good: "policy: {maxDeletePercent: 0}", bad: "policy: {maxDeletePercent: -1}" },
  { good: "policy: {maxDeletePercent: 100}", bad: "policy: {maxDeletePercent: 100.1}" },
  { good: "policy: {minDeletes: 0}", bad: "policy: {minDeletes: -1}" },
  { good: "dns: {ttl: 1s}", bad: "dns: {ttl: 999ms}" },
  { good: "dns: {ttl: 1d}\nvips: {quarantine: 30d}", bad: "dns: {ttl: 86401s}\nvips: {quarantine: 30d}" },
  { good: "dns: {ttl: 2000ms}", bad: "dns: {ttl: 1500ms}" },
  { good: "dns: {cacheMiB: 4096}", bad: "dns: {cacheMiB: 4097}" },
  { good: "dns: {cacheMiB: 0}", bad: "dns: {cacheMiB: -1}" },
  { good: "dns: {workers: 64}", bad: "dns: {workers: 65}" },
  { good: "dns: {rateLimit: {perSecond: 1, slip: 0}}", bad: "dns: {rateLimit: {perSecond: 1, slip: -1}}" },
  { good: "dns: {rateLimit: {perSecond: 1000000, slip: 100}}", bad: "dns: {rateLimit: {perSecond: 1000001}}" },
  { good: "dns: {queryLog: 0}", bad: "dns: {queryLog: -0.1}" },
  { good: "dns: {queryLog: 1}", bad: "dns: {queryLog: 1.1}" },
  { good: `dns: {nsid: ${"a".repeat(128)}}`, bad: `dns: {nsid: ${"a".repeat(129)}}` },
  { good: "dns: {listen: ['127.0.0.1:65535']}", bad: "dns: {listen: ['127.0.0.1:65536']}" },
  { good: "dns: {listen: ['127.0.0.1:0']}", bad: "dns: {forward: ['10.0.0.1:0']}" },
  { good: "dns: {forward: ['10.0.0.1:1']}", bad: "dns: {forward: ['10.0.0.1:65536']}" },
  { good: "dns: {zones: [a, b]}", bad: "dns: {zones: [a, A.]}" },
  {
    good: "dns: {views: [{name: a, clients: [10.0.0.0/8], answer: vips}]}",
    bad: "dns: {views: [{name: a, clients: [10.0.0.0/8], answer: vips}, {name: a, clients: [11.0.0.0/8], answer: vips}]}",
  },
  { good: "http: {reports: {tokenFile: a, wait: 8s}}", bad: "http: {reports: {tokenFile: a, wait: 8001ms}}" },
  { good: "http: {reports: {tokenFile: a, perSecond: 0.1}}", bad: "http: {reports: {tokenFile: a, perSecond: 0}}" },
  {
    good: "http: {reports: {tokenFile: a, perSecond: 1000000}}",
    bad: "http: {reports: {tokenFile: a, perSecond: 1000001}}",
  },
  { good: registry("demandTtl: 1s"), bad: registry("demandTtl: 999ms") },
  { good: registry("maxServices: 1"), bad: registry("maxServices: 0") },
  { good: registry("ranges: [240.242.0.0/16]"), bad: registry("ranges: [240.241.255.0/24]") },
  { good: registry(`exportTo: ["*"]`), bad: registry(`exportTo: ["*", "*"]`) },
  { good: registry("exportTo: [a, b]"), bad: registry(`exportTo: [a, "*"]`) },
  { good: registry("exportTo: ['.', shop]"), bad: registry("exportTo: ['.', mesh-services]") },
  { good: `${vms}\nmerge: [vms, dc1]`, bad: `${vms}\nmerge: [vms]` },
  {
    good: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b, stage: split, weight: 100}]}`,
    bad: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b, stage: split, weight: 101}]}`,
  },
  {
    good: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b, stage: split, weight: 0}]}`,
    bad: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b, stage: inside, weight: 100}]}`,
  },
  {
    good: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b}, {service: vms/a/c, by: a/c}]}`,
    bad: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b}, {service: vms/a/b, by: a/b}]}`,
  },
  {
    good: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b, request: ${"x".repeat(200)}}]}`,
    bad: `${vms}\nmigration: {claims: [{service: vms/a/b, by: a/b, request: ${"x".repeat(201)}}]}`,
  },
  {
    good: `${vms}\nmerge: [dc1, vms]\nmigration: {allow: [{registry: dc1, by: [a]}]}`,
    bad: `${vms}\nmerge: [dc1, vms]\nmigration: {allow: [{registry: vms, by: [a]}]}`,
  },
  {
    good: `${vms}\naliases: [{registry: vms, service: a, as: fixed}]`,
    bad: `${vms}\naliases: [{registry: vms, service: "a?", as: fixed}]`,
  },
  {
    good: `hosts: {template: "{service}.cluster.local.example.org"}`,
    bad: `hosts: {template: "{service}.cluster.local"}`,
  },
  { good: `hosts: {template: "{service}.mycluster.local"}`, bad: `hosts: {template: "{service}.svc.cluster.local"}` },
  { good: `hosts: {template: "{service}.a1"}`, bad: `hosts: {template: "{service}.1"}` },
  {
    good: "vips: {mode: istio, families: [IPv6]}\ntarget: {kind: kubernetes}",
    bad: "vips: {mode: ledger, families: [IPv6]}\ntarget: {kind: kubernetes}",
  },
  { good: "vips: {mode: istio}\ntarget: {kind: kubernetes}", bad: "vips: {mode: istio}\ntarget: {kind: directory}" },
];
for (const { good, bad } of limits)
  test(`parseConfig() reads ${JSON.stringify(good.slice(-60))} and refuses ${JSON.stringify(bad.slice(-60))}`, () => {
    assert.equal(isRead(good), true);
    assert.equal(isRead(bad), false);
  });

const loops: readonly { readonly listen: string; readonly forward: string; readonly isLoop: boolean }[] = [
  { listen: "127.0.0.1:53", forward: "127.0.0.1:53", isLoop: true },
  { listen: "127.0.0.1:53", forward: "127.0.0.1:54", isLoop: false },
  { listen: "127.0.0.1:53", forward: "127.0.0.2:53", isLoop: false },
  { listen: "10.0.0.1:53", forward: "10.0.0.1", isLoop: true },
  { listen: "10.0.0.1:53", forward: "0.0.0.0", isLoop: false },
  { listen: "0.0.0.0:53", forward: "127.8.8.8", isLoop: true },
  { listen: "0.0.0.0:53", forward: "10.0.0.1", isLoop: false },
  { listen: "0.0.0.0:53", forward: "'::1'", isLoop: true },
  { listen: "[::]:53", forward: "'::ffff:127.0.0.1'", isLoop: true },
  { listen: "[2001:db8::1]:53", forward: "'2001:DB8:0::1'", isLoop: true },
  { listen: "127.0.0.1:53", forward: "'::'", isLoop: true },
];
for (const { listen, forward, isLoop } of loops)
  test(`an upstream ${forward} ${isLoop ? "leads" : "does not lead"} back to ${listen}`, () => {
    assert.equal(isRead(`dns: {listen: ['${listen}'], forward: [${forward}]}`), !isLoop);
    assert.equal(
      isRead(`dns: {listen: ['10.9.9.9:5399', '${listen}'], zones: [{name: a, forward: [${forward}]}]}`),
      !isLoop,
    );
  });

for (const [text, want] of [
  ["0s", 0],
  ["500ms", 500],
  ["30s", 30_000],
  ["5m", 300_000],
  ["1h", 3_600_000],
  ["30d", 2_592_000_000],
  ["999999999ms", 999_999_999],
  ["1000000000ms", undefined],
  ["5", undefined],
  ["-5s", undefined],
  ["1.5s", undefined],
  ["5 s", undefined],
  ["5S", undefined],
  ["", undefined],
] as const)
  test(`durationMs() of "${text}" is ${want}`, () => {
    if (want === undefined) assert.throws(() => durationMs(text), /must be a duration/);
    else assert.equal(durationMs(text), want);
  });

test("addresses, ranges and names are kept in one spelling", () => {
  assert.equal(ipAddress("2001:DB8:0:0::1"), "2001:db8::1");
  assert.equal(ipAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(cidr("FD00:0:0::/64"), "fd00::/64");
  assert.equal(cidr("::ffff:10.0.0.0/104"), "10.0.0.0/8");
  assert.equal(cidr("::ffff:0:0/96"), "0.0.0.0/0");
  assert.equal(cidr("::/0"), "::/0");
  assert.equal(dnsName("Corp.Example.COM."), "corp.example.com");
  assert.deepEqual(socketAddress("[2001:DB8::1]:53", { minPort: 1 }), { address: "2001:db8::1", port: 53 });
  assert.deepEqual(socketAddress("2001:DB8::1", { defaultPort: 53, minPort: 1 }), { address: "2001:db8::1", port: 53 });
});

test("dnsName() and dnsLabel() take what is as long as it may be, and nothing longer", () => {
  const label = "a".repeat(63);
  const name = `${label}.${label}.${label}.${"b".repeat(61)}`;
  assert.equal(dnsName(name), name);
  assert.equal(dnsName(`${name}.`), name);
  assert.throws(() => dnsName(`${name}b`));
  assert.equal(dnsName("_dns.a_b"), "_dns.a_b");
  for (const text of ["", ".", "a..b", "a..", `${label}a.b`, "-a", "a-", "a b", "*.a"])
    assert.throws(() => dnsName(text), text);
  assert.equal(dnsLabel(label), label);
  for (const text of ["", `${label}a`, "-a", "a-", "A", "a.b", "a_b"]) assert.throws(() => dnsLabel(text), text);
});

test("literalSuffix() is what all hosts of a template end with", () => {
  for (const [template, want] of [
    ["{service}.mesh.internal", "mesh.internal"],
    ["{service}.{namespace}.mesh", "mesh"],
    ["{service}-x.mesh", "mesh"],
    ["{service}", undefined],
    ["{service}.mesh.{registry}", undefined],
    ["a.{service}", undefined],
  ] as const)
    assert.equal(literalSuffix(template), want, template);
});

test("a secret is never shown, also where another one is part of it", () => {
  const env = { SHORT: "abc", LONG: "abcdef" };
  const show = (text: string) => {
    try {
      parseConfig(text, "x.yaml", { env, adapters });
      return "";
    } catch (error) {
      return String(error);
    }
  };
  const shown = show('owner: "A${LONG}"\nhosts: {template: "${SHORT}"}');
  assert.match(shown, /not "A\$\{LONG\}"/);
  assert.doesNotMatch(shown, /abc/);
});

test("a claim of the configuration weighs what its stage says, and in a split what is written", () => {
  const claims = ["outside", "split", "inside", "retired"].map(
    (stage, at) => `{service: vms/a/s${at}, by: a/c${at}, stage: ${stage}}`,
  );
  const text = `${vms}\nmigration: {claims: [${claims.join(", ")}, {service: vms/a/b, by: a/b, stage: split, weight: 25}]}`;
  const { migration } = parseConfig(text, "x.yaml", { env: {}, adapters });
  assert.deepEqual(
    migration.claims.map(({ weight }) => weight),
    [0, 0, 100, 100, 25],
  );
});
