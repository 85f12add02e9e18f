import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, runCli, startReplica } from "./cli.ts";
import { apiServices, folderEndpoints } from "./embedded.ts";
import { type Fixture, fixture, hostOf, tcpService } from "./fixture.ts";

const COUNT = 10;
const names = Array.from({ length: COUNT }, (_, at) => `s${at}`);
const hostOfName = (name: string) => hostOf(tcpService(name));
const addressOf = (name: string) => `192.0.2.${names.indexOf(name) + 1}`;
const only = { name: "vms", file: "services.yaml", kind: "static" };

interface PlanBrakes {
  readonly brakes: readonly { readonly registry: string; readonly kind: string; readonly message: string }[];
}

/** Ten services of one registry in a folder, and a process that keeps them. */
async function tenServices(t: TestContext, policy: object = {}) {
  const all = names.map((name) => tcpService(name, addressOf(name)));
  const place = await fixture(t, all, {
    ...{ registries: [only], aliases: [], target: { kind: "directory", path: "out" }, policy },
  });
  const replica = startReplica(t, place);
  await ready(replica);
  await until("all is written", async () => (await apiServices(replica.http)).length === COUNT);
  const endpoints = (name: string) => folderEndpoints(join(place.dir, "out"), hostOfName(name)).catch(() => undefined);
  const brakes = async () => ((await (await fetch(`${replica.http}/api/plan`)).json()) as PlanBrakes).brakes;
  const untilBraked = (kind: string) =>
    until(`the brake on ${kind} is on`, async () => (await brakes()).some((brake) => brake.kind === kind));
  const untilFree = () => until("no brake is on", async () => (await brakes()).length === 0);
  const untilEndpoints = (name: string, ...addresses: readonly string[]) =>
    until(`${name} has ${addresses.join()}`, async () => (await endpoints(name))?.join() === addresses.join());
  return { place, replica, endpoints, brakes, untilBraked, untilFree, untilEndpoints };
}

/** Replace the services: each with the addresses that `of` gives, or not at all. */
function say(place: Fixture, of: (name: string) => readonly string[] | undefined): Promise<void> {
  const services = names.flatMap((name) => {
    const addresses = of(name);
    return addresses === undefined ? [] : [tcpService(name, ...addresses)];
  });
  return place.setServices(services);
}

async function metric({ http }: Replica, sample: string): Promise<string | undefined> {
  const lines = (await (await fetch(`${http}/metrics`)).text()).split("\n");
  return lines.find((line) => line.startsWith(`${sample} `))?.slice(sample.length + 1);
}

const BRAKE = (kind: string) => `x2istio_brake_state_count{registry="vms",kind="${kind}"}`;

