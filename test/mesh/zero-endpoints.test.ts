import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const SOON_MS = 2000;

test("a service without endpoints is refused at once, and comes back, by pushes of endpoints only", {
  skip,
}, async (t) => {
  const example = await readExample("zero-endpoints");
  const [orders, stock] = [serviceNamed(example, "orders"), serviceNamed(example, "stock")];
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(orders, stock));
  const [web, vip, stockVip] = await Promise.all([mesh.withSidecar("web"), mesh.vip(orders), mesh.vip(stock)]);
  const target = `xds:///${hostOf(orders)}:9090`;
  const url = `http://${vip}:8080`;
  const answers = (call: Promise<string>) => call.then((who) => who.replace(/@.*| at .*/, ""));
  const empty = () => mesh.fixture.setServices([{ ...orders, endpoints: [] }, stock]);
  const refill = () => mesh.fixture.setServices([orders, stock]);
  await mesh.becomes("orders/http", () => answers(web.http(url)));

  await t.test("a sidecar", async () => {
    await mesh.istiod.settled();
    const { eds: edsBefore = 0, ...before } = await mesh.istiod.pushes();
    await empty();
    await mesh.becomes("failed: 503 no healthy upstream", () => web.http(url));
    for (const host of ["orders", "orders.corp.example.com", hostOf(orders)]) {
      const [reply] = await web.make({ kind: "http", url, host });
      assert.equal(reply?.failed, "503 no healthy upstream", host);
      assert.ok((reply?.ms ?? SOON_MS) < SOON_MS, `${host}: ${reply?.ms} ms`);
    }
    assert.match(await web.tcp(vip, 3306), /^failed: (?:closed without a word|read ECONNRESET)$/);
    assert.equal(await mesh.vip(orders), vip, "it keeps its VIP");
    assert.equal(await web.http(`http://${stockVip}:8080`), "stock/http@192.0.2.21", "another service on that port");

    await refill();
    await mesh.becomes("orders/http", () => answers(web.http(url)));
    assert.equal(await answers(web.tcp(vip, 3306)), "orders/mysql");
    await mesh.istiod.settled();
    const { eds = 0, ...after } = await mesh.istiod.pushes();
    assert.deepEqual(after, before, "nothing but endpoints was pushed");
    assert.equal(eds - edsBefore, 2, "once when it was emptied, once when it was filled");
  });

  await t.test("a proxyless gRPC client", async () => {
    const client = await mesh.withoutSidecar("client");
    const kindOf = async () => /^(?:orders.grpc|failed: 14 UNAVAILABLE)/.exec(await client.grpc(target))?.[0];
    await mesh.becomes("orders/grpc", kindOf);
    await mesh.istiod.settled();
    const { eds: before = 0, lds: listenersBefore = 0 } = await mesh.istiod.pushes();
    await empty();
    await mesh.becomes("failed: 14 UNAVAILABLE", kindOf);
    const [reply] = await client.make({ kind: "grpc", target });
    assert.ok((reply?.ms ?? SOON_MS) < SOON_MS, `${reply?.ms} ms`);
    await refill();
    await mesh.becomes("orders/grpc", kindOf);
    await mesh.istiod.settled();
    const { eds = 0, lds = 0 } = await mesh.istiod.pushes();
    assert.equal(eds - before, 4, "two for each, as the sidecar is still there");
    // See istio pilot/pkg/networking/grpcgen.
    assert.ok(lds > listenersBefore, "a client of this kind gets listeners with every push, whatever changed");
  });
});
