import assert from "node:assert/strict";
import { test } from "node:test";
import { startPolaris } from "../polaris/polaris.ts";
import { ready, startReplica } from "./cli.ts";
import { fixture } from "./fixture.ts";

/** Polled once a year, and asked for changes every ten minutes: what is new is found by reports alone. */
const RARELY = { poll: "0 0 0 1 1 *", interval: "10m" };

test("a report of a service that was registered a moment ago is found, by its name, sid and alias", async (t) => {
  const polaris = await startPolaris();
  t.after(() => polaris.stop());
  polaris.register({ service: "orders", host: "192.0.2.1", port: 80 });
  const place = await fixture(t, [], {
    registries: [{ kind: "polaris", name: "prod", address: polaris.address, demand: "reported", ...RARELY }],
    aliases: [],
    target: { kind: "directory", path: "out" },
  });
  await place.replace("tokens", "secret\n");
  await place.setConfig({
    http: { listen: `127.0.0.1:${place.ports.http}`, reports: { tokenFile: "tokens" } },
  });
  const replica = startReplica(t, place);
  await ready(replica);
  const report = async (body: object) => {
    const headers = { "content-type": "application/json", authorization: "Bearer secret" };
    const answer = await fetch(`${replica.http}/api/reports`, { method: "POST", headers, body: JSON.stringify(body) });
    const { service, state, why } = (await answer.json()) as { service?: string; state: string; why?: string };
    return { status: answer.status, service, state, why };
  };
  polaris.register({ service: "stock", host: "192.0.2.2", port: 80 });
  polaris.register({ service: "64001:65536", host: "192.0.2.3", port: 80 });
  polaris.createAlias({ namespace: "shop", name: "cart" }, { namespace: "default", name: "orders" });
  const known = await report({ registry: "prod", namespace: "default", service: "stock" });
  assert.deepEqual([known.service, known.status === 200 || known.status === 202], ["prod/default/stock", true]);
  const sid = await report({ name: "64001:65536" });
  assert.equal(sid.service, "prod/default/64001:65536");
  const alias = await report({ registry: "prod", namespace: "shop", service: "cart" });
  assert.equal(alias.service, "prod/default/orders");
  const before = polaris.requests.length;
  for (let at = 0; at < 20; at++) assert.equal((await report({ name: `nobody-${at}.example.org` })).status, 404);
  const perLook = 20; // lists and names of one poll, at most
  assert.ok(polaris.requests.length - before <= 5 * perLook, "storms of unknown names do not become storms of reads");
});