test("the brake", async (t) => {
  const { place, replica, endpoints, brakes, untilBraked, untilFree, untilEndpoints } = await tenServices(t);

  await t.test(
    faultRow({
      target: "static",
      fault: "heartbeats expire one after the other, over many small passes",
      expect: "from the third service of ten on they stay, until they are back; all else is updated",
      peer: "external-dns #3841",
    }),
    async () => {
      for (let lost = 1; lost <= 6; lost++) {
        const isOut = (name: string) => names.indexOf(name) < lost;
        const moved = `198.51.100.${lost}`;
        await say(place, (name) => (isOut(name) ? [] : [name === "s9" ? moved : addressOf(name)]));
        await untilEndpoints("s9", moved);
        if (lost <= 2) await untilEndpoints(`s${lost - 1}`);
      }
      await untilBraked("services");
      for (const name of ["s2", "s3", "s4", "s5"]) assert.deepEqual(await endpoints(name), [addressOf(name)], name);
      const [brake, ...more] = await brakes();
      assert.deepEqual(more, []);
      assert.match(
        brake?.message ?? "",
        /^brake: 6 of 10 services of registry vms vanished or lost their last endpoint/,
      );
      assert.equal(await metric(replica, BRAKE("services")), "1");
      const held = (await apiServices(replica.http)).filter((one) => one.held.some(({ reason }) => reason === "brake"));
      assert.deepEqual(held.map(({ service }) => service).sort(), [
        "vms/data/s2",
        "vms/data/s3",
        "vms/data/s4",
        "vms/data/s5",
      ]);
      const { stdout } = await runCli(["--config", place.config, "plan"]);
      assert.match(stdout, /x2istio apply --allow-deletes vms releases it/);

      await say(place, (name) => [addressOf(name)]);
      await untilFree();
      for (const name of ["s0", "s1", "s5"]) await untilEndpoints(name, addressOf(name));
      assert.equal(await metric(replica, BRAKE("services")), "0");
      assert.equal(replica.logged("a brake is on").length, 1, "once, not with each pass");
      assert.equal(replica.logged("a brake is off again").length, 1);
    },
  );

  await t.test(
    faultRow({
      target: "static",
      fault: "most endpoints of a registry vanish, though no service loses its last one",
      expect: "they stay, and what is new is added, until the brake is released over HTTP",
    }),
    async () => {
      const four = (name: string) => [1, 2, 3, 4].map((net) => `10.0.${net}.${names.indexOf(name) + 1}`);
      await say(place, four);
      await untilEndpoints("s9", ...four("s9"));
      const oneLeft = (name: string) => [four(name)[0] ?? "", ...(name === "s9" ? ["203.0.113.9"] : [])];
      await say(place, oneLeft);
      await untilBraked("endpoints");
      await untilEndpoints("s9", ...four("s9"), "203.0.113.9");
      assert.deepEqual(await endpoints("s0"), four("s0"));
      assert.equal(await metric(replica, BRAKE("endpoints")), "1");

      const release = (registry: string, headers: Readonly<Record<string, string>>, method = "POST") =>
        fetch(`${replica.http}/api/brakes/${registry}/release`, { method, headers });
      assert.equal((await release("vms", {})).status, 400, "a page in a browser cannot send the header elsewhere");
      assert.equal((await release("vms", { "x2istio-confirm": "vms" }, "GET")).status, 405);
      const unknown = await release("dc9", { "x2istio-confirm": "dc9" });
      assert.match(`${unknown.status} ${await unknown.text()}`, /^409 .* must be a configured registry$/m);
      assert.deepEqual(await endpoints("s0"), four("s0"));
      assert.equal((await release("vms", { "x2istio-confirm": "vms" })).status, 202);
      for (const name of names) await untilEndpoints(name, ...oneLeft(name));
      await untilFree();
    },
  );

  await t.test("is released for a running process by apply --allow-deletes, once", async () => {
    await say(place, (name) => (names.indexOf(name) < 5 ? undefined : [addressOf(name)]));
    await untilBraked("services");
    assert.equal((await endpoints("s0"))?.length, 1);
    const told = await runCli(["--config", place.config, "apply", "--allow-deletes", "vms"]);
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stdout, /is the leader and was notified: its next pass applies --allow-deletes vms\.$/m);
    for (const name of names.slice(0, 5)) await untilEndpoints(name);
    await untilFree();
    await say(place, () => undefined);
    await untilBraked("services");
    assert.deepEqual(await endpoints("s9"), [addressOf("s9")], "the release was for that once");
  });
  assert.equal(await replica.stop(), 0);
});

test(
  faultRow({
    target: "static",
    fault: "the list is empty for longer than policy.releaseAfter",
    expect: "it is accepted then; killed and started again, the process goes on with the same tombstones",
  }),
  async (t) => {
    const policy = { releaseAfter: "2s", keepEmpty: "6s" };
    const { place, replica, endpoints, untilBraked, untilEndpoints } = await tenServices(t, policy);
    await place.setServices([]);
    await untilBraked("services");
    assert.deepEqual(await endpoints("s0"), [addressOf("s0")]);
    for (const name of names) await untilEndpoints(name);
    const released = () =>
      replica.logged("the registry's brake was on for policy.releaseAfter and has been released").length;
    await until("it is said", async () => released() > 0);
    assert.equal(released(), 1);
    await replica.kill();
    const second = startReplica(t, place);
    await ready(second);
    const tombstones = await apiServices(second.http);
    assert.ok(tombstones.length === 0 || tombstones.length === COUNT, "none is missing before all go");
    await until(
      "all have gone",
      async () => (await Promise.all(names.map(endpoints))).every((one) => one === undefined),
      30_000,
    );
    assert.equal(await second.stop(), 0);
  },
);
