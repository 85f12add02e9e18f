import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { text } from "../../src/http/reply.ts";
import type { StatusSource } from "../../src/http/routes.ts";
import { httpServer } from "../../src/http/server.ts";
import { securityRow } from "../security/row.ts";

const source: StatusSource = {
  ready: () => ({ ready: true, reasons: [] }),
  services: () => [{ host: "orders.shop.vms.mesh.internal" }],
  plan: () => ({ create: [] }),
  metrics: async () => "x2istio_pass_runs_total 1\n",
};

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface RequestDetails {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly from?: string;
}

function ask(
  port: number,
  path: string,
  { method = "GET", headers = {}, body, from }: RequestDetails = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const place = { host: "127.0.0.1", port, localAddress: from ?? "127.0.0.1" };
    const sent = request({ ...place, path, method, headers, agent: false }, async (response) => {
      const chunks = await response.toArray();
      resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() });
    });
    sent.on("error", reject).end(body);
  });
}

async function withServer(
  changed: Partial<StatusSource>,
  work: (port: number, errors: unknown[]) => Promise<void>,
  address = "127.0.0.1",
): Promise<void> {
  const errors: unknown[] = [];
  const server = await httpServer({
    listen: { address, port: 0 },
    source: { ...source, ...changed },
    onError: (error) => errors.push(error),
  });
  try {
    await work(server.port, errors);
  } finally {
    await server.stop();
  }
}

const cases: readonly (RequestDetails & {
  readonly path: string;
  readonly status: number;
  readonly type: RegExp;
  readonly want?: RegExp;
})[] = [
  { path: "/healthz", status: 200, type: /^text\/plain/, want: /^ok\n$/ },
  { path: "/readyz", status: 200, type: /^application\/json/, want: /"ready": true/ },
  { path: "/metrics", status: 200, type: /^text\/plain; version=0\.0\.4/, want: /^x2istio_pass_runs_total 1\n$/ },
  { path: "/api/services", status: 200, type: /^application\/json/, want: /orders\.shop/ },
  { path: "/api/services?pretty", status: 200, type: /^application\/json/, want: /orders\.shop/ },
  { path: "/api/plan", status: 200, type: /^application\/json/, want: /"create": \[\]/ },
  { path: "/", status: 200, type: /^text\/plain/, want: /\/api\/services/ },
  { path: "/nothing", status: 404, type: /^text\/plain/, want: /\/api\/services/ },
  { path: "/healthz/", status: 404, type: /^text\/plain/ },
  { path: "/../etc/passwd", status: 404, type: /^text\/plain/ },
  { path: "/healthz", method: "POST", status: 405, type: /^text\/plain/ },
  { path: "/healthz", method: "OPTIONS", status: 405, type: /^text\/plain/ },
  { path: "/healthz", method: "PUT", body: "x", status: 413, type: /^text\/plain/ },
  { path: "/healthz", headers: { "content-length": "1" }, body: "x", status: 413, type: /^text\/plain/ },
  { path: "/healthz", headers: { "transfer-encoding": "chunked" }, body: "x", status: 413, type: /^text\/plain/ },
  { path: "/api/plan", headers: { "transfer-encoding": "chunked" }, status: 413, type: /^text\/plain/ },
  { path: "/healthz", headers: { "content-length": "0" }, status: 200, type: /^text\/plain/ },
  { path: "/healthz", headers: { host: "evil.example.org" }, status: 403, type: /^text\/plain/ },
  { path: "/healthz", headers: { host: "localhost.evil.example.org:80" }, status: 403, type: /^text\/plain/ },
  { path: "/healthz", headers: { host: "LocalHost:8080" }, status: 200, type: /^text\/plain/ },
  { path: "/healthz", headers: { host: "[::1]:8080" }, status: 200, type: /^text\/plain/ },
];
for (const { path, status, type, want = /./, ...asked } of cases) {
  test(`httpServer() answers ${asked.method ?? "GET"} ${path} ${JSON.stringify(asked.headers ?? {})} with ${status}`, () =>
    withServer({}, async (port) => {
      const answer = await ask(port, path, asked);
      assert.equal(answer.status, status);
      assert.match(String(answer.headers["content-type"]), type);
      assert.match(answer.body, want);
      assert.equal(answer.headers["x-content-type-options"], "nosniff");
      assert.equal(answer.headers["cache-control"], "no-store");
      assert.equal(answer.headers.allow, status === 405 ? "GET, HEAD" : undefined);
    }));
}

test("httpServer() answers HEAD like GET without a body", () =>
  withServer({}, async (port) => {
    const [get, head] = [await ask(port, "/api/plan"), await ask(port, "/api/plan", { method: "HEAD" })];
    assert.equal(head.body, "");
    assert.equal(head.headers["content-length"], get.headers["content-length"]);
  }));

test("httpServer() says why it is not ready", () =>
  withServer({ ready: () => ({ ready: false, reasons: ["the target has not been read yet"] }) }, async (port) => {
    const { status, body } = await ask(port, "/readyz");
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(body), { ready: false, reasons: ["the target has not been read yet"] });
  }));

