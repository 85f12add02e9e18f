import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer as createHttp } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { stringify } from "yaml";
import { faultRow } from "../faults/row.ts";
import { freePort } from "../servers/free-port.ts";
import { until } from "../servers/kube-admin.ts";
import { ready, runCli, startReplica } from "./cli.ts";
import { dnsQuery, pollDns } from "./dns.ts";
import { apiServices, folderEndpoints } from "./embedded.ts";
import { fixture, hostOf, tcpService } from "./fixture.ts";

const vms = { kind: "static", name: "vms", file: "services.yaml" };
const theirs = ["one", "two", "three"].map((name) => tcpService(name, "198.51.100.1"));

/** Takes connections and says nothing. */
async function silentServer(t: TestContext): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test(
  faultRow({
    target: "Consul",
    fault: "it takes connections and never answers, from our start on",
    expect:
      "it holds its own objects only; they are answered from the first second, another registry's change is written",
    peer: "consul-k8s #4714",
  }),
  (t) => assertHeldAlone(t, { kind: "consul" }),
);

test(
  faultRow({
    target: "Polaris",
    fault: "it takes connections and never answers, from our start on",
    expect:
      "it holds its own objects only; they are answered from the first second, another registry's change is written",
    peer: "consul-k8s #4714",
  }),
  (t) => assertHeldAlone(t, { kind: "polaris", namespaces: ["data"] }),
);

test(
  faultRow({
    target: "own process",
    fault: "a file that it wrote is damaged by a merge, or made unreadable",
    expect: "its names are still answered, and the file is not touched until it can be read; the others are written",
  }),
  async (t) => {
    const services = (last: number) => ["one", "two"].map((name) => tcpService(name, `192.0.2.${last}`));
    const place = await fixture(t, services(1), { aliases: [], target: { kind: "directory", path: "out" } });
    const out = join(place.dir, "out");
    const [one, two] = services(1).map((service) => hostOf(service));
    if (one === undefined || two === undefined) assert.fail();
    const replica = startReplica(t, place);
    await ready(replica);
    const file = join(out, "mesh-services", `${one}.yaml`);
    const good = await readFile(file, "utf8");
    const vip = /^ {4}- (240\S+)$/m.exec(good)?.[1] ?? "";
    await until("it is answered", async () => (await dnsQuery(replica.dns, one)).addresses.join() === vip);
    const poll = pollDns(replica.dns, new Map([[one, vip]]));
    const damaged = good.replace("spec:", "<<<<<<< ours\nspec:\n=======");
    await writeFile(file, damaged);
    await until("it says so", async () => replica.output().includes("cannot be read as Kubernetes YAML"));
    await place.setServices(services(2));
    await until("the other is written", async () => (await folderEndpoints(out, two)).join() === "192.0.2.2");
    await until("it is held", async () =>
      (await apiServices(replica.http)).some(({ host, held }) => host === one && held[0]?.reason === "refused"),
    );
    assert.equal(await readFile(file, "utf8"), damaged);
    await poll.stop();
    assert.deepEqual(poll.bad.slice(0, 5), []);
    await writeFile(file, good);
    await until("it is in step again", async () => (await folderEndpoints(out, one)).join() === "192.0.2.2");
    assert.equal(await replica.stop(), 0);
  },
);

test(
  faultRow({
    target: "Consul",
    fault: "it cannot be reached at the first start of all",
    expect: "names that nobody knows yet are not denied (SERVFAIL); once it was read, what it does not have is",
  }),
  async (t) => {
    const port = await freePort();
    const registries = [vms, { kind: "consul", name: "dc1", address: `http://127.0.0.1:${port}`, poll: "* * * * * *" }];
    const place = await fixture(t, [tcpService("ours", "192.0.2.1")], {
      ...{ registries, aliases: [], target: { kind: "directory", path: "out" } },
    });
    const replica = startReplica(t, place);
    const rcode = async (name: string) => (await dnsQuery(replica.dns, name)).rcode;
    await until("what is known is answered", async () => (await rcode(hostOf(tcpService("ours")))) === 0);
    for (const name of ["nobody.shop.dc1.mesh.internal", "nobody.shop.vms.mesh.internal"])
      assert.equal(await rcode(name), 2);
    const empty = createHttp((_, response) => response.setHeader("X-Consul-Index", "1").end("{}"));
    await new Promise<void>((done) => empty.listen(port, "127.0.0.1", done));
    t.after(() => empty.close());
    t.after(() => empty.closeAllConnections());
    await until("what nobody has is denied", async () => (await rcode("nobody.shop.dc1.mesh.internal")) === 3);
  },
);

