import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot } from "../../../src/model/adapter.ts";
import type { Service } from "../../../src/model/service.ts";
import { type AdmitOptions, admitEndpoints } from "../../../src/plan/catalog/admit-endpoints.ts";
import { faultRow } from "../../faults/row.ts";
import { endpoint, failed, service, snapshot } from "../build.ts";

const VIPS = ["240.241.0.0/16", "fd00:1::/64"];
const admit = admitEndpoints({ vips: VIPS });

const servicesOf = ({ services }: Snapshot): readonly Service[] =>
  services.flatMap((read) => (read.state === "ok" ? [read.service] : []));

/** Why an address is left out beside one that is not; "in" when it is not. */
function verdict(address: string, options: Partial<AdmitOptions> = {}, services?: readonly string[]): string {
  const one = service("orders", { endpoints: [endpoint(address)] });
  const [cleaned] = servicesOf(
    admitEndpoints({ vips: VIPS, zones: ["mesh.internal"], clusterDomain: "cluster.local", ...options })(
      snapshot("dc1", [one]),
      services,
    ),
  );
  assert.equal(cleaned?.endpoints.length, cleaned?.leftOut.length === 0 ? 1 : 0);
  const [left] = cleaned?.leftOut ?? [];
  assert.ok(left === undefined || (left.kind === "address" && left.address === address.replace(/\.$/, "")));
  return left?.reason ?? "in";
}

const ONE = "its address must be the address of one machine";
const MESH = "its address must be reachable from the mesh";
const LOOP = "is in a range of VIPs: a call to it would loop back into the mesh";
const OWN = `${MESH} (loopback is the caller's own; endpoints.allow may admit it)`;
const LOCAL = `${MESH} (not link-local); endpoints.allow may admit it`;
const METADATA =
  "its address must not be a cloud's metadata service, which gives out credentials; endpoints.allow may admit it by itself";
const NO_DOMAIN = "is in no domain of the registry's endpoints.allow";
const leads = (to: string, why: string) => `leads to ${to}, which ${why.replace("its address ", "")}`;

test(
  faultRow({
    target: "Consul",
    fault: "an endpoint has a VIP as its address: a loop through the mesh",
    expect: "it is left out, with the reason in explain",
  }),
  () => {
    for (const address of ["240.241.0.1", "240.241.255.254", "240.240.3.4", "fd00:1::7", "2001:2::1"]) {
      const one = service("orders", { endpoints: [endpoint("192.0.2.1"), endpoint(address)] });
      const [cleaned] = servicesOf(admit(snapshot("dc1", [one])));
      assert.deepEqual(cleaned?.endpoints, [endpoint("192.0.2.1")], address);
      assert.deepEqual(cleaned?.leftOut, [{ address, kind: "address", reason: LOOP }]);
    }
  },
);

