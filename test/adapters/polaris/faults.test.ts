import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { describeError, ReadError } from "../../../src/errors.ts";
import { isPrintable } from "../../../src/istio/limits.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { faultRow } from "../../faults/row.ts";
import type { Fault } from "../../polaris/faults.ts";
import type { Polaris } from "../../polaris/polaris.ts";
import { securityRow } from "../../security/row.ts";
import { startTcpProxy } from "../../servers/tcp-proxy.ts";
import { adapterOf, failures, hint, places, poll, serverOf, services } from "./fixture.ts";

const names = ["a", "b", "c"];

function fill(server: Polaris): void {
  for (const [at, service] of names.entries())
    server.register({ namespace: "default", service, host: `192.0.2.${at + 1}`, port: 80, protocol: "http" });
}

const all = names.map((name) => `default/${name}`);
const others = ["default/a", "default/c"];

const oneFails: readonly { name: string; fault: Fault; failure: string; message: RegExp }[] = [
  {
    name: "is answered with an error of the server",
    fault: { kind: "code", code: 500001 },
    failure: "server",
    message: /has code 500001/,
  },
  { name: "is forbidden", fault: { kind: "code", code: 403001 }, failure: "denied", message: /has code 403001/ },
  {
    name: "is listed and not known",
    fault: { kind: "code", code: 400202 },
    failure: "answer",
    message: /is listed, but the server answers that there is no such service/,
  },
  {
    name: "is closed upon without an answer",
    fault: { kind: "close" },
    failure: "connection",
    message: /closed the connection without an answer, as it does for a name/,
  },
  { name: "hangs", fault: { kind: "hang" }, failure: "timeout", message: /was not complete within 2000 ms/ },
  {
    name: "trickles",
    fault: { kind: "throttle", bytesPerSecond: 100 },
    failure: "timeout",
    message: /was not complete within 2000 ms/,
  },
  { name: "is cut off", fault: { kind: "truncate" }, failure: "answer", message: /ended early/ },
  {
    name: "is cut off in chunks",
    fault: { kind: "truncate", chunked: true },
    failure: "answer",
    message: /ended early/,
  },
  { name: "is no JSON", fault: { kind: "text", body: "<html>" }, failure: "answer", message: /is no JSON/ },
  {
    name: "is huge",
    fault: { kind: "huge", bytes: 10 * 1024 * 1024 },
    failure: "answer",
    message: /is larger than 8388608 bytes/,
  },
  {
    name: "meets a proxy's error",
    fault: { kind: "status", status: 502, body: "Bad Gateway" },
    failure: "server",
    message: /has status 502/,
  },
  {
    name: "is about another service",
    fault: { kind: "edit", edit: (body) => ({ ...body, service: { name: "x", namespace: "default" } }) },
    failure: "answer",
    message: /is about INSTANCE of default\/x/,
  },
  {
    name: "is said to be unchanged from the start",
    fault: { kind: "code", code: 200001 },
    failure: "answer",
    message: /though no revision was sent/,
  },
  {
    name: "stays too much to ask for",
    fault: { kind: "code", code: 429001 },
    failure: "server",
    message: /has code 429001/,
  },
];
for (const { name, fault, failure, message } of oneFails) {
  test(
    faultRow(
      {
        target: "Polaris",
        fault: "the answer of one service is refused, cut, damaged, too large, or does not come",
        expect: "that service stays as it was, the others change",
        peer: "consul2istio",
      },
      name,
    ),
    async (t) => {
      const server = await serverOf(t);
      fill(server);
      const adapter = adapterOf(t, { address: server.address, ...(failure === "timeout" ? { timeout: "2s" } : {}) });
      const undo = server.fault({ ...fault, match: { service: "b" } });
      const snapshot = await poll(adapter);
      assert.deepEqual(Object.keys(services(snapshot)), others);
      const cause = failures(snapshot)["prod/default/b"];
      assert.ok(cause instanceof ReadError);
      assert.equal(cause.failure, failure);
      assert.match(cause.message, message);
      assert.equal(snapshot.incomplete, undefined);
      undo();
      assert.deepEqual(Object.keys(services(await poll(adapter))), all);
    },
  );
}

