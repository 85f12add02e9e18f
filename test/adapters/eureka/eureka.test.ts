import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { faultRow } from "../../faults/row.ts";
import { addresses, appsOf, failures, read, registryAt, type Stub, services, startStub, stubFor } from "./registry.ts";

const orders = (...hosts: readonly string[]) => hosts.map((address) => ({ app: "orders", address }));
/** A clock that stands until it is moved. */
const clock = () => {
  const state = { ms: 1_000_000 };
  const pass = (ms: number) => {
    state.ms += ms;
  };
  return Object.assign(() => state.ms, { pass });
};
const silence = (stub: Stub) => {
  stub.special = Object.fromEntries(
    ["/eureka/apps", "/eureka/apps/delta"].map((path) => [path, (_request, response) => void response.destroy()]),
  ) as Stub["special"];
};

test("read() gives applications in lower case, and passes over what is not wanted", async (t) => {
  const stub = await stubFor(t);
  stub.instances = [
    ...orders("192.0.2.1"),
    { app: "Stock_Keeper", address: "192.0.2.2" },
    { app: "test-1", address: "192.0.2.3" },
  ];
  const snapshot = await read(registryAt(t, stub.address, { services: { exclude: ["test-*"] } }));
  assert.deepEqual(Object.keys(services(snapshot)), ["orders", "stock_keeper"]);
  assert.deepEqual(snapshot.skipped, { filter: 1, kubernetes: 0, name: 0 });
  assert.equal(snapshot.caseless, true);
  assert.equal(snapshot.incomplete, undefined);
  const { accept, "accept-encoding": encoding = "" } = stub.asked.at(-1)?.headers ?? {};
  assert.equal(accept, "application/json"); // or else it answers XML
  assert.match(`${encoding}`, /gzip/);
});

