import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "undici";
import { askInstances, askServices, hostsOf, namesOf, revisionOf } from "./ask.ts";
import type { Fault } from "./faults.ts";
import { type Polaris, startPolaris } from "./polaris.ts";

async function shop(t: { after(end: () => Promise<void>): void }): Promise<{ polaris: Polaris; id: string }> {
  const polaris = await startPolaris();
  t.after(() => polaris.stop());
  polaris.register({ service: "payments", host: "192.0.2.9", port: 443 });
  return { polaris, id: polaris.register({ service: "orders", host: "192.0.2.1", port: 80 }) };
}

interface Seen {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

async function see(address: string): Promise<Seen | string> {
  const body = JSON.stringify({ type: "INSTANCE", service: { namespace: "default", name: "orders" } });
  const headers = { "content-type": "application/json" };
  try {
    const answer = await request(`${address}/v1/Discover`, { method: "POST", headers, body });
    return { status: answer.statusCode, text: await answer.body.text(), headers: answer.headers };
  } catch (error) {
    return String((error as { readonly code?: unknown }).code);
  }
}

const json = (seen: Seen | string) => (typeof seen === "string" ? assert.fail(seen) : JSON.parse(seen.text));

const cases: readonly { readonly fault: Fault; readonly check: (seen: Seen | string) => void }[] = [
  { fault: { kind: "close" }, check: (seen) => assert.equal(seen, "UND_ERR_SOCKET") },
  { fault: { kind: "truncate" }, check: (seen) => assert.equal(seen, "UND_ERR_SOCKET") },
  { fault: { kind: "truncate", chunked: true }, check: (seen) => assert.equal(seen, "UND_ERR_SOCKET") },
  {
    fault: { kind: "code", code: 500001 },
    check: (seen) => {
      const { status, headers } = seen as Seen;
      assert.deepEqual([status, headers["x-polaris-code"], json(seen).code], [500, "500001", 500001]);
    },
  },
  {
    fault: { kind: "code", code: 429001 },
    check: (seen) => assert.deepEqual([(seen as Seen).status, json(seen).instances], [429, []]),
  },
  {
    fault: { kind: "code", code: 400202 },
    check: (seen) => assert.deepEqual([(seen as Seen).status, json(seen).type], [400, "INSTANCE"]),
  },
  {
    fault: { kind: "status", status: 503, body: "no healthy upstream", headers: { "Retry-After": "3" } },
    check: (seen) => {
      const { status, text, headers } = seen as Seen;
      assert.deepEqual([status, text, headers["retry-after"]], [503, "no healthy upstream", "3"]);
    },
  },
  { fault: { kind: "text" }, check: (seen) => assert.throws(() => json(seen), SyntaxError) },
  {
    fault: { kind: "huge", bytes: 3_000_000 },
    check: (seen) => {
      assert.ok((seen as Seen).text.length > 3_000_000);
      assert.equal(json(seen).instances.length, 1);
    },
  },
  {
    fault: { kind: "edit", edit: (body) => ({ ...body, instances: "none" }) },
    check: (seen) => assert.equal(json(seen).instances, "none"),
  },
  {
    fault: { kind: "empty" },
    check: (seen) => assert.deepEqual([json(seen).code, json(seen).instances], [200000, []]),
  },
  {
    fault: { kind: "revision" },
    check: (seen) => assert.match(json(seen).service.revision, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  },
  {
    fault: { kind: "revision", revision: "1" },
    check: (seen) => assert.deepEqual([json(seen).service.revision, json(seen).instances.length], ["1", 1]),
  },
  { fault: { kind: "delay", ms: 10 }, check: (seen) => assert.equal(json(seen).instances.length, 1) },
  {
    fault: { kind: "throttle", bytesPerSecond: 50_000 },
    check: (seen) => assert.equal(json(seen).instances.length, 1),
  },
];

for (const { fault, check } of cases) {
  test(`fault(${JSON.stringify(fault)}) is seen, and after undoing no more`, async (t) => {
    const { polaris } = await shop(t);
    const undo = polaris.fault(fault);
    check(await see(polaris.address));
    undo();
    assert.equal(json(await see(polaris.address)).code, 200000);
  });
}

test("fault() concerns the requests that match, as often as said", async (t) => {
  const { polaris } = await shop(t);
  polaris.fault({ kind: "code", code: 500000, count: 2, match: { type: "INSTANCE", service: "orders" } });
  const codes: unknown[] = [];
  for (const name of ["payments", "orders", "orders", "orders"])
    codes.push((await askInstances(polaris.address, name)).body["code"]);
  assert.deepEqual(codes, [200000, 500000, 500000, 200000]);
  polaris.fault({ kind: "code", code: 500000, match: { namespace: "default", type: "SERVICES" } });
  assert.equal((await askServices(polaris.address, "Polaris")).body["code"], 200000);
  assert.equal((await askServices(polaris.address, "default")).body["code"], 500000);
});

test("fault(stale) answers from what was known, revision and all", async (t) => {
  const { polaris, id } = await shop(t);
  const old = revisionOf(await askInstances(polaris.address, "orders"));
  const undo = polaris.fault({ kind: "stale" });
  polaris.deregister(id);
  polaris.deleteService("default", "payments");
  assert.equal((await askInstances(polaris.address, "orders", { revision: old })).body["code"], 200001);
  assert.deepEqual(namesOf(await askServices(polaris.address, "default")), ["orders", "payments"]);
  undo();
  assert.deepEqual(hostsOf(await askInstances(polaris.address, "orders", { revision: old })), []);
  assert.deepEqual(namesOf(await askServices(polaris.address, "default")), ["orders"]);
});

test("fault(late deregistration) hides what has gone until it is undone, but not what has come back", async (t) => {
  const { polaris, id } = await shop(t);
  const second = { service: "orders", host: "192.0.2.2", port: 80 };
  const undo = polaris.fault({ kind: "late deregistration" });
  polaris.deregister(id);
  polaris.deregister(polaris.register(second));
  assert.equal(hostsOf(await askInstances(polaris.address, "orders")).length, 2);
  polaris.register(second);
  undo();
  assert.deepEqual(hostsOf(await askInstances(polaris.address, "orders")), ["192.0.2.2"]);
});

test("fault(flap) moves the revision of an exported name, and no other", async (t) => {
  const { polaris } = await shop(t);
  polaris.setService("shop", "orders", { export_to: ["default"] });
  polaris.register({ namespace: "shop", service: "orders", host: "192.0.2.3", port: 80 });
  const revisions = async (name: string) => {
    const seen = new Set<unknown>();
    for (let round = 0; round < 20; round += 1) seen.add(revisionOf(await askInstances(polaris.address, name)));
    return seen.size;
  };
  assert.equal(await revisions("orders"), 1);
  polaris.fault({ kind: "flap" });
  assert.deepEqual([await revisions("orders"), await revisions("payments")], [2, 1]);
});

test("fault(hang) closes the connection when it is undone", async (t) => {
  const { polaris } = await shop(t);
  const undo = polaris.fault({ kind: "hang" });
  const answer = see(polaris.address);
  while (polaris.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  undo();
  assert.equal(await answer, "UND_ERR_SOCKET");
});

test("stop() ends what hangs, waits and trickles", async (t) => {
  const { polaris } = await shop(t);
  const faults: readonly Fault[] = [
    { kind: "hang", count: 1 },
    { kind: "delay", ms: 600_000, count: 1 },
    { kind: "throttle", bytesPerSecond: 10, count: 1 },
  ];
  const answers: Promise<Seen | string>[] = [];
  for (const fault of faults) {
    polaris.fault(fault);
    answers.push(see(polaris.address));
    while (polaris.requests.length < answers.length) await new Promise((resolve) => setImmediate(resolve));
  }
  await polaris.stop();
  assert.deepEqual(
    await Promise.all(answers),
    faults.map(() => "UND_ERR_SOCKET"),
  );
});
