import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_FRAME_BYTES } from "../../../adapters/zookeeper/client/frames.ts";
import { int, sized } from "../../../adapters/zookeeper/client/jute.ts";
import { OPERATIONS } from "../../../adapters/zookeeper/client/line.ts";
import { describeError, readFailure } from "../../../src/errors.ts";
import { createMetrics, type Metrics } from "../../../src/metrics.ts";
import type { Snapshot } from "../../../src/model/adapter.ts";
import { faultRow } from "../../faults/row.ts";
import { answerFrame, type Fake, fakeFor } from "./fake.ts";
import { API, configuratorNode, type Provider, providerPath, springData } from "./registration.ts";
import { addresses, failures, type Registry, read, readUntil, registryAt, services } from "./registry.ts";

/** Why a read fails. */
const whyNot = (registry: Registry) =>
  read(registry).then(
    () => assert.fail("it can be read"),
    (error: unknown) => describeError(error),
  );
/** Resolves when the adapter knows that its connection is gone. */
const toldOf = (registry: Registry) => registry.waitForChange("", AbortSignal.timeout(10_000));
const register = (fake: Fake, provider: Provider = {}) => fake.put(providerPath(provider));
const STOCK = "com.acme.StockApi";

async function counted(metrics: Metrics, kind: string, result: string): Promise<number> {
  const found = await metrics.registry.getSingleMetric(`x2istio_zookeeper_${kind}_total`)?.get();
  return found?.values.find(({ labels }) => labels.result === result)?.value ?? 0;
}