/** By default, in every form. */
const byDefault: readonly (readonly [address: string, want: string])[] = [
  ["192.0.2.1", "in"],
  ["10.0.0.1", "in"],
  ["2001:db8::1", "in"],
  ["fd12:3456::1", "in"],
  ["100.64.0.1", "in"],
  ["240.242.0.1", "in"],
  ["64:ff9b::c000:201", "in"],
  ["64:ff9b:1::c000:201", "in"],
  ["64:ff9b:1:c000:2:100::", "in"],
  ["2002:c000:201::1", "in"],
  ["2001:db8::5efe:c000:201", "in"],
  ["db.example.org.", "in"],
  ["localhost.example.org.", "in"],
  ["db.corp.local.", "in"],
  ["notmesh.internal.", "in"],
  ["db.localhost.", "its address is in localhost, in which no registry's service can be"],
  ["kubernetes.default.svc.", "its address is in svc, in which no registry's service can be"],
  ["kubernetes.default.svc.cluster.local.", "its address is in cluster.local, the cluster's own domain"],
  ["metadata.google.internal.", "its address must not be a cloud's metadata service, which gives out credentials"],
  [
    "orders.shop.dc1.mesh.internal.",
    "its address is in mesh.internal, whose names lead to VIPs: a call would loop back into the mesh",
  ],
  ["0.0.0.0", `${ONE} (not the unspecified address)`],
  ["0.1.2.3", `${ONE} (not the unspecified address)`],
  ["::", `${ONE} (not the unspecified address)`],
  ["255.255.255.255", `${ONE} (not broadcast)`],
  ["224.0.0.1", `${ONE} (not multicast)`],
  ["239.255.255.255", `${ONE} (not multicast)`],
  ["ff02::1", `${ONE} (not multicast)`],
  ["127.0.0.1", OWN],
  ["127.255.255.254", OWN],
  ["::1", OWN],
  ["169.254.169.254", LOCAL],
  ["169.254.20.10", LOCAL],
  ["fe80::1", LOCAL],
  ["fe80::a9fe:a9fe", LOCAL],
  ["fd00:ec2::254", METADATA],
  ["fd00:ec2::23", METADATA],
  ["fd20:ce::254", METADATA],
  ["168.63.129.16", METADATA],
  ["100.100.100.200", METADATA],
  ["192.0.0.192", METADATA],
  ["fd00:42::42", METADATA],
  ["fd00:a9fe:a9fe::1", METADATA],
  ["::a9fe:a9fe", leads("169.254.169.254", LOCAL)],
  ["::7f00:1", leads("127.0.0.1", OWN)],
  ["::ffff:0:7f00:1", leads("127.0.0.1", OWN)],
  ["64:ff9b::a9fe:a9fe", leads("169.254.169.254", LOCAL)],
  ["64:ff9b::a83f:8110", leads("168.63.129.16", METADATA)],
  ["64:ff9b::f0f1:101", leads("240.241.1.1", LOOP)],
  ["64:ff9b::", leads("0.0.0.0", `${ONE} (not the unspecified address)`)],
  ["64:ff9b:1::7f00:1", leads("127.0.0.1", OWN)],
  ["64:ff9b:1:a9fe:a9:fe00::", leads("169.254.169.254", LOCAL)],
  ["64:ff9b:1:a9:fe:a9fe::", leads("169.254.169.254", LOCAL)],
  ["64:ff9b:1:0:a9:fea9:fe00:0", leads("169.254.169.254", LOCAL)],
  ["2002:7f00:1::1", leads("127.0.0.1", OWN)],
  ["2002:a9fe:a9fe::", leads("169.254.169.254", LOCAL)],
  ["2001::80ff:fffe", leads("0.0.0.0", `${ONE} (not the unspecified address)`)],
  ["2001:0:c000:201::80ff:fffe", leads("127.0.0.1", OWN)],
  ["2001:0:a9fe:a9fe::3fff:fdfe", leads("169.254.169.254", LOCAL)],
  ["2001:db8::5efe:7f00:1", leads("127.0.0.1", OWN)],
  ["2001:db8::200:5efe:a9fe:a9fe", leads("169.254.169.254", LOCAL)],
];
for (const [address, want] of byDefault)
  test(`admitEndpoints() of ${address} says: ${want}`, () => assert.equal(verdict(address), want));

