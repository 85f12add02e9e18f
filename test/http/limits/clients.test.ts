import assert from "node:assert/strict";
import { test } from "node:test";
import { clientOf, isForwarded, isThisMachine } from "../../../src/http/limits/clients.ts";

test("clientOf() counts by networks, also where the address is gone", () => {
  assert.equal(clientOf("2001:db8:1:2:3::4"), clientOf("2001:db8:1:2::9"));
  assert.notEqual(clientOf(undefined), clientOf("::"));
});

const machines: readonly (readonly [address: string | undefined, is: boolean])[] = [
  ["127.0.0.1", true],
  ["::ffff:127.0.0.1", true],
  ["::1", true],
  ["127.0.0.6", false],
  ["127.0.0.2", false],
  ["::ffff:127.0.0.6", false],
  ["192.0.2.7", false],
  ["::", false],
  ["0.0.0.0", false],
  [undefined, false],
];
for (const [address, is] of machines)
  test(`isThisMachine() is ${is} for ${address}`, () => assert.equal(isThisMachine(address), is));

const forwarding =
  `forwarded via x-forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-client-cert x-real-ip
  x-client-ip client-ip true-client-ip fastly-client-ip cf-connecting-ip x-cluster-client-ip x-envoy-external-address
  x-envoy-peer-metadata x-original-forwarded-for x-original-host x-original-url x-proxyuser-ip remote-addr
  x-azure-clientip x-originating-ip x-appengine-user-ip x-nf-client-connection-ip cdn-loop`.split(/\s+/);
for (const name of forwarding)
  test(`isForwarded() knows ${name}`, () => assert.ok(isForwarded({ host: "localhost", [name]: "192.0.2.7" })));

test("isForwarded() lets through what browsers, curl and kubelets send", () => {
  const names =
    "host user-agent accept accept-encoding accept-language connection authorization cookie origin referer dnt";
  const more =
    "sec-fetch-site sec-fetch-mode sec-ch-ua upgrade-insecure-requests if-none-match x2istio-confirm te range";
  assert.ok(!isForwarded(Object.fromEntries(`${names} ${more}`.split(" ").map((name) => [name, ""]))));
});
