import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import { type ReflectorOptions, reflector } from "../../../src/kube/watch/reflector.ts";
import { createSink } from "../../../src/kube/watch/sink.ts";
import { until } from "../../until.ts";
import { fakeApi, statusError } from "../fake-api.ts";

const PATH = "/api/v1/namespaces/shop/services";

function service(name: string, resourceVersion: string, metadata: object = {}): RawObject {
  return { metadata: { name, namespace: "shop", uid: `u-${name}`, resourceVersion, ...metadata } };
}

/** A reflector of Services on an API server in memory. */
function setUp(t: TestContext, further: Partial<ReflectorOptions> = {}) {
  const api = fakeApi();
  const ending = new AbortController();
  const held = new Map<string, string>();
  const warnings: string[] = [];
  const sink = createSink(
    {
      keyOf: ({ metadata }) => metadata?.name,
      put(key, { metadata }) {
        if (metadata?.labels?.["broken"] !== undefined) throw new Error("cannot be read");
        held.set(key, metadata?.resourceVersion ?? "");
        return true;
      },
      drop: (key) => held.delete(key),
      keys: () => [...held.keys()],
    },
    () => undefined,
  );
  const log = { info() {}, warn: (_fields: object, message: string) => void warnings.push(message) };
  const one = reflector({
    ...{ client: api.client, title: "services", path: PATH, sink, log: log as never },
    ...further,
  });
  let following: Promise<void> | undefined;
  const stop = async () => {
    ending.abort(new Error("the test is over"));
    await following;
  };
  t.after(stop);
  return {
    ...{ api, held, warnings, stop },
    list: () => one.list(ending.signal),
    async follow() {
      const count = api.watches.length;
      following = one.follow(ending.signal);
      return watchAfter(api, count);
    },
    lists: () => api.seen.filter((line) => line === `GET ${PATH}`).length,
    next: (count: number) => watchAfter(api, count),
  };
}

/** The watch that comes after the first `count`. */
async function watchAfter(api: ReturnType<typeof fakeApi>, count: number) {
  await until(() => api.watches.length > count);
  return api.watches[count] ?? assert.fail();
}

test("follow() goes on from a bookmark when the watch ends, without another list", async (t) => {
  const { api, follow, held, lists, list, next, warnings } = setUp(t);
  api.put(`${PATH}/web`, service("web", ""));
  await list();
  const first = await follow();
  assert.equal(first.path, PATH);
  assert.equal(first.query.get("allowWatchBookmarks"), "true");
  first.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "900" } } });
  first.end();
  const second = await next(1);
  assert.equal(second.query.get("resourceVersion"), "900");
  assert.equal(lists(), 1);
  assert.equal(held.has("web"), true, "a bookmark is no object");
  assert.deepEqual(warnings, [], "a watch may end after it has said something");
  assert.equal(held.size, 1);
});

test("follow() goes on from the last event, of whatever type", async (t) => {
  const { follow, held, lists, list, next } = setUp(t);
  await list();
  const steps = [
    { type: "ADDED", at: "201", want: "201" },
    { type: "MODIFIED", at: "202", want: "202" },
    { type: "DELETED", at: "203", want: undefined },
    { type: "ADDED", at: "1000", want: "1000" },
  ];
  let watch = await follow();
  for (const [count, { type, at, want }] of steps.entries()) {
    watch.send({ type, object: service("web", at) });
    watch.end();
    watch = await next(count + 1);
    assert.equal(watch.query.get("resourceVersion"), at);
    assert.equal(held.get("web"), want);
  }
  assert.equal(lists(), 1);
});

test("follow() lists again after 410, in a watch and in place of one, and finds what vanished", async (t) => {
  for (const how of ["in a watch", "in place of one"]) {
    const { api, follow, held, lists, list, next, stop } = setUp(t);
    api.put(`${PATH}/web`, service("web", ""));
    await list();
    const first = await follow();
    first.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "900" } } });
    api.objects.delete(`${PATH}/web`);
    const listedAt = api.put(`${PATH}/stock`, service("stock", "")).metadata?.resourceVersion;
    if (how === "in a watch") first.send({ type: "ERROR", object: { code: 410 } as RawObject });
    else {
      let left = 1;
      api.refuseWatch = () => (left-- > 0 ? statusError(410, "Expired") : undefined);
      first.end();
    }
    const second = await next(1);
    assert.equal(second.query.get("resourceVersion"), listedAt, how);
    assert.equal(lists(), 2, how);
    assert.deepEqual([...held.keys()], ["stock"], how);
    await stop();
  }
});

