import assert from "node:assert/strict";
import { test } from "node:test";
import { entryPort, isHttp, isMetaProtocol, protocolOf } from "../../src/istio/ports.ts";
import { port } from "../plan/build.ts";

const cases = [
  { given: port("web", 80, "HTTP"), want: { name: "http-web", number: 80, protocol: "HTTP" }, says: "http" },
  { given: port("http", 80, "HTTP"), want: { name: "http", number: 80, protocol: "HTTP" }, says: "http" },
  { given: port("http-web", 80, "HTTP"), want: { name: "http-web", number: 80, protocol: "HTTP" }, says: "http" },
  { given: port("http", 80, "HTTP2"), want: { name: "http2-http", number: 80, protocol: "HTTP2" }, says: "http2" },
  { given: port("http2", 80, "HTTP"), want: { name: "http-http2", number: 80, protocol: "HTTP" }, says: "http" },
  { given: port("grpc", 90, "TCP"), want: { name: "tcp-grpc", number: 90, protocol: "TCP" }, says: "tcp" },
  {
    given: port("web", 90, "GRPC-WEB"),
    want: { name: "grpc-web-web", number: 90, protocol: "GRPC-WEB" },
    says: "grpc-web",
  },
  {
    given: port("p", 90, "HTTP_PROXY"),
    want: { name: "http-proxy-p", number: 90, protocol: "HTTP_PROXY" },
    says: "http_proxy",
  },
  {
    given: port("dubbo", 20880, "metaprotocol-dubbo"),
    want: { name: "tcp-metaprotocol-dubbo-dubbo", number: 20880, protocol: "TCP" },
    says: "metaprotocol-dubbo",
  },
  {
    given: port("web", 80, "HTTP", 8081),
    want: { name: "http-web", number: 80, protocol: "HTTP", targetPort: 8081 },
    says: "http",
  },
  { given: port("web", 80, "HTTP", 80), want: { name: "http-web", number: 80, protocol: "HTTP" }, says: "http" },
];
for (const { given, want, says } of cases) {
  test(`entryPort() names ${given.protocol} port ${given.name} ${want.name}`, () => {
    assert.deepEqual(entryPort(given), want);
    assert.equal(protocolOf(entryPort(given)), says);
    assert.deepEqual(
      entryPort({ ...given, ...want, protocol: given.protocol }),
      want,
      "naming it again changes nothing",
    );
  });
}

test("entryPort() keeps a name under 63 characters, as Istio's CRD has it for endpoints", () => {
  assert.equal(entryPort(port(`${"a".repeat(56)}-${"b".repeat(6)}`)).name, `http-${"a".repeat(56)}`);
  assert.equal(entryPort(port("a".repeat(63))).name.length, 62);
});

test("isHttp() is what Istio routes by Host header", () => {
  const protocols = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS", "TCP", "UDP", "HTTP_PROXY", "REDIS", "MONGO"];
  assert.deepEqual(protocols.filter(isHttp), ["HTTP", "HTTP2", "GRPC", "GRPC-WEB"]);
});

test("entryPort() leaves no dash where it cuts a name", () => {
  const { name } = entryPort(port(`${"a".repeat(55)}--b`, 80, "HTTP"));
  assert.equal(name, `http-${"a".repeat(55)}`);
});

test("isMetaProtocol() and protocolOf() go by how a port's name begins", () => {
  const named = (name: string) => ({ name, number: 90, protocol: "TCP" });
  assert.ok(isMetaProtocol(named("tcp-metaprotocol-dubbo-web")));
  for (const name of ["tcp-web", "web-tcp-metaprotocol-dubbo"])
    assert.deepEqual([isMetaProtocol(named(name)), protocolOf(named(name))], [false, "tcp"]);
});
