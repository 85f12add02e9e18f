import assert from "node:assert/strict";
import { test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { runCli } from "./cli.ts";
import { endpointsOf, entries, MESH } from "./cluster.ts";
import { type FileService, type Fixture, fixture } from "./fixture.ts";

const skip = (await ensureServers([...kubeServers, ...consulServers])) === undefined && noServers;

const onFile = (...addresses: readonly string[]): FileService => ({
  name: "orders",
  ports: [{ name: "http", number: 8080, protocol: "http" }],
  endpoints: addresses.map((address) => ({ address })),
});

test("a service that Consul and a file have", { skip }, async (t) => {
  const [kube, consul] = await Promise.all([startKube({ namespaces: [MESH] }), startConsul()]);
  t.after(() => Promise.all([kube.stop(), consul.stop()]));
  const instance = (at: number) => ({
    service: "orders",
    id: `orders-${at}`,
    address: `198.51.100.${at}`,
    port: 8080,
    meta: { port_http: "8080" },
  });
  await consul.register(instance(1), { ...instance(1), service: "only-dc1", id: "only-dc1" });

  const registries = [
    { kind: "consul", name: "dc1", address: consul.address },
    { kind: "static", name: "vms", file: "services.yaml" },
  ];
  const place = (owner: string, sections: object = {}) =>
    fixture(t, [onFile("192.0.2.1")], { registries, aliases: [], owner, ...sections });
  const apply = async ({ config }: Fixture, code: number) => {
    const result = await runCli(["--config", config, "apply"], { env: { KUBECONFIG: kube.kubeconfigPath } });
    assert.equal(result.code, code, result.stdout + result.stderr);
  };

  await t.test("is two services by default", async () => {
    const apart = await place("apart");
    await apply(apart, 0);
    const all = await entries(kube);
    assert.deepEqual(endpointsOf(all.get("orders.default.dc1.mesh.internal")), ["198.51.100.1"]);
    assert.deepEqual(endpointsOf(all.get("orders.default.vms.mesh.internal")), ["192.0.2.1"]);
    await apply(apart, 0);
  });

  await t.test(
    faultRow({
      target: "Consul",
      fault: "it goes away while it is merged with a file",
      expect: "its endpoints stay, the file's change",
      peer: "slime #389",
    }),
    async () => {
      const hosts = { template: "{service}.{namespace}.joined.mesh.internal" };
      const host = "orders.default.joined.mesh.internal";
      const joined = await place("joined", { merge: ["dc1", "vms"], hosts });
      const stands = async () => {
        const entry = (await entries(kube)).get(host);
        return [endpointsOf(entry), entry?.metadata.annotations?.["x2istio.dev/endpoints-from"]];
      };
      await apply(joined, 0);
      assert.deepEqual(await stands(), [["192.0.2.1", "198.51.100.1"], "dc1=1,vms=1"]);

      await joined.setServices([onFile("192.0.2.1", "192.0.2.2", "198.51.100.1")]);
      await apply(joined, 0);
      assert.deepEqual(await stands(), [["192.0.2.1", "192.0.2.2", "198.51.100.1"], "dc1+vms=1,vms=2"]);

      await consul.stop();
      await joined.setServices([onFile("192.0.2.3")]);
      await apply(joined, 1);
      assert.deepEqual(
        await stands(),
        [["192.0.2.3", "198.51.100.1"], "dc1=1,vms=1"],
        "Consul's stays, the file's are new",
      );
      const alone = (await entries(kube)).get("only-dc1.default.joined.mesh.internal");
      assert.deepEqual(endpointsOf(alone), ["198.51.100.1"]);
      assert.equal(alone?.metadata.annotations?.["x2istio.dev/gone-since"], undefined);
    },
  );
});
