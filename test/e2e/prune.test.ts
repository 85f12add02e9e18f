import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { stringify } from "yaml";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, runCli, startReplica } from "./cli.ts";
import { entries, MESH, SHOP } from "./cluster.ts";
import { dnsQuery, pollDns } from "./dns.ts";
import { apiServices } from "./embedded.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
const vms = { kind: "static", name: "vms", file: "services.yaml" };
const metal = { kind: "static", name: "metal", file: "metal.yaml" };
const kept = tcpService("kept", "192.0.2.1");
const theirs = ["one", "two"].map((name) => tcpService(name, "198.51.100.1"));

/** Where objects stand. */
interface Bench {
  readonly place: Fixture;
  readonly env: Readonly<Record<string, string>>;
  /** Hosts of the entries that stand, sorted. */
  hosts(): Promise<readonly string[]>;
}

const benches: readonly { readonly kind: string; readonly skip: string | false; readonly open: typeof folder }[] = [
  { kind: "a folder", skip: false, open: folder },
  { kind: "a cluster", skip, open: cluster },
];

async function folder(t: TestContext, sections: object): Promise<Bench> {
  const place = await fixture(t, [kept], { aliases: [], target: { kind: "directory", path: "out" }, ...sections });
  const hosts = async () =>
    (await readdir(join(place.dir, "out", "mesh-services")).catch(() => []))
      .filter((name) => name.endsWith(".internal.yaml"))
      .map((name) => name.slice(0, -".yaml".length))
      .sort();
  return { place, env: {}, hosts };
}

async function cluster(t: TestContext, sections: object): Promise<Bench> {
  const kube = await startKube({ namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const place = await fixture(t, [kept], { aliases: [], ...sections });
  return {
    place,
    env: { KUBECONFIG: kube.kubeconfigPath },
    hosts: async () => [...(await entries(kube)).keys()].sort(),
  };
}

for (const { kind, skip: without, open } of benches) {
  test(faultRow(
    {
      target: "own process",
      fault: "a registry that left the configuration is pruned while the process runs",
      expect:
        "the process that writes is asked and deletes it; all else is answered all along, and it is said once it is done",
    },
    kind,
  ), { skip: without }, async (t) => {
    const bench = await open(t, { registries: [vms, metal] });
    const { place, env, hosts } = bench;
    await writeFile(join(place.dir, "metal.yaml"), stringify({ services: theirs }));
    const replica = startReplica(t, { ...place, env });
    await ready(replica);
    const all = [kept, ...theirs].map((service) => hostOf(service, service === kept ? "vms" : "metal")).sort();
    await until("all stands", async () => (await hosts()).join() === all.join());
    const prune = () => runCli(["--config", place.config, "prune", "--registry", "metal"], { env });

    // The running process has another configuration than the command, as it was not told of it yet.
    const narrow = join(place.dir, "narrow.yaml");
    await writeFile(narrow, (await configOf(place)).replace("name: metal", "name: other"));
    const refused = await runCli(["--config", narrow, "prune", "--registry", "metal"], { env });
    assert.equal(refused.code, 1, refused.stdout);
    assert.match(refused.stderr, /^Cannot prune "metal" as /m);
    assert.match(refused.stderr, /must have left the configuration|metal is a registry/);
    assert.deepEqual(await hosts(), all);

    await place.setConfig({ registries: [vms] });
    await until("it is an orphan", async () => (await orphans(replica)).length === 2);
    const host = hostOf(kept);
    const { addresses } = await dnsQuery(replica.dns, host);
    const poll = pollDns(replica.dns, new Map([[host, addresses.join()]]));
    const pruned = await prune();
    assert.deepEqual(await hosts(), [host], "it is said once it is done");
    assert.equal(pruned.code, 0, pruned.stderr);
    const [asked, ...done] = pruned.stdout.trim().split("\n");
    assert.match(asked ?? "", /is the leader and was asked to delete 2 objects of registry metal\.$/);
    assert.match(done.join("\n"), /^- ServiceEntry\/\S+\n- ServiceEntry\/\S+\n2 objects deleted\.$/);
    await poll.stop();
    assert.deepEqual(poll.bad.slice(0, 5), []);
    assert.match((await prune()).stdout, /^The target has no object of registry metal\.$/m);
    assert.equal(await replica.stop(), 0);
  });

  test(`names of orphans follow the living when a new member of a merge is pruned (${kind})`, {
    skip: without,
  }, async (t) => {
    const orders = httpService("orders", "198.51.100.9");
    const bench = await open(t, { registries: [vms, metal] });
    const { place, env, hosts } = bench;
    await writeFile(join(place.dir, "metal.yaml"), stringify({ services: [orders] }));
    const replica = startReplica(t, { ...place, env });
    await ready(replica);
    const legacy = "orders.corp.example.com";
    await until("it is answered", async () => (await dnsQuery(replica.dns, legacy)).rcode === 0);
    await place.setConfig({ registries: [vms, metal], merge: ["vms", "metal"] });
    const joined = hostOf(orders);
    await until("it stands as the merge's", async () => (await hosts()).includes(joined));
    await until("the old one is an orphan", async () => (await orphans(replica)).length > 0);
    const denied: number[] = [];
    const end = new AbortController();
    const asking = (async () => {
      while (!end.signal.aborted) {
        const { rcode } = await dnsQuery(replica.dns, legacy);
        if (rcode !== 0) denied.push(rcode);
      }
    })();
    const pruned = await runCli(["--config", place.config, "prune", "--registry", "metal"], { env });
    assert.equal(pruned.code, 0, pruned.stderr);
    const vip = (await dnsQuery(replica.dns, joined)).addresses.join();
    await until(
      "its name leads to the merge's",
      async () => (await dnsQuery(replica.dns, legacy)).addresses.join() === vip,
    );
    end.abort();
    await asking;
    assert.deepEqual(denied, []);
    assert.deepEqual(await hosts(), [hostOf(kept), joined].sort());
    assert.equal(await replica.stop(), 0);
  });
}

async function orphans(replica: Replica) {
  return (await apiServices(replica.http)).filter(({ held }) => held.some(({ reason }) => reason === "orphan"));
}

async function configOf({ config }: Fixture): Promise<string> {
  return readFile(config, "utf8");
}