test(
  faultRow({
    target: "ZooKeeper",
    fault: "the root is not there",
    expect: "the read fails as a whole: a tree that is lost is not an empty one",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    const registry = registryAt(t, fake.address);
    await assert.rejects(read(registry), /there is no node \/dubbo/);
    register(fake);
    assert.deepEqual(addresses(await read(registry), API), ["192.0.2.1"]);
    fake.remove("/dubbo");
    await assert.rejects(read(registry), /there is no node \/dubbo/);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "a server that starts takes the connection and closes it without a word",
    expect: "the read fails, and the next one succeeds",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    fake.greeting = "close";
    const metrics = createMetrics();
    const registry = registryAt(t, fake.address, {}, metrics);
    await assert.rejects(read(registry), (error: Error & { failure?: string }) => error.failure === "connection");
    assert.equal(await counted(metrics, "connections", "failed"), 1);
    fake.greeting = undefined;
    assert.deepEqual(addresses(await read(registry), API), ["192.0.2.1"]);
  },
);

const silences: readonly { readonly name: string; readonly fault: (fake: Fake) => Partial<Fake> }[] = [
  { name: "before a session", fault: () => ({ greeting: "silence" }) },
  {
    name: "in a session",
    fault: () => ({ odd: (operation) => (operation === OPERATIONS.getChildren2 ? "silence" : undefined) }),
  },
  {
    name: "in pieces that never become a whole",
    fault: (fake) => ({
      odd(operation, _path, xid) {
        if (operation !== OPERATIONS.getChildren2) return undefined;
        const timer = setInterval(() => fake.tell(Buffer.of(0)), 20);
        setTimeout(() => clearInterval(timer), 5000).unref();
        return answerFrame(xid, 0, Buffer.alloc(1000)).subarray(0, 100);
      },
    }),
  },
];
for (const { name, fault } of silences)
  test(
    faultRow(
      { target: "ZooKeeper", fault: "an answer does not come to its end", expect: "the read fails after the timeout" },
      name,
    ),
    async (t) => {
      const fake = await fakeFor(t);
      register(fake);
      Object.assign(fake, fault(fake));
      assert.match(await whyNot(registryAt(t, fake.address, { timeout: "200ms" })), /has not answered within 200 ms/);
    },
  );

const list = (...names: readonly (string | Buffer)[]) =>
  Buffer.concat([int(names.length), ...names.map((one) => sized(one))]);
const hostile: readonly { readonly name: string; readonly answer: (xid: number) => Buffer; readonly error: RegExp }[] =
  [
    { name: "a length that none has", answer: () => int(MOST_FRAME_BYTES + 1), error: /states a length of 16777217/ },
    { name: "a length below nothing", answer: () => int(-1), error: /states a length of -1/ },
    { name: "an answer to nothing", answer: (xid) => answerFrame(xid + 5, 0), error: /which was not asked/ },
    { name: "a frame without a head", answer: () => sized("abc"), error: /ends early/ },
    { name: "a list that is not there", answer: (xid) => answerFrame(xid, 0), error: /ends early/ },
    {
      name: "a list of two thousand millions",
      answer: (xid) => answerFrame(xid, 0, int(0x7fffffff)),
      error: /a list of 2147483647/,
    },
    {
      name: "a list that is longer than its frame",
      answer: (xid) => answerFrame(xid, 0, int(1000)),
      error: /ends early/,
    },
    {
      name: "a name that is longer than its frame",
      answer: (xid) => answerFrame(xid, 0, Buffer.concat([int(1), int(60_000)])),
      error: /ends early/,
    },
    {
      name: "a name that none has",
      answer: (xid) => answerFrame(xid, 0, list(Buffer.alloc(65_537))),
      error: /a text of 65537/,
    },
    {
      name: "an event about a path of two gigabytes",
      answer: () => answerFrame(-1, 0, Buffer.concat([int(1), int(3), int(0x7fffffff)])),
      error: /a text of 2147483647/,
    },
    { name: "a code that nobody knows", answer: (xid) => answerFrame(xid, -77), error: /the server answered -77/ },
  ];
for (const { name, answer, error } of hostile)
  test(
    faultRow(
      {
        target: "ZooKeeper",
        fault: "the server sends what is no answer, or states lengths and counts that none has",
        expect: "the read fails as a whole, counted, without memory for what was promised",
      },
      name,
    ),
    async (t) => {
      const fake = await fakeFor(t);
      register(fake);
      const metrics = createMetrics();
      const registry = registryAt(t, fake.address, {}, metrics);
      await read(registry);
      fake.odd = (operation, path, xid) =>
        operation === OPERATIONS.getChildren2 && path === "/dubbo" ? answer(xid) : undefined;
      assert.match(await whyNot(registry), error);
      assert.ok((await counted(metrics, "requests", "answer")) + (await counted(metrics, "requests", "server")) > 0);
      fake.odd = () => undefined;
      assert.deepEqual(addresses(await read(registry), API), ["192.0.2.1"]);
    },
  );

test(
  faultRow({
    target: "ZooKeeper",
    fault: "the nodes of one service may not be read",
    expect: "it stays as it was, also for a process that has just started; the others change",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    register(fake, { interface: STOCK });
    const registry = registryAt(t, fake.address);
    await read(registry);
    fake.denied.add(`/dubbo/${API}/providers`);
    register(fake, { interface: STOCK, address: "192.0.2.2" });
    const snapshot = await read(registry);
    assert.match(failures(snapshot)[`zk/default/${API}`] ?? "", /NoAuth/);
    const [failed] = snapshot.services.filter(({ state }) => state === "failed");
    assert.equal(failed?.state === "failed" && readFailure(failed.cause), "denied");
    assert.deepEqual(addresses(snapshot, STOCK)?.toSorted(), ["192.0.2.1", "192.0.2.2"]);

    const standing = () => [`zk/default/shop/${API}:1.0.0`, `zk/default/${STOCK}`];
    const fresh = await registryAt(t, fake.address).read(AbortSignal.timeout(10_000), { trigger: "poll", standing });
    assert.match(failures(fresh)[`zk/default/shop/${API}:1.0.0`] ?? "", /NoAuth/);
    assert.equal(fresh.incomplete, undefined);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "an interface may not be read where services are applications",
    expect: "those that offer it stay; for a process that has just started nothing is gone",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    register(fake, { interface: STOCK, params: { application: "stock" } });
    const registry = registryAt(t, fake.address, { by: "application" });
    await read(registry);
    fake.denied.add(`/dubbo/${API}/providers`);
    const snapshot = await read(registry);
    assert.match(failures(snapshot)["zk/default/orders"] ?? "", /NoAuth/);
    assert.deepEqual(addresses(snapshot, "stock"), ["192.0.2.1"]);
    const fresh = await read(registryAt(t, fake.address, { by: "application" }));
    assert.match(fresh.incomplete ?? "", /OrderApi cannot be read/);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "the last provider of an interface goes, whose node stays",
    expect: "what stands is emptied, not gone; what does not stand is passed over",
    peer: "higress",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake, { params: { group: "shop", version: "1.0.0" } });
    const registry = registryAt(t, fake.address);
    const name = `shop/${API}:1.0.0`;
    const options = {
      trigger: "poll" as const,
      standing: () => [`zk/default/${name}`, "zk/other/x", "zk/default/gone"],
    };
    const before = services(await read(registry))[name];
    assert.deepEqual(before?.aliases, [{ namespace: "default", name: API }]);
    fake.remove(providerPath({ params: { group: "shop", version: "1.0.0" } }));
    const snapshot = await registry.read(AbortSignal.timeout(10_000), options);
    assert.deepEqual(Object.keys(services(snapshot)), [name]);
    assert.deepEqual(services(snapshot)[name]?.endpoints, []);
    assert.deepEqual(services(snapshot)[name]?.aliases, before?.aliases, "its names stay");
    assert.equal(services(await registry.read(AbortSignal.timeout(10_000), options))[name], services(snapshot)[name]);
    const none = await read(registry);
    assert.deepEqual(none.services, []);
    assert.deepEqual(none.skipped?.infrastructure, 1);
    register(fake, { params: { group: "shop", version: "2.0.0" } });
    const other = await registry.read(AbortSignal.timeout(10_000), options);
    assert.deepEqual(
      Object.keys(services(other)),
      [`shop/${API}:2.0.0`],
      "another version is offered: this one is gone",
    );
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "a provider's name or an instance's data cannot be understood",
    expect: "its interface or application stays as it was, the others change",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    register(fake, { interface: STOCK });
    fake.put("/services/orders/1", springData({ app: "orders" }));
    fake.put("/services/stock/1", springData({ app: "stock" }));
    const [dubbo, apps] = [registryAt(t, fake.address), registryAt(t, fake.address, { layout: "curator" })];
    await Promise.all([read(dubbo), read(apps)]);
    fake.put(`/dubbo/${API}/providers/dubbo%3A%2F%2F192.0.2.9%ZZ`);
    register(fake, { interface: STOCK, address: "192.0.2.3" });
    const snapshot = await read(dubbo);
    assert.match(failures(snapshot)[`zk/default/${API}`] ?? "", /is not encoded as a URL is/);
    assert.equal(addresses(snapshot, STOCK)?.length, 2);
    const deep = `${"[".repeat(50)}${"]".repeat(50)}`;
    for (const bad of ["{", deep, `[${"1,".repeat(5000)}1]`, '{"port": "x"}', "null", " ".repeat(70_000)]) {
      fake.put("/services/orders/1", bad);
      fake.put("/services/stock/1", springData({ app: "stock", address: "192.0.2.4" }));
      const seen = await read(apps);
      assert.notEqual(failures(seen)["zk/default/orders"], undefined, bad.slice(0, 20));
      assert.deepEqual(addresses(seen, "stock"), ["192.0.2.4"]);
    }
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "the connection breaks and the session goes on",
    expect: "the session is resumed, its watches are set anew, and everything is read",
    peer: "slime",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    const metrics = createMetrics();
    const registry = registryAt(t, fake.address, {}, metrics);
    const before = await read(registry);
    fake.cut();
    register(fake, { address: "192.0.2.2" });
    const after = await readUntil(registry, before, (snapshot) => addresses(snapshot, API)?.length === 2);
    assert.deepEqual(
      fake.begun.map(({ session }) => session),
      [0n, 1n],
    );
    assert.equal(await counted(metrics, "connections", "resumed"), 1);
    register(fake, { address: "192.0.2.3" });
    await readUntil(registry, after, (snapshot) => addresses(snapshot, API)?.length === 3);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "the session is over when the connection comes back",
    expect: "a new one is begun, and everything is read",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    const metrics = createMetrics();
    const registry = registryAt(t, fake.address, {}, metrics);
    const before = await read(registry);
    fake.expire();
    fake.cut();
    register(fake, { address: "192.0.2.2" });
    await readUntil(registry, before, (snapshot) => addresses(snapshot, API)?.length === 2);
    assert.deepEqual(
      fake.begun.map(({ session }) => session),
      [0n, 1n, 0n],
    );
    assert.equal(await counted(metrics, "connections", "expired"), 1);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "a server lost its data, and refuses who has seen more",
    expect: "reads fail until the session is over by any clock, then what there is is read",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    fake.timeoutMs = 300;
    register(fake);
    const registry = registryAt(t, fake.address);
    await read(registry);
    fake.lose();
    fake.cut();
    await toldOf(registry);
    assert.match(await whyNot(registry), /Cannot connect/);
    while (!/there is no node/.test(await whyNot(registry)));
    assert.deepEqual(fake.begun.at(-1), { session: 0n, lastZxid: 0n });
    register(fake, { address: "192.0.2.7" });
    assert.deepEqual(addresses(await read(registry), API), ["192.0.2.7"]);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "a connection is dead without being closed",
    expect: "it is given up when two thirds of the session have passed in silence",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    fake.timeoutMs = 300;
    register(fake);
    const registry = registryAt(t, fake.address);
    const { revision } = await read(registry);
    fake.freeze();
    await registry.waitForChange(revision, AbortSignal.timeout(10_000)); // what is told is that nothing is known any more
    await read(registry);
    assert.equal(fake.begun.length, 2);
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "of several servers the one that is asked goes away",
    expect: "the next one is asked in the same session, and stays",
  }),
  async (t) => {
    const [first, second] = [await fakeFor(t), await fakeFor(t)];
    for (const fake of [first, second]) register(fake);
    register(second, { address: "192.0.2.2" });
    const registry = registryAt(t, `${first.address},${second.address}`);
    assert.deepEqual(addresses(await read(registry), API), ["192.0.2.1"]);
    await first.close();
    await toldOf(registry);
    assert.equal(addresses(await read(registry), API)?.length, 2);
    assert.deepEqual(second.begun[0]?.session, 1n);
    await read(registry);
    assert.equal(second.begun.length, 2, "a session that this server does not know, and then its own");
  },
);

