import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient } from "../../src/kube/client.ts";
import { TooLargeError } from "../../src/kube/kube-error.ts";
import { listAll } from "../../src/kube/list.ts";
import type { RawObject } from "../../src/kube/raw.ts";

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
  assert.deepEqual(asked, ["80 from the start", "10 from the start", "10 from 10"]);
  assert.equal(new Set(names).size, 12);
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
  await assert.rejects(listing, /Cannot list things: the answer is no list/);
});
