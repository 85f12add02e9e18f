import assert from "node:assert/strict";
import { test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { auditedWrites, operators } from "./audit.ts";
import { ready, startReplica } from "./cli.ts";
import {
  admin,
  entries,
  entriesPath,
  get,
  MESH,
  routesPath,
  SHOP,
  servicesPath,
  untilEndpoints,
  vipsOf,
} from "./cluster.ts";
import { dnsQuery, pollDns } from "./dns.ts";
import { apiServices } from "./embedded.ts";
import { fixture, hostOf, httpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

test(faultRow({
  target: "API server",
  fault: "a service returns while somebody's finalizers keep what stood of it",
  expect: "it is answered all along, touched by nobody, and made anew as soon as the old objects are gone",
}), { skip }, async (t) => {
  const kube = await startKube({ audit: true, namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const { one } = await operators(kube, "one");
  const [orders, stock] = [httpService("orders", "192.0.2.1"), httpService("stock", "192.0.2.2")];
  const place = await fixture(t, [orders, stock], { policy: { keepEmpty: "1s" } });
  const replica = startReplica(t, { ...place, env: { KUBECONFIG: await kube.kubeconfigFor(one.token) } });
  await ready(replica);
  const host = hostOf(orders);
  await untilEndpoints(kube, host, ["192.0.2.1"]);
  const paths = [`${servicesPath()}/orders`, `${routesPath}/${host}`, `${entriesPath()}/${host}`];
  await until("all stands", async () => (await Promise.all(paths.map((path) => get(kube, path)))).every(Boolean));
  const vip = vipsOf(await entries(kube)).get(host) ?? "";
  const names = new Map([host, "orders.corp.example.com"].map((name) => [name, vip]));
  for (const name of names.keys())
    await until(`${name} is answered`, async () => (await dnsQuery(replica.dns, name)).addresses.join() === vip);
  const uidsOf = () => Promise.all(paths.map(async (path) => (await get(kube, path))?.metadata.uid));
  const before = await uidsOf();
  const poll = pollDns(replica.dns, names);

  for (const path of paths) await admin(kube, "PATCH", path, { metadata: { finalizers: ["example.org/keep"] } });
  await place.setServices([stock]);
  const isEnding = async (path: string) => (await get(kube, path))?.metadata.deletionTimestamp !== undefined;
  await until("all is being deleted", async () => (await Promise.all(paths.map(isEnding))).every(Boolean));
  await place.setServices([httpService("orders", "192.0.2.11"), stock]);
  await until("it is said what keeps it", async () =>
    (await apiServices(replica.http)).some(
      (service) => service.host === host && service.held.filter(({ reason }) => reason === "terminating").length === 3,
    ),
  );
  assert.deepEqual(await uidsOf(), before);
  for (const path of paths) await admin(kube, "PATCH", path, { metadata: { finalizers: null } });
  await untilEndpoints(kube, host, ["192.0.2.11"]);
  await until("all stands anew", async () =>
    (await uidsOf()).every((uid, at) => uid !== undefined && uid !== before[at]),
  );

  await poll.stop();
  assert.deepEqual(poll.bad.slice(0, 5), []);
  assert.ok(poll.good > 0);
  assert.equal(vipsOf(await entries(kube)).get(host), vip);
  const writes = (await auditedWrites(kube, new Set([one.user]))).filter(({ verb }) => verb === "delete");
  assert.equal(writes.length, 3, "each is deleted once");
  assert.equal(await replica.stop(), 0);
});
