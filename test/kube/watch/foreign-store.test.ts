import assert from "node:assert/strict";
import { test } from "node:test";
import { foreignStore, MOST_OF_NAMESPACE } from "../../../src/kube/watch/foreign-store.ts";
import type { Log } from "../../../src/log.ts";
import type { ForeignObject } from "../../../src/model/standing.ts";
import { securityRow } from "../../security/row.ts";

function setUp() {
  const said: { readonly namespace: string; readonly object: string; readonly message: string }[] = [];
  const warn = (fields: object, message: string) => void said.push({ ...(fields as (typeof said)[number]), message });
  return { said, store: foreignStore({ warn } as unknown as Log) };
}

const many = (count: number, text: (at: number) => string) => Array.from({ length: count }, (_, at) => text(at));

function route(id: string, fields: Partial<ForeignObject> = {}): readonly [string, ForeignObject] {
  const [namespace = "", name = ""] = id.split("/");
  const object = {
    kind: "VirtualService",
    namespace,
    name,
    uid: id,
    hosts: [],
    addresses: [],
    createdMs: 0,
    ...fields,
  };
  return [`VirtualService/${id}`, object];
}

for (const list of ["hosts", "addresses", "handedOver"] as const)
  test(`foreignStore() keeps no more ${list} of a namespace than it may, says so once, and takes up what fits again`, () => {
    const { said, store } = setUp();
    const known = () => [...store.objects.values()].reduce((sum, one) => sum + (one[list] ?? []).length, 0);
    for (const at of Array(20).keys()) store.put(...route(`evil/r${at}`, { [list]: many(999, (n) => `${at}-${n}`) }));
    assert.equal(known(), MOST_OF_NAMESPACE);
    store.put(...route("shop/r", { [list]: ["x"] }));
    assert.deepEqual(store.objects.get("VirtualService/shop/r")?.[list], ["x"]);
    assert.deepEqual(
      said.map(({ namespace, object }) => [namespace, object]),
      [["evil", "VirtualService evil/r10"]],
    );
    assert.match(said[0]?.message ?? "", /only 10000 hosts and addresses of a namespace are compared with ours/);
    store.drop("VirtualService/evil/r0");
    assert.equal(store.put(...route("evil/r19", { [list]: many(999, (n) => `19-${n}`) })), true);
    assert.equal(known(), MOST_OF_NAMESPACE + 1);
  });

test(
  securityRow({
    who: "cluster tenant",
    attack: "makes any number of objects that could clash with ours",
    outcome: "those kept of a namespace are bounded, and one that is not kept is named",
  }),
  () => {
    const { said, store } = setUp();
    for (const at of Array(MOST_OF_NAMESPACE).keys()) store.put(...route(`evil/r${at}`));
    assert.deepEqual(said, []);
    assert.equal(store.put(...route("evil/more")), false);
    assert.equal(store.put(...route("evil/still-more")), false);
    assert.equal(store.objects.size, MOST_OF_NAMESPACE);
    assert.deepEqual(
      said.map(({ object }) => object),
      ["VirtualService evil/more"],
    );
    assert.equal(store.put(...route("evil/r7", { uid: "anew" })), true, "one that is known goes on being known");
    assert.equal(store.drop("VirtualService/evil/r7"), true);
    assert.equal(store.put(...route("evil/more")), true);
  },
);

test("foreignStore() says of an object that it has more than is known", () => {
  const { said, store } = setUp();
  store.put(...route("evil/r", { hosts: many(1000, (at) => `h${at}`) }));
  store.put(...route("evil/s", { hosts: many(1000, (at) => `h${at}`) }));
  assert.deepEqual(
    said.map(({ object }) => object),
    ["VirtualService evil/r"],
  );
  assert.match(said[0]?.message ?? "", /only 1000 hosts and addresses of an object are compared/);
});

test("foreignStore() says of what is as it was that nothing changed, also where not all of it is kept", () => {
  const { store } = setUp();
  for (const at of Array(12).keys()) store.put(...route(`evil/r${at}`, { hosts: many(999, (n) => `${at}-${n}`) }));
  for (const at of Array(12).keys())
    assert.equal(store.put(...route(`evil/r${at}`, { hosts: many(999, (n) => `${at}-${n}`) })), false, String(at));
  assert.equal(store.drop("VirtualService/evil/none"), false);
});