test(
  faultRow({
    target: "ZooKeeper",
    fault: "events without end, about nodes that say nothing of a service",
    expect: "no memory, and no read",
  }),
  async (t) => {
    const fake = await fakeFor(t);
    register(fake);
    const registry = registryAt(t, fake.address);
    const { revision } = await read(registry);
    const asked = fake.asked.length;
    for (let at = 0; at < 2000; at++)
      for (const path of [`/dubbo/${API}/consumers/${at}`, `/dubbo/config/${at}`, `/dubbometa/${at}`])
        fake.tell(answerFrame(-1, 0, Buffer.concat([int(1), int(3), sized(path)])));
    await assert.rejects(registry.waitForChange(revision, AbortSignal.timeout(300)));
    assert.equal(fake.asked.length, asked);
    for (let at = 0; at < 12_000; at++)
      fake.tell(answerFrame(-1, 0, Buffer.concat([int(1), int(3), sized(`/dubbo/com.acme.X${at}/providers/x`)])));
    await registry.waitForChange(revision, AbortSignal.timeout(10_000));
    assert.deepEqual(addresses(await read(registry, "hint"), API), ["192.0.2.1"]);
  },
);

test("a change is read alone, and by chroot and root of the options", async (t) => {
  const fake = await fakeFor(t);
  for (const name of [API, STOCK]) fake.put(providerPath({ interface: name }).replace("/dubbo", "/prod/shop/dubbo2"));
  const registry = registryAt(t, `${fake.address}/prod`, { root: "/shop/dubbo2" });
  const before = await read(registry);
  assert.equal(services(before)[API]?.source, `/prod/shop/dubbo2/${API}`);
  fake.asked.length = 0;
  fake.put(providerPath({ address: "192.0.2.2" }).replace("/dubbo", "/prod/shop/dubbo2"));
  const after = await readUntil(registry, before, (snapshot) => addresses(snapshot, API)?.length === 2);
  assert.equal(services(after)[STOCK], services(before)[STOCK]);
  assert.deepEqual(fake.asked, [`12 /prod/shop/dubbo2/${API}/providers`, `12 /prod/shop/dubbo2/${API}/configurators`]);
});

