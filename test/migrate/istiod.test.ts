import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { acknowledged, askIstiod, outdatedAt } from "../../src/migrate/istiod.ts";

test("outdatedAt() names what istiod has another version of, and acknowledged() counts proxies that are up to date", () => {
  const versions = new Map([
    ["ServiceEntry/shop/orders", "5"],
    ["VirtualService/shop/orders", "7"],
    ["Service/shop/orders", "9"],
  ]);
  const known = (kind: string, resourceVersion: string) => ({
    kind,
    metadata: { namespace: "shop", name: "orders", resourceVersion },
  });
  assert.deepEqual(outdatedAt([known("ServiceEntry", "5"), known("VirtualService", "6")], versions), [
    "VirtualService/shop/orders",
  ]);
  assert.deepEqual(outdatedAt([known("ServiceEntry", "5"), known("VirtualService", "7")], versions), []);
  assert.equal(acknowledged([{ route_sent: "a", route_acked: "a" }, { route_sent: "a", route_acked: "b" }, {}]), 2);
});

for (const kind of ["route", "listener", "cluster"])
  test(`acknowledged() counts no proxy that has not taken over its ${kind}s`, () => {
    const whole = { route_sent: "a", route_acked: "a", listener_sent: "b", listener_acked: "b", cluster_sent: "c" };
    const proxy = { ...whole, cluster_acked: "c" };
    assert.equal(
      acknowledged([proxy, { ...proxy, [`${kind}_acked`]: "older" }, { ...proxy, [`${kind}_acked`]: "" }]),
      1,
    );
  });

test("outdatedAt() names what istiod does not have, also where another namespace has one of that name", () => {
  const metadata = { namespace: "web", name: "orders", resourceVersion: "5" };
  const versions = new Map([["ServiceEntry/shop/orders", "5"]]);
  assert.deepEqual(outdatedAt([{ kind: "ServiceEntry", metadata }], versions), ["ServiceEntry/shop/orders"]);
  assert.deepEqual(outdatedAt([], new Map([["Service/shop/orders", "5"]])), []);
});

/** What istiod says, answer by answer, and the last of it for ever. */
function istiod(t: TestContext, answers: readonly { readonly configz: unknown; readonly syncz: unknown }[]) {
  const asked: string[] = [];
  t.mock.method(globalThis, "fetch", async (url: string) => {
    const path = url.endsWith("configz") ? "configz" : "syncz";
    const round = asked.filter((one) => one.endsWith(path)).length;
    asked.push(url);
    return Response.json(answers[Math.min(round, answers.length - 1)]?.[path]);
  });
  return asked;
}

const versions = new Map([["ServiceEntry/shop/orders", "5"]]);
const config = (resourceVersion: string) => [
  { kind: "ServiceEntry", metadata: { namespace: "shop", name: "orders", resourceVersion } },
];
const never = new AbortController().signal;

test("askIstiod() waits until istiod has the versions and every proxy has acknowledged", async (t) => {
  const proxies = [
    { route_sent: "a", route_acked: "a" },
    { route_sent: "a", route_acked: "a" },
  ];
  const asked = istiod(t, [
    { configz: null, syncz: null },
    { configz: config("4"), syncz: proxies },
    { configz: config("5"), syncz: [...proxies, { route_sent: "b", route_acked: "a" }] },
    { configz: config("5"), syncz: proxies },
  ]);
  assert.deepEqual(await askIstiod("http://istiod:8080//", versions, never), {
    state: "current",
    message: "istiod has it; 2 of 2 proxies have acknowledged what it sent",
  });
  assert.equal(asked.length, 8);
  assert.equal(asked[0], "http://istiod:8080/debug/configz");
});

test("askIstiod() says that istiod cannot be asked, and ends when it is to end", async (t) => {
  t.mock.method(globalThis, "fetch", async () => new Response("", { status: 403 }));
  const answer = await askIstiod("http://istiod:8080", versions, never);
  assert.deepEqual(answer, {
    state: "unreachable",
    message: "istiod could not be asked at http://istiod:8080: /debug/configz answered 403",
  });
  await assert.rejects(askIstiod("http://istiod:8080", versions, AbortSignal.abort(new Error("stop"))), /stop/);
});
