import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { ensureServers, noServers } from "./build.ts";
import { kubeServers, startKube } from "./kube.ts";
import { until } from "./kube-admin.ts";
import { addedWrites } from "./kube-writes.ts";
import { findKubectl } from "./kubectl.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
const entries = "/apis/networking.istio.io/v1/namespaces/apps/serviceentries";
const entry = {
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "web" },
  spec: { hosts: ["web.example.org"], ports: [{ number: 80, name: "http", protocol: "HTTP" }], resolution: "DNS" },
};

test("startKube()", { skip }, async (t) => {
  const kube = await startKube({ audit: true, namespaces: ["apps"] });
  t.after(() => kube.stop());

  await t.test("counts a write and no other", async () => {
    const earlier = await kube.writeCount();
    assert.equal((await kube.request("POST", entries, entry)).status, 201);
    assert.deepEqual(ofIstio(earlier, await kube.writeCount()), { "POST serviceentries.networking.istio.io": 1 });
  });

  await t.test("does not count a dry run", async () => {
    const earlier = await kube.writeCount();
    const path = `${entries}/web?dryRun=All&fieldManager=test`;
    const { status } = await kube.request("PATCH", path, entry, { contentType: "application/apply-patch+yaml" });
    assert.equal(status, 200);
    assert.deepEqual(ofIstio(earlier, await kube.writeCount()), {});
  });

  await t.test("keeps an audit log of who wrote what", async () => {
    const ofEntry = async () => (await kube.auditEvents()).filter(({ requestURI }) => requestURI.startsWith(entries));
    await until("both stages are logged", async () => (await ofEntry()).length >= 2);
    const [received, complete] = await ofEntry();
    assert.deepEqual([received?.stage, complete?.stage], ["RequestReceived", "ResponseComplete"]);
    assert.equal(complete?.user.username, "admin");
    assert.equal(complete.userAgent, "test-admin");
    assert.equal(complete.verb, "create");
    assert.equal(complete.objectRef?.resource, "serviceentries");
    assert.equal(complete.responseStatus?.code, 201);
  });

  await t.test("mints tokens of service accounts that RBAC refuses", async () => {
    const token = await kube.createServiceAccountToken("apps", "nobody");
    const { status, body } = await kube.request<{ message: string }>("GET", entries, undefined, { token });
    assert.equal(status, 403);
    assert.match(body.message, /system:serviceaccount:apps:nobody/);
  });

  await t.test("writes kubeconfigs of other users", { skip: await findKubectl() }, async () => {
    const path = await kube.kubeconfigFor(await kube.createServiceAccountToken("apps", "nobody"));
    assert.equal(
      kubectl(path, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"),
      "system:serviceaccount:apps:nobody",
    );
    assert.equal(kubectl(kube.kubeconfigPath, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"), "admin");
  });

  await t.test("restarts with the same data and tokens", async () => {
    const token = await kube.createServiceAccountToken("apps", "nobody");
    await kube.restart(async () => {
      await assert.rejects(kube.request("GET", entries));
    });
    assert.equal((await kube.request("GET", `${entries}/web`)).status, 200);
    assert.equal((await kube.request("GET", entries, undefined, { token })).status, 403);
  });

  await t.test("leaves no process and no file when stopped", async () => {
    assert.notDeepEqual(childProcesses(), []);
    await kube.stop();
    await until("the processes are gone", async () => childProcesses().length === 0);
    assert.equal(existsSync(dirname(kube.kubeconfigPath)), false);
  });
});

test("startKube() runs side by side", { skip }, async () => {
  const kubes = await Promise.all([startKube(), startKube()]);
  try {
    const [one, other] = kubes;
    assert.notEqual(one.port, other.port);
    await one.request("POST", entries.replace("apps", "default"), entry);
    assert.equal((await other.request("GET", `${entries.replace("apps", "default")}/web`)).status, 404);
    await assert.rejects(one.auditEvents(), /started without audit/);
  } finally {
    await Promise.all(kubes.map((kube) => kube.stop()));
  }
});

/** Without what the API server itself still writes shortly after its start. */
function ofIstio(...counts: Parameters<typeof addedWrites>): Record<string, number> {
  return Object.fromEntries(Object.entries(addedWrites(...counts)).filter(([key]) => key.endsWith(".istio.io")));
}

/** Commands of the child processes of this process. */
function childProcesses(): string[] {
  const lines = execFileSync("ps", ["-A", "-o", "ppid=,comm="], { encoding: "utf8" }).trim().split("\n");
  const pairs = lines.map((line) => line.trim().split(/\s+/));
  return pairs
    .filter(([parent, command]) => Number(parent) === process.pid && command !== "ps")
    .map(([, command = ""]) => command);
}

function kubectl(kubeconfig: string, ...args: readonly string[]): string {
  return execFileSync("kubectl", ["--kubeconfig", kubeconfig, ...args], { encoding: "utf8" });
}