test(
  securityRow({
    who: "HTTP client",
    attack: "makes an answer fail",
    outcome: "500 without details, which only the log has",
  }),
  () =>
    withServer(
      {
        plan: () => {
          throw new Error("token s3cret");
        },
      },
      async (port, errors) => {
        const { status, body } = await ask(port, "/api/plan");
        assert.equal(status, 500);
        assert.doesNotMatch(body, /s3cret/);
        assert.equal(errors.length, 1);
      },
    ),
);

test("httpServer() takes any Host where it is not bound to loopback", () =>
  withServer(
    {},
    async (port) =>
      assert.equal((await ask(port, "/healthz", { headers: { host: "x2istio.example.org" } })).status, 200),
    "0.0.0.0",
  ));

test(
  securityRow({
    who: "HTTP client",
    attack: "leads an operator's browser here by a name of its own (DNS rebinding), by a port forward too",
    outcome: "403, but for probes",
  }),
  () =>
    withServer(
      {},
      async (port) => {
        const headers = { host: "rebound.example.org" };
        for (const path of ["/", "/api/plan", "/metrics"])
          assert.equal((await ask(port, path, { headers })).status, 403, path);
        // A page can add a header, too: it does not make it a proxy.
        const forwarded = { ...headers, "x-forwarded-for": "192.0.2.7" };
        assert.equal((await ask(port, "/api/plan", { headers: forwarded })).status, 403);
        assert.equal((await ask(port, "/readyz", { headers })).status, 200);
      },
      "0.0.0.0",
    ),
);

const guarded: readonly {
  readonly path: string;
  readonly from?: string;
  readonly proxy?: true;
  readonly status: number;
}[] = [
  { path: "/healthz", status: 200 },
  { path: "/readyz", status: 200 },
  { path: "/", status: 401 },
  { path: "/metrics", status: 401 },
  { path: "/api/plan", status: 401 },
  { path: "/nothing", status: 404 },
  { path: "/api/plan", from: "127.0.0.1", status: 200 },
  { path: "/api/plan", from: "127.0.0.1", proxy: true, status: 401 },
];
for (const { path, from = "127.0.0.6", proxy, status } of guarded)
  test(`httpServer() with access answers ${path} from ${from}${proxy ? " by a proxy" : ""} with ${status}`, async (t) => {
    const access = async () => ({ ...text(401, "no"), authenticate: "Bearer" });
    const server = await httpServer({ listen: { address: "0.0.0.0", port: 0 }, source, access });
    t.after(() => server.stop());
    const headers = proxy ? { "x-real-ip": "192.0.2.1" } : {};
    assert.equal((await ask(server.port, path, { from, headers })).status, status);
  });

test(securityRow({ who: "HTTP client", attack: "sends headers of more than 8 KiB", outcome: "431" }), () =>
  withServer({}, async (port) =>
    assert.equal((await ask(port, "/healthz", { headers: { "x-long": "a".repeat(9000) } })).status, 431),
  ),
);

test("httpServer() says which address it cannot bind, and what to do", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = holder.address();
  assert.ok(typeof address === "object" && address !== null);
  await assert.rejects(httpServer({ listen: { address: "127.0.0.1", port: address.port }, source }), {
    message: `Cannot serve HTTP on 127.0.0.1:${address.port}: another process has that port; stop it or set http.listen to a free one`,
  });
  await assert.rejects(httpServer({ listen: { address: "192.0.2.1", port: 1 }, source }), /does not have that address/);
  holder.close();
});

test("stop() lets an answer in flight go out, ends idle connections and frees the port", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const answered = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  const server = await httpServer({
    listen: { address: "127.0.0.1", port: 0 },
    source: { ...source, metrics: () => asked.resolve() ?? answered.promise },
  });
  const idle = connect(server.port, "127.0.0.1");
  await once(idle, "connect");
  const inFlight = ask(server.port, "/metrics", { headers: { connection: "keep-alive" } });
  await asked.promise;
  const stopped = server.stop();
  await assert.rejects(ask(server.port, "/healthz"), { code: "ECONNREFUSED" });
  answered.resolve("late 1\n");
  const { body, headers } = await inFlight;
  assert.equal(body, "late 1\n");
  assert.equal(headers.connection, "close");
  // The idle connection never had a request: it is ended with what is left after 0.8 s.
  t.mock.timers.tick(800);
  await stopped;
  await server.stop();
});

test("stop() waits for an answer that never comes for 0.8 s", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const asked = Promise.withResolvers<void>();
  const server = await httpServer({
    listen: { address: "127.0.0.1", port: 0 },
    source: { ...source, metrics: () => asked.resolve() ?? new Promise(() => undefined) },
  });
  const inFlight = ask(server.port, "/metrics");
  await asked.promise;
  let isStopped = false;
  const stopped = server.stop().then(() => {
    isStopped = true;
  });
  t.mock.timers.tick(799);
  await assert.rejects(ask(server.port, "/healthz"), { code: "ECONNREFUSED" });
  assert.ok(!isStopped);
  t.mock.timers.tick(1);
  await Promise.all([stopped, assert.rejects(inFlight)]);
});