/** Answers about `b` that are whole JSON and yet no answer, and texts of a server that are not to reach a terminal or a log. */
const EVIL = `x\u001b[2J\n\u202e${"y".repeat(5000)}`;
type Body = Readonly<Record<string, unknown>> & { readonly instances: readonly object[] };
const badAnswers: readonly { name: string; edit: (body: Body) => unknown; message: RegExp }[] = [
  {
    name: "without a list of instances",
    edit: ({ instances: _, ...body }) => body,
    message: /has no list of instances$/,
  },
  { name: "whose list of instances is null", edit: (body) => ({ ...body, instances: null }), message: /has no list/ },
  {
    name: "about an alias of what is no name",
    edit: (body) => ({ ...body, aliasFor: { namespace: "default", name: EVIL } }),
    message: /is about an alias of default\/x\?\[2J\?y+…, which is no name$/,
  },
  { name: "of a type of its own", edit: (body) => ({ ...body, type: EVIL }), message: /is about x\?\[2J\?y+…$/ },
  { name: "with a long reason", edit: (body) => ({ ...body, code: 500000, info: EVIL }), message: /: x\?\[2J\?y+…$/ },
  {
    name: "with metadata that are no texts",
    edit: (body) => ({ ...body, instances: body.instances.map((one) => ({ ...one, metadata: { [EVIL]: 7 } })) }),
    message: /cannot be understood: instances\.0\.metadata\.x\?\[2J\?y+…: Invalid input/,
  },
];
for (const { name, edit, message } of badAnswers) {
  test(`read() fails a service on an answer ${name}`, async (t) => {
    const server = await serverOf(t);
    fill(server);
    const adapter = adapterOf(t, { address: server.address });
    await poll(adapter);
    server.fault({ kind: "edit", edit: (body) => edit(body as Body), match: { service: "b" } });
    const text = describeError(failures(await poll(adapter))["prod/default/b"]);
    assert.match(text, message);
    assert.ok(isPrintable(text) && text.length < 400, `${text.length} characters`);
  });
}

test(
  securityRow({
    who: "registry server",
    attack: "answers with escape sequences",
    outcome: "no error shows what a terminal would obey",
  }),
  async (t) => {
    const server = await serverOf(t);
    fill(server);
    server.fault({ kind: "text", body: EVIL, match: { service: "b" } });
    const text = describeError(failures(await poll(adapterOf(t, { address: server.address })))["prod/default/b"]);
    assert.ok(isPrintable(text), JSON.stringify(text));
  },
);

test("read() throws when the list is not there, or is of another namespace, or endless", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address, namespaces: ["default"], timeout: "5m" });
  await poll(adapter);
  const name = { namespace: "default", name: "a" };
  for (const edit of [
    ({ services: _, ...body }: Readonly<Record<string, unknown>>) => body,
    (body: Readonly<Record<string, unknown>>) => ({ ...body, service: { namespace: "Test" }, services: [] }),
    (body: Readonly<Record<string, unknown>>) => ({ ...body, services: Array.from({ length: 200_001 }, () => name) }),
  ]) {
    const undo = server.fault({ kind: "edit", edit, match: { type: "SERVICES" } });
    await assert.rejects(poll(adapter), { name: "ReadError", failure: "answer" });
    undo();
  }
});

test(
  securityRow({
    who: "registry tenant",
    attack: "gives instances metadata that steer Istio, or have the names of every object's own fields",
    outcome: "the service is read without them",
  }),
  async (t) => {
    const server = await serverOf(t);
    const metadata = JSON.parse(
      '{"__proto__": "x", "constructor": "y", "istio.io/rev": "a", "networking.istio.io/tunnel": "b", "Istio.io/c": "d"}',
    );
    server.register({
      namespace: "default",
      service: "a",
      host: "192.0.2.1",
      port: 80,
      protocol: "__proto__",
      metadata,
    });
    const service = services(await poll(adapterOf(t, { address: server.address })))["default/a"];
    assert.deepEqual(service?.endpoints, [{ address: "192.0.2.1", weight: 100, labels: { constructor: "y" } }]);
    assert.deepEqual(
      service?.ports.map(({ name, protocol }) => [name, protocol]),
      [["proto", "TCP"]],
    );
    assert.equal(({} as Record<string, unknown>)["x"], undefined);
  },
);

const listFails: readonly { name: string; fault: Fault; failure: string }[] = [
  { name: "is denied", fault: { kind: "code", code: 401001 }, failure: "denied" },
  { name: "is an error of the server", fault: { kind: "code", code: 500000 }, failure: "server" },
  { name: "hangs", fault: { kind: "hang" }, failure: "timeout" },
  { name: "is closed upon", fault: { kind: "close" }, failure: "connection" },
  { name: "is no JSON", fault: { kind: "text" }, failure: "answer" },
  { name: "is too much to ask for", fault: { kind: "code", code: 403003 }, failure: "server" },
];
for (const { name, fault, failure } of listFails) {
  test(
    faultRow(
      {
        target: "Polaris",
        fault: "the list is refused, damaged, or does not come",
        expect: "the read fails as a whole",
        peer: "slime #389",
      },
      name,
    ),
    async (t) => {
      const server = await serverOf(t);
      fill(server);
      const adapter = adapterOf(t, { address: server.address, ...(failure === "timeout" ? { timeout: "2s" } : {}) });
      const first = await poll(adapter);
      const undo = server.fault({ ...fault, match: { type: "SERVICES" } });
      await assert.rejects(poll(adapter), {
        name: "ReadError",
        failure,
        message: /^Cannot read services of registry "prod"$/,
      });
      undo();
      const again = services(await poll(adapter));
      for (const name of all) assert.equal(again[name], services(first)[name], "the same objects as before");
    },
  );
}

test(
  faultRow({
    target: "Polaris",
    fault: "one of two namespaces cannot be listed",
    expect: "its services stay, the other's change",
    peer: "consul2istio",
  }),
  async (t) => {
    const server = await serverOf(t);
    fill(server);
    server.register({ namespace: "Production", service: "d", host: "192.0.2.9", port: 80 });
    const adapter = adapterOf(t, { address: server.address, namespaces: ["default", "Production"] });
    await poll(adapter);
    const undo = server.fault({ kind: "code", code: 500000, match: { type: "SERVICES", namespace: "default" } });
    const { incomplete = "", ...snapshot } = await poll(adapter);
    assert.match(incomplete, /SERVICES of namespace default: the answer has code 500000/);
    assert.deepEqual(Object.keys(services(snapshot)), ["Production/d", ...all]);
    undo();
    assert.equal((await poll(adapter)).incomplete, undefined);
  },
);

test(
  faultRow({
    target: "Polaris",
    fault: "all services hang, one after the other",
    expect: "the registry is given up for now, and not asked a thousand times",
  }),
  async (t) => {
    const server = await serverOf(t);
    for (let at = 0; at < 100; at++)
      server.register({ namespace: "default", service: `s${at}`, host: "192.0.2.1", port: 80 });
    server.fault({ kind: "hang", match: { type: "INSTANCE" } });
    const adapter = adapterOf(t, { address: server.address, timeout: "200ms" });
    await assert.rejects(poll(adapter), { name: "ReadError", failure: "timeout" });
    assert.ok(server.requests.length < 70, `${server.requests.length} requests`);
  },
);

test("read() goes on when many fail that are all of one tenant", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address });
  await poll(adapter);
  for (let at = 0; at < 100; at++)
    server.register({ namespace: "tenant", service: `s${at}`, host: "192.0.2.1", port: 80 });
  server.fault({ kind: "status", status: 500, match: { namespace: "tenant" } });
  const snapshot = await poll(adapter);
  assert.deepEqual(Object.keys(services(snapshot)), all);
  assert.equal(Object.keys(failures(snapshot)).length, 100);
});

