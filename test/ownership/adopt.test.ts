import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawObject } from "../../src/kube/client/raw.ts";
import type { Marks, ObjectEditor } from "../../src/kube/write/object-editor.ts";
import { type ObjectKey, RELEASED_ANNOTATION } from "../../src/model/objects.ts";
import type { Standing } from "../../src/model/standing.ts";
import { adoptActions } from "../../src/ownership/adopt.ts";
import { decider } from "../plan/at-once.ts";
import { entry, foreign, NOW_MS, port, readings, service, standing } from "../plan/build.ts";
import { config } from "../plan/memory.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const ENTRY: ObjectKey = `ServiceEntry/mesh-services/${HOST}`;
const ALIAS: ObjectKey = "Service/shop/orders";

/** What `adopt --all` does where the registry has `orders` and these objects stand. */
async function adopted(
  raws: Readonly<Record<ObjectKey, RawObject>>,
  stands: Parameters<typeof standing>[0],
  orders = service("orders"),
) {
  const marked = new Map<ObjectKey, Marks>();
  const editor: Pick<ObjectEditor, "read" | "mark" | "entries"> = {
    read: async (key) => raws[key],
    entries: async (labels) =>
      new Map(
        Object.entries(raws).filter(([, { metadata }]) =>
          Object.entries(labels).every(([name, value]) => metadata?.labels?.[name] === value),
        ),
      ) as ReadonlyMap<ObjectKey, RawObject>,
    async mark(key, _, marks) {
      marked.set(key, marks);
      return { outcome: "written" };
    },
  };
  const settings = config(["dc1"], {
    aliases: [{ registry: "dc1", namespace: "*", service: "*", as: "{service}", in: "shop" }],
  });
  const now = standing(stands);
  const actions = await adoptActions(
    {
      target: { standing: () => now, nowMs: () => NOW_MS },
      decide: (from: Standing) =>
        decider(settings)({
          readings: readings({ dc1: [orders] }),
          standing: from,
          nowMs: NOW_MS,
          allowDeletes: new Set(),
        }),
      editor: editor as ObjectEditor,
      owner: "x2istio",
      ttlSeconds: 30,
      signal: new AbortController().signal,
      wait: async () => undefined,
      onProgress: () => undefined,
    },
    [],
  );
  for (const { write } of actions) await write?.();
  return { actions, marked };
}

const raw = (labels: object, spec: object): RawObject =>
  ({ metadata: { name: HOST, namespace: "mesh-services", labels }, spec }) as RawObject;
const theirs = (...numbers: readonly number[]) => ({
  hosts: [HOST],
  ports: numbers.map((number) => ({ number, name: `http-${number}`, protocol: "HTTP" })),
});
const FOREIGN = [foreign("ServiceEntry", `mesh-services/${HOST}`, { hosts: [HOST] })];

test("adopt --all takes an entry with the ports of ours, and off it the labels by which other syncs would delete it", async () => {
  const labels = { manager: "Aeraki", registry: "consul", consul: "true", team: "shop" };
  const { actions, marked } = await adopted({ [ENTRY]: raw(labels, theirs(8080)) }, { foreign: FOREIGN });
  assert.deepEqual(
    actions.map(({ kind, key }) => `${kind} ${key}`),
    [`adopt ${ENTRY}`],
  );
  const { labels: set = {} } = marked.get(ENTRY) ?? {};
  assert.deepEqual([set.manager, set.registry, set.consul, "team" in set], [null, null, null, false]);
});

test("adopt --all leaves labels that only look like those of a sync", async () => {
  const { marked } = await adopted(
    { [ENTRY]: raw({ consul: "web", manager: "jane" }, theirs(8080)) },
    { foreign: FOREIGN },
  );
  const { labels = {} } = marked.get(ENTRY) ?? {};
  assert.ok(!("consul" in labels) && !("manager" in labels));
});

test("adopt --all takes consul-k8s's label off an alias", async () => {
  const alias = {
    metadata: { name: "orders", namespace: "shop", labels: { consul: "true" } },
    spec: { type: "ExternalName" },
  } as RawObject;
  const stands = { foreign: [foreign("Service", "shop/orders")], objects: [entry()] };
  const { actions, marked } = await adopted({ [ALIAS]: alias }, stands);
  assert.deepEqual(
    actions.map(({ kind, key }) => `${kind} ${key}`),
    [`adopt ${ALIAS}`],
  );
  assert.equal(marked.get(ALIAS)?.labels?.consul, null);
});

test("adopt --all refuses an entry of which a port would close, and names it", async () => {
  const { actions, marked } = await adopted({ [ENTRY]: raw({}, theirs(80, 8080)) }, { foreign: FOREIGN });
  assert.equal(actions[0]?.kind, "refuse");
  assert.match(
    actions[0]?.why ?? "",
    /^its port 80 would close \(orders\.shop\.dc1\.mesh\.internal:80\), as ours would have 8080 only: .*ports: of registry dc1/,
  );
  assert.equal(marked.size, 0);
});

test("adopt --all counts with the number that an entry keeps where nobody configured another", async () => {
  const observed = service("orders", { ports: [{ ...port("http-80", 9090), observed: true }] });
  const { actions } = await adopted({ [ENTRY]: raw({}, theirs(80)) }, { foreign: FOREIGN }, observed);
  assert.equal(actions[0]?.kind, "adopt", actions[0]?.why);
});

test("adopt --all takes back what was released, and without --all lists it", async () => {
  const released = entry("dc1/shop/orders", { annotations: { [RELEASED_ANNOTATION]: "2026-01-01T00:00:00Z" } });
  const { actions, marked } = await adopted({ [ENTRY]: raw({}, theirs(8080)) }, { objects: [released] });
  assert.deepEqual(
    actions.map(({ kind, key }) => `${kind} ${key}`),
    [`adopt ${ENTRY}`],
  );
  assert.equal(marked.get(ENTRY)?.annotations?.[RELEASED_ANNOTATION], null);
});

test("adopt names what consul2istio left that no service of ours would answer", async () => {
  const labels = { manager: "Aeraki", registry: "consul" };
  const left = {
    metadata: { name: "pay", namespace: "istio-system", labels },
    spec: { hosts: ["pay"], ports: [{ number: 80 }, { number: 8080 }] },
  } as unknown as RawObject;
  const raws = { "ServiceEntry/istio-system/pay": left, [ENTRY]: raw(labels, theirs(8080)) };
  const { actions, marked } = await adopted(raws, { foreign: FOREIGN });
  assert.deepEqual(
    actions.map(({ kind, key }) => `${kind} ${key}`),
    [`adopt ${ENTRY}`, "refuse ServiceEntry/istio-system/pay"],
  );
  assert.match(actions[1]?.why ?? "", /^consul2istio wrote it for pay:80, pay:8080, .* legacyNames .* singleLabels/);
  assert.ok(!marked.has("ServiceEntry/istio-system/pay"));
});