test("a poll asks for what the leader knows, and a password is sent once for each connection", async (t) => {
  const fake = await fakeFor(t);
  register(fake);
  const registry = registryAt(t, fake.address, { digestAuth: { username: "mesh", password: "open:sesame" } });
  await read(registry);
  assert.deepEqual(fake.auths, ["mesh:open:sesame"]);
  assert.ok(fake.asked.indexOf("9 /dubbo") < fake.asked.indexOf("12 /dubbo"));
  fake.cut();
  await toldOf(registry);
  await read(registry);
  assert.equal(fake.auths.length, 2);
  fake.cut();
  await toldOf(registry);
  fake.denied.add("auth");
  await assert.rejects(read(registry), (error: Error & { failure?: string }) => error.failure === "denied");
});

test("interfaces of an application are further names of it, by Dubbo's mapping or by who offers them", async (t) => {
  const fake = await fakeFor(t);
  fake.put("/services/orders/1", springData({ app: "orders" }));
  for (const [name, apps] of [
    [API, "orders"],
    [STOCK, "orders,stock"],
    ["com.acme.Alone", "nobody"],
  ] as const)
    fake.put(`/dubbo/mapping/${name}`, apps);
  const apps = registryAt(t, fake.address, { layout: "curator", dubboRoot: "/dubbo" });
  assert.deepEqual(services(await read(apps)).orders?.aliases, [{ namespace: "default", name: API }]);
  fake.remove(`/dubbo/mapping/${API}`);
  assert.equal(services(await read(apps)).orders?.aliases, undefined);

  for (const address of ["192.0.2.1", "192.0.2.2"]) register(fake, { address });
  register(fake, { address: "192.0.2.2", interface: STOCK });
  register(fake, { address: "192.0.2.3", interface: "com.acme.PayApi", params: { application: "pay" } });
  const { orders, pay } = services(await read(registryAt(t, fake.address, { by: "application" })));
  assert.deepEqual(
    orders?.endpoints.map(({ address }) => address),
    ["192.0.2.1", "192.0.2.2"],
  );
  assert.deepEqual(
    orders?.aliases?.map(({ name }) => name),
    [API],
    "one instance alone takes no name for all",
  );
  assert.deepEqual(
    pay?.aliases?.map(({ name }) => name),
    ["com.acme.PayApi"],
  );
});