const resets: readonly { name: string; namesake?: boolean; others?: string }[] = [
  { name: "no other namespace has one of that name" },
  { name: "the connections of others break too", namesake: true, others: "c" },
];
for (const { name, namesake, others } of resets) {
  test(
    faultRow(
      {
        target: "Polaris",
        fault: "the handler of a request panics: the connection closes",
        expect: "the service stays",
      },
      name,
    ),
    async (t) => {
      const server = await serverOf(t);
      fill(server);
      if (namesake === true) server.register({ namespace: "Production", service: "b", host: "192.0.2.9", port: 80 });
      const adapter = adapterOf(t, { address: server.address });
      await poll(adapter);
      server.fault({
        kind: "edit",
        edit: (body) => ({
          ...body,
          services: (body["services"] as { namespace: string; name: string }[]).filter(
            (one) => one.namespace !== "default" || one.name !== "b",
          ),
        }),
        match: { type: "SERVICES" },
      });
      server.fault({ kind: "close", match: { namespace: "default", service: "b" } });
      if (others !== undefined) server.fault({ kind: "close", match: { service: others } });
      for (let round = 0; round < 5; round++)
        assert.ok(Object.hasOwn(failures(await poll(adapter)), "prod/default/b"), `round ${round}`);
    },
  );
}

