import assert from "node:assert/strict";
import { test } from "node:test";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, runCli, startReplica } from "./cli.ts";
import {
  admin,
  entries,
  entriesPath,
  eventsPath,
  list,
  MESH,
  SHOP,
  servicesPath,
  untilEndpoints,
  vipsOf,
} from "./cluster.ts";
import { dnsQuery } from "./dns.ts";
import { fixture, hostOf, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const TENANT = "tenant";
const COUNT = 40;
const names = Array.from({ length: COUNT }, (_, n) => `s${n}`);
/** Each service with an endpoint in this net. */
const estate = (net: number) => names.map((name, n) => tcpService(name, `198.51.${net}.${n + 1}`));
/** Every VIP that may be given: 65,534. */
const wholeRange = Array.from({ length: 65_534 }, (_, n) => `240.241.${(n + 1) >> 8}.${(n + 1) & 255}`);

const MANY = /Service tenant\/old also claims 1000 or more addresses that VIPs come from/;

interface Shown {
  readonly reason: string;
  readonly subject: string;
  readonly message: string;
}

/** A token with the rights of a team in its own namespace. */
async function tenantToken(kube: Kube): Promise<string> {
  const token = await kube.createServiceAccountToken(TENANT, "dev");
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${TENANT}`;
  const verbs = ["get", "create", "patch", "delete"];
  const rules = [
    { apiGroups: [""], resources: ["services"], verbs },
    { apiGroups: ["networking.istio.io"], resources: ["serviceentries"], verbs },
  ];
  await admin(kube, "POST", `${rbac}/roles`, { metadata: { name: "dev" }, rules });
  await admin(kube, "POST", `${rbac}/rolebindings`, {
    metadata: { name: "dev" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "dev" },
    subjects: [{ kind: "ServiceAccount", name: "dev", namespace: TENANT }],
  });
  return token;
}

async function heldAddresses({ http }: Replica): Promise<readonly Shown[]> {
  const { holds } = (await (await fetch(`${http}/api/plan`)).json()) as { readonly holds: readonly Shown[] };
  return holds.filter(({ reason }) => reason === "address");
}

test("a tenant claims VIPs of ours", { skip }, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP, TENANT] });
  t.after(() => kube.stop());
  const token = await tenantToken(kube);
  const asTenant = async (method: "POST" | "PATCH" | "DELETE", path: string, body?: object) => {
    let answer = await kube.request(method, path, body, { token });
    // The API server learns of rights a moment after they are written.
    await until(`the tenant may ${method} ${path}`, async () => {
      if (answer.status === 403) answer = await kube.request(method, path, body, { token });
      return answer.status !== 403;
    });
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  };
  const thief = `${servicesPath(TENANT)}/old`;
  await asTenant("POST", servicesPath(TENANT), { metadata: { name: "old" }, spec: { ports: [{ port: 80 }] } });
  const where = await fixture(t, estate(100));
  const env = { KUBECONFIG: kube.kubeconfigPath };
  let replica = startReplica(t, { ...where, env });
  await ready(replica);
  await until("all services stand", async () => (await entries(kube)).size === COUNT);
  const before = vipsOf(await entries(kube));
  const victim = hostOf(tcpService("s7"));
  const vip = before.get(victim) ?? "";

  let net = 100;
  /** All services get other endpoints, and keep their VIPs. */
  async function goOn(): Promise<void> {
    net += 1;
    await where.setServices(estate(net));
    for (const [n, name] of names.entries())
      await untilEndpoints(kube, hostOf(tcpService(name)), [`198.51.${net}.${n + 1}`]);
    const now = vipsOf(await entries(kube));
    assert.deepEqual(
      [...before.keys()].map((host) => [host, now.get(host)]),
      [...before],
    );
    assert.deepEqual((await dnsQuery(replica.dns, victim)).addresses, [vip]);
  }

  async function untilHeld(...objects: readonly string[]): Promise<readonly Shown[]> {
    await until(`${objects.join() || "nothing"} is held`, async () => {
      const held = await heldAddresses(replica);
      return held.map(({ subject }) => subject).join() === objects.join();
    });
    return heldAddresses(replica);
  }

  const eventsOn = async (kind: string, name: string) => {
    const events = await list(kube, eventsPath(TENANT));
    const all = [...events.values()] as unknown as readonly {
      readonly involvedObject: { readonly kind: string; readonly name: string };
      readonly reason: string;
      readonly reportingComponent: string;
    }[];
    const ours = all.filter(({ reportingComponent }) => reportingComponent === "x2istio");
    return ours.filter(({ involvedObject: about }) => about.kind === kind && about.name === name);
  };

  await t.test(
    securityRow({
      who: "cluster tenant",
      attack: "gives an older Service every VIP there is as externalIPs",
      outcome: "no VIP moves, every service goes on being updated, and one hold and one Event say who claims what",
    }),
    async () => {
      await asTenant("PATCH", thief, { spec: { externalIPs: wholeRange } });
      const [hold] = await untilHeld("Service/tenant/old");
      assert.match(hold?.message ?? "", MANY);
      await goOn();
      await goOn();
      await until("its author is told", async () => (await eventsOn("Service", "old")).length > 0);
      assert.deepEqual(
        (await eventsOn("Service", "old")).map(({ reason }) => reason),
        ["VipClaimed"],
      );
      const metrics = await (await fetch(`${replica.http}/metrics`)).text();
      assert.match(metrics, /^x2istio_pass_held_count\{reason="address"\} 1$/m);
      assert.match(metrics, /^x2istio_vips_moved_total 0$/m);
    },
  );

  await t.test("a new service still gets a VIP, and a process that starts now decides alike", async () => {
    await replica.stop();
    replica = startReplica(t, { ...where, env });
    await ready(replica);
    await where.setServices([...estate(net), tcpService("late", "198.51.99.1")]);
    await untilEndpoints(kube, hostOf(tcpService("late")), ["198.51.99.1"]);
    await goOn();
    await untilHeld("Service/tenant/old");
    assert.deepEqual(
      (await eventsOn("Service", "old")).map(({ reason }) => reason),
      ["VipClaimed"],
    );
    const run = (...args: readonly string[]) => runCli(["--config", where.config, ...args], { env });
    assert.match((await run("plan")).stdout, MANY);
    assert.match(
      (await run("doctor")).stdout,
      /Service tenant\/old also claims [^\n]*\n.*kubectl -n tenant edit service old/,
    );
  });

  for (const [kind, claim, withdraw] of [
    [
      "Service",
      () => asTenant("PATCH", thief, { spec: { externalIPs: [vip] } }),
      () => asTenant("PATCH", thief, { spec: { externalIPs: null } }),
    ],
    [
      "ServiceEntry",
      () =>
        asTenant("POST", entriesPath(TENANT), {
          apiVersion: "networking.istio.io/v1",
          kind: "ServiceEntry",
          metadata: { name: "old" },
          spec: {
            hosts: ["private.example.org"],
            ...{ addresses: [vip], exportTo: ["."], resolution: "NONE" },
            ports: [{ name: "tcp", number: 5432, protocol: "TCP" }],
          },
        }),
      () => asTenant("DELETE", `${entriesPath(TENANT)}/old`),
    ],
  ] as const)
    await t.test(
      securityRow(
        {
          who: "cluster tenant",
          attack: "claims a VIP by externalIPs, or by a ServiceEntry that only its namespace sees",
          outcome: "it stays, its service goes on being updated, and explain of it says who claims it",
        },
        kind,
      ),
      async () => {
        await claim();
        await until("the claim is of one VIP", async () => {
          const [hold] = await untilHeld(`${kind}/tenant/old`);
          return hold?.message.includes(`also claims VIP ${vip} of ${victim};`) === true;
        });
        await goOn();
        assert.equal((await eventsOn(kind, "old")).length, 1);
        const explained = await runCli(["--config", where.config, "explain", victim], { env });
        assert.match(explained.stdout, new RegExp(`notes .*also claims VIP ${vip} of ${victim};`));
        await withdraw();
        await untilHeld();
      },
    );
  assert.equal(await replica.stop(), 0);
});