test("read() passes over what is not wanted, and what is Dubbo's own", async (t) => {
  const fake = await fakeFor(t);
  register(fake);
  register(fake, { interface: STOCK, params: { group: "shop" } });
  for (const own of ["config", "metadata", "mapping"]) fake.put(`/dubbo/${own}/x`);
  const snapshot = await read(registryAt(t, fake.address, { services: { exclude: [API] } }));
  assert.deepEqual(Object.keys(services(snapshot)), [`shop/${STOCK}`]);
  assert.deepEqual(snapshot.skipped, { filter: 1, infrastructure: 0, kubernetes: 0, name: 0 });
  const only = await read(registryAt(t, fake.address, { services: { include: ["com.acme.Stock*"] } }));
  assert.deepEqual(Object.keys(services(only)), [`shop/${STOCK}`], "by its interface");
});

test("a server before 3.6 tells of every change too: of a new interface, its first rule, and data", async (t) => {
  const fake = await fakeFor(t);
  fake.isOld = true;
  register(fake);
  fake.put("/services/orders/1", springData({ app: "orders" }));
  const dubbo = registryAt(t, fake.address);
  const isEmptied = (snapshot: Snapshot) => services(snapshot)[API]?.endpoints.length === 0;
  let seen = await read(dubbo);
  for (let round = 0; round < 2; round++) {
    const rule = `/dubbo/${API}/configurators/${configuratorNode("192.0.2.1:20880", { disabled: true })}`;
    fake.put(rule);
    seen = await readUntil(dubbo, seen, isEmptied);
    fake.remove(rule);
    seen = await readUntil(dubbo, seen, (snapshot) => !isEmptied(snapshot));
  }
  fake.put(`/dubbo/${STOCK}`);
  seen = await readUntil(dubbo, seen, ({ skipped }) => skipped?.infrastructure === 1);
  register(fake, { interface: STOCK });
  seen = await readUntil(dubbo, seen, (snapshot) => services(snapshot)[STOCK] !== undefined);
  fake.remove(`/dubbo/${STOCK}`);
  await readUntil(dubbo, seen, (snapshot) => snapshot.services.length === 1 && snapshot.skipped?.infrastructure === 0);

  const apps = registryAt(t, fake.address, { layout: "curator" });
  let before = await read(apps);
  for (const address of ["192.0.2.7", "192.0.2.8"]) {
    fake.put("/services/orders/1", springData({ app: "orders", address }));
    before = await readUntil(apps, before, (snapshot) => addresses(snapshot, "orders")?.[0] === address);
  }
});

test("an interface within a class has a node that is encoded, and the name that callers have", async (t) => {
  const fake = await fakeFor(t);
  const name = "com.acme.Orders$Api";
  const path = providerPath({ interface: name }).replaceAll("$", "%24");
  fake.put(path);
  const registry = registryAt(t, fake.address);
  const before = await read(registry);
  assert.deepEqual(Object.keys(services(before)), [name]);
  fake.remove(path);
  const standing = () => [`zk/default/${name}`, `zk/default/shop/${name}:1.0`];
  const after = await registry.read(AbortSignal.timeout(10_000), { trigger: "poll", standing });
  assert.deepEqual(Object.keys(services(after)), [name, `shop/${name}:1.0`]);
});