test(
  faultRow({
    target: "Eureka",
    fault: "the server sends to another one",
    expect: "nobody follows: the password is for this one",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.instances = orders("192.0.2.1");
    const registry = registryAt(t, stub.address, { basicAuth: { username: "reader", password: "opensesame" } });
    await read(registry);
    assert.equal(stub.asked.at(-1)?.headers.authorization, `Basic ${btoa("reader:opensesame")}`);
    const other = await stubFor(t);
    stub.special["/eureka/apps"] = (_request, response) =>
      void response.writeHead(302, { location: `${other.address}/apps` }).end();
    await assert.rejects(read(registry), /GET \/eureka\/apps: no answer/);
    assert.equal(other.asked.length, 0);
  },
);

const faults = [
  { name: "the password is wrong", status: 401, error: /GET \/eureka\/apps: 401/, failure: "denied" },
  { name: "the server is at fault", status: 500, error: /500/, failure: "server" },
  { name: "a proxy speaks in its place", status: 503, error: /503/, failure: "connection" },
  { name: "there is no Eureka", status: 404, error: /404/, failure: "answer" },
];
for (const { name, status, error, failure } of faults)
  test(
    faultRow(
      {
        target: "Eureka",
        fault: "the list is refused, by the server or by a proxy before it",
        expect: "the read fails as a whole: everything of this registry stays",
        peer: "slime #389",
      },
      name,
    ),
    async (t) => {
      const stub = await stubFor(t);
      stub.special["/eureka/apps"] = (_request, response) => void response.writeHead(status).end("<html>");
      await assert.rejects(read(registryAt(t, stub.address)), (thrown: Error & { failure?: string }) => {
        assert.match(thrown.message, error);
        assert.equal(thrown.failure, failure);
        return true;
      });
    },
  );

const bodies = [
  { name: "XML", body: Buffer.from("<applications/>"), error: /is no JSON/ },
  {
    name: "half a compressed answer",
    body: gzipSync(JSON.stringify(appsOf(orders("192.0.2.1")))).subarray(0, 60),
    gzip: true,
    error: /no answer|is no JSON/,
  },
  {
    name: "a compressed answer that becomes too large",
    body: gzipSync(Buffer.alloc(100 * 1024 * 1024, " ")),
    gzip: true,
    error: /is larger than/,
  },
  { name: "too many values", body: Buffer.from(`[${"1,".repeat(8_000_001)}1]`), error: /values/ },
];
for (const { name, body, gzip = false, error } of bodies)
  test(
    faultRow(
      {
        target: "Eureka",
        fault: "the list is no JSON, cut, too large, or too large when it is inflated",
        expect: "the read fails as a whole: everything of this registry stays",
        peer: "higress",
      },
      name,
    ),
    async (t) => {
      const stub = await stubFor(t);
      const headers = { "content-type": "application/json", ...(gzip ? { "content-encoding": "gzip" } : {}) };
      stub.special["/eureka/apps"] = (_request, response) => void response.writeHead(200, headers).end(body);
      await assert.rejects(read(registryAt(t, stub.address)), error);
    },
  );

test(
  faultRow({
    target: "Eureka",
    fault: "an answer does not come to its end",
    expect: "the read fails after the timeout",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.special["/eureka/apps"] = (_request, response) => void response.write("{");
    await assert.rejects(read(registryAt(t, stub.address, { timeout: "200ms" })), /was not complete within 200 ms/);
  },
);

test(
  faultRow({
    target: "Eureka",
    fault: "a server answers again and lists a part only",
    expect: "what it lacks stays for two renewals, new instances are taken at once",
    peer: "slime",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const now = clock();
    const registry = registryAt(t, stub.address, {}, now);
    stub.instances = [...orders("192.0.2.1", "192.0.2.2"), { app: "stock", address: "192.0.2.3" }];
    await read(registry);

    silence(stub);
    await assert.rejects(read(registry), /no answer/);
    stub.special = {};
    stub.instances = [];
    assert.deepEqual((await read(registry)).services, []);
    stub.instances = [...orders("192.0.2.2", "192.0.2.4"), { app: "new", address: "192.0.2.5" }];
    const settling = await read(registry);
    assert.match(settling.incomplete ?? "", /answers since a moment ago/);
    assert.match(failures(settling)["spring/default/orders"] ?? "", /lists 1 instances less, which may come back/);
    assert.deepEqual(addresses(settling, "new"), ["192.0.2.5"]);

    stub.instances = [...orders("192.0.2.1", "192.0.2.2", "192.0.2.4"), { app: "new", address: "192.0.2.5" }];
    assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1", "192.0.2.2", "192.0.2.4"]);

    stub.instances = orders("192.0.2.1");
    now.pass(59_999);
    assert.match(failures(await read(registry))["spring/default/orders"] ?? "", /lists 2 instances less/);
    now.pass(1);
    const settled = await read(registry);
    assert.equal(settled.incomplete, undefined);
    assert.deepEqual(addresses(settled, "orders"), ["192.0.2.1"]);
    assert.deepEqual(Object.keys(services(settled)), ["orders"]);
  },
);

test(
  faultRow({
    target: "Eureka",
    fault: "a request is refused and the next one is not",
    expect: "the server is believed: it was not away",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const registry = registryAt(t, stub.address);
    stub.instances = orders("192.0.2.1", "192.0.2.2");
    await read(registry);
    stub.special["/eureka/apps"] = (_request, response) => void response.writeHead(500).end();
    await assert.rejects(read(registry));
    stub.special = {};
    stub.instances = orders("192.0.2.2");
    const snapshot = await read(registry);
    assert.equal(snapshot.incomplete, undefined);
    assert.deepEqual(addresses(snapshot, "orders"), ["192.0.2.2"]);
  },
);

test(
  faultRow({
    target: "Eureka",
    fault: "of several servers the one that is asked fails",
    expect: "the next one is asked, slow to be believed, and stays",
  }),
  async (t) => {
    const [first, second] = [await stubFor(t), await stubFor(t)];
    first.instances = orders("192.0.2.1");
    second.instances = orders("192.0.2.1", "192.0.2.2");
    const registry = registryAt(t, [first.address, second.address]);
    assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"]);
    assert.equal(second.asked.length, 0);
    first.special["/eureka/apps"] = (_request, response) => void response.writeHead(500).end();
    const other = await read(registry);
    assert.deepEqual(addresses(other, "orders"), ["192.0.2.1", "192.0.2.2"]);
    assert.match(other.incomplete ?? "", /answers since a moment ago/);
    first.special = {};
    const asked = first.asked.length;
    await read(registry);
    assert.equal(first.asked.length, asked);
  },
);

test(
  faultRow({
    target: "Eureka",
    fault: "an instance cannot be understood",
    expect: "its application stays as it was, the others change",
    peer: "higress",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const registry = registryAt(t, stub.address);
    stub.instances = [...orders("192.0.2.1"), { app: "stock", address: "192.0.2.3" }];
    await read(registry);
    stub.instances = [
      { app: "orders", address: "192.0.2.1", fields: { port: 5 } },
      { app: "stock", address: "192.0.2.4" },
    ];
    const snapshot = await read(registry);
    assert.match(failures(snapshot)["spring/default/orders"] ?? "", /port of an instance/);
    assert.deepEqual(addresses(snapshot, "stock"), ["192.0.2.4"]);
  },
);

test(
  faultRow({ target: "Eureka", fault: "the list of changes is turned off", expect: "changes are seen at polls" }),
  async (t) => {
    const stub = await startStub();
    t.after(() => stub.close());
    stub.special["/eureka/apps/delta"] = (_request, response) => void response.writeHead(403).end();
    stub.instances = orders("192.0.2.1");
    const registry = registryAt(t, stub.address);
    const { revision } = await read(registry);
    const stop = new AbortController();
    const waiting = registry.waitForChange(revision, stop.signal);
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"]);
  },
);