test("names of a registry that answers for the first time are denied at no moment, though others' objects stand", async (t) => {
  const registries = [vms, { kind: "static", name: "metal", file: "metal.yaml" }];
  const place = await fixture(t, [tcpService("ours", "192.0.2.1")], {
    ...{ registries, aliases: [], target: { kind: "directory", path: "out" } },
  });
  const replica = startReplica(t, place);
  const rcode = async (name: string) => (await dnsQuery(replica.dns, name)).rcode;
  await until("what is known is answered", async () => (await rcode(hostOf(tcpService("ours")))) === 0);
  const many = Array.from({ length: 300 }, (_, at) => tcpService(`s${at}`, "198.51.100.1"));
  const hosts = many.map((service) => hostOf(service, "metal"));
  await place.replace("metal.yaml", stringify({ services: many }));
  const denied = new Set<string>();
  await until("all are answered", async () => {
    const codes = await Promise.all(hosts.map(rcode));
    for (const [at, host] of hosts.entries()) if (codes[at] === 3) denied.add(host);
    return codes.every((code) => code === 0);
  });
  assert.deepEqual([...denied].slice(0, 5), []);
  assert.equal(await rcode("nobody.data.metal.mesh.internal"), 3);
});

async function assertHeldAlone(t: TestContext, options: object): Promise<void> {
  const address = await silentServer(t);
  const sections = { aliases: [], target: { kind: "directory", path: "out" }, policy: { keepEmpty: "1s" } };
  const files = [vms, { kind: "static", name: "metal", file: "metal.yaml" }];
  const place = await fixture(t, [tcpService("ours", "192.0.2.1")], { ...sections, registries: files });
  await writeFile(join(place.dir, "metal.yaml"), stringify({ services: theirs }));
  assert.equal((await runCli(["--config", place.config, "apply"])).code, 0);
  const out = join(place.dir, "out");
  const textOf = (host: string) => readFile(join(out, "mesh-services", `${host}.yaml`), "utf8");
  const hosts = theirs.map((service) => hostOf(service, "metal"));
  const before = await Promise.all(hosts.map(textOf));

  await place.setConfig({ registries: [vms, { ...options, name: "metal", address }] });
  await place.setServices([tcpService("ours", "192.0.2.2")]);
  const replica = startReplica(t, place);
  await ready(replica);
  const vips = new Map(before.map((text, at) => [hosts[at] ?? "", /^ {4}- (240\S+)$/m.exec(text)?.[1] ?? ""]));
  const poll = pollDns(replica.dns, vips);
  await until("another registry's change is written", async () => {
    const [endpoint] = await folderEndpoints(out, hostOf(tcpService("ours")));
    return endpoint === "192.0.2.2";
  });
  await until("what is held is said", async () => {
    const held = (await apiServices(replica.http)).filter((one) => one.held.some(({ reason }) => reason === "unread"));
    return (
      held
        .map(({ host }) => host)
        .sort()
        .join() === [...hosts].sort().join()
    );
  });
  await seesKeepEmptyEnd();
  await poll.stop();
  assert.deepEqual(poll.bad.slice(0, 5), []);
  assert.ok(poll.good > 0);
  assert.deepEqual(await Promise.all(hosts.map(textOf)), before);
  assert.equal(await replica.stop(), 0);

  async function seesKeepEmptyEnd(): Promise<void> {
    const [ours, brief] = [tcpService("ours", "192.0.2.2"), tcpService("brief", "192.0.2.3")];
    const stands = () => readFile(join(out, "mesh-services", `${hostOf(brief)}.yaml`)).then(Boolean, () => false);
    await place.setServices([ours, brief]);
    await until("a service comes", stands);
    await place.setServices([ours]);
    await until("it goes once keepEmpty has passed", async () => !(await stands()));
  }
}
