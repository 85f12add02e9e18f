import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeRequest } from "../../../src/kube/client/client.ts";
import { createObjectEditor } from "../../../src/kube/write/object-editor.ts";
import { fakeApi, statusError } from "../fake-api.ts";
import { MESH, SHOP, servicePath } from "../objects.ts";

const KEY = `Service/${SHOP}/web`;
const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${MESH}/leases/x2istio-west`;

function setUp() {
  const api = fakeApi();
  const requests: KubeRequest[] = [];
  api.before = (request) => void requests.push(request);
  return { api, requests, editor: createObjectEditor(api.client, MESH) };
}

test("mark() changes labels and annotations of the very version that was read, and nothing else", async () => {
  const { api, requests, editor } = setUp();
  const spec = { selector: { app: "web" } };
  api.put(servicePath(SHOP, "web"), {
    metadata: { name: "web", labels: { a: "1", b: "2" }, annotations: { note: "n" } },
    spec,
  });
  const raw = (await editor.read(KEY)) ?? assert.fail();
  assert.equal((await editor.mark(KEY, raw, { labels: { a: null, c: "3" } })).outcome, "written");
  const now = api.objects.get(servicePath(SHOP, "web"));
  assert.deepEqual(now?.metadata?.labels, { b: "2", c: "3" });
  assert.deepEqual(now?.metadata?.annotations, { note: "n" });
  assert.deepEqual(now?.spec, spec);
  assert.equal(requests.at(-1)?.fieldManager, "x2istio-cli", "an operator's mark is no write of the controller's");
  assert.equal((await editor.mark(KEY, raw, { labels: { a: "9" } })).outcome, "conflict");
  api.objects.delete(servicePath(SHOP, "web"));
  assert.equal((await editor.mark(KEY, raw, { labels: { a: "9" } })).outcome, "conflict");
});

test("remove() removes the very version that was read, and no namesake", async () => {
  const { api, editor } = setUp();
  const path = servicePath(SHOP, "web");
  const raw = api.put(path, { metadata: { name: "web" } });
  api.put(path, { metadata: { labels: { a: "1" } } });
  assert.equal((await editor.remove(KEY, raw)).outcome, "conflict");
  assert.ok(api.objects.has(path));
  assert.equal((await editor.remove(KEY, (await editor.read(KEY)) ?? assert.fail())).outcome, "written");
  assert.equal(await editor.read(KEY), undefined);
});

test("what the API server refuses is a failure, with the reason", async () => {
  const { api, editor } = setUp();
  const raw = api.put(servicePath(SHOP, "web"), { metadata: { name: "web" } });
  api.before = () => {
    throw statusError(403, "Forbidden");
  };
  for (const { outcome, error } of [
    await editor.mark(KEY, raw, { labels: {} }),
    await editor.remove(KEY, raw),
    await editor.declare(KEY, {}, "m"),
  ]) {
    assert.equal(outcome, "failed");
    assert.match(String(error), /403/);
  }
  await assert.rejects(editor.read(KEY), /403/);
});

test("declare() asks for its own annotations by server-side apply, and never by force", async () => {
  const { api, requests, editor } = setUp();
  api.put(servicePath(SHOP, "web"), { metadata: { name: "web", annotations: {} } });
  assert.equal((await editor.declare(KEY, { "x2istio.dev/stage": "split" }, "x2istio-migrate")).outcome, "written");
  const [request] = requests;
  assert.match(request?.path ?? "", /\?force=false$/);
  assert.equal(request?.contentType, "application/apply-patch+yaml");
  assert.equal(request?.fieldManager, "x2istio-migrate");
  assert.deepEqual(request?.body, {
    ...{ apiVersion: "v1", kind: "Service" },
    metadata: { name: "web", namespace: SHOP, annotations: { "x2istio.dev/stage": "split" } },
  });
  api.before = () => {
    throw statusError(409, "Conflict");
  };
  assert.equal((await editor.declare(KEY, {}, "x2istio-migrate")).outcome, "conflict");
});

for (const key of ["Pod/shop/web", "Service/shop", "Service/shop/", "web", "service/shop/web"])
  test(`read() refuses ${key} as no key of an object`, async () => {
    const { api, editor } = setUp();
    await assert.rejects(async () => editor.read(key), /an object is named <kind>\/<namespace>\/<name>/);
    assert.deepEqual(api.seen, []);
  });

test("leaderOf() names who holds the other owner's Lease now, by the API server's clock", async () => {
  const { api, editor } = setUp();
  assert.equal(await editor.leaderOf("west"), undefined);
  const renewTime = new Date(api.nowMs).toISOString();
  api.put(LEASE, { spec: { holderIdentity: "pod-1", leaseDurationSeconds: 15, renewTime } });
  assert.equal(await editor.leaderOf("west"), "pod-1");
  api.nowMs += 14_999;
  assert.equal(await editor.leaderOf("west"), "pod-1");
  api.nowMs += 1;
  assert.equal(await editor.leaderOf("west"), undefined);
});

test("removeLease() removes the other owner's Lease, also one that is gone", async () => {
  const { api, editor } = setUp();
  api.put(LEASE, { spec: { holderIdentity: "" } });
  assert.equal((await editor.removeLease("west")).outcome, "written");
  assert.equal(api.objects.has(LEASE), false);
  assert.equal((await editor.removeLease("west")).outcome, "written");
});
