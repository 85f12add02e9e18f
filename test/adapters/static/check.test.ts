import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createMetrics, type Metrics } from "../../../src/metrics.ts";
import type { Snapshot } from "../../../src/model/adapter.ts";
import type { Service } from "../../../src/model/service.ts";
import { faultRow } from "../../faults/row.ts";
import { until as eventually, GENEROUS_MS } from "../../until.ts";
import { adapterIn, folder, holdsNoMoreThan, read, services } from "./fixture.ts";

/** No answer that comes is too late, however busy the machine is. */
const FAST = "interval: 100ms, timeout: 60s";

async function listen(t: TestContext, server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function checked(
  t: TestContext,
  ports: readonly number[],
  check: string,
  options: object = {},
  metrics = createMetrics(),
) {
  const dir = await folder(t);
  const endpoints = ports.map((port) => `{address: 127.0.0.1, ports: {main: ${port}}}`).join(", ");
  await writeFile(
    join(dir, "services.yaml"),
    `services:\n  - {name: a, ports: [{name: main, number: 80, protocol: http}], endpoints: [${endpoints}], check: {${check}}}\n`,
  );
  return adapterIn(dir, options, metrics);
}

/** Read, wait and read again until the service is as wanted. */
async function until(adapter: ReturnType<typeof adapterIn>, wanted: (service: Service) => boolean): Promise<Snapshot> {
  const deadline = AbortSignal.timeout(GENEROUS_MS);
  for (let snapshot = await read(adapter); ; snapshot = await read(adapter)) {
    const service = services(snapshot)["a"];
    if (service !== undefined && wanted(service)) return snapshot;
    await adapter.waitForChange(snapshot.revision, deadline);
  }
}

/** Wait for a change that does not come although `isProven` comes true. */
async function notWoken(
  adapter: ReturnType<typeof adapterIn>,
  { revision }: Snapshot,
  isProven: () => boolean | Promise<boolean>,
) {
  const enough = new AbortController();
  let isWoken = false;
  const waiting = adapter.waitForChange(revision, enough.signal).then(() => {
    isWoken = true;
  });
  await eventually(isProven);
  assert.ok(!isWoken);
  enough.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
}

async function failedProbes(metrics: Metrics): Promise<number> {
  const found = await metrics.registry.getSingleMetric("x2istio_static_probes_total")?.get();
  return found?.values.find(({ labels }) => labels["result"] === "failed")?.value ?? 0;
}

const portsOf = (service: Service | undefined) => service?.endpoints.map(({ ports }) => ports?.["main"]);

test("a check takes an endpoint out after `fall` failures and back in after `rise` successes", async (t) => {
  const good = await listen(
    t,
    createServer((socket) => socket.destroy()),
  );
  const bad = await freePort();
  const metrics = createMetrics();
  const adapter = await checked(t, [good, bad], `tcp: main, ${FAST}, rise: 2, fall: 3`, {}, metrics);
  const first = services(await read(adapter))["a"];
  assert.deepEqual(portsOf(first), [good, bad], "healthy until shown otherwise");

  const out = await until(adapter, ({ leftOut }) => leftOut.length > 0);
  const service = services(out)["a"];
  assert.deepEqual(portsOf(service), [good]);
  assert.equal(service?.leftOut[0]?.address, `127.0.0.1:${bad}`);
  assert.match(
    service?.leftOut[0]?.reason ?? "",
    new RegExp(
      `^unhealthy: connect ECONNREFUSED 127\\.0\\.0\\.1:${bad}, 3 probes since \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$`,
    ),
  );
  assert.match(await metrics.registry.metrics(), /x2istio_static_down_count\{registry="vms"\} 1\n/);
  const failed = await failedProbes(metrics);
  // Still unhealthy is no news.
  await notWoken(adapter, out, async () => (await failedProbes(metrics)) >= failed + 3);
  assert.equal((await read(adapter)).services[0], out.services[0], "nor a new object");

  await listen(
    t,
    createServer((socket) => socket.destroy()),
    bad,
  );
  const back = await until(adapter, ({ leftOut }) => leftOut.length === 0);
  assert.deepEqual(services(back)["a"], first);
  const text = await metrics.registry.metrics();
  assert.match(text, /x2istio_static_down_count\{registry="vms"\} 0\n/);
  assert.match(text, /x2istio_static_probes_total\{registry="vms",result="failed"\} [3-9]/);
});

for (const failOpen of [true, false]) {
  test(
    faultRow(
      {
        target: "static",
        fault: "all health checks of a service fail at once",
        expect: "its endpoints stay, unless failOpen is off",
        peer: "higress #4390",
      },
      failOpen ? "keeps all in" : "failOpen: false",
    ),
    async (t) => {
      const ports = [await freePort(), await freePort()];
      const adapter = await checked(t, ports, `tcp: main, ${FAST}, fall: 1`, { failOpen });
      const service = services(await until(adapter, ({ notes }) => notes.length > 0))["a"];
      assert.deepEqual(portsOf(service), failOpen ? ports : []);
      assert.equal(service?.leftOut.length, failOpen ? 0 : 2);
      assert.match(
        service?.notes[0] ?? "",
        failOpen
          ? /^no endpoint passes its check, so all are kept \(failOpen\): 127\.0\.0\.1:\d+ unhealthy: connect ECONNREFUSED/
          : /^no endpoint passes its check and none is kept \(failOpen: false\)$/,
      );
    },
  );
}

const answers: { name: string; check: string; timing?: string; out: RegExp | undefined }[] = [
  { name: "passes the status that is expected", check: "http: {port: main, path: /ok}", out: undefined },
  {
    name: "passes one of several statuses",
    check: "http: {port: main, path: /gone, status: [200, 410]}",
    out: undefined,
  },
  { name: "passes a single status", check: "http: {port: main, path: /gone, status: 410}", out: undefined },
  {
    name: "fails another status",
    check: "http: {port: main, path: /gone}",
    out: /^unhealthy: GET \/gone answered 410, 1 probe since/,
  },
  {
    name: "does not follow a redirect",
    check: "http: {port: main, path: /moved}",
    out: /^unhealthy: GET \/moved answered 302/,
  },
  {
    name: "fails an answer that does not come",
    check: "http: {port: main, path: /never}",
    timing: "interval: 100ms, timeout: 200ms",
    out: /^unhealthy: no answer within 200 ms/,
  },
  { name: "passes a body that does not end", check: "http: {port: main, path: /endless}", out: undefined },
];
for (const { name, check, timing = FAST, out } of answers) {
  test(`an HTTP check ${name}`, async (t) => {
    let asked = 0;
    const server = createHttpServer(({ url }, response) => {
      asked++;
      if (url === "/never") return;
      response.writeHead(url === "/gone" ? 410 : url === "/moved" ? 302 : 200, { location: "/ok" });
      if (url === "/endless") response.write("x");
      else response.end();
    });
    t.after(() => server.closeAllConnections());
    const adapter = await checked(t, [await listen(t, server)], `${check}, ${timing}, fall: 1`, { failOpen: false });
    if (out !== undefined) {
      assert.match(
        services(await until(adapter, ({ leftOut }) => leftOut.length > 0))["a"]?.leftOut[0]?.reason ?? "",
        out,
      );
      return;
    }
    await notWoken(adapter, await read(adapter), () => asked >= 4);
  });
}

test("checks keep to maxProbes in flight", async (t) => {
  const open: ServerResponse[] = [];
  let most = 0;
  let asked = 0;
  // It answers all once there are three, and leaves a fourth the time to come.
  const server = createHttpServer((_, response) => {
    most = Math.max(most, open.push(response));
    if (++asked % 3 === 0)
      setTimeout(() => {
        for (const one of open.splice(0)) one.end();
      }, 30);
  });
  t.after(() => server.closeAllConnections());
  const port = await listen(t, server);
  const dir = await folder(t);
  const many = Array.from(
    { length: 20 },
    (_, index) =>
      `  - {name: s${index}, ports: [{name: main, number: ${port}, protocol: http}], endpoints: [{address: 127.0.0.1}], check: {http: {port: main}, ${FAST}}}\n`,
  );
  await writeFile(join(dir, "services.yaml"), `services:\n${many.join("")}`);
  const adapter = adapterIn(dir, { maxProbes: 3 });
  await notWoken(adapter, await read(adapter), () => asked >= 42);
  assert.equal(most, 3);
});

test("checks run only while someone waits, and what they found outlives the wait", async (t) => {
  let asked = 0;
  const server = createServer((socket) => {
    asked++;
    socket.destroy();
  });
  const adapter = await checked(t, [await listen(t, server), await freePort()], `tcp: main, ${FAST}, fall: 1`);
  const out = await until(adapter, ({ leftOut }) => leftOut.length > 0);
  // Someone else waits meanwhile.
  let others = 0;
  const busy = createServer((socket) => {
    others++;
    socket.destroy();
  });
  const other = await checked(t, [await listen(t, busy)], `tcp: main, ${FAST}`);
  await notWoken(other, await read(other), () => others >= 3);
  const before = asked;
  await notWoken(other, await read(other), () => others >= 6);
  assert.equal(asked, before);
  assert.equal((await read(adapter)).services[0], out.services[0]);
});

test("checks go on, and keep an endpoint out, while the file is broken", async (t) => {
  const dir = await folder(t);
  const file = join(dir, "services.yaml");
  const bad = await freePort();
  const text = `services:\n  - {name: a, ports: [{name: main, number: ${bad}, protocol: tcp}], endpoints: [{address: 127.0.0.1}], check: {tcp: main, ${FAST}, fall: 1}}\n`;
  await writeFile(file, text);
  const adapter = adapterIn(dir, { failOpen: false });
  const out = await until(adapter, ({ leftOut }) => leftOut.length > 0);
  await writeFile(file, "services: [");
  assert.ok((await read(adapter)).incomplete);
  await writeFile(file, text);
  assert.equal((await read(adapter)).services[0], out.services[0]);
});

test("a waiting adapter leaves no socket behind when it is aborted in mid-probe", async (t) => {
  const sockets = new Set<unknown>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket
      .on("close", () => sockets.delete(socket))
      .on("error", () => {})
      .resume();
  });
  const adapter = await checked(t, [await listen(t, server)], `http: {port: main}, ${FAST}`);
  const snapshot = await read(adapter);
  const before = process.getActiveResourcesInfo().filter((kind) => kind !== "TCPSocketWrap");
  await notWoken(adapter, snapshot, () => sockets.size > 0);
  await eventually(() => sockets.size === 0 && holdsNoMoreThan(before));
});
