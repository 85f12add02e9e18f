import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "../servers/kube-admin.ts";
import { freePorts, type Replica, ready, runCli, startReplica } from "./cli.ts";
import { dnsQuery } from "./dns.ts";
import { copyExample, digests, type Example, edit } from "./embedded.ts";

const ORDERS = "orders.corp.example.com";

/** A configuration without registries, on ports of its own. */
async function aloneConfig(example: Example, dns: string, rest = "") {
  const ports = await freePorts();
  const config = join(example.dir, `alone-${ports.dns}.yaml`);
  const listen = `listen: ["127.0.0.1:${ports.dns}"]`;
  await writeFile(config, `dns: {${listen}, ${dns}}\nhttp: {listen: "127.0.0.1:${ports.http}"}\n${rest}`);
  return { config, ports };
}

async function startAlone(t: TestContext, example: Example, args: readonly string[], rest = ""): Promise<Replica> {
  const { config, ports } = await aloneConfig(example, "zones: [mesh.internal, corp.example.com]", rest);
  const replica = startReplica(t, { config, ports, args: ["dns", "--config", config, ...args] });
  await ready(replica);
  return replica;
}

const rename = (example: Example) =>
  edit(example.services, (text) => text.replace("orders.corp.example.com]", "buy.corp.example.com]"));
const answers = async (replica: Replica, name: string) => (await dnsQuery(replica.dns, name)).addresses;

test("x2istio dns answers from a folder that another process writes, and writes nothing", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const alone = await startAlone(t, example, [], `owner: example\ntarget: {kind: directory, path: ${example.out}}\n`);
  const before = await digests(example.out);
  assert.deepEqual(await answers(alone, ORDERS), await answers(main, ORDERS));
  assert.equal((await dnsQuery(alone.dns, "nobody.corp.example.com")).rcode, 3);
  assert.deepEqual(await digests(example.out), before);
  await rename(example);
  await until("the change is answered", async () => (await answers(alone, "buy.corp.example.com")).length === 1);
  assert.equal(await alone.stop(), 0);
});

test("x2istio dns answers from another x2istio, and goes on when that is away", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const alone = await startAlone(t, example, ["--from", main.http]);
  const vip = await answers(main, ORDERS);
  assert.equal(vip.length, 1);
  assert.deepEqual(await answers(alone, ORDERS), vip);

  await rename(example);
  await until("the change is answered", async () => (await answers(alone, "buy.corp.example.com")).length === 1);
  assert.equal((await dnsQuery(alone.dns, ORDERS)).rcode, 3, "the old name has gone");

  await main.stop();
  const away = "the names cannot be fetched; the last ones are answered";
  await until("it says so", async () => alone.logged(away).length > 0);
  assert.deepEqual(await answers(alone, "buy.corp.example.com"), vip);
  assert.equal((await fetch(`${alone.http}/readyz`)).status, 200);

  await edit(example.services, (text) => text.replace("buy.corp.example.com]", "sell.corp.example.com]"));
  const again = startReplica(t, example);
  await ready(again);
  await until("it follows again", async () => (await answers(alone, "sell.corp.example.com")).length === 1, 30_000);
  assert.deepEqual(await answers(alone, "sell.corp.example.com"), vip);
  assert.match(await (await fetch(`${alone.http}/metrics`)).text(), /^x2istio_dns_names_timestamp_seconds 1/m);

  const third = await startAlone(t, example, ["--from", alone.http]);
  assert.deepEqual(await answers(third, "sell.corp.example.com"), vip, "from one that has them from another");
});

test("x2istio dns is not ready, and answers SERVFAIL, before it has names", async (t) => {
  const example = await copyExample(t);
  const { http } = await freePorts();
  const { config, ports } = await aloneConfig(example, "workers: 1");
  const args = ["dns", "--config", config, "--from", `http://127.0.0.1:${http}`];
  const alone = startReplica(t, { config, ports, args });
  await until("it listens", async () => (await fetch(`${alone.http}/readyz`).catch(() => undefined))?.status === 503);
  assert.equal((await dnsQuery(alone.dns, ORDERS)).rcode, 2);
  assert.equal((await fetch(`${alone.http}/api/names`)).status, 503);
});

test("/api/names has a tag, and waits for another state", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const url = `${main.http}/api/names`;
  const first = await fetch(url);
  const etag = first.headers.get("etag") ?? "";
  const { names } = (await first.json()) as { names: { name: string }[] };
  assert.ok(names.some(({ name }) => name === ORDERS));
  const same = await fetch(url, { headers: { "if-none-match": etag } });
  assert.deepEqual([same.status, same.headers.get("etag"), await same.text()], [304, etag, ""]);
  const waiting = fetch(`${url}?wait=20`, { headers: { "if-none-match": etag } });
  await rename(example);
  const next = await waiting;
  assert.equal(next.status, 200);
  assert.notEqual(next.headers.get("etag"), etag);
  assert.ok((await next.text()).includes("buy.corp.example.com"));
  assert.equal((await fetch(`${url}?wait=x`)).status, 400);
});

test("x2istio dns says what is wrong with --from", async (t) => {
  const example = await copyExample(t);
  const { code, stderr } = await runCli(["dns", "--config", example.config, "--from", "x2istio.example.org"]);
  assert.equal(code, 1);
  assert.match(stderr, /--from must be an HTTP address such as http:\/\/x2istio\.example\.org:8080/);
});