test(
  faultRow({
    target: "Polaris",
    fault: "another server takes over and knows less",
    expect: "what it lacks stays",
    peer: "consul-k8s #4714",
  }),
  async (t) => {
    const [first, second] = [await serverOf(t), await serverOf(t)];
    fill(first);
    for (const service of ["a", "c"])
      second.register({ namespace: "default", service, host: "192.0.2.1", port: 80, protocol: "http" });
    second.deregister(second.register({ namespace: "default", service: "c", host: "192.0.2.1", port: 80 }));
    const adapter = adapterOf(t, { address: [first.address, second.address] });
    await poll(adapter);
    await first.stop();
    const snapshot = await poll(adapter);
    assert.deepEqual(Object.keys(services(snapshot)), ["default/a"]);
    assert.deepEqual(Object.keys(failures(snapshot)), ["prod/default/b", "prod/default/c"]);
  },
);

test("read() takes nothing away on an empty list while one server of several behind an address answers", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address, namespaces: ["default"] });
  await poll(adapter);
  server.fault({ kind: "empty", match: { type: "SERVICES" } });
  server.fault({ kind: "code", code: 400202, match: { service: "b" } });
  const snapshot = await poll(adapter);
  assert.deepEqual(Object.keys(services(snapshot)), others);
  assert.deepEqual(Object.keys(failures(snapshot)), ["prod/default/b"]);
});

test(
  faultRow({
    target: "Polaris",
    fault: "it has many services",
    expect: "no more connections are opened than maxInFlight allows",
  }),
  async (t) => {
    const server = await serverOf(t);
    for (let at = 0; at < 60; at++)
      server.register({ namespace: "default", service: `s${at}`, host: "192.0.2.1", port: 80 });
    const proxy = await startTcpProxy(Number(new URL(server.address).port));
    t.after(() => proxy.stop());
    const adapter = adapterOf(t, { address: `http://127.0.0.1:${proxy.port}`, maxInFlight: 4 });
    const snapshot = await poll(adapter);
    assert.ok(Object.keys(services(snapshot)).length >= 60);
    assert.ok(proxy.connections() <= 4, `${proxy.connections()} connections`);
  },
);

test("a service that is listed and could not be asked for is unread on a hint, not gone", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address, maxInFlight: 1 });
  const before = await poll(adapter);
  for (let at = 0; at < 40; at++)
    server.register({ namespace: "default", service: `s${at}`, host: "192.0.2.1", port: 80 });
  server.fault({ kind: "code", code: 500000, match: { type: "INSTANCE" } });
  const snapshot = await hint(adapter, before);
  assert.equal(snapshot.services.length, 43);
});