const byRule: readonly (readonly [title: string, got: () => string, want: string])[] = [
  ["admits loopback by its range", () => verdict("127.0.0.1", { allow: ["127.0.0.0/8"] }), "in"],
  ["admits loopback by a part of its range", () => verdict("127.0.0.1", { allow: ["127.0.0.1/32"] }), "in"],
  ["admits no other part", () => verdict("127.0.0.2", { allow: ["127.0.0.1/32"] }), OWN],
  [
    "admits loopback in another form",
    () => verdict("64:ff9b::7f00:1", { allow: ["127.0.0.0/8", "64:ff9b::/96"] }),
    "in",
  ],
  ["admits nothing reserved by a wider range", () => verdict("127.0.0.1", { allow: ["0.0.0.0/0"] }), OWN],
  ["admits link-local by its range", () => verdict("169.254.20.10", { allow: ["169.254.0.0/16"] }), "in"],
  ["admits metadata not as link-local", () => verdict("169.254.169.254", { allow: ["169.254.0.0/16"] }), METADATA],
  ["admits metadata by itself", () => verdict("169.254.169.254", { allow: ["169.254.169.254/32"] }), "in"],
  ["never admits a VIP", () => verdict("240.241.1.1", { allow: ["240.241.0.0/16"] }), LOOP],
  ["never admits multicast", () => verdict("224.0.0.1", { allow: ["224.0.0.0/4"] }), `${ONE} (not multicast)`],
  [
    "takes only what is allowed",
    () => verdict("192.0.2.1", { allow: ["10.0.0.0/8"] }),
    "is in no range of the registry's endpoints.allow",
  ],
  ["takes what is allowed", () => verdict("10.0.0.1", { allow: ["10.0.0.0/8", "fd00::/8"] }), "in"],
  ["takes what is allowed in IPv6", () => verdict("fd12::1", { allow: ["10.0.0.0/8", "fd00::/8"] }), "in"],
  [
    "leaves out what is denied",
    () => verdict("10.0.0.1", { deny: ["10.0.0.0/24"] }),
    "is in 10.0.0.0/24, which the registry's endpoints.deny has",
  ],
  [
    "denies before it allows",
    () => verdict("10.0.0.1", { allow: ["10.0.0.0/8"], deny: ["10.0.0.0/24"] }),
    "is in 10.0.0.0/24, which the registry's endpoints.deny has",
  ],
  [
    "denies in every form",
    () => verdict("2002:a00:1::1", { deny: ["10.0.0.0/24"] }),
    "leads to 10.0.0.1, which is in 10.0.0.0/24, which the registry's endpoints.deny has",
  ],
  ["takes a host name only by its domain", () => verdict("db.example.org.", { allow: ["0.0.0.0/0"] }), NO_DOMAIN],
  ["takes no host name beside its domain", () => verdict("notexample.org.", { allow: ["example.org"] }), NO_DOMAIN],
  ["takes a host name in its domain", () => verdict("db.example.org.", { allow: ["10.0.0.0/8", "example.org"] }), "in"],
  ["takes a host name that is its domain", () => verdict("db.example.org.", { allow: ["db.example.org"] }), "in"],
  [
    "takes no address by a domain",
    () => verdict("192.0.2.1", { allow: ["example.org"] }),
    "is in no range of the registry's endpoints.allow",
  ],
  [
    "denies a host name by its domain",
    () => verdict("db.example.org.", { allow: ["example.org"], deny: ["db.example.org"] }),
    "is in db.example.org, which the registry's endpoints.deny has",
  ],
  [
    "never admits a host name that leads back into the mesh",
    () => verdict("orders.mesh.internal.", { allow: ["mesh.internal"] }),
    "its address is in mesh.internal, whose names lead to VIPs: a call would loop back into the mesh",
  ],
  ["takes what is beside the denied", () => verdict("10.0.1.1", { deny: ["10.0.0.0/24"] }), "in"],
  [
    "leaves out addresses of Services",
    () => verdict("10.96.0.1", {}, ["10.96.0.0/12"]),
    "its address must not be in the cluster's own range of Services; endpoints.allow may admit it",
  ],
  [
    "admits addresses of Services by their range",
    () => verdict("10.96.0.1", { allow: ["10.96.0.0/16"] }, ["10.96.0.0/12"]),
    "in",
  ],
];
for (const [title, got, want] of byRule) test(`admitEndpoints() ${title}`, () => assert.equal(got(), want));

test("admitEndpoints() keeps the identity of all else, from snapshot to snapshot", () => {
  const sound = service("a", { endpoints: [endpoint("192.0.2.1"), endpoint("2001:db8::1"), endpoint("10.9.8.7")] });
  const whole = snapshot("dc1", [sound, failed("dc1/shop/b")]);
  assert.equal(admit(whole), whole);
  const looping = service("c", { endpoints: [endpoint("240.241.0.9")] });
  const [first, second] = [admit(snapshot("dc1", [sound, looping])), admit(snapshot("dc1", [sound, looping]))];
  assert.equal(servicesOf(first)[0], sound);
  assert.equal(servicesOf(first)[1], servicesOf(second)[1]);
  assert.deepEqual(servicesOf(first)[1]?.endpoints, []);
});

test("admitEndpoints() judges anew once the ranges of Services are known", () => {
  const judge = admitEndpoints({ vips: VIPS });
  const one = snapshot("dc1", [service("a", { endpoints: [endpoint("10.96.0.1"), endpoint("192.0.2.1")] })]);
  assert.equal(judge(one, []), one);
  assert.deepEqual(servicesOf(judge(one, ["10.96.0.0/12"]))[0]?.endpoints, [endpoint("192.0.2.1")]);
  assert.equal(judge(one, []), one);
});
