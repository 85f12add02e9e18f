import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "../../../src/model/service.ts";
import { decide } from "../../../src/plan/decide.ts";
import { endpoint, entry, NOW_MS, port, readings, type Said, service, standing } from "../build.ts";
import { config } from "../memory.ts";

const CONSUL = { kind: "consul", name: "dc1", address: "http://consul.example.org:8500", file: undefined };
const EMPTY: Partial<Service> = { ports: [], endpoints: [] };
const stood = entry("dc1/shop/orders", { addresses: ["240.241.0.9"] });

/** What becomes of shop/orders: its entry as it is to be, or why it is held, or nothing. */
function decided(said: Said, stands: Parameters<typeof standing>[0] = {}, more: object = {}) {
  const input = {
    readings: readings({ dc1: said }),
    standing: standing(stands),
    nowMs: NOW_MS,
    allowDeletes: new Set<string>(),
  };
  const { desired, plan, catalog } = decide(config(["dc1"], more), input);
  const manifest = desired.objects
    .get("dc1/shop/orders")
    ?.find((one) => one.manifest.kind === "ServiceEntry")?.manifest;
  const spec = manifest?.kind === "ServiceEntry" ? manifest.spec : undefined;
  return {
    ports: spec?.ports.map(({ name, number }) => `${name} ${number}`),
    endpoints: spec?.endpoints?.map(({ address }) => address),
    isTombstone: manifest?.metadata.annotations?.["x2istio.dev/gone-since"] !== undefined,
    holds: plan.hold.map(({ reason, message }) => `${reason}: ${message}`),
    isListed: catalog.services.has("dc1/shop/orders"),
  };
}

test("a service whose instances are pods by now stands without endpoints, and is no tombstone", () => {
  const pods = service("orders", { ...EMPTY, podsOnly: true });
  const { ports, endpoints, isTombstone, holds } = decided([pods], { objects: [stood] });
  assert.deepEqual({ endpoints, isTombstone, holds }, { endpoints: [], isTombstone: false, holds: [] });
  assert.equal(ports?.length, 1);
  const fresh = decided([pods]);
  assert.deepEqual([fresh.isListed, fresh.holds, fresh.endpoints], [false, [], undefined], "nothing of it is created");
});

test("a service whose instances are pods is emptied among merged registries too, unless another has endpoints", () => {
  const merged = config(["dc1", "prod"], { merge: ["dc1", "prod"] });
  const pods = (registry: string) => service("orders", { ...EMPTY, registry, podsOnly: true });
  const of = (dc1: Said, prod: Said, stands: Parameters<typeof standing>[0] = {}) =>
    decide(merged, {
      readings: readings({ dc1, prod }),
      standing: standing(stands),
      nowMs: NOW_MS,
      allowDeletes: new Set(),
    }).catalog.services.get("dc1/shop/orders")?.endpoints.length;
  assert.equal(of([pods("dc1")], [pods("prod")]), undefined);
  assert.equal(of([pods("dc1")], [pods("prod")], { objects: [stood] }), 0);
  assert.equal(of([pods("dc1")], [service("orders", { registry: "prod" })]), 1);
});

test("a service that declares ports and has no instance gets an entry with these, and keeps the ports of one that stands", () => {
  const declaredPorts = [
    { ...port("tcp-p8080", 8080, "TCP"), observed: true as const },
    port("tcp-p9090", 9090, "TCP"),
  ];
  const declared = service("orders", { ...EMPTY, declaredPorts });
  const { ports, endpoints, holds } = decided([declared]);
  assert.deepEqual(
    { ports, endpoints, holds },
    { ports: ["tcp-p8080 8080", "tcp-p9090 9090"], endpoints: [], holds: [] },
  );
  assert.deepEqual(decided([declared], { objects: [stood] }).ports, ["http-web 8080"]);
});

test("a service of which nobody can tell which port is which is held with what to configure, and what stands of it stays", () => {
  const undecided = "its instances have the ports 1, 2 on the same addresses";
  const [first, second] = [
    decided([service("orders", { undecided })]),
    decided([service("orders", { undecided })], { objects: [stood] }),
  ];
  for (const { holds, endpoints } of [first, second])
    assert.deepEqual([holds, endpoints], [[`invalid: ${undecided}`], undefined]);
});

test("a service without a port is held with what to configure, and the one that stands is emptied", () => {
  const leftOut = [{ address: "192.0.2.1:0", kind: "port", reason: "it has no port" }] as const;
  const portless = service("orders", { ...EMPTY, leftOut });
  assert.match(
    decided([portless]).holds.join(),
    /^invalid: none of its instances states a port.*ports of registry dc1/,
  );
  assert.deepEqual(decided([portless], { objects: [stood] }).endpoints, []);
});

test("alias rules compare names as their registry does", () => {
  const rule = [{ registry: "dc1", namespace: "*", service: "ORD*", as: "{service}", in: "shop" }];
  const aliases = (caseless: boolean) =>
    decide(config([caseless ? CONSUL : "dc1"], { aliases: rule }), {
      readings: readings({ dc1: [service("Orders")] }),
      standing: standing(),
      nowMs: NOW_MS,
      allowDeletes: new Set(),
    })
      .naming.services.get("dc1/shop/Orders")
      ?.aliases.map(({ name }) => name);
  assert.deepEqual([aliases(true), aliases(false)], [["orders"], []]);
});

test("endpoints are written with the network that they are in", () => {
  const placed = service("orders", { endpoints: [endpoint("192.0.2.1", { network: "vm-1" }), endpoint("192.0.2.2")] });
  const input = {
    readings: readings({ dc1: [placed] }),
    standing: standing(),
    nowMs: NOW_MS,
    allowDeletes: new Set<string>(),
  };
  const [made] = decide(config(["dc1"]), input).desired.objects.get("dc1/shop/orders") ?? [];
  assert.ok(made?.manifest.kind === "ServiceEntry");
  assert.deepEqual(
    made.manifest.spec.endpoints?.map(({ network }) => network),
    ["vm-1", undefined],
  );
});
