import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { namesOfAgent } from "./agent.ts";
import type { Call } from "./calls.ts";
import { readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { startNameServer } from "./name-server.ts";
import { ownNetwork } from "./network.ts";
import type { App } from "./pod.ts";

const skip = await ownNetwork();

/** The TTL of the answers, and five seconds. */
const FOLLOWED_MS = 6_000;
/** That resolve the names of endpoints: two sidecars and a gateway. */
const PROXIES = 3;

test("proxies resolve endpoints that are host names, follow them, and keep the last addresses", { skip }, async (t) => {
  const example = await readExample("host-names");
  const [db, pay] = [serviceNamed(example, "orders-db"), serviceNamed(example, "pay")];
  const names = await startNameServer();
  t.after(() => names.stop());
  names.set("db-1.example.net", "192.0.2.51");
  names.set("pay.example.net", "192.0.2.22");
  const mesh = await startMesh(t, {
    ...example,
    manifests: [],
    namespaces: ["edge"],
    istiod: { mesh: { dnsRefreshRate: "1s" } },
  });
  const mysql = (address: string) => ({ protocol: "tcp" as const, who: `db@${address}`, address, port: 3306 });
  const http = (address: string) => ({ protocol: "http" as const, who: `pay@${address}`, address, port: 8080 });
  await mesh.backends(
    mysql("192.0.2.51"),
    mysql("192.0.2.52"),
    ...["192.0.2.21", "192.0.2.22", "192.0.2.23"].map(http),
  );
  await mesh.apply(...example.manifests);
  const [web, captured, gateway, outside, vip] = await Promise.all([
    mesh.withSidecar("web"),
    mesh.withSidecar("captured", { hasAgent: true }),
    mesh.gateway("public", { namespace: "edge", labels: { istio: "public" } }),
    mesh.withoutSidecar("client", { namespace: "edge" }),
    mesh.vip(db),
  ]);
  const apps = { "a sidecar": web, "a sidecar with DNS capture": captured };
  const payers = async (app: App, call: Call) => Object.keys(await app.tally(call)).sort();
  const everybody = { kind: "http", url: "http://pay:8080", count: 60 } as const;

  await t.test("the entries", async () => {
    const [ofDb, ofPay] = await Promise.all([mesh.entry(hostOf(db)), mesh.entry(hostOf(pay))]);
    assert.deepEqual([ofDb.resolution, ofPay.resolution], ["DNS", "DNS"]);
    assert.deepEqual(
      [ofDb, ofPay].map(({ endpoints = [] }) => endpoints.map(({ address }) => address)),
      [["db-1.example.net."], ["192.0.2.21", "pay.example.net."]],
    );
  });

  await t.test("what Istio's agent answers by itself", async () => {
    await mesh.becomes([vip, await mesh.vip(pay)], async () => {
      const known = await namesOfAgent(captured);
      return [known.get(hostOf(db))?.join(), known.get(hostOf(pay))?.join()];
    });
  });

  for (const [by, app] of Object.entries(apps)) {
    for (const name of ["orders-db", "orders-db.corp.example.com", hostOf(db)])
      await t.test(`TCP by ${name}, from ${by}`, async () => {
        await mesh.becomes(vip, () => app.lookUp(name));
        await mesh.becomes("db@192.0.2.51", () => app.tcp(name, 3306));
      });
    await t.test(`HTTP to an address and a name, from ${by}`, async () => {
      await mesh.becomes(["pay@192.0.2.21", "pay@192.0.2.22"], () => payers(app, everybody));
      for (const name of ["pay.corp.example.com", hostOf(pay)])
        assert.match(await app.http(`http://${name}:8080`), /^pay@/, name);
    });
  }

  await t.test("HTTP to an address and a name, by gateway", async () => {
    const answers = new Set<string>();
    await mesh.becomes(["pay@192.0.2.21", "pay@192.0.2.22"], async () => {
      const answer = await outside.http(`http://${gateway.address}/`, { host: "pay.example.com" });
      if (!answer.startsWith("failed")) answers.add(answer);
      return [...answers].sort();
    });
  });

  await t.test("a name that gets another address is followed", async () => {
    names.set("db-1.example.net", "192.0.2.52");
    names.set("pay.example.net", "192.0.2.22", "192.0.2.23");
    for (const app of Object.values(apps)) {
      await mesh.becomes("db@192.0.2.52", () => app.tcp("orders-db", 3306), FOLLOWED_MS);
      const all = ["pay@192.0.2.21", "pay@192.0.2.22", "pay@192.0.2.23"];
      await mesh.becomes(all, () => payers(app, everybody), FOLLOWED_MS);
    }
  });

  await t.test("a server that is silent takes nothing away; one that denies the name does", async () => {
    const name = "db-1.example.net";
    names.silence(true);
    const before = names.asked(name);
    await mesh.becomes(true, async () => names.asked(name) > before + 2 * PROXIES);
    for (const app of Object.values(apps))
      for (const called of ["orders-db", "orders-db.corp.example.com", hostOf(db)])
        assert.equal(await app.tcp(called, 3306), "db@192.0.2.52", called);
    names.set(name);
    names.silence(false);
    for (const app of Object.values(apps))
      await mesh.becomes(true, async () => (await app.tcp("orders-db", 3306)).startsWith("failed: "));
    names.set(name, "192.0.2.51");
    for (const app of Object.values(apps)) await mesh.becomes("db@192.0.2.51", () => app.tcp("orders-db", 3306));
  });

  await t.test("with DNS capture the host is known even while nobody else answers DNS", async () => {
    await mesh.replica.stop();
    await mesh.becomes(true, async () => (await web.lookUp(hostOf(db))) !== vip);
    assert.equal(await captured.lookUp(hostOf(db)), vip);
    assert.equal(await captured.tcp(hostOf(db), 3306), "db@192.0.2.51");
    assert.match(await captured.http(`http://${hostOf(pay)}:8080`), /^pay@/);
  });
});
