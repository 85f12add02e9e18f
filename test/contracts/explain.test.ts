import assert from "node:assert/strict";
import { test } from "node:test";
import { place, service } from "./folder.ts";

const dns = {
  zones: ["mesh.internal", { name: "corp.example.com", forward: ["192.0.2.53"] }],
};
const named = (name: string, ...legacyNames: string[]) => ({ ...service(name, "192.0.2.1"), legacyNames });

const unknown = [
  [
    "odrers.corp.example.com",
    /^ {2}DNS +in zone corp\.example\.com, of which the rest is someone else's: 192\.0\.2\.53:53 is asked$/m,
  ],
  ["odrers.corp.example.com", /^ {2}similar +orders\.corp\.example\.com$/m],
  ["stok.default.vms.mesh.internal", /^ {2}DNS +in zone mesh\.internal, which is X2Istio's own: NXDOMAIN$/m],
  ["stok.default.vms.mesh.internal", /^ {2}similar +stock\.default\.vms\.mesh\.internal$/m],
  ["default.vms.mesh.internal", /^ {2}DNS +in zone mesh\.internal, which is X2Istio's own: NOERROR$/m],
  ["www.example.net", /^ {2}DNS +in none of dns\.zones: REFUSED$/m],
  ["stok", /^ {2}similar +stock$/m],
  ["stok", /^(?!.*DNS)/s],
] as const;

test("explain of a name that nobody has says its zone, what DNS says, and what is near", async (t) => {
  const { x2istio } = await place(t, [named("orders", "orders.corp.example.com"), named("stock")], { dns });
  await x2istio("apply");
  for (const [name, want] of unknown) {
    const { code, stderr } = await x2istio("explain", name);
    assert.equal(code, 1);
    assert.match(stderr, want, name);
  }
});

test("validate and explain say who never asks for an L5 sid", async (t) => {
  const { x2istio } = await place(t, [named("orders", "64001.65536"), named("stock", "100:65536")], { dns });
  const go = "Go's resolver refuses it; callers that use them need a name with a domain behind";
  const [validated, explained, numeric] = await Promise.all([
    x2istio("validate"),
    x2istio("explain", "orders"),
    x2istio("explain", "stock"),
  ]);
  assert.equal(validated.code, 0);
  for (const { stdout } of [validated, explained]) assert.ok(stdout.includes(`64001.65536 is numbers alone: ${go}`));
  const both = `100.65536 is numbers alone: C libraries take it for an IPv4 address, and ${go}`;
  for (const { stdout } of [validated, numeric]) assert.ok(stdout.includes(both), stdout);
});

test("explain of a name that is held says who has it", async (t) => {
  const shop = { ...named("web", "web.corp.example.com"), namespace: "shop" };
  const { x2istio } = await place(t, [named("orders", "web.corp.example.com"), shop], { dns });
  await x2istio("apply");
  const { stdout } = await x2istio("explain", "shop/web");
  assert.match(stdout, /web\.corp\.example\.com .*vms\/default\/orders/);
});

test("explain lists what DNS answers, also of a registry that left the configuration", async (t) => {
  const { x2istio, configure, write } = await place(t, [named("orders", "orders.corp.example.com")], { dns });
  await x2istio("apply");
  await write("others.yaml", { services: [] });
  await configure({ registries: [{ kind: "static", name: "others", file: "others.yaml" }], dns });
  const { stdout } = await x2istio("explain", "orders.corp.example.com");
  assert.match(stdout, /^ +orders\.corp\.example\.com +A 240\.241\.\d+\.\d+, AAAA none, TTL 30 s/m);
});
