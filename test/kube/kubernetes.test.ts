import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { aliasOf, entryOf, entryPath, SHOP, servicePath } from "./objects.ts";
import { post } from "./rights.ts";
import { create, suiteTarget } from "./target.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

suite("kubernetesTarget()", { skip }, async () => {
  const { kube, target, open, standing, options } = await suiteTarget();

  test("sees what others create, change and delete", async () => {
    const path = entryPath("default", "theirs");
    const spec = {
      hosts: ["theirs.example.org"],
      addresses: ["203.0.113.7"],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      resolution: "DNS",
    };
    await post(kube, entryPath("default"), {
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: { name: "theirs" },
      spec,
    });
    const seen = () => target.standing().foreign.get("ServiceEntry/default/theirs");
    await until("it is seen", async () => seen() !== undefined);
    assert.deepEqual(seen()?.hosts, ["theirs.example.org"]);
    assert.deepEqual(seen()?.addresses, ["203.0.113.7"]);
    const version = target.version();
    const changed = target.waitForChange(version, options.signal);
    await kube.request("PATCH", path, { spec: { hosts: ["other.example.org"] } });
    await changed;
    assert.deepEqual(seen()?.hosts, ["other.example.org"]);
    await kube.request("DELETE", path);
    await until("it is gone", async () => seen() === undefined);
  });

  test("tells ours from another owner's and sees its owner change", async () => {
    await post(kube, servicePath(SHOP), aliasOf("owners").manifest);
    const key = `Service/${SHOP}/owners`;
    await until("it is ours", async () => target.standing().objects.has(key));
    assert.equal(standing(key).service, "vms/default/owners");
    await kube.request("PATCH", servicePath(SHOP, "owners"), { metadata: { labels: { "x2istio.dev/owner": "west" } } });
    await until("it is theirs", async () => target.standing().foreign.get(key)?.owner === "west");
    assert.equal(target.standing().objects.has(key), false);
    await kube.request("PATCH", servicePath(SHOP, "owners"), {
      metadata: { labels: { "x2istio.dev/owner": "east" } },
      spec: { type: "ClusterIP", externalName: null, selector: { app: "owners" } },
    });
    await until("it is yielded", async () => target.standing().objects.get(key)?.yielded !== undefined);
    assert.equal(target.standing().foreign.has(key), false);
  });

  test("sees namespaces come and end", async () => {
    await post(kube, "/api/v1/namespaces", { metadata: { name: "passing" } });
    await until("it is active", async () => target.standing().namespaces?.get("passing") === "active");
    await kube.request("DELETE", "/api/v1/namespaces/passing");
    await until("it is ending", async () => target.standing().namespaces?.get("passing") === "terminating");
  });

  test("lists in pages", async () => {
    const entries = Array.from({ length: 25 }, (_, index) => entryOf(`page-${index}`));
    await target.write(entries.map(create), options);
    const other = await open({ pageSize: 10 }, false);
    const names = [...other.standing().objects.keys()].filter((key) => key.includes("/page-"));
    assert.equal(names.length, 25);
  });

  test("names a missing namespace", async () => {
    await assert.rejects(
      open({ namespace: "nowhere" }, false),
      /Cannot use namespace "nowhere" as it must exist: create it with "kubectl create namespace nowhere"/,
    );
  });

  test("tells the API server's time", () => {
    assert.ok(Math.abs(target.nowMs() - Date.now()) < 60_000);
  });
});
