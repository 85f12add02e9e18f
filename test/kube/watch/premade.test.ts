import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterState } from "../../../src/kube/watch/state.ts";
import type { PremadeRule } from "../../../src/model/premade.ts";
import { MESH, SHOP } from "../objects.ts";

const premade: PremadeRule = {
  owner: "east",
  namespaces: new Set([MESH, SHOP]),
  registries: [{ name: "prod", kind: "polaris", exportTo: ["*"] }],
  merge: [],
};
const ASKS = { "aeraki.net/polarisNamespace": "Production", "aeraki.net/polarisService": "orders" };
const OURS = { "app.kubernetes.io/managed-by": "x2istio", "x2istio.dev/owner": "east" };
const KEY = `ServiceEntry/${MESH}/dev`;

function setUp(rule: PremadeRule | undefined = premade, log?: { warn: (fields: object) => void }) {
  const state = clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
    premade: rule,
    ...(log === undefined ? {} : { log }),
  });
  let version = 0;
  const raw = (
    annotations: Readonly<Record<string, string>>,
    labels: Readonly<Record<string, string>> = {},
    namespace = MESH,
    spec: object = {},
  ) => ({
    metadata: { name: "dev", namespace, uid: "u1", resourceVersion: `${++version}`, annotations, labels },
    spec: { hosts: ["dev.orders.polaris"], addresses: ["240.255.0.7"], resolution: "STATIC", ...spec },
  });
  const put = (...given: Parameters<typeof raw>) => {
    const object = raw(...given);
    state.sinks.ServiceEntry.put(object);
    return object;
  };
  const { standing } = state;
  const places = () => [standing.premade.has(KEY), standing.foreign.has(KEY), standing.objects.has(KEY)];
  return { state, standing, put, places };
}

test("an entry that asks to be filled is kept whole, and its host and addresses stay someone else's", () => {
  const { standing, put, places, state } = setUp();
  put(ASKS, { manager: "aeraki" }, MESH, { endpoints: [{ address: "192.0.2.1" }], exportTo: ["."] });
  assert.deepEqual(places(), [true, true, false]);
  const entry = standing.premade.get(KEY);
  assert.deepEqual([entry?.service, entry?.registry, entry?.yielded], ["prod/Production/orders", "prod", undefined]);
  assert.deepEqual(entry?.manifest.spec.endpoints, [{ address: "192.0.2.1" }]);
  assert.deepEqual(entry?.manifest.metadata.labels, { manager: "aeraki" });
  assert.deepEqual(standing.foreign.get(KEY)?.addresses, ["240.255.0.7"]);
  assert.equal(entry?.isApart, undefined);
  put(ASKS, {}, SHOP);
  assert.equal(standing.premade.get(`ServiceEntry/${SHOP}/dev`)?.isApart, true);
  assert.deepEqual(state.changesSince(0), new Set([KEY, `ServiceEntry/${SHOP}/dev`]));
});

test("every change of it counts, a version seen before does not", () => {
  const { state, standing, put } = setUp();
  const first = put(ASKS);
  const version = state.version();
  state.sinks.ServiceEntry.put(first);
  assert.equal(state.version(), version);
  put(ASKS, {}, MESH, { endpoints: [{ address: "192.0.2.2" }] });
  assert.equal(state.version(), version + 1);
  assert.deepEqual(standing.premade.get(KEY)?.manifest.spec.endpoints, [{ address: "192.0.2.2" }]);
});

const moves: {
  readonly name: string;
  readonly put: (to: ReturnType<typeof setUp>) => void;
  readonly want: boolean[];
}[] = [
  { name: "without its annotations it is only someone else's", put: ({ put }) => put({}), want: [false, true, false] },
  { name: "with our labels it is ours", put: ({ put }) => put(ASKS, OURS), want: [false, false, true] },
  {
    name: "of another owner it is only someone else's",
    put: ({ put }) => put(ASKS, { "x2istio.dev/owner": "west" }),
    want: [false, true, false],
  },
  {
    name: "deleted it is gone",
    put: ({ put, state }) => state.sinks.ServiceEntry.remove(put(ASKS)),
    want: [false, false, false],
  },
  {
    name: "missing from a list it is gone",
    put: ({ state }) => state.sinks.ServiceEntry.sweep(new Set(), "99"),
    want: [false, false, false],
  },
];
for (const { name, put, want } of moves)
  test(`an entry that asked to be filled: ${name}`, () => {
    const made = setUp();
    made.put(ASKS);
    put(made);
    assert.deepEqual(made.places(), want);
  });

test("one that was ours, and asks to be filled, is filled", () => {
  const made = setUp();
  made.put(ASKS, OURS);
  made.put(ASKS);
  assert.deepEqual(made.places(), [true, true, false]);
});

test("none is filled elsewhere, or without a rule", () => {
  const made = setUp();
  made.put(ASKS, {}, "elsewhere");
  assert.equal(made.standing.premade.size, 0);
  const without = clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
  });
  without.sinks.ServiceEntry.put({ metadata: { name: "dev", namespace: MESH, annotations: ASKS }, spec: {} });
  assert.equal(without.standing.premade.size, 0);
});

test("whatever stands in it, it can be read", () => {
  const { standing, put } = setUp();
  put(ASKS, {}, MESH, { hosts: undefined, ports: "none", endpoints: [null, { address: 7 }], addresses: {} });
  assert.deepEqual(standing.premade.get(KEY)?.manifest.spec.ports, []);
  assert.deepEqual(standing.premade.get(KEY)?.manifest.spec.endpoints, []);
});

test("where tenants may write, 32 MiB of entries are kept whole, and one that is not is named", () => {
  const said: object[] = [];
  const { state, standing } = setUp(premade, { warn: (fields) => said.push(fields) });
  const put = (at: number, namespace: string, note = "x".repeat(2 ** 20)) =>
    state.sinks.ServiceEntry.put({
      metadata: { name: `e${at}`, namespace, uid: `u${at}`, resourceVersion: `${at + 1}`, annotations: ASKS },
      spec: { hosts: [`e${at}.example.org`], resolution: "STATIC", subjectAltNames: [note] },
    });
  for (let at = 0; at < 40; at++) put(at, SHOP);
  assert.equal(standing.premade.size, 31);
  assert.equal(standing.foreign.size, 40);
  assert.deepEqual(said, [{ namespace: SHOP, object: `ServiceEntry ${SHOP}/e31` }]);
  for (let at = 0; at < 40; at++) put(at, MESH);
  assert.equal(standing.premade.size, 71);
  state.sinks.ServiceEntry.remove({ metadata: { name: "e0", namespace: SHOP, uid: "u0", resourceVersion: "50" } });
  put(50, SHOP);
  assert.equal(standing.premade.has(`ServiceEntry/${SHOP}/e50`), true);
});
