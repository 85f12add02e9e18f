import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { loadCredentials } from "../../../src/kube/client/credentials.ts";
import { plainSource, podSource } from "../../../src/kube/client/plain-credentials.ts";

async function folder(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-credentials-"));
  t.after(() => rm(dir, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  return dir;
}

const SERVER = { server: "https://192.0.2.1:6443/" };

function kubeconfig(user: object, cluster: object = SERVER): string {
  return JSON.stringify({
    "current-context": "test",
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user }],
    contexts: [
      { name: "test", context: { cluster: "c", user: "u", namespace: "apps" } },
      { name: "broken", context: { cluster: "other", user: "u" } },
    ],
  });
}

test("plainSource() reads tokens and certificates, inline or from files beside the kubeconfig", async (t) => {
  const base64 = Buffer.from("key text").toString("base64");
  const user = { tokenFile: "token", "client-certificate": "cert", "client-key-data": base64 };
  const dir = await folder(t, { config: kubeconfig(user), token: "secret\n", cert: "cert text" });
  const source = await plainSource(join(dir, "config"), undefined);
  assert.deepEqual([source?.server, source?.namespace], ["https://192.0.2.1:6443", "apps"]);
  const before = await source?.read();
  assert.deepEqual(before?.headers, { authorization: "Bearer secret" });
  await writeFile(join(dir, "token"), "rotated");
  const rotated = await source?.read();
  assert.deepEqual(rotated?.headers, { authorization: "Bearer rotated" });
  assert.equal(rotated?.material, before?.material, "connections stay good");
  await writeFile(join(dir, "cert"), "another cert");
  assert.notEqual((await source?.read())?.material, before?.material);
});

const others: readonly { name: string; text: string; context?: string }[] = [
  { name: "a helper program", text: kubeconfig({ exec: { command: "login" } }) },
  { name: "a password", text: kubeconfig({ username: "me", password: "secret" }) },
  { name: "a proxy", text: kubeconfig({ token: "t" }, { ...SERVER, "proxy-url": "http://192.0.2.9" }) },
  { name: "no TLS", text: kubeconfig({ token: "t" }, { server: "http://192.0.2.1" }) },
  { name: "a context that is not there", text: kubeconfig({ token: "t" }), context: "nowhere" },
  { name: "a context without its cluster", text: kubeconfig({ token: "t" }), context: "broken" },
  { name: "text that is no YAML", text: "{" },
  { name: "nothing", text: "" },
];
for (const { name, text, context } of others) {
  test(`plainSource() leaves a kubeconfig with ${name} to who knows all kinds`, async (t) => {
    const dir = await folder(t, { config: text });
    assert.equal(await plainSource(join(dir, "config"), context), undefined);
  });
}

test("podSource() reads the service account, and its token again when it was rotated", async (t) => {
  const dir = await folder(t, { token: "first", "ca.crt": "ca text", namespace: "x2istio-system\n" });
  const source = await podSource(dir, { host: "2001:db8::1", port: "443" });
  assert.deepEqual([source.server, source.namespace], ["https://[2001:db8::1]:443", "x2istio-system"]);
  assert.deepEqual((await source.read()).headers, { authorization: "Bearer first" });
  await writeFile(join(dir, "token"), "second");
  assert.deepEqual((await source.read()).headers, { authorization: "Bearer second" });
});

test("loadCredentials() uses the pod's service account when no kubeconfig is given", async (t) => {
  const dir = await folder(t, { token: "mine", "ca.crt": "" });
  const credentials = await loadCredentials({ pod: { host: "192.0.2.1", port: "443" }, podFolder: dir });
  t.after(() => credentials.close());
  assert.deepEqual([credentials.server, credentials.namespace], ["https://192.0.2.1:443", undefined]);
  assert.equal(credentials.current(), undefined);
  const { headers, dispatcher } = await credentials.refresh();
  assert.deepEqual(headers, { authorization: "Bearer mine" });
  assert.equal((await credentials.refresh()).dispatcher, dispatcher, "its connections are kept");
  await rm(join(dir, "token"));
  assert.deepEqual((await credentials.refresh()).headers, headers, "what was there is kept");
});
