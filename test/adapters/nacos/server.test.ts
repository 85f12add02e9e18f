import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { describeError } from "../../../src/errors.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { faultRow } from "../../faults/row.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { type Nacos, nacosServers, startNacos } from "../../servers/nacos.ts";
import { until } from "../../until.ts";
import { addresses, newRegistry, type Registry, read, readUntil, services } from "./registry.ts";

const skip = (await ensureServers(nacosServers)) === undefined && noServers;
/** A user who may read namespace `public` only. */
const READER = { username: "mesh", password: "sesame-12" };
const TOKEN_SECONDS = 5;

suite("a Nacos server of 3.1 that wants passwords", { skip }, () => {
  let server: Nacos;
  const opened: Registry[] = [];
  const registryWith = (options: object, nowMs?: () => number, metrics = createMetrics()) => {
    const registry = newRegistry({ address: server.address, ...options }, nowMs, metrics);
    opened.push(registry);
    return registry;
  };
  before(async () => {
    server = await startNacos("nacos", {
      auth: true,
      options: [`--nacos.core.auth.plugin.nacos.token.expire.seconds=${TOKEN_SECONDS}`],
    });
    await server.ask("POST", "/nacos/v3/auth/user", READER);
    await server.ask("POST", "/nacos/v3/auth/role", { username: READER.username, role: "reader" });
    await server.ask("POST", "/nacos/v3/auth/permission", { role: "reader", resource: "public:*:*", action: "r" });
    await server.register({ serviceName: "orders", ip: "127.0.0.1" });
    await server.register({ serviceName: "stock", ip: "127.0.0.1", groupName: "G1", weight: 0.5 });
  });
  after(async () => {
    for (const registry of opened) await registry.close();
    await server.stop();
  });

  test("gives whoever may read everything of a namespace, with all its groups", async () => {
    const snapshot = await read(registryWith(READER));
    assert.deepEqual(Object.keys(services(snapshot)), ["G1@@stock", "orders"]);
    assert.deepEqual([snapshot.incomplete, snapshot.notes], [undefined, undefined]);
  });

  const denied: readonly { readonly name: string; readonly options: object }[] = [
    { name: "nobody logs in", options: {} },
    { name: "the password is wrong", options: { ...READER, password: "other" } },
    { name: "the user has no right to the namespace", options: { ...READER, namespaces: ["shop"] } },
  ];
  for (const { name, options } of denied)
    test(
      faultRow(
        {
          target: "Nacos",
          fault: "a real server refuses, by HTTP or inside a good answer",
          expect: "the read is denied: everything of this registry stays",
          peer: "slime",
        },
        name,
      ),
      async () => {
        await assert.rejects(read(registryWith(options)), (error: Error & { failure?: string }) => {
          assert.equal(error.failure, "denied", describeError(error));
          return true;
        });
      },
    );

  test("may give one namespace of two", async () => {
    const snapshot = await read(registryWith({ ...READER, namespaces: ["public", "shop"] }));
    assert.match(snapshot.incomplete ?? "", /namespace shop: .*403/);
    assert.deepEqual(Object.keys(services(snapshot)), ["G1@@stock", "orders"]);
  });

  test(
    faultRow({
      target: "Nacos",
      fault: "the token ends before it should, and a real server refuses it",
      expect: "another one is fetched, and the read goes on",
    }),
    async () => {
      const metrics = createMetrics();
      const state = { ms: 0 };
      const registry = registryWith(READER, () => state.ms, metrics);
      await read(registry);
      state.ms = TOKEN_SECONDS * 1000 * 0.6; // old enough to be refused for its age, too young to be renewed
      const refusals = async () =>
        /requests_total\{[^}]*result="denied"\} [1-9]/.test(await metrics.registry.metrics());
      await until(async () => {
        assert.deepEqual(Object.keys(services(await read(registry))), ["G1@@stock", "orders"]);
        return refusals();
      });
    },
  );

  test("renews a token before it ends", async () => {
    const metrics = createMetrics();
    const registry = registryWith(READER, undefined, metrics);
    const startMs = performance.now();
    let seen = await read(registry);
    while (performance.now() < startMs + TOKEN_SECONDS * 1000 + 1000) seen = await read(registry);
    assert.deepEqual(Object.keys(services(seen)), ["G1@@stock", "orders"]);
    assert.match(await metrics.registry.metrics(), /requests_total\{registry="prod",result="denied"\} 0/);
  });

  test("pushes what changes to whoever has logged in", async () => {
    const registry = registryWith({ ...READER, groups: ["DEFAULT_GROUP"] });
    const seen = await read(registry);
    await server.login();
    await server.register({ serviceName: "orders", ip: "127.0.0.2" });
    await readUntil(registry, seen, (snapshot) => addresses(snapshot, "orders")?.includes("127.0.0.2") === true);
  });
});
