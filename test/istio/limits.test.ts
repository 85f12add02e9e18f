import assert from "node:assert/strict";
import { test } from "node:test";
import { addressAndPort, parseAddress } from "../../src/istio/address.ts";
import { fieldsOf, listOf, stringMapOf, stringsOf, timeOf } from "../../src/istio/fields.ts";
import { droppedLabel, refusedLabel } from "../../src/istio/labels.ts";
import { isNamePart, isPort, isPortName, isServiceName, protocolOf } from "../../src/istio/limits.ts";
import { handedOverTo, isLabelledOurs, whyYielded } from "../../src/istio/ownership.ts";
import { sharedAddresses } from "../../src/istio/shared-addresses.ts";

const names = [
  { text: "a", want: true },
  { text: "orders v2 (Zürich)", want: true },
  { text: "x".repeat(253), want: true },
  { text: "x".repeat(254), want: false },
  { text: "", want: false },
  { text: " a", want: false },
  { text: "a ", want: false },
  { text: "a\u00a0", want: false },
  { text: "a\nb", want: false },
  { text: "a\u200bb", want: false },
  { text: "a\u2028b", want: false },
];
for (const { text, want } of names)
  test(`isServiceName() is ${want} of ${JSON.stringify(text.slice(0, 20))} of ${text.length}`, () => {
    assert.equal(isServiceName(text), want);
    assert.equal(isNamePart(text), want);
    assert.equal(isNamePart(`${text}/x`), false);
  });

test("isServiceName() takes a slash, which a namespace, region or zone cannot have", () => {
  assert.deepEqual([isServiceName("a/b"), isNamePart("a/b")], [true, false]);
});

test("isPort() is what a port's number can be", () => {
  const numbers = [-1, 0, 1, 1.5, 65_535, 65_536, Number.NaN, Number.POSITIVE_INFINITY];
  assert.deepEqual(numbers.filter(isPort), [1, 65_535]);
});

test("isPortName() is a DNS label", () => {
  const texts = ["a", "a-b", "1", "a".repeat(63), "a".repeat(64), "", "-a", "a-", "A", "a.b", "a_b"];
  assert.deepEqual(texts.filter(isPortName), ["a", "a-b", "1", "a".repeat(63)]);
});

for (const [text, want] of [
  ["http", "HTTP"],
  ["HTTP", "HTTP"],
  ["Grpc-Web", "GRPC-WEB"],
  ["http_proxy", "HTTP_PROXY"],
  ["MetaProtocol-Dubbo", "metaprotocol-dubbo"],
  [`metaprotocol-${"a".repeat(32)}`, `metaprotocol-${"a".repeat(32)}`],
  [`metaprotocol-${"a".repeat(33)}`, undefined],
  ["metaprotocol-", undefined],
  ["dubbo", "metaprotocol-dubbo"],
  ["tRPC", "metaprotocol-trpc"],
  ["http/1.1", "HTTP"],
  ["HTTP1", "HTTP"],
  [" h2c ", "HTTP2"],
  ["h2", "HTTP2"],
  ["http/2", "HTTP2"],
  ["http/3", undefined],
  ["http-proxy", undefined],
  ["", undefined],
] as const)
  test(`protocolOf() of "${text}" is ${want}`, () => assert.equal(protocolOf(text), want));

for (const [text, want] of [
  ["192.0.2.1", "192.0.2.1"],
  ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:C000:0201", "192.0.2.1"],
  ["[2001:DB8::31]", "2001:db8::31"],
  ["DB-1.Example.org", "db-1.example.org."],
  ["db-1.example.org.", "db-1.example.org."],
  ["3com.example.org", "3com.example.org."],
  [`${"a".repeat(63)}.org`, `${"a".repeat(63)}.org.`],
] as const)
  test(`parseAddress() of ${text} is ${want}`, () => assert.deepEqual(parseAddress(text), { address: want }));

for (const text of [
  "10.1",
  "0x7f.1",
  "192.0.2.010",
  "fe80::1%eth0",
  "2001:db8::1%1",
  "",
  "[192.0.2.1]",
  "[db.example.org]",
  "db",
  "db.",
  ".org",
  "a..org",
  "-a.example.org",
  "a_b.example.org",
  "*.example.org",
  "db.example.1",
  "db.example.0x1",
  `${"a".repeat(64)}.org`,
  `${"a.".repeat(126)}ab`,
  "db.example.org:80",
  "bücher.example.org",
  "db.example.org..",
])
  test(`parseAddress() refuses "${text}"`, () => assert.equal(parseAddress(text).address, undefined));

test("addressAndPort() puts brackets round IPv6, and no dot behind a host name", () => {
  assert.deepEqual(
    [addressAndPort("192.0.2.1", 80), addressAndPort("2001:db8::1", 80), addressAndPort("db.example.org.", 80)],
    ["192.0.2.1:80", "[2001:db8::1]:80", "db.example.org:80"],
  );
});