test("follow() does not list again for another error, and goes on where it was", async (t) => {
  const { follow, lists, list, next, warnings } = setUp(t);
  await list();
  const first = await follow();
  first.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "900" } } });
  first.send({ type: "ERROR", object: { code: 500 } as RawObject });
  const second = await next(1);
  assert.equal(second.query.get("resourceVersion"), "900");
  assert.equal(lists(), 1);
  assert.deepEqual(warnings, ["a watch was interrupted"]);
});

test("follow() opens a watch anew that has gone silent, and only that", async (t) => {
  const { follow, list, lists, next, warnings } = setUp(t, { stallMs: 200 });
  await list();
  await follow();
  const second = await next(1);
  assert.equal(lists(), 1);
  assert.deepEqual(warnings, ["a watch was interrupted"]);
  second.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "901" } } });
  const third = await next(2);
  assert.equal(third.query.get("resourceVersion"), "901");
});

test("follow() keeps a watch that goes on saying something for longer than that", async (t) => {
  const stallMs = 600;
  for (let hasHiccup = true; hasHiccup; ) {
    const { api, follow, list, stop } = setUp(t, { stallMs });
    await list();
    const watch = await follow();
    const startedMs = performance.now();
    hasHiccup = false; // of this machine: then the watch may well be taken for silent
    for (let lastMs = startedMs; performance.now() - startedMs < 2 * stallMs; lastMs = performance.now()) {
      watch.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "900" } } });
      await sleep(20);
      hasHiccup ||= performance.now() - lastMs > stallMs / 2;
    }
    assert.ok(hasHiccup || api.watches.length === 1);
    await stop();
  }
});

test("follow() takes a watch that ends at once for a failure, so that none is asked for endlessly", async (t) => {
  const { follow, list, next, warnings } = setUp(t);
  await list();
  const first = await follow();
  first.end();
  await next(1);
  assert.deepEqual(warnings, ["a watch was interrupted"]);
});

test("an object that cannot be read stops no other, is told of once, and stands as it did", async (t) => {
  const { api, follow, held, list, warnings } = setUp(t);
  const web = api.put(`${PATH}/web`, service("web", ""));
  await list();
  assert.equal(held.get("web"), web.metadata?.resourceVersion);
  api.put(`${PATH}/web`, service("web", "", { labels: { broken: "yes" } }));
  api.put(`${PATH}/stock`, service("stock", ""));
  await list();
  await list();
  assert.equal(held.get("web"), web.metadata?.resourceVersion, "unreadable is not gone");
  assert.equal(held.has("stock"), true);
  const watch = await follow();
  watch.send({ type: "MODIFIED", object: service("web", "950", { labels: { broken: "yes" } }) });
  watch.send({ type: "ADDED", object: service("late", "951") });
  await until(() => held.has("late"));
  assert.deepEqual(warnings, ["an object cannot be read and is skipped"]);
});

test("list() takes a missing optional kind for empty, and a missing other kind for a failure", async (t) => {
  for (const optional of [true, false]) {
    const known: boolean[] = [];
    const { api, held, list } = setUp(t, { optional, onList: (isKnown) => known.push(isKnown) });
    api.put(`${PATH}/web`, service("web", ""));
    await list();
    api.before = () => {
      throw statusError(404, "NotFound");
    };
    if (optional) await list();
    else await assert.rejects(list(), /404/);
    assert.deepEqual([...held.keys()], optional ? [] : ["web"]);
    assert.deepEqual(known, optional ? [true, false] : [true]);
    api.before = () => {
      throw statusError(403, "Forbidden");
    };
    await assert.rejects(list(), /403/, "a missing right is no missing kind");
  }
});

test("list() sends its query with each page, and so does the watch", async (t) => {
  const { api, follow, list } = setUp(t, { query: { labelSelector: "a=b" } });
  const paths: string[] = [];
  api.before = ({ path }) => void paths.push(path);
  await list();
  const watch = await follow();
  assert.match(paths[0] ?? "", /labelSelector=a%3Db/);
  assert.equal(watch.query.get("labelSelector"), "a=b");
});
