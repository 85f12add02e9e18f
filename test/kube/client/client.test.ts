import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConfigError } from "../../../src/errors.ts";
import { type KubeClient, kubeClient } from "../../../src/kube/client/client.ts";
import { KubeStatusError, TooLargeError } from "../../../src/kube/client/kube-error.ts";

interface Setup {
  readonly client: KubeClient;
  readonly writes: string[];
}

/** A client of a server that answers with `listener`. */
async function connect(t: TestContext, listener: RequestListener, token = "secret"): Promise<Setup> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const kubeconfig = await writeKubeconfig(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, { token });
  const writes: string[] = [];
  const client = await kubeClient({
    kubeconfig,
    userAgent: "x2istio/1.0",
    onWrite: (operation, result) => void writes.push(`${operation} ${result}`),
  });
  t.after(async () => {
    await client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, writes };
}

async function writeKubeconfig(t: TestContext, server: string, user: object, name = "test"): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-client-"));
  t.after(() => rm(dir, { recursive: true }));
  const config = {
    "current-context": name,
    clusters: [{ name, cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: `${name}-namespace` } }],
  };
  await writeFile(join(dir, "config"), JSON.stringify(config));
  return join(dir, "config");
}

const json = { "content-type": "application/json" };

test("kubeClient() sends JSON with token, agent and field manager", async (t) => {
  const { client, writes } = await connect(t, (incoming, response) => {
    const { authorization, "content-type": type, "user-agent": agent } = incoming.headers;
    incoming.setEncoding("utf8").on("data", (body: string) => {
      response.writeHead(200, json).end(JSON.stringify({ url: incoming.url, authorization, type, agent, body }));
    });
  });
  assert.equal(client.namespace, "test-namespace");
  const answer = await client.request({
    method: "PATCH",
    path: "/x?a=b",
    action: "patch x",
    body: { a: 1 },
    operation: "update",
  });
  assert.deepEqual(answer, {
    url: "/x?a=b&fieldManager=x2istio",
    authorization: "Bearer secret",
    type: "application/merge-patch+json",
    agent: "x2istio/1.0",
    body: '{"a":1}',
  });
  assert.deepEqual(writes, ["update ok"]);
});

test("kubeClient() turns an error status into one sentence", async (t) => {
  const { client, writes } = await connect(t, (_, response) => {
    const body = {
      kind: "Status",
      reason: "Conflict",
      message: "the object has been modified",
      details: { retryAfterSeconds: 2 },
    };
    response.writeHead(409, json).end(JSON.stringify(body));
  });
  await assert.rejects(
    client.request({ method: "POST", path: "/x", action: "create Service shop/web", body: {}, operation: "create" }),
    (error) => {
      assert.ok(error instanceof KubeStatusError);
      assert.equal(error.message, "Cannot create Service shop/web: 409 Conflict: the object has been modified");
      assert.deepEqual([error.status, error.reason, error.retryAfterSeconds], [409, "Conflict", 2]);
      return true;
    },
  );
  assert.deepEqual(writes, ["create failed"]);
});

test("kubeClient() bears with an error that is no Status", async (t) => {
  const { client } = await connect(
    t,
    (_, response) => void response.writeHead(503, { "retry-after": "1" }).end("upstream is away\n"),
  );
  await assert.rejects(
    client.request({ method: "GET", path: "/x", action: "list things" }),
    /^KubeStatusError: Cannot list things: 503 Service Unavailable: upstream is away$/,
  );
});

test("kubeClient() reads its credentials again when they are refused", async (t) => {
  let asked = 0;
  const { client } = await connect(
    t,
    (_, response) => void response.writeHead(++asked === 1 ? 401 : 200, json).end("{}"),
  );
  assert.deepEqual(await client.request({ method: "GET", path: "/x", action: "read x" }), {});
  assert.equal(asked, 2);
});

test("kubeClient() gives up in time, and when it is told to", async (t) => {
  const { client } = await connect(t, () => {});
  const slow = client.request({ method: "GET", path: "/x", action: "read x", timeoutMs: 50 });
  await assert.rejects(
    slow,
    (error) =>
      error instanceof Error &&
      error.message === "Cannot read x" &&
      String(error.cause).includes("no answer within 0.05 s"),
  );
  const stop = new AbortController();
  const stopped = client.request({ method: "GET", path: "/x", action: "read x", signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(stopped, /enough/);
});

for (const chunked of [true, false]) {
  test(`kubeClient() refuses an answer that is too large, ${chunked ? "in chunks" : "with its length"}`, async (t) => {
    const text = JSON.stringify("x".repeat(1000));
    const { client } = await connect(
      t,
      (_, response) =>
        void response.writeHead(200, chunked ? json : { ...json, "content-length": text.length }).end(text),
    );
    await assert.rejects(
      client.request({ method: "GET", path: "/x", action: "read x", maxBytes: 1000 }),
      TooLargeError,
    );
    assert.equal(
      await client.request({ method: "GET", path: "/x", action: "read x", maxBytes: 2000 }),
      "x".repeat(1000),
    );
  });
}

test("kubeClient() merges several kubeconfigs and takes the context asked for", async (t) => {
  const one = await writeKubeconfig(t, "http://192.0.2.1", {}, "one");
  const two = await writeKubeconfig(t, "http://192.0.2.2/", {}, "two");
  const server = async (context?: string) => {
    const client = await kubeClient({ kubeconfig: `${one}:${two}`, context, userAgent: "test" });
    await client.close();
    return client.server;
  };
  assert.equal(await server(), "http://192.0.2.1");
  assert.equal(await server("two"), "http://192.0.2.2");
  await assert.rejects(
    server("three"),
    (error) =>
      error instanceof ConfigError &&
      error.message === 'Cannot use context "three" as the kubeconfig must have it: it has "one", "two"',
  );
});

test("kubeClient() names the kubeconfig that cannot be read", async () => {
  await assert.rejects(
    kubeClient({ kubeconfig: "/nowhere/config", userAgent: "test" }),
    (error) => error instanceof ConfigError && error.message.includes("/nowhere/config"),
  );
});