const labels = [
  { key: "a", value: "", dropped: false, refused: false },
  { key: "a", value: "b".repeat(63), dropped: false, refused: false },
  { key: "a", value: "b".repeat(64), dropped: true, refused: true },
  { key: "a".repeat(64), value: "b", dropped: true, refused: true },
  { key: `${"a".repeat(253)}/b`, value: "c", dropped: false, refused: false },
  { key: `${"a".repeat(254)}/b`, value: "c", dropped: true, refused: true },
  { key: "/b", value: "c", dropped: true, refused: true },
  { key: "a/b/c", value: "d", dropped: true, refused: true },
  { key: "A.example.org/b", value: "c", dropped: true, refused: true },
  { key: "security.istio.io/tlsMode", value: "istio", dropped: false, refused: true },
  { key: "istio.io/rev", value: "a", dropped: false, refused: true },
  { key: "x2istio.dev/owner", value: "a", dropped: false, refused: true },
  { key: "a.x2istio.dev/owner", value: "a", dropped: false, refused: true },
  { key: "istio-locality", value: "a", dropped: false, refused: true },
  { key: "istio-locality-2", value: "a", dropped: false, refused: false },
  { key: "notistio.io/a", value: "a", dropped: false, refused: false },
  { key: "istio.io.example.org/a", value: "a", dropped: false, refused: false },
];
for (const { key, value, dropped, refused } of labels)
  test(`label ${key.slice(0, 30)}: ${value.slice(0, 10)} is ${dropped ? "dropped" : refused ? "refused" : "taken"}`, () => {
    assert.equal(droppedLabel(key, value) !== undefined, dropped);
    assert.equal(refusedLabel(key, value) !== undefined, refused);
  });

const ours = { "app.kubernetes.io/managed-by": "x2istio", "x2istio.dev/owner": "east" };
test("isLabelledOurs() wants both labels, with our owner", () => {
  assert.equal(isLabelledOurs(ours, "east"), true);
  for (const other of [
    undefined,
    null,
    {},
    { "x2istio.dev/owner": "east" },
    { ...ours, "x2istio.dev/owner": "West" },
    { ...ours, "app.kubernetes.io/managed-by": "helm" },
  ])
    assert.equal(isLabelledOurs(other, "east"), false);
});

test("handedOverTo() wants an owner and a time", () => {
  const read = (text: string) => handedOverTo({ "x2istio.dev/handed-over-to": text });
  assert.deepEqual(read("east@2026-01-01T00:00:00Z"), { owner: "east", sinceMs: Date.UTC(2026, 0, 1) });
  for (const text of ["", "east", "east@", "@2026-01-01T00:00:00Z", "east@soon"]) assert.equal(read(text), undefined);
  assert.equal(handedOverTo(undefined), undefined);
});

test("whyYielded() tells a release, another type and a selector, and nothing else", () => {
  assert.equal(whyYielded("Service", {}, { type: "ExternalName" }), undefined);
  assert.equal(whyYielded("Service", {}, { type: "ExternalName", selector: {} }), undefined);
  assert.equal(whyYielded("Service", {}, { type: "ExternalName", selector: null }), undefined);
  assert.match(whyYielded("Service", {}, { type: "ExternalName", selector: { a: "b" } }) ?? "", /a selector/);
  assert.match(whyYielded("Service", {}, {}) ?? "", /its type to ClusterIP/);
  assert.equal(whyYielded("ServiceEntry", {}, {}), undefined);
  const released = { "x2istio.dev/released": "2026-01-01T00:00:00Z" };
  for (const kind of ["Service", "ServiceEntry"])
    assert.match(whyYielded(kind, released, { type: "ExternalName" }) ?? "", /released at 2026-01-01T00:00:00Z/);
});

test("fields of an object of which nothing is certain", () => {
  for (const value of [undefined, null, 7, "a", true, ["a"]]) assert.deepEqual(fieldsOf(value), {});
  assert.deepEqual(listOf({ 0: "a", length: 1 }), []);
  assert.deepEqual(stringsOf(["a", "", 7, null, "b"]), ["a", "b"]);
  assert.deepEqual(stringMapOf({ a: "b", c: 7, d: "" }), { a: "b", d: "" });
  assert.equal(timeOf("2026-01-01T00:00:00Z"), Date.UTC(2026, 0, 1));
  for (const value of ["soon", "", 7, undefined, null]) assert.equal(timeOf(value), undefined);
});

test("sharedAddresses() counts addresses that several endpoints have", () => {
  const endpoints = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"].map((address) => ({ address }));
  assert.deepEqual(sharedAddresses(endpoints), [["192.0.2.1", 3]]);
});