const steady: readonly { name: string; fault: Fault }[] = [
  { name: "a revision that is another one each time", fault: { kind: "revision" } },
  { name: "an exported name that is merged in any order", fault: { kind: "flap" } },
  { name: "a registry that is too busy", fault: { kind: "code", code: 429002, count: 2 } },
];
for (const { name, fault } of steady) {
  test(
    faultRow(
      { target: "Polaris", fault: "revisions move although nothing changes", expect: "nothing is written" },
      name,
    ),
    async (t) => {
      const server = await serverOf(t);
      fill(server);
      server.setService("default", "a", { export_to: ["Production"] });
      for (let at = 0; at < 4; at++)
        server.register({ namespace: "Production", service: "a", host: `192.0.2.${at + 20}`, port: 80 });
      const adapter = adapterOf(t, { address: server.address });
      const first = await poll(adapter);
      server.fault(fault);
      for (let round = 0; round < 4; round++) {
        const snapshot = await poll(adapter);
        assert.equal(snapshot.revision, first.revision);
        assert.deepEqual(failures(snapshot), {});
        for (const [id, service] of Object.entries(services(first))) assert.equal(services(snapshot)[id], service);
      }
    },
  );
}

test("read() asks for what is unchanged by its revision, from the third time on", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address });
  for (let round = 0; round < 3; round++) await poll(adapter);
  const told = server.requests
    .slice(-3)
    .map(({ body }) => (body as { service: { revision?: string } }).service.revision);
  assert.ok(told.every((revision) => revision !== undefined));
  server.register({ namespace: "default", service: "b", host: "192.0.2.50", port: 80, protocol: "http" });
  assert.equal(services(await poll(adapter))["default/b"]?.endpoints.length, 2);
});

test(
  faultRow({
    target: "Polaris",
    fault: "a list is empty or short with status 200",
    expect: "each missing service is asked for and stays while it answers",
    peer: "external-dns #3841",
  }),
  async (t) => {
    const server = await serverOf(t);
    fill(server);
    const adapter = adapterOf(t, { address: server.address, namespaces: ["default"] });
    const first = await poll(adapter);
    const fewer = (body: Readonly<Record<string, unknown>>) => ({
      ...body,
      services: (body["services"] as unknown[]).slice(0, 1),
    });
    for (const fault of [{ kind: "empty" }, { kind: "edit", edit: fewer }] as const) {
      const undo = server.fault({ ...fault, match: { type: "SERVICES" } });
      const snapshot = await poll(adapter);
      assert.deepEqual(services(snapshot), services(first));
      undo();
    }
    server.fault({ kind: "empty", match: { type: "SERVICES" } });
    server.fault({ kind: "code", code: 401001, match: { type: "INSTANCE" } });
    await assert.rejects(poll(adapter), { name: "ReadError", failure: "denied" });
  },
);

test("read() believes an empty list when the services are gone", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address, namespaces: ["default"] });
  await poll(adapter);
  for (const name of names) server.deleteService("default", name);
  const snapshot = await poll(adapter);
  assert.deepEqual(snapshot.services, []);
  assert.equal(snapshot.incomplete, undefined);
});

test(
  faultRow({
    target: "Polaris",
    fault: "a token without rights sees nothing, with status 200",
    expect: "it is treated as incomplete: nothing is removed",
    peer: "external-dns #3841",
  }),
  async (t) => {
    const server = await serverOf(t);
    server.fault({ kind: "empty", match: { type: "SERVICES" } });
    const { incomplete, services: found } = await poll(adapterOf(t, { address: server.address }));
    assert.match(incomplete ?? "", /the token may lack the right to read/);
    assert.deepEqual(found, []);
  },
);

test(
  faultRow({
    target: "Polaris",
    fault: "the list is older than the services",
    expect: "what it names and nobody knows is unread, not gone",
  }),
  async (t) => {
    const server = await serverOf(t);
    fill(server);
    const adapter = adapterOf(t, { address: server.address });
    await poll(adapter);
    const undo = server.fault({ kind: "stale", match: { type: "SERVICES" } });
    server.deleteService("default", "b");
    assert.deepEqual(Object.keys(failures(await poll(adapter))), ["prod/default/b"]);
    undo();
    const snapshot = await poll(adapter);
    assert.deepEqual(failures(snapshot), {});
    assert.deepEqual(Object.keys(services(snapshot)), others);
  },
);

