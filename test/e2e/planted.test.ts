import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { leastRights } from "../kube/rights.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { runCli } from "./cli.ts";
import { admin, entries, entriesPath, list, MESH, SHOP, servicesPath } from "./cluster.ts";
import { fixture, hostOf, httpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const TENANT = "evil";
const orders = httpService("orders", "198.51.100.1");

suite("objects with our labels", { skip, concurrency: false }, () => {
  let kube: Kube;
  let kubeconfig = "";
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP, TENANT], audit: true });
    kubeconfig = await leastRights(kube);
  });
  after(() => kube?.stop());

  test("that a tenant planted are left alone, and said once", async (t) => {
    const place = await fixture(t, [orders]);
    const apply = () => runCli(["--config", place.config, "apply"], { env: { KUBECONFIG: kubeconfig } });
    const first = await apply();
    assert.notEqual(first.code, 1, first.stderr);
    const alias = (await list(kube, servicesPath())).get("orders");
    const { labels, annotations } = alias?.metadata ?? {};
    const spec = alias?.spec;
    for (const name of ["orders", "another"])
      await admin(kube, "POST", servicesPath(TENANT), { metadata: { name, labels, annotations }, spec });
    const again = await apply();
    assert.equal(again.code, 0, again.stdout + again.stderr);
    const said = again.stderr.split("\n").filter((line) => line.includes("carries our labels where we do not write"));
    assert.equal(said.length, 1, again.stderr);
    assert.deepEqual([...(await list(kube, servicesPath(TENANT))).keys()].sort(), ["another", "orders"]);
    const refused = (await kube.auditEvents()).filter(
      ({ objectRef, verb }) => objectRef?.namespace === TENANT && verb === "delete",
    );
    assert.deepEqual(refused, [], "not even tried");
  });

  test("that an alias rule which is gone gave are known by their entry, and go", async (t) => {
    const place = await fixture(t, [orders]);
    const apply = () => runCli(["--config", place.config, "apply"], { env: { KUBECONFIG: kube.kubeconfigPath } });
    assert.notEqual((await apply()).code, 1);
    const entry = async () => (await entries(kube)).get(hostOf(orders));
    assert.equal((await entry())?.metadata.annotations?.["x2istio.dev/aliases"], `${SHOP}/orders`);
    await place.setConfig({ aliases: [] });
    assert.notEqual((await apply()).code, 1);
    assert.equal((await list(kube, servicesPath())).has("orders"), false);
    assert.notEqual((await apply()).code, 1);
    assert.equal((await entry())?.metadata.annotations?.["x2istio.dev/aliases"], undefined);
    assert.equal((await apply()).code, 0);
    assert.equal((await list(kube, entriesPath())).size, 1);
  });
});
