import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { stringify } from "yaml";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { endpointsOf, entries, leader, MESH, SHOP } from "./cluster.ts";
import { fixture, hostOf, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
const COUNT = 10;
const RELEASE_MS = 40_000;

/** The first so many services of a registry, with so many endpoints each. */
const services = (net: number, count: number, endpoints: number) =>
  Array.from({ length: count }, (_, at) =>
    tcpService(`s${at}`, ...Array.from({ length: endpoints }, (_, last) => `10.${net}.${at}.${last + 1}`)),
  );
const hosts = (registry: string, from = 0) =>
  services(0, COUNT, 1)
    .slice(from)
    .map((one) => hostOf(one, registry));

/** What a process says of brakes, in the order of the registries. */
async function brakesOf({ http }: Replica): Promise<readonly string[]> {
  const plan = (await (await fetch(`${http}/api/plan`)).json()) as {
    readonly brakes: readonly { readonly registry: string; readonly kind: string; readonly message: string }[];
  };
  return plan.brakes.map(({ registry, kind, message }) => `${registry} ${kind}: ${message}`).sort();
}

test(faultRow({
  target: "own process",
  fault: "the leader is killed while brakes are on, and another process leads that has never seen what was lost",
  expect: "it says the same, until the same time, keeps the same, and both brakes end by themselves under it",
}), { skip }, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const registries = [
    { kind: "static", name: "vms", file: "services.yaml" },
    { kind: "static", name: "metal", file: "metal.yaml" },
  ];
  const policy = { releaseAfter: `${RELEASE_MS / 1000}s`, keepEmpty: "1h" };
  const place = await fixture(t, services(1, COUNT, 4), { registries, aliases: [], policy });
  await writeFile(join(place.dir, "metal.yaml"), stringify({ services: services(2, COUNT, 1) }));
  const other = await fixture(t, [], {
    ...{ aliases: [], policy },
    registries: registries.map((one) => ({ ...one, file: join(place.dir, one.file) })),
  });
  const start = (where: typeof place, identity: string) =>
    startReplica(t, {
      ...where,
      env: { KUBECONFIG: kube.kubeconfigPath },
      entry: resolve(import.meta.dirname, "replica.ts"),
      args: [where.config, identity],
    });
  const counts = async () => {
    const standing = await entries(kube);
    return [...hosts("vms"), ...hosts("metal")].map((host) => endpointsOf(standing.get(host))?.length).join("");
  };
  const first = start(place, "first");
  await ready(first);
  await until("all stands", async () => (await counts()) === "4".repeat(COUNT) + "1".repeat(COUNT));

  await place.setServices(services(1, COUNT, 2));
  await place.replace("metal.yaml", stringify({ services: services(2, 4, 1) }));
  await until("both brakes are on", async () => (await brakesOf(first)).length === 2);
  // Since when they are on stands in the cluster once the pass has been written, and is what is said from then on.
  const marked = async () =>
    [...(await entries(kube)).values()].filter(({ metadata: { annotations = {} } }) =>
      Object.keys(annotations).some((key) => /^x2istio\.dev\/held-/.test(key)),
    ).length;
  await until("what is held is marked", async () => (await marked()) > COUNT);
  const said = await brakesOf(first);
  assert.match(said.join("\n"), /^metal services: brake: .*\nvms endpoints: brake: .*it ends by itself at/);
  const held = await counts();

  const second = start(other, "second");
  await ready(second);
  await until("who does not lead says so, too", async () => (await brakesOf(second)).join() === said.join());
  assert.equal(await leader(kube), "first");
  await first.kill();
  await until("the other leads", async () => (await leader(kube)) === "second");
  const heard = new Set<string>();
  await until("both have ended", async () => {
    const stands = await counts();
    const now = await brakesOf(second);
    for (const one of now) heard.add(one);
    if (now.length === 2) assert.equal(stands, held, "all is kept while the brakes are on");
    return now.length === 0;
  });
  assert.deepEqual([...heard].sort(), said, "the new leader says the same until they end");
  const endsMs = Math.max(
    ...[...said.join().matchAll(/ends by itself at (\S+?Z)/g)].map(([, at = ""]) => Date.parse(at)),
  );
  assert.ok(Date.now() >= endsMs, "none has ended before its time");
  await until("what was kept goes", async () => (await counts()) === `${"2".repeat(COUNT)}1111${"0".repeat(6)}`);
  assert.equal(second.logged("the registry's brake was on for policy.releaseAfter and has been released").length, 2);
  assert.equal(await second.stop(), 0);
});