test("read() lets a deleted service go that another namespace exports", async (t) => {
  const server = await serverOf(t);
  fill(server);
  server.setService("default", "a", { export_to: ["Production"] });
  for (const service of ["a", "z"]) server.register({ namespace: "Production", service, host: "192.0.2.9", port: 80 });
  const adapter = adapterOf(t, { address: server.address, namespaces: ["Production"] });
  assert.deepEqual(places(services(await poll(adapter))["Production/a"] ?? assert.fail()), [
    "192.0.2.1:80",
    "192.0.2.9:80",
  ]);
  server.deleteService("Production", "a");
  for (let round = 0; round < 2; round++)
    assert.deepEqual(Object.keys(failures(await poll(adapter))), ["prod/Production/a"], "it may be the network");
  const snapshot = await poll(adapter);
  assert.deepEqual(Object.keys(services(snapshot)), ["Production/z"]);
  assert.deepEqual(failures(snapshot), {});
});

test(
  faultRow({
    target: "Polaris",
    fault: "its token is refused, and replaced in the file",
    expect: "the new token is used without a restart",
  }),
  async (t) => {
    const dir = await mkdtemp(join(tmpdir(), "x2istio-polaris-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const tokenFile = join(dir, "token");
    const server = await serverOf(t, { strict: true, tokens: { one: "full" } });
    fill(server);
    await writeFile(tokenFile, "one\n");
    const adapter = adapterOf(t, { address: server.address, tokenFile });
    assert.deepEqual(Object.keys(services(await poll(adapter))), all);
    server.setToken("two", "full");
    server.setToken("one", undefined);
    await assert.rejects(poll(adapter), { name: "ReadError", failure: "denied" });
    await writeFile(tokenFile, "two");
    assert.deepEqual(Object.keys(services(await poll(adapter))), all);
    await rm(tokenFile);
    server.setToken("two", undefined);
    await assert.rejects(poll(adapter), { name: "ReadError", failure: "denied" });
  },
);

test("a token of several lines is refused before it is sent, and not shown", async (t) => {
  const server = await serverOf(t);
  const error = await poll(adapterOf(t, { address: server.address, token: "one\ntwo" })).catch((cause: Error) => cause);
  assert.match(describeError(error), /Cannot use the token as it must be one word of visible ASCII characters$/);
  assert.doesNotMatch(describeError(error), /one\n|two/);
  assert.equal(server.requests.length, 0);
});

test("a fixed token is sent, and none in clear text is in the errors", async (t) => {
  const server = await serverOf(t, { strict: true });
  fill(server);
  assert.deepEqual(
    Object.keys(services(await poll(adapterOf(t, { address: server.address, token: "TOKEN-MAIN" })))),
    all,
  );
  const error = await poll(adapterOf(t, { address: server.address, token: "TOKEN-WRONG" })).catch(
    (cause: Error) => cause,
  );
  assert.ok(error instanceof ReadError);
  assert.doesNotMatch(`${error.message} ${error.cause}`, /TOKEN/);
});

test("the next server is asked when one does not answer, and the first again when it does", async (t) => {
  const [first, second] = [await serverOf(t), await serverOf(t)];
  for (const server of [first, second]) fill(server);
  const adapter = adapterOf(t, { address: [first.address, second.address] });
  const before = services(await poll(adapter));
  assert.equal(second.requests.length, 0);
  await first.stop();
  assert.deepEqual(services(await poll(adapter)), before);
  assert.ok(second.requests.length > 0);

  const back = await serverOf(t, { port: Number(new URL(first.address).port) });
  fill(back);
  const until = Date.now() + 60_000;
  while (!back.requests.some(({ body }) => (body as { type: string }).type === "INSTANCE")) {
    assert.ok(Date.now() < until, "it was not gone back to");
    assert.deepEqual(services(await poll(adapter)), before);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

for (const fault of [
  { kind: "hang" },
  { kind: "text" },
  { kind: "status", status: 404 },
  { kind: "code", code: 500000 },
  { kind: "close" },
  { kind: "status", status: 503 },
] as const) {
  test(
    faultRow({ target: "Polaris", fault: "one server of several fails", expect: "the next one is asked" }, fault.kind),
    async (t) => {
      const [first, second] = [await serverOf(t), await serverOf(t)];
      for (const server of [first, second]) fill(server);
      const adapter = adapterOf(t, { address: [first.address, second.address], timeout: "2s" });
      await poll(adapter);
      first.fault(fault);
      assert.deepEqual(Object.keys(services(await poll(adapter))), all);
    },
  );
}

test("one service that fails moves nobody to the next server", async (t) => {
  const [first, second] = [await serverOf(t), await serverOf(t)];
  for (const server of [first, second]) fill(server);
  const adapter = adapterOf(t, { address: [first.address, second.address], timeout: "30s" });
  first.fault({ kind: "code", code: 500000, match: { service: "b" } });
  const snapshot = await poll(adapter);
  assert.deepEqual(Object.keys(failures(snapshot)), ["prod/default/b"]);
  assert.equal(second.requests.length, 0);
});

test("read() throws when no server answers", async (t) => {
  const [first, second] = [await serverOf(t), await serverOf(t)];
  await first.stop();
  await second.stop();
  await assert.rejects(poll(adapterOf(t, { address: [first.address, second.address] })), {
    name: "ReadError",
    failure: "connection",
  });
});

test("an alias keeps its name on the service while it cannot be read", async (t) => {
  const server = await serverOf(t);
  fill(server);
  server.createAlias({ namespace: "Production", name: "1:2" }, { namespace: "default", name: "a" });
  const adapter = adapterOf(t, { address: server.address });
  const first = services(await poll(adapter))["default/a"];
  assert.deepEqual(first?.aliases, [{ namespace: "Production", name: "1:2" }]);
  const undo = server.fault({ kind: "close", match: { service: "1:2" } });
  const snapshot = await poll(adapter);
  assert.equal(services(snapshot)["default/a"], first);
  assert.deepEqual(Object.keys(failures(snapshot)), ["prod/Production/1:2"]);
  undo();
  server.deleteAlias({ namespace: "Production", name: "1:2" });
  assert.equal(services(await poll(adapter))["default/a"]?.aliases, undefined);
});

test("an alias that leads elsewhere is seen, also between services without instances", async (t) => {
  const server = await serverOf(t);
  for (const name of ["a", "b"]) server.setService("default", name);
  const alias = { namespace: "default", name: "old" };
  server.createAlias(alias, { namespace: "default", name: "a" });
  const adapter = adapterOf(t, { address: server.address });
  for (let round = 0; round < 3; round++) await poll(adapter);
  server.deleteAlias(alias);
  server.createAlias(alias, { namespace: "default", name: "b" });
  const found = services(await poll(adapter));
  assert.equal(found["default/a"]?.aliases, undefined);
  assert.deepEqual(found["default/b"]?.aliases, [alias]);
});

test("an alias of a namespace that is not read is a service of its own", async (t) => {
  const server = await serverOf(t);
  fill(server);
  server.createAlias({ namespace: "Production", name: "old" }, { namespace: "default", name: "a" });
  const found = services(await poll(adapterOf(t, { address: server.address, namespaces: ["Production"] })));
  assert.deepEqual(places(found["Production/old"] ?? assert.fail()), ["192.0.2.1:80"]);
});

test("filters and Polaris's own services are counted, not read", async (t) => {
  const server = await serverOf(t);
  fill(server);
  server.register({
    namespace: "default",
    service: "k",
    host: "192.0.2.9",
    port: 80,
    metadata: { source: "polaris-controller", clusterName: "east" },
  });
  const {
    skipped,
    skippedServices,
    services: all,
  } = await poll(adapterOf(t, { address: server.address, services: { include: ["*"], exclude: ["b*", "?x"] } }));
  const found = all.filter((one) => one.state !== "ok" || one.service.podsOnly !== true);
  assert.deepEqual(skipped, { infrastructure: 1, filter: 1, name: 0, kubernetes: 1 });
  assert.deepEqual(
    skippedServices?.map(({ name, kind }) => `${kind} ${name}`),
    ["infrastructure Polaris/polaris.checker", "filter default/b", "kubernetes default/k"],
  );
  assert.equal(found.length, 2);
  assert.ok(!server.requests.some(({ body }) => /"b"|polaris.checker/.test(JSON.stringify(body))));
});

test("a name that only Polaris allows is read", async (t) => {
  const server = await serverOf(t);
  const name = "DEFAULT_GROUP__Foo.Bar/baz:1";
  for (const service of [name, "Orders", "orders"])
    server.register({ namespace: "default", service, host: "192.0.2.1", port: 80 });
  const found = services(await poll(adapterOf(t, { address: server.address })));
  assert.deepEqual(Object.keys(found), [`default/${name}`, "default/Orders", "default/orders"]);
});

const changes: readonly {
  name: string;
  change: (server: Polaris) => void;
  want: (ids: readonly string[], all: ReturnType<typeof services>) => boolean;
}[] = [
  {
    name: "an instance",
    change: (server) =>
      server.register({ namespace: "default", service: "a", host: "192.0.2.8", port: 80, protocol: "http" }),
    want: (_, found) => found["default/a"]?.endpoints.length === 2,
  },
  {
    name: "a service",
    change: (server) => server.register({ namespace: "default", service: "d", host: "192.0.2.8", port: 80 }),
    want: (ids) => ids.includes("default/d"),
  },
  {
    name: "a service's end",
    change: (server) => server.deleteService("default", "b"),
    want: (ids) => !ids.includes("default/b"),
  },
  {
    name: "an alias",
    change: (server) =>
      server.createAlias({ namespace: "Production", name: "old" }, { namespace: "default", name: "c" }),
    want: (_, found) => found["default/c"]?.aliases?.length === 1,
  },
];
for (const { name, change, want } of changes) {
  test(`a hint brings ${name}, and its read asks nothing more`, async (t) => {
    const server = await serverOf(t);
    fill(server);
    const adapter = adapterOf(t, { address: server.address });
    const snapshot = await poll(adapter);
    change(server);
    const signal = AbortSignal.timeout(60_000);
    await adapter.waitForChange(snapshot.revision, signal);
    const asked = server.requests.length;
    const after = services(await adapter.read(signal, { trigger: "hint" }));
    assert.equal(server.requests.length, asked);
    assert.ok(want(Object.keys(after), after), Object.keys(after).join());
  });
}

test("a service that could not be read comes back on a hint", async (t) => {
  const server = await serverOf(t);
  fill(server);
  const adapter = adapterOf(t, { address: server.address });
  const undo = server.fault({ kind: "code", code: 500000, match: { service: "b" } });
  const snapshot = await poll(adapter);
  undo();
  assert.deepEqual(Object.keys(services(await hint(adapter, snapshot))), all);
});

test("requests, changes and changes of server are counted, from 0", async (t) => {
  const [first, second] = [await serverOf(t), await serverOf(t)];
  for (const server of [first, second]) fill(server);
  const metrics = createMetrics();
  const adapter = adapterOf(t, { address: [first.address, second.address] }, metrics);
  const counts = async (name: string) => {
    const { values = [] } = (await metrics.registry.getSingleMetric(name)?.get()) ?? {};
    return Object.fromEntries(values.map(({ labels, value }) => [labels["result"] ?? labels["registry"], value]));
  };
  assert.deepEqual(new Set(Object.values(await counts("x2istio_polaris_requests_total"))), new Set([0]));
  await poll(adapter);
  assert.deepEqual(await counts("x2istio_polaris_requests_total"), {
    ...{ ok: 4, unchanged: 0, absent: 0 },
    ...{ timeout: 0, connection: 0, denied: 0, server: 0, answer: 0 },
  });
  const snapshot = await poll(adapter);
  first.register({ namespace: "default", service: "a", host: "192.0.2.8", port: 80, protocol: "http" });
  await hint(adapter, snapshot);
  assert.deepEqual(await counts("x2istio_polaris_changes_total"), { prod: 1 });
  await first.stop();
  await poll(adapter);
  assert.deepEqual(await counts("x2istio_polaris_switches_total"), { prod: 1 });
});
