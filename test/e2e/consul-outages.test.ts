import assert from "node:assert/strict";
import { test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Mesh, startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...consulServers])) === undefined && noServers;

const hostOf = (service: string, registry: string) => `${service}.default.${registry}.mesh.internal`;
const instance = (service: string, at: number) => ({
  service,
  id: `${service}-${at}`,
  address: `192.0.2.${at}`,
  port: 8080,
});
const COUNT = 40;
/** Further registries on the same Consul: each tries again at a time of its own. */
const WITNESSES = ["w1", "w2", "w3", "w4", "w5", "w6"];
const services = Array.from({ length: COUNT }, (_, at) => instance(`s${at}`, at + 1));

/** Resource versions of the entries of some registries. */
async function versions(mesh: Mesh, ...registries: readonly string[]): Promise<Map<string, string>> {
  const all = [...(await mesh.all())].filter(([host]) => registries.includes(host.split(".")[2] ?? ""));
  return new Map(all.map(([host, { metadata }]) => [host, metadata.resourceVersion]));
}
/** Hosts of entries that were written since. */
function written(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...after].filter(([host, version]) => before.get(host) !== version).map(([host]) => host);
}
const reads = async (mesh: Mesh, registry: string, result: string) =>
  (await mesh.metric(`x2istio_registry_reads_total{registry="${registry}",result="${result}"}`)) ?? 0;

/** Wait until a read of the registry ends so that began from now on: the next may have begun before. */
async function nextReads(mesh: Mesh, registry: string, result: string): Promise<void> {
  const before = await reads(mesh, registry, result);
  await until(
    `two reads of ${registry} are ${result}`,
    async () => (await reads(mesh, registry, result)) >= before + 2,
  );
}

test("what happens to Consul itself takes nothing from the mesh", { skip }, async (t) => {
  const [lasting, pair] = await Promise.all([startConsul({ persistent: true }), startConsul({ peer: true })]);
  t.after(() => Promise.all([lasting.stop(), pair.stop()]));
  // A server that starts replays its log, and until the end of that it answers as if the rest had never been.
  await Promise.all([lasting.register(...services.slice(0, COUNT / 2)), pair.register(...services)]);
  for (let at = 0; at < 40; at++)
    await lasting.register(...Array.from({ length: 150 }, (_, id) => ({ ...instance("noise", id), port: 8000 + at })));
  await lasting.register(...services.slice(COUNT / 2));
  const registry = { kind: "consul", poll: "* * * * * *" };
  const mesh = await startMesh(
    t,
    [
      { ...registry, name: "lasting", address: lasting.address, services: { exclude: ["noise"] } },
      ...WITNESSES.map((name) => ({
        ...registry,
        name,
        address: lasting.address,
        services: { include: ["s4", "s5", "s30"] },
      })),
      { ...registry, name: "pair", address: pair.address },
    ],
    { policy: { maxDeletePercent: 100 } },
  );
  await until("all entries are there", async () => (await mesh.all()).size === 2 * COUNT + 3 * WITNESSES.length);

  for (const signal of ["SIGTERM", "SIGKILL"] as const)
    await t.test(
      faultRow(
        {
          target: "Consul",
          fault: "it restarts, and answers in part while it reads its log",
          expect: "nothing of it is written meanwhile",
          peer: "consul-k8s #4714, consul-k8s #319",
        },
        signal,
      ),
      async () => {
        const registries = ["lasting", ...WITNESSES];
        const before = await versions(mesh, ...registries);
        await lasting.restart(signal, () => nextReads(mesh, "lasting", "failed"));
        await Promise.all(registries.map((name) => nextReads(mesh, name, "ok")));
        assert.deepEqual(written(before, await versions(mesh, ...registries)), []);
        const { service, at } = { SIGTERM: { service: "s1", at: 101 }, SIGKILL: { service: "s3", at: 102 } }[signal];
        const stood = (await mesh.entry(hostOf(service, "lasting")))?.spec.endpoints ?? [];
        await mesh.change(hostOf(service, "lasting"), () => lasting.register(instance(service, at)), {
          endpoints: [...stood, { address: `192.0.2.${at}` }],
        });
      },
    );

  await t.test(
    faultRow({
      target: "Consul",
      fault: "a snapshot is restored and its indexes go back",
      expect: "changes are seen as before; what the snapshot lacks goes the usual way",
    }),
    async () => {
      const host = hostOf("s2", "lasting");
      const snapshot = await lasting.snapshot();
      const index = async () =>
        Number((await lasting.request("GET", "/v1/catalog/services")).headers["x-consul-index"]);
      const indexThen = await index();
      await mesh.change(host, () => lasting.register({ ...instance("s2", 102), address: "192.0.2.102" }), {
        endpoints: [{ address: "192.0.2.3" }, { address: "192.0.2.102" }],
      });
      await lasting.register(instance("later", 1));
      await mesh.becomes(hostOf("later", "lasting"), { endpoints: [{ address: "192.0.2.1" }] });
      await lasting.restore(snapshot);
      assert.equal(await index(), indexThen, "the index went back");
      await mesh.becomes(host, { endpoints: [{ address: "192.0.2.3" }] });
      await mesh.becomes(hostOf("later", "lasting"), { endpoints: [], gone: true });
      await mesh.change(host, () => lasting.register({ ...instance("s2", 103), address: "192.0.2.103" }), {
        endpoints: [{ address: "192.0.2.3" }, { address: "192.0.2.103" }],
      });
    },
  );

  await t.test(
    faultRow({
      target: "Consul",
      fault: "it has no leader",
      expect: "its objects stay, and the change after that is seen",
      peer: "slime #389",
    }),
    async () => {
      const before = await versions(mesh, "pair");
      await pair.peer?.kill();
      await nextReads(mesh, "pair", "failed");
      const said = mesh.replica.logged("the registry cannot be read; its objects stay as they are");
      assert.ok(said.some(({ registry, why }) => registry === "pair" && /answered 500/.test(String(why))));
      await pair.peer?.start();
      await nextReads(mesh, "pair", "ok");
      assert.deepEqual(written(before, await versions(mesh, "pair")), []);
      await mesh.change(hostOf("s1", "pair"), () => pair.register({ ...instance("s1", 101), id: "other" }), {
        endpoints: [{ address: "192.0.2.2" }, { address: "192.0.2.101" }],
      });
    },
  );
});
