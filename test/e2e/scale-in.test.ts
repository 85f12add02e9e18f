import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { until } from "../servers/kube-admin.ts";
import { ready, runCli, startReplica } from "./cli.ts";
import { folderEndpoints } from "./embedded.ts";
import { type Fixture, fixture } from "./fixture.ts";

const skip = (await ensureServers(consulServers)) === undefined && noServers;

/** A registry that a test scales. */
interface Scaled {
  readonly options: object;
  /** Let a service have its first `count` instances. */
  scale(service: string, count: number): Promise<void>;
}

const addressOf = (service: string, at: number) => `10.${at}.${service.length}.${Number(/\d+/.exec(service) ?? 0)}`;
const named = (count: number) => Array.from({ length: count }, (_, n) => `s${n}`);

const registries: readonly {
  readonly kind: string;
  readonly skip: string | false;
  readonly start: (t: TestContext) => Promise<Scaled & { readonly write?: (place: Fixture) => Promise<void> }>;
}[] = [
  {
    kind: "static",
    skip: false,
    async start() {
      const counts = new Map<string, number>();
      let place: Fixture | undefined;
      const write = async () => {
        const services = [...counts].map(([name, count]) => ({
          name,
          ports: [{ name: "tcp", number: 80, protocol: "tcp" }],
          endpoints: Array.from({ length: count }, (_, at) => ({ address: addressOf(name, at) })),
        }));
        await place?.setServices(services);
      };
      return {
        options: { kind: "static", file: "services.yaml" },
        async scale(service, count) {
          counts.set(service, count);
          await write();
        },
        write: async (now) => {
          place = now;
          await write();
        },
      };
    },
  },
  {
    kind: "polaris",
    skip: false,
    async start(t) {
      const server = await startPolaris();
      t.after(() => server.stop());
      const ids = new Map<string, string[]>();
      return {
        options: { kind: "polaris", address: server.address, interval: "100ms" },
        async scale(service, count) {
          const own = ids.get(service) ?? [];
          ids.set(service, own);
          while (own.length > count) server.deregister(own.pop() ?? "");
          while (own.length < count)
            own.push(server.register({ service, host: addressOf(service, own.length), port: 80 }));
        },
      };
    },
  },
  {
    kind: "consul",
    skip,
    async start(t) {
      const server = await startConsul();
      t.after(() => server.stop());
      const counts = new Map<string, number>();
      return {
        options: { kind: "consul", address: server.address },
        async scale(service, count) {
          let now = counts.get(service) ?? 0;
          counts.set(service, count);
          const more = Array.from({ length: Math.max(0, count - now) }, (_, at) => now + at);
          await server.register(
            ...more.map((at) => ({ service, id: `${service}-${at}`, address: addressOf(service, at), port: 80 })),
          );
          while (now > count) await server.deregister({ id: `${service}-${--now}` });
        },
      };
    },
  },
];

/** A registry with services of five instances each, and a folder that it is written to. */
async function bench(t: TestContext, start: (typeof registries)[number]["start"], count: number) {
  const { options, scale, write } = await start(t);
  const target = { kind: "directory", path: "out" };
  const sections = { registries: [{ ...options, name: "dc1" }], aliases: [], target };
  const place = await fixture(t, [], sections);
  await write?.(place);
  for (const name of named(count)) await scale(name, 5);
  const out = join(place.dir, "out");
  const counted = async (name: string) => {
    const found = await folderEndpoints(out, `${name}.default.dc1.mesh.internal`).catch(() => undefined);
    return found?.length;
  };
  const all = async () => Promise.all(named(count).map(counted));
  const x2istio = (...args: readonly string[]) => runCli(["--config", place.config, ...args]);
  const brakes = async () =>
    (JSON.parse((await x2istio("plan", "-o", "json")).stdout) as { readonly brakes: readonly { kind: string }[] })
      .brakes;
  return { place, scale, counted, all, x2istio, brakes };
}

for (const { kind, start, skip: without } of registries) {
  test(faultRow(
    {
      target: "static",
      fault: "a service is scaled in, one by one, by halves and after it was scaled out, by run and by apply",
      expect: "it is believed at once, from Polaris and Consul too: its endpoints are those of the registry",
    },
    kind,
  ), { skip: without }, async (t) => {
    const { place, scale, counted, x2istio, brakes } = await bench(t, start, 6);
    assert.equal((await x2istio("apply")).code, 0);
    for (const count of [4, 3, 2, 10, 2, 5, 2, 1]) {
      await scale("s0", count);
      const { code, stdout } = await x2istio("apply");
      assert.equal(code, 0, stdout);
      assert.equal(await counted("s0"), count);
    }
    assert.deepEqual(await brakes(), []);
    const replica = startReplica(t, place);
    await ready(replica);
    for (const count of [2, 10, 2, 5, 4, 3, 2, 1]) {
      await scale("s1", count);
      await until(`s1 has ${count}`, async () => (await counted("s1")) === count);
    }
    assert.equal(replica.logged("a brake is on").length, 0);
    assert.equal(await replica.stop(), 0);
  });

  test(faultRow(
    {
      target: "static",
      fault: "40 of 50 services lose half of their instances at once",
      expect:
        "they stay for whichever process looks, also after a restart, and of Polaris and Consul too; it ends by itself",
    },
    kind,
  ), { skip: without }, async (t) => {
    const { place, scale, all, x2istio, brakes } = await bench(t, start, 50);
    assert.equal((await x2istio("apply")).code, 0);
    const whole = await all();
    assert.deepEqual(new Set(whole), new Set([5]));
    for (const name of named(40)) await scale(name, 2);
    const planned = await x2istio("plan");
    assert.equal(planned.code, 1);
    assert.match(planned.stdout, /brake: 40 of 50 services of registry dc1 would lose endpoints at once, 48 %/);
    assert.match(planned.stdout, /^0 to create, 0 to change, 0 to delete, 40 held/m);
    const first = await x2istio("apply");
    assert.equal(first.code, 1);
    assert.deepEqual(await all(), whole);
    assert.deepEqual(
      (await brakes()).map((one) => one.kind),
      ["endpoints"],
    );
    const replica = startReplica(t, place);
    await ready(replica);
    await until("the new process says the same", async () => replica.logged("a brake is on").length > 0);
    await replica.kill();
    assert.deepEqual(await all(), whole);
    await place.setConfig({ policy: { releaseAfter: "1s" } });
    const second = startReplica(t, place);
    await ready(second);
    await until("it ends by itself", async () => (await all()).slice(0, 40).every((count) => count === 2));
    const released = "the registry's brake was on for policy.releaseAfter and has been released";
    await until("it says so", async () => second.logged(released).length === 1);
    assert.equal(await second.stop(), 0);
    assert.deepEqual(await brakes(), []);
    assert.equal((await x2istio("apply", "--detailed-exitcode")).code, 0, "no mark is left");
  });
}
