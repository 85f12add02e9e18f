import assert from "node:assert/strict";
import { test } from "node:test";
import { servicesJson } from "../../../src/cli/serve/services-json.ts";
import { decider } from "../../plan/at-once.ts";
import { alias, entry, failed, foreign, NOW_MS, readings, type Said, service, standing } from "../../plan/build.ts";
import { config } from "../../plan/memory.ts";

type Row = Readonly<Record<string, unknown>>;

/** The rows by service, for what a registry says and what stands. */
function rowsOf(
  said: Said,
  fields: Parameters<typeof standing>[0] = {},
  { registry = {}, rest = {} }: { readonly registry?: object; readonly rest?: object } = {},
): Readonly<Record<string, Row>> {
  const settings = config([{ name: "dc1", ...registry }], rest);
  const decision = decider(settings)({
    readings: readings({ dc1: said }),
    standing: standing(fields),
    nowMs: NOW_MS,
    allowDeletes: new Set(),
  });
  const { services } = servicesJson(decision) as { services: readonly (Row & { readonly service: string })[] };
  assert.deepEqual(
    services.map((row) => row.service),
    services.map((row) => row.service).toSorted(),
    "sorted",
  );
  return Object.fromEntries(services.map((row) => [row.service, row]));
}

const ORDERS = "dc1/shop/orders";

test("servicesJson() has no service before the first decision", () => {
  assert.deepEqual(servicesJson(undefined), { services: [] });
});

test("servicesJson() shows a service as it stands, with its names and what is left out", () => {
  const leftOut = [{ address: "192.0.2.9:80", kind: "health" as const, reason: "critical" }];
  const orders = service("orders", { leftOut, source: "/v1/health/service/orders" });
  const rows = rowsOf(
    [orders],
    { objects: [entry(ORDERS, { addresses: ["240.241.0.7"] }), alias(ORDERS, "shop/orders")] },
    {
      registry: { legacyNames: ["{service}.old.example.org"] },
      rest: { aliases: [{ registry: "dc1", as: "{service}", in: "shop" }] },
    },
  );
  const { ports, endpoints, ...row } = rows[ORDERS] ?? {};
  assert.deepEqual(row, {
    service: ORDERS,
    host: "orders.shop.dc1.mesh.internal",
    vips: ["240.241.0.7"],
    leftOut,
    legacyNames: ["orders.old.example.org"],
    aliases: ["shop/orders"],
    premade: [],
    source: "/v1/health/service/orders",
    demanded: true,
    held: [],
  });
  assert.ok(Array.isArray(ports) && typeof endpoints === "number");
});

test("servicesJson() shows the VIP of a service that does not stand yet", () => {
  const { [ORDERS]: row } = rowsOf([service("orders")]);
  assert.match(String(row?.["vips"]), /^240\.241\.\d+\.\d+$/);
  assert.deepEqual([row?.["endpoints"], row?.["ports"], row?.["aliases"]], [0, [], []], "nothing of it stands");
});

test("servicesJson() shows the VIP that Istio gave", () => {
  const stands = entry(ORDERS, { addresses: [] });
  const { addresses: _, ...spec } = stands.manifest.spec;
  const object = { ...stands, manifest: { ...stands.manifest, spec }, statusAddresses: ["240.240.0.7"] };
  const rows = rowsOf(
    [service("orders")],
    { objects: [object] },
    {
      rest: { vips: { mode: "istio" }, target: { kind: "kubernetes", namespace: "mesh-services" } },
    },
  );
  assert.deepEqual(rows[ORDERS]?.["vips"], ["240.240.0.7"]);
});

test("servicesJson() shows what only stands, what could not be read, and what is only known", () => {
  const stands = entry("dc1/shop/gone", { addresses: ["240.241.0.7"] });
  const gone = rowsOf([], { objects: [stands] })["dc1/shop/gone"];
  assert.deepEqual(
    [gone?.["host"], gone?.["vips"], gone?.["source"], gone?.["leftOut"]],
    ["gone.shop.dc1.mesh.internal", ["240.241.0.7"], null, []],
  );
  const unread = rowsOf([failed(ORDERS, "answered 503")])[ORDERS];
  assert.deepEqual([unread?.["host"], unread?.["vips"], unread?.["demanded"]], [null, [], true]);
  const known = rowsOf([service("orders")], {}, { registry: { demand: "reported" } })[ORDERS];
  assert.deepEqual([known?.["demanded"], known?.["vips"]], [false, []]);
});

test("servicesJson() says why a service is held", () => {
  const taken = foreign("ServiceEntry", "web/taken", { hosts: ["orders.shop.dc1.mesh.internal"] });
  const [held] = (rowsOf([service("orders")], { foreign: [taken] })[ORDERS]?.["held"] ?? []) as readonly Row[];
  assert.ok(held !== undefined && typeof held["reason"] === "string");
  assert.match(String(held["message"]), /orders\.shop\.dc1\.mesh\.internal/);
});
