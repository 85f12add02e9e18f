import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { startNameServer } from "./name-server.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

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
  const [web, gateway, outside, vip] = await Promise.all([
    mesh.withSidecar("web"),
    mesh.gateway("public", { namespace: "edge", labels: { istio: "public" } }),
    mesh.withoutSidecar("client", { namespace: "edge" }),
    mesh.vip(db),
  ]);
  const payers = async (call: Parameters<typeof web.tally>[0]) => Object.keys(await web.tally(call)).sort();
  const everybody = { kind: "http", url: "http://pay:8080", count: 60 } as const;

  await t.test("the entries", async () => {
    const [ofDb, ofPay] = await Promise.all([mesh.entry(hostOf(db)), mesh.entry(hostOf(pay))]);
    assert.deepEqual([ofDb.resolution, ofPay.resolution], ["DNS", "DNS"]);
    assert.deepEqual(
      [ofDb, ofPay].map(({ endpoints = [] }) => endpoints.map(({ address }) => address)),
      [["db-1.example.net."], ["192.0.2.21", "pay.example.net."]],
    );
  });

  for (const name of ["orders-db", "orders-db.corp.example.com", hostOf(db)])
    await t.test(`TCP by ${name}`, async () => {
      await mesh.becomes(vip, () => web.lookUp(name));
      await mesh.becomes("db@192.0.2.51", () => web.tcp(name, 3306));
    });

  await t.test("HTTP to an address and a name, by sidecar and gateway", async () => {
    await mesh.becomes(["pay@192.0.2.21", "pay@192.0.2.22"], () => payers(everybody));
    const answers = new Set<string>();
    await mesh.becomes(["pay@192.0.2.21", "pay@192.0.2.22"], async () => {
      const answer = await outside.http(`http://${gateway.address}/`, { host: "pay.example.com" });
      if (!answer.startsWith("failed")) answers.add(answer);
      return [...answers].sort();
    });
    assert.equal(await web.http("http://pay.corp.example.com:8080").then((who) => who.startsWith("pay@")), true);
  });

  await t.test("a name that gets another address is followed", async () => {
    names.set("db-1.example.net", "192.0.2.52");
    names.set("pay.example.net", "192.0.2.22", "192.0.2.23");
    await mesh.becomes("db@192.0.2.52", () => web.tcp(vip, 3306));
    await mesh.becomes(["pay@192.0.2.21", "pay@192.0.2.22", "pay@192.0.2.23"], () => payers(everybody));
  });

  await t.test("a server that is silent takes nothing away; one that denies the name does", async () => {
    const name = "db-1.example.net";
    names.silence(true);
    const before = names.asked(name);
    await mesh.becomes(true, async () => names.asked(name) > before + 2);
    assert.equal(await web.tcp(vip, 3306), "db@192.0.2.52");
    names.set(name);
    names.silence(false);
    await mesh.becomes(true, async () => (await web.tcp(vip, 3306)).startsWith("failed: "));
    names.set(name, "192.0.2.51");
    await mesh.becomes("db@192.0.2.51", () => web.tcp(vip, 3306));
  });
});
