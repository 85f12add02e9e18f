import assert from "node:assert/strict";
import { test } from "node:test";
import { polarisMetrics } from "../../../adapters/polaris/metrics.ts";
import { polarisFields, polarisOptions } from "../../../adapters/polaris/options.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { testManual } from "../manual.ts";

const readme = await testManual("polaris", Object.keys(polarisFields.shape));

test("the README names every metric", async () => {
  const metrics = createMetrics();
  polarisMetrics(metrics, "prod");
  const names = (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name);
  for (const name of names.filter((one) => one.startsWith("x2istio_polaris_"))) assert.ok(readme.includes(name), name);
});

const address = "http://polaris.example.org:8090";
const refused: readonly { name: string; options: object; want: RegExp }[] = [
  { name: "no address", options: {}, want: /must be an address or a list of addresses/ },
  { name: "no servers", options: { address: [] }, want: /address/ },
  { name: "gRPC's scheme", options: { address: "grpc://polaris.example.org:8091" }, want: /address/ },
  { name: "a password in the address", options: { address: "http://a:b@polaris.example.org" }, want: /address/ },
  { name: "a server twice", options: { address: [address, `${address}/`] }, want: /must not name a server twice/ },
  { name: "a namespace twice", options: { address, namespaces: ["a", "a"] }, want: /must not name a namespace twice/ },
  { name: "a namespace with a slash", options: { address, namespaces: ["a/b"] }, want: /without slash/ },
  { name: "no namespaces", options: { address, namespaces: [] }, want: /namespaces/ },
  { name: "two tokens", options: { address, token: "a", tokenFile: "b" }, want: /must not be set together with token/ },
  { name: "TLS without https", options: { address, tls: {} }, want: /is valid only with https:\/\/ addresses/ },
  {
    name: "an interval that is too short",
    options: { address, interval: "1ms" },
    want: /must be a duration from 100ms/,
  },
  { name: "an unknown option", options: { address, weight: 1 }, want: /weight/ },
];
for (const { name, options, want } of refused) {
  test(`the options refuse ${name}`, () => {
    const issues = polarisOptions.safeParse(options).error?.issues ?? [];
    assert.match(issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "), want);
  });
}

test("the options take one server or several, with a path", () => {
  assert.deepEqual(polarisOptions.parse({ address: "https://example.org/polaris/" }).address, [
    "https://example.org/polaris",
  ]);
  assert.equal(polarisOptions.parse({ address: [address, "http://192.0.2.1:8090"] }).address.length, 2);
});
