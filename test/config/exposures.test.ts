import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { ConfigError } from "../../src/errors.ts";

const registries = [
  { kind: "static", name: "vms", file: "a.yaml" },
  { kind: "static", name: "dc1", file: "b.yaml", exportTo: [".", "shop"] },
];
/** YAML takes JSON; exposures stand on lines of their own. */
const text = (exposures: readonly object[], rest: object = {}) =>
  `${JSON.stringify({ registries, ...rest }).slice(0, -1)}, "exposures": [\n${exposures.map((one) => JSON.stringify(one)).join(",\n")}]}`;
const read = (...args: Parameters<typeof text>) => parseConfig(text(...args), "x.yaml", { env: {}, adapters });

const http = { name: "shop", service: "vms/shop/orders", gateway: "edge/public", hosts: ["shop.example.com"] };
const tcp = { name: "db", service: "vms/data/db", gateway: "edge/public", listen: 3306 };

test("parseConfig() reads exposures", () => {
  const full = { ...http, api: "gateway", port: 8080, listen: 443, path: "/orders", hosts: ["*.Example.com"] };
  assert.deepEqual(read([full, { ...tcp, service: "vms/data/db/1" }]).exposures, [
    {
      name: "shop",
      service: "vms/shop/orders",
      port: 8080,
      api: "gateway",
      gateway: { namespace: "edge", name: "public" },
      listen: 443,
      hosts: ["*.example.com"],
      path: "/orders",
    },
    {
      name: "db",
      service: "vms/data/db/1",
      api: "istio",
      gateway: { namespace: "edge", name: "public" },
      listen: 3306,
      hosts: [],
      path: "/",
    },
  ]);
});

test("parseConfig() lets exposures of one gateway differ by host, path, port or api", () => {
  const others = [
    { ...http, name: "b", path: "/orders" },
    { ...http, name: "c", listen: 443 },
    { ...http, name: "d", hosts: ["orders.example.com"] },
    { ...http, name: "e", api: "gateway" },
    { ...tcp, name: "f", listen: 3307 },
    { ...tcp, name: "g", gateway: "edge/other" },
    { ...tcp, name: "h", service: "dc1/data/db", gateway: "shop/own" },
    { ...tcp, name: "i", service: "dc1/data/db", gateway: "mesh-services/own" },
  ];
  assert.equal(read([http, tcp, ...others]).exposures.length, 2 + others.length);
});

const cases: readonly { readonly exposures: readonly object[]; readonly rest?: object; readonly want: string }[] = [
  { exposures: [{ ...http, name: "Shop" }], want: "exposures[0].name: must be a DNS label" },
  { exposures: [{ ...http, service: "shop/orders" }], want: "exposures[0].service: must be <registry>/<namespace>/" },
  { exposures: [{ ...http, service: "nope/a/b" }], want: 'exposures[0].service: no registry is named "nope"' },
  {
    exposures: [{ ...http, service: "dc1/a/b", gateway: "shop/own" }],
    rest: { merge: ["vms", "dc1"] },
    want: 'exposures[0].service: "dc1" is merged: its services go by the name of "vms"',
  },
  {
    exposures: [{ ...http, service: "dc1/a/b" }],
    want: 'exposures[0].gateway: does not see the service: add "edge" to exportTo of "dc1"',
  },
  { exposures: [{ ...http, gateway: "public" }], want: "exposures[0].gateway: must be <namespace>/<name>" },
  { exposures: [{ ...http, gateway: "a/b/c" }], want: "exposures[0].gateway: must be <namespace>/<name>" },
  { exposures: [{ ...http, gateway: "a_b/c" }], want: "exposures[0].gateway: must be a DNS label" },
  { exposures: [{ ...http, api: "ingress" }], want: 'exposures[0].api: must be "istio" or "gateway"' },
  { exposures: [{ ...http, port: 0 }], want: "exposures[0].port: must be at least 1" },
  { exposures: [{ ...tcp, listen: 70_000 }], want: "exposures[0].listen: must be at most 65535" },
  { exposures: [{ ...http, hosts: [] }], want: "exposures[0].hosts: must have at least 1 entry" },
  { exposures: [{ ...http, hosts: ["a.b", "a.b"] }], want: "exposures[0].hosts[1]: is listed twice" },
  ...["*", "a.*.b", "a_b.c", "a.1", "a..b", "a.b.", "192.0.2.1"].map((host) => ({
    exposures: [{ ...http, hosts: [host] }],
    want: "exposures[0].hosts[0]: must be a host such as shop.example.com",
  })),
  ...["orders", "/orders/", "//", "/a//b", "/a/../b", "/.", "/a%2Fb", "/a b", "/a?b", "/a#b", ""].map((path) => ({
    exposures: [{ ...http, path }],
    want: "exposures[0].path: must be a path such as /orders",
  })),
  { exposures: [{ ...tcp, path: "/" }], want: "exposures[0].path: is for HTTP, which needs hosts" },
  {
    exposures: [{ ...tcp, listen: undefined }],
    want: "exposures[0]: must have hosts, for HTTP, or listen, for TCP",
  },
  { exposures: [{ ...http, host: "a" }], want: "exposures[0].host: is not an option; known here: name, service" },
  { exposures: [http, { ...tcp, name: "shop" }], want: "exposures[1].name: is the name of another exposure" },
  {
    exposures: [tcp, { ...tcp, name: "db2", service: "vms/data/other" }],
    want: 'exposures[1].listen: leads to exposure "db" already',
  },
  {
    exposures: [http, { ...http, name: "b", hosts: ["a.example.com", "SHOP.example.com"] }],
    want: 'exposures[1].hosts: leads to exposure "shop" already',
  },
];
for (const { exposures, rest = {}, want } of cases) {
  test(`parseConfig() refuses exposures: ${want}`, () => {
    assert.throws(
      () => read(exposures, rest),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        const [, ...lines] = error.message.split("\n");
        assert.equal(lines.length, 1, error.message);
        const at = exposures.length === 1 ? 2 : 3;
        assert.match(lines[0] ?? "", new RegExp(`^  x\\.yaml:${at}:\\d+ exposures`));
        assert.ok(lines[0]?.includes(want), lines[0]);
        return true;
      },
    );
  });
}
