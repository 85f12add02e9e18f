import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isAnnouncement } from "../../src/plan/stages/stage-routes.ts";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { ready, runCli, startReplica } from "./cli.ts";
import { admin, entriesPath, eventsPath, get, list, MESH, routesPath, SHOP, servicesPath } from "./cluster.ts";
import { dnsQuery } from "./dns.ts";
import { fixture, hostOf, httpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const orders = httpService("orders", "192.0.2.1");
const HOST = hostOf(orders);
const LEGACY = "orders.corp.example.com";
const KEY = "vms/shop/orders";
const INSIDE = `orders-v2.${SHOP}.svc.cluster.local`;
const slicesPath = (namespace = SHOP) => `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
const migration = { allow: [{ registry: "vms", service: "orders", by: [SHOP] }] };

type Rule = Parameters<typeof isAnnouncement>[0] & {
  readonly route: readonly { readonly destination: { host: string }; weight?: number }[];
};

interface Route {
  readonly http?: readonly Rule[];
}

/** Where the service stands: its stage, its alias, and what share of its calls is led inside. */
interface Place {
  readonly stage: string;
  readonly alias: string | undefined;
  readonly inside: number;
}

test("a service that is moved on a cluster", { skip }, async (t) => {
  const kube: Kube = await startKube({ namespaces: [MESH, SHOP, "edge"] });
  t.after(() => kube.stop());
  const where = await fixture(t, [orders, httpService("stock", "192.0.2.2")], { migration });
  const replica = startReplica(t, { ...where, env: { KUBECONFIG: kube.kubeconfigPath } });
  await ready(replica);
  await claimant("orders-v2");
  const clusterIP = String((await get(kube, `${servicesPath()}/orders-v2`))?.spec.clusterIP);
  await until("the entry stands", async () => (await get(kube, `${entriesPath()}/${HOST}`)) !== undefined);
  await until("its name is answered", async () => (await dnsQuery(replica.dns, LEGACY)).addresses.length === 1);
  const [vip = ""] = (await dnsQuery(replica.dns, HOST)).addresses;

  async function claimant(name: string, namespace = SHOP, annotations: object = {}): Promise<void> {
    await admin(kube, "POST", servicesPath(namespace), {
      metadata: { name, annotations: { "x2istio.dev/replaces": KEY, ...annotations } },
      spec: { selector: { app: name }, ports: [{ name: "http", port: 8080 }] },
    });
    await admin(kube, "POST", slicesPath(namespace), {
      metadata: { name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      endpoints: [{ addresses: ["198.51.100.1"], conditions: { ready: true } }],
      ports: [{ name: "http", port: 8080 }],
    });
  }

  async function remove(name: string, namespace = SHOP): Promise<void> {
    await admin(kube, "DELETE", `${slicesPath(namespace)}/${name}-1`);
    await admin(kube, "DELETE", `${servicesPath(namespace)}/${name}`);
  }

  /** Merge patches are what `kubectl annotate` sends; `null` takes an annotation away. */
  async function annotate(annotations: Readonly<Record<string, string | null>>, name = "orders-v2"): Promise<void> {
    const named = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`x2istio.dev/${key}`, value]));
    await admin(kube, "PATCH", `${servicesPath()}/${name}`, { metadata: { annotations: named } });
  }

  async function setReady(isReady: boolean): Promise<void> {
    const endpoints = [{ addresses: ["198.51.100.1"], conditions: { ready: isReady } }];
    await admin(kube, "PATCH", `${slicesPath()}/orders-v2-1`, { endpoints });
  }

  async function place(): Promise<Place> {
    const [entry, alias, route] = await Promise.all([
      get(kube, `${entriesPath()}/${HOST}`),
      get(kube, `${servicesPath()}/orders`),
      get(kube, `${routesPath}/${HOST}`),
    ]);
    const annotations = entry?.metadata.annotations ?? {};
    const weight = annotations["x2istio.dev/effective-weight"];
    const rule = (route?.spec as Route | undefined)?.http?.find((one) => !isAnnouncement(one));
    const led = rule?.route.find(({ destination }) => destination.host === INSIDE);
    return {
      stage: `${annotations["x2istio.dev/effective-stage"] ?? "outside"}${weight === undefined ? "" : ` ${weight}`}`,
      alias: alias?.spec.externalName as string | undefined,
      inside: led === undefined ? 0 : (led.weight ?? 100),
    };
  }

  async function reaches(want: Place): Promise<void> {
    let now: Place | undefined;
    await until(JSON.stringify(want), async () => {
      now = await place();
      return JSON.stringify(now) === JSON.stringify(want);
    }).catch((error: unknown) => {
      throw new Error(`it is ${JSON.stringify(now)}`, { cause: error });
    });
  }

  /** What `x2istio explain` says of the stage. */
  async function explained(): Promise<string> {
    const args = ["--config", where.config, "explain", KEY];
    const { stdout, stderr } = await runCli(args, { env: { KUBECONFIG: kube.kubeconfigPath } });
    assert.notEqual(stdout, "", stderr);
    return /^ {2}stage +(.*)$/m.exec(stdout)?.[1] ?? "";
  }

  /** What the running process refuses. */
  async function refused(): Promise<string> {
    const answer = await fetch(`${replica.http}/api/plan`);
    const { holds } = (await answer.json()) as { readonly holds: readonly { reason: string; message: string }[] };
    return holds.flatMap(({ reason, message }) => (reason === "stage" ? message : [])).join("; ");
  }

  /** All that calls are led by. What is only announced may come and go with what stands in the way of a step. */
  const led = async () => {
    const paths = [`${entriesPath()}/${HOST}`, `${routesPath}/${HOST}`, `${servicesPath()}/orders`];
    const specs = await Promise.all(paths.map(async (path) => (await get(kube, path))?.spec as Route | undefined));
    return specs.map((spec) => ({ ...spec, http: spec?.http?.filter((one) => !isAnnouncement(one)) }));
  };

  await t.test("walks inside by its Service's annotations, and its names with it", async () => {
    assert.equal(await explained(), "outside; shop/orders-v2 claims it");
    await annotate({ stage: "split", weight: "10" });
    await reaches({ stage: "split 10", alias: HOST, inside: 10 });
    await annotate({ weight: "50" });
    await reaches({ stage: "split 50", alias: HOST, inside: 50 });
    assert.deepEqual((await dnsQuery(replica.dns, LEGACY)).addresses, [vip]);
    await annotate({ stage: "inside" });
    await reaches({ stage: "inside", alias: INSIDE, inside: 100 });
    await until("the legacy name leads to the Service", async () =>
      (await dnsQuery(replica.dns, LEGACY)).addresses.includes(clusterIP),
    );
    assert.deepEqual((await dnsQuery(replica.dns, HOST)).addresses, [vip]);
    assert.equal(await explained(), "inside, led to shop/orders-v2");
  });

  await t.test("stays inside with its names when its registry has nothing of it any more", async () => {
    await where.setServices([httpService("stock", "192.0.2.2")]);
    await until("its endpoints outside are gone", async () => {
      const entry = await get(kube, `${entriesPath()}/${HOST}`);
      return ((entry?.spec.endpoints ?? []) as readonly unknown[]).length === 0;
    });
    assert.deepEqual(await place(), { stage: "inside", alias: INSIDE, inside: 100 });
    assert.equal(
      (await get(kube, `${entriesPath()}/${HOST}`))?.metadata.annotations?.["x2istio.dev/gone-since"],
      undefined,
    );
    await where.setServices([orders, httpService("stock", "192.0.2.2")]);
    await until("they are back", async () => {
      const entry = await get(kube, `${entriesPath()}/${HOST}`);
      return ((entry?.spec.endpoints ?? []) as readonly unknown[]).length === 1;
    });
  });

  await t.test("comes back, names first", async () => {
    await annotate({ stage: "split", weight: "50" });
    await reaches({ stage: "split 50", alias: HOST, inside: 50 });
    await until("the legacy name leads to the VIP", async () =>
      (await dnsQuery(replica.dns, LEGACY)).addresses.includes(vip),
    );
    await annotate({ stage: null, weight: null });
    await reaches({ stage: "outside", alias: HOST, inside: 0 });
  });

  await t.test("steps back by itself when nothing is ready, and goes inside again when it is asked anew", async () => {
    await annotate({ stage: "inside" });
    await reaches({ stage: "inside", alias: INSIDE, inside: 100 });
    await setReady(false);
    await reaches({ stage: "outside", alias: HOST, inside: 0 });
    await setReady(true);
    await until("it is said", async () => (await refused()).includes("request the step again"));
    assert.match(await explained(), /^outside; shop\/orders-v2 claims it, inside refused: .* request the step again/);
    assert.deepEqual(await place(), { stage: "outside", alias: HOST, inside: 0 });
    await annotate({ request: "again" });
    await reaches({ stage: "inside", alias: INSIDE, inside: 100 });
    await annotate({ stage: null, request: null });
    await reaches({ stage: "outside", alias: HOST, inside: 0 });
  });

  const refusals = [
    {
      name: "while nothing is ready",
      says: /to split 10 refused: shop\/orders-v2 has no ready endpoint/,
      begin: () => setReady(false),
      end: () => setReady(true),
    },
    {
      name: "while another Service claims it, too",
      says: /shop\/orders-v2 and shop\/orders-v3 both claim/,
      begin: () => claimant("orders-v3"),
      end: () => remove("orders-v3"),
    },
    {
      name: "while a Sidecar would hide the new host",
      says: /Sidecar edge\/default shows its workloads/,
      begin: () =>
        admin(kube, "POST", "/apis/networking.istio.io/v1/namespaces/edge/sidecars", {
          apiVersion: "networking.istio.io/v1",
          kind: "Sidecar",
          metadata: { name: "default" },
          spec: { egress: [{ hosts: [`${MESH}/*`] }] },
        }),
      end: () => admin(kube, "DELETE", "/apis/networking.istio.io/v1/namespaces/edge/sidecars/default"),
    },
    {
      name: "while its namespace's Services have other ports",
      says: /has no port 8080/,
      begin: () => setPort(8081),
      end: () => setPort(8080),
    },
  ];
  async function setPort(port: number): Promise<void> {
    await admin(kube, "PATCH", `${servicesPath()}/orders-v2`, { spec: { ports: [{ name: "http", port }] } });
  }

  for (const { name, says, begin, end } of refusals)
    await t.test(`is refused a step ${name}, and nothing changes`, async () => {
      const stood = await led();
      await begin();
      await annotate({ stage: "split", weight: "10" });
      await until("it is refused", async () => says.test(await refused()));
      await sleep(500); // nothing happens within it: a slow machine makes that no stricter
      assert.deepEqual(await led(), stood);
      await annotate({ stage: null, weight: null });
      await end();
      await until("nothing is in the way", async () => (await refused()) === "");
    });

  await t.test(
    securityRow({
      who: "cluster tenant",
      attack: "annotates a Service as the replacement of a service that migration.allow does not let it claim",
      outcome: "nobody is led there, and its owner is told",
    }),
    async () => {
      const stood = await led();
      await claimant("thief", "edge", { "x2istio.dev/stage": "inside" });
      await until("there is an Event", async () => {
        const events = [...(await list<never>(kube, eventsPath("edge"))).values()] as unknown as { message: string }[];
        return events.some(({ message }) => message.includes(`Service edge/thief may not replace ${KEY}`));
      });
      assert.deepEqual(await led(), stood);
      await remove("thief", "edge");
    },
  );
});
