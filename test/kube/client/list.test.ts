import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient } from "../../../src/kube/client/client.ts";
import { TooLargeError } from "../../../src/kube/client/kube-error.ts";
import { listAll } from "../../../src/kube/client/list.ts";
import type { RawObject } from "../../../src/kube/client/raw.ts";

test("listAll() asks for smaller pages when one is too large", async () => {
  const asked: string[] = [];
  const request: KubeClient["request"] = async ({ path }) => {
    const search = new URL(path, "http://example.org").searchParams;
    const limit = Number(search.get("limit"));
    asked.push(`${limit} from ${search.get("continue") ?? "the start"}`);
    if (limit > 10) throw new TooLargeError("too large");
    const from = Number(search.get("continue") ?? 0);
    const items = Array.from({ length: Math.min(limit, 12 - from) }, (_, index) => ({
      metadata: { name: String(from + index) },
    }));
    return { metadata: { resourceVersion: "7", continue: from + limit < 12 ? String(from + limit) : "" }, items };
  };
  let names: (string | undefined)[] = [];
  const revision = await listAll({ request } as KubeClient, {
    path: "/x",
    title: "things",
    pageSize: 80,
    signal: new AbortController().signal,
    onBegin: () => (names = []),
    onItem: (raw: RawObject) => names.push(raw.metadata?.name),
  });
  assert.equal(revision, "7");
  assert.deepEqual(asked, ["80 from the start", "10 from the start", "20 from 10", "2 from 10"]);
  assert.equal(new Set(names).size, 12);
});

test("listAll() takes up larger pages again behind large objects, and begins no page anew", async () => {
  const asked: number[] = [];
  const sizes = [1, 1, 1, 1, 9, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1];
  const request: KubeClient["request"] = async ({ path, maxBytes = 0 }) => {
    const search = new URL(path, "http://example.org").searchParams;
    const [limit, from] = [Number(search.get("limit")), Number(search.get("continue") ?? 0)];
    asked.push(limit);
    const page = sizes.slice(from, from + limit);
    const mebibytes = page.reduce((sum, one) => sum + one, 0);
    if (mebibytes * 1024 * 1024 > maxBytes) throw new TooLargeError("too large");
    const next = from + limit < sizes.length ? String(from + limit) : "";
    return { metadata: { resourceVersion: "7", continue: next }, items: page.map(() => ({})) };
  };
  let count = 0;
  const listing = { path: "/x", title: "things", pageSize: 8, signal: new AbortController().signal };
  await listAll({ request } as KubeClient, { ...listing, onBegin: () => (count = 0), onItem: () => count++ });
  assert.equal(count, sizes.length);
  assert.deepEqual(asked, [8, 1, 2, 4, 1, 2, 1, 2, 1, 2, 1, 2, 4, 8]);
});

test("listAll() gives up on one object that is larger than any can be", async () => {
  const request: KubeClient["request"] = async () => {
    throw new TooLargeError("too large");
  };
  const listing = { path: "/x", title: "things", pageSize: 8, signal: new AbortController().signal };
  const listed = listAll({ request } as KubeClient, { ...listing, onBegin: () => undefined, onItem: () => undefined });
  await assert.rejects(listed, /too large/);
});

test("listAll() does not take an answer for a list that is none", async () => {
  const client = { request: async () => ({ kind: "Surprise" }) } as unknown as KubeClient;
  const nothing = () => {};
  const listing = listAll(client, {
    path: "/x",
    title: "things",
    pageSize: 1,
    signal: new AbortController().signal,
    onBegin: nothing,
    onItem: nothing,
  });
  await assert.rejects(listing, /Cannot list things: the answer is not a list/);
});
