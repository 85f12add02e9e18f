import assert from "node:assert/strict";
import { test } from "node:test";
import { entriesPath, get, servicesPath } from "../e2e/cluster.ts";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

/**
 * What Aeraki makes for a port of its own, but for the filter: its proxy is in its own build of Envoy only (aeraki
 * internal/envoyfilter/network_filter.go: generateOutboundListenerEnvoyFilters).
 */
function likeAeraki(host: string, vip: string, port: number): Manifest {
  const config = {
    "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
    type_url: "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config",
    value: { response: { inline_string: "Aeraki's filter\n" } },
  };
  const filter = { name: "envoy.filters.network.tcp_proxy" };
  return {
    apiVersion: "networking.istio.io/v1alpha3",
    kind: "EnvoyFilter",
    metadata: { name: `aeraki-outbound-${host}-${vip}-${port}`, namespace: "istio-system" },
    spec: {
      configPatches: [
        {
          applyTo: "NETWORK_FILTER",
          match: { listener: { name: `${vip}_${port}`, filterChain: { filter } } },
          patch: {
            operation: "REPLACE",
            value: { name: "envoy.filters.network.direct_response", typed_config: config },
          },
        },
      ],
    },
  };
}

test("Aeraki finds its ports by their names and their listeners by VIP", { skip }, async (t) => {
  const example = await readExample("metaprotocol");
  const [pricing, search, ledger] = ["pricing", "search", "ledger"].map((name) => serviceNamed(example, name));
  assert.ok(pricing !== undefined && search !== undefined && ledger !== undefined);
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(pricing, search, ledger));
  const [web, vip, ledgerVip] = await Promise.all([mesh.withSidecar("web"), mesh.vip(pricing), mesh.vip(ledger)]);
  const standing = async (service: typeof pricing) => {
    const { metadata, spec } = (await get(mesh.kube, `${entriesPath()}/${hostOf(service)}`)) ?? {};
    const { manager, registry } = metadata?.labels ?? {};
    const { ports = [] } = spec as { readonly ports?: readonly { readonly name: string }[] };
    return { manager, registry, ports: ports.map(({ name }) => name) };
  };

  await t.test("port names and labels", async () => {
    const labels = { manager: "aeraki", registry: "vms" };
    assert.deepEqual(await standing(pricing), { ...labels, ports: ["tcp-metaprotocol-dubbo-dubbo"] });
    assert.deepEqual(await standing(search), { ...labels, ports: ["tcp-metaprotocol-thrift", "http-admin"] });
    assert.deepEqual(await standing(ledger), { manager: undefined, registry: undefined, ports: ["tcp-db"] });
  });

  await t.test("aliases have ports whose names say nothing to it", async () => {
    const alias = (await get(mesh.kube, `${servicesPath()}/pricing`))?.spec as { readonly ports?: readonly object[] };
    assert.deepEqual(alias.ports, [{ name: "tcp-p20880", port: 20880, protocol: "TCP", targetPort: 20880 }]);
  });

  await t.test("without Aeraki it is TCP, by VIP and by every name", async () => {
    await mesh.becomes("pricing", async () => (await web.tcp(vip, 20880)).split("/")[0]);
    for (const name of ["pricing", "pricing.corp.example.com", hostOf(pricing)])
      assert.match(await web.tcp(name, 20880), /^pricing\/dubbo@/, name);
    assert.equal(await web.tcp(ledgerVip, 20880), "ledger/db@192.0.2.31");
    assert.equal(await web.tcp("search", 9090), "search/tcp-metaprotocol-thrift@192.0.2.21");
    assert.equal(await web.http("http://search:9901"), "search/admin@192.0.2.21");
  });

  await t.test(
    "a filter in the place where Aeraki puts its own takes this port, and no other on that number",
    async () => {
      const filter = likeAeraki(hostOf(pricing), vip, 20880);
      await mesh.apply(filter);
      await mesh.becomes("Aeraki's filter", () => web.tcp(vip, 20880));
      assert.equal(await web.tcp("pricing", 20880), "Aeraki's filter");
      assert.equal(await web.tcp(ledgerVip, 20880), "ledger/db@192.0.2.31");
      await mesh.remove(filter);
      await mesh.becomes("pricing", async () => (await web.tcp(vip, 20880)).split("/")[0]);
    },
  );

  await t.test("labels of endpoints make the subsets that a MetaRouter names", async () => {
    const subsets = ["v1", "v2"].map((version) => ({ name: version, labels: { version } }));
    await mesh.apply({
      apiVersion: "networking.istio.io/v1",
      kind: "DestinationRule",
      metadata: { name: "pricing", namespace: "shop" },
      spec: { host: hostOf(pricing), subsets },
    });
    const ofV2 = async () => {
      const { configs } = await web.envoy.configDump();
      const found = configs
        .flatMap((config) => config.dynamic_endpoint_configs ?? [])
        .find(({ endpoint_config: { cluster_name: name } }) => name === `outbound|20880|v2|${hostOf(pricing)}`);
      return JSON.stringify(found ?? "").match(/192\.0\.2\.\d+/g);
    };
    await mesh.becomes(["192.0.2.12"], ofV2);
  });
});
