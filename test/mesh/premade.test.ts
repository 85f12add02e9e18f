import assert from "node:assert/strict";
import { test } from "node:test";
import { eventsPath, get, list } from "../e2e/cluster.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { validate } from "../servers/istioctl.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { type Manifest, pathOf } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

test("entries written by hand are filled from a registry, and stay their author's", { skip }, async (t) => {
  const polaris = await startPolaris();
  t.after(() => polaris.stop());
  process.env.POLARIS_ADDRESS = polaris.address;
  const orders = { namespace: "Production", service: "orders", protocol: "http" };
  const first = polaris.register({ ...orders, host: "192.0.2.11", port: 8080, weight: 75 });
  polaris.register({ ...orders, host: "192.0.2.12", port: 18_080, weight: 25 });
  polaris.register({
    namespace: "Production",
    service: "pricing",
    host: "192.0.2.31",
    port: 20_880,
    protocol: "dubbo",
  });
  polaris.createAlias({ namespace: "Production", name: "64001:65536" }, { namespace: "Production", name: "pricing" });
  // So that one service less is no reason to brake.
  for (let last = 1; last <= 8; last++)
    polaris.register({ namespace: "Production", service: "search", host: `198.51.100.${last}`, port: 8080 });
  const example = await readExample("premade");
  // A failed read is told of by a poll only.
  const registries = (example.sections.registries as object[]).map((one) => ({ ...one, poll: "* * * * * *" }));
  const stock = serviceNamed(example, "stock");
  const mesh = await startMesh(t, { ...example, sections: { ...example.sections, registries } });
  await mesh.backends(
    ...backendsOf(stock),
    { protocol: "http", who: "orders-1", address: "192.0.2.11", port: 8080 },
    { protocol: "http", who: "orders-2", address: "192.0.2.12", port: 18_080 },
    { protocol: "http", who: "orders-3", address: "192.0.2.13", port: 8080 },
    { protocol: "tcp", who: "pricing", address: "192.0.2.31", port: 20_880 },
  );
  const web = await mesh.withSidecar("web");
  const whoOf = async (url: string, host: string) =>
    Object.keys(await web.tally({ kind: "http", url, count: 40, host })).sort();
  const ofOrders = () => whoOf("http://240.255.0.7:8080", "dev.orders.polaris");

  await t.test("calls to the author's hosts and addresses reach the registry's endpoints", async () => {
    await mesh.becomes(["orders-1", "orders-2"], ofOrders);
    await mesh.becomes("pricing", () => web.tcp("240.255.0.8", 80));
    await mesh.becomes(["stock/http@192.0.2.21"], () => whoOf("http://240.255.0.9:8080", "stock.example.org"));
  });

  await t.test("nothing but ports and endpoints was written", async () => {
    for (const written of example.manifests) {
      const { metadata, spec } = (await get(mesh.kube, pathOf(written))) ?? {};
      const { labels, annotations } = written.metadata;
      assert.deepEqual([metadata?.labels, metadata?.annotations], [labels, annotations]);
      const { ports: _, endpoints: __, ...rest } = spec ?? {};
      const { ports: ___, ...author } = written.spec as Readonly<Record<string, unknown>>;
      assert.deepEqual(rest, author);
    }
    const { ports, endpoints } = specOf(await get(mesh.kube, pathOf(named("pricing"))));
    assert.deepEqual(ports, [{ name: "tcp-metaprotocol-dubbo-dubbo", number: 80, protocol: "TCP" }]);
    assert.deepEqual(endpoints, [
      { address: "192.0.2.31", ports: { "tcp-metaprotocol-dubbo-dubbo": 20_880 }, weight: 100 },
    ]);
    const filled = example.manifests.map(async (one) => ({ ...one, spec: specOf(await get(mesh.kube, pathOf(one))) }));
    const { ok, output } = await validate(await Promise.all(filled));
    assert.ok(ok, output);
  });

  await t.test("an instance that comes or goes moves nothing but endpoints", async () => {
    await mesh.istiod.settled();
    const { eds: edsBefore = 0, ...before } = await mesh.istiod.pushes();
    polaris.deregister(first);
    await mesh.becomes(["orders-2"], ofOrders);
    const third = polaris.register({ ...orders, host: "192.0.2.13", port: 8080 });
    await mesh.becomes(["orders-2", "orders-3"], ofOrders);
    await mesh.istiod.settled();
    const { eds = 0, ...after } = await mesh.istiod.pushes();
    assert.deepEqual(after, before, "nothing but endpoints was pushed");
    assert.ok(eds > edsBefore);
    polaris.deregister(third);
    await mesh.becomes(["orders-2"], ofOrders);
  });

  await t.test("what someone changes in them is put back, and an author's change elsewhere is kept", async () => {
    const path = pathOf(named("orders"));
    const spec = { endpoints: [{ address: "203.0.113.9" }], location: "MESH_EXTERNAL" };
    await mesh.kube.request("PATCH", path, { metadata: { annotations: { team: "shop" } }, spec });
    const addresses = async () => specOf(await get(mesh.kube, path)).endpoints?.map(({ address }) => address);
    await mesh.becomes(["192.0.2.12"], addresses);
    const { metadata, spec: now } = (await get(mesh.kube, path)) ?? {};
    assert.equal(metadata?.annotations?.team, "shop");
    assert.equal((now as { readonly location?: string } | undefined)?.location, "MESH_EXTERNAL");
  });

  await t.test(
    "a registry that cannot be read changes nothing; one that no longer lists the service empties it",
    async () => {
      const undo = polaris.fault({ kind: "code", code: 500_001 });
      const isHeld = async () =>
        mesh.replica.logged("the registry cannot be read; its objects stay as they are").length > 0;
      await mesh.becomes(true, isHeld);
      assert.deepEqual(await ofOrders(), ["orders-2"]);
      undo();
      polaris.deleteService("Production", "orders");
      await mesh.becomes(["failed: 503 no healthy upstream"], ofOrders);
      assert.deepEqual(specOf(await get(mesh.kube, pathOf(named("orders")))).endpoints, []);
      polaris.register({ ...orders, host: "192.0.2.11", port: 8080 });
      await mesh.becomes(["orders-1"], ofOrders);
    },
  );

  await t.test(
    "an entry without the annotations, or in another namespace, is left alone, whatever its labels",
    async () => {
      const like = (name: string, metadata: Partial<Manifest["metadata"]>) => ({
        ...named(name),
        metadata: { ...named(name).metadata, ...metadata },
        spec: { hosts: [`${metadata.name}.example.org`], resolution: "STATIC" },
      });
      await mesh.apply(
        like("orders", { name: "bare", annotations: {} }),
        like("orders", { name: "elsewhere", namespace: "default" }),
        like("stock", { name: "later" }),
      );
      const isFilled = async (namespace: string, name: string) =>
        specOf(await get(mesh.kube, `/apis/networking.istio.io/v1/namespaces/${namespace}/serviceentries/${name}`))
          .endpoints !== undefined;
      await mesh.becomes(true, () => isFilled("shop", "later"));
      assert.equal(await isFilled("mesh-services", "bare"), false);
      assert.equal(await isFilled("default", "elsewhere"), false);
    },
  );

  await t.test("one that can have no endpoints is left as it is, and an Event beside it says why", async () => {
    const spec = { hosts: ["none.polaris"], resolution: "NONE" };
    const none = { ...named("orders"), metadata: { ...named("orders").metadata, name: "none" }, spec };
    await mesh.apply(none);
    const events = async () => {
      const found = [...(await list(mesh.kube, eventsPath("mesh-services"))).values()] as unknown[];
      return (found as { readonly reason: string; readonly message: string }[])
        .filter(({ reason }) => reason === "EntryHeld")
        .map(({ message }) => message.replace(/^.*: it is/, "it is"));
    };
    const why = "it is not filled: its resolution is NONE, and must be STATIC to take endpoints from a registry";
    await mesh.becomes([why], events);
    assert.deepEqual((await get(mesh.kube, pathOf(none)))?.spec, spec);
  });

  function named(name: string): Manifest {
    const found = example.manifests.find(({ metadata }) => metadata.name === name);
    assert.ok(found !== undefined);
    return found;
  }
});

interface FilledSpec {
  readonly ports?: readonly object[];
  readonly endpoints?: readonly { readonly address: string }[];
}

function specOf(object: { readonly spec?: object } | undefined): FilledSpec {
  return (object?.spec ?? {}) as FilledSpec;
}
