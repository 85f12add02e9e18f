import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { describeError } from "../../../src/errors.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { faultRow } from "../../faults/row.ts";
import { until } from "../../until.ts";
import { addresses, failures, type Registry, read, readUntil, registryAt } from "./registry.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What a Consul answers with two services, unless `special` answers a path. A blocking query is answered when `index` moves. */
async function fake(t: TestContext, special: Readonly<Record<string, Handler>> = {}) {
  const state = { index: 10, address: "192.0.2.1", special, asked: [] as string[] };
  const entry = () => [
    {
      Node: { Node: "vm", Address: state.address, Datacenter: "dc1" },
      Service: { ID: "a", Port: 80 },
      Checks: [],
    },
  ];
  const bodies: Readonly<Record<string, () => unknown>> = {
    "/v1/catalog/services": () => ({ consul: [], a: [], b: [] }),
    "/v1/catalog/nodes": () => [],
    "/v1/health/state/any": () => [],
    "/v1/health/service/a": entry,
    "/v1/health/service/b": entry,
    "/v1/status/leader": () => "192.0.2.200:8300",
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://consul.example.org");
    state.asked.push(`${url.pathname}${url.search}`);
    const own = state.special[url.pathname];
    if (own !== undefined) return own(request, response);
    const asked = Number(url.searchParams.get("index") ?? 0);
    const timer = setInterval(() => {
      if (asked === state.index) return;
      clearInterval(timer);
      response.setHeader("x-consul-index", state.index);
      response.end(JSON.stringify(bodies[url.pathname]?.() ?? null));
    }, 1);
    response.once("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return Object.assign(state, { address_: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

const status =
  (code: number, text: string): Handler =>
  (_request, response) =>
    response.writeHead(code).end(text);
const body = (text: string | Buffer) => status(200, text as string);
const truncatedAnswer: Handler = (_request, response) => {
  response.writeHead(200, { "content-length": "100" });
  response.write('[{"Node"', () => response.destroy());
};
const cutChunks: Handler = (_request, response) => {
  response.write("[", () => response.destroy());
};
const silent: Handler = () => {};
const stalled: Handler = (_request, response) => {
  response.write("[");
};
const endless: Handler = (_request, response) => {
  const chunk = Buffer.alloc(1024 * 1024, " ");
  const more = () => response.destroyed || response.write(chunk, more);
  more();
};

const faults: readonly {
  readonly name: string;
  readonly answer: Handler;
  readonly failure: string;
  readonly why: RegExp;
}[] = [
  {
    name: "no leader",
    answer: status(500, "No cluster leader"),
    failure: "server",
    why: /answered 500: No cluster leader$/,
  },
  { name: "too many requests", answer: status(429, "slow down"), failure: "server", why: /answered 429: slow down$/ },
  {
    name: "an unknown token",
    answer: status(403, "ACL not found"),
    failure: "denied",
    why: /answered 403: ACL not found$/,
  },
  { name: "another path", answer: status(404, "x".repeat(1e6)), failure: "answer", why: /answered 404: x{159}…$/ },
  { name: "a redirect", answer: status(302, ""), failure: "answer", why: /answered 302$/ },
  { name: "half an answer", answer: truncatedAnswer, failure: "answer", why: /the answer ended early/ },
  { name: "chunks that break off", answer: cutChunks, failure: "answer", why: /the answer ended early/ },
  { name: "no JSON", answer: body("<html>"), failure: "answer", why: /is no JSON \(syntax\)/ },
  {
    name: "no UTF-8",
    answer: body(Buffer.from('["\xff"]', "latin1")),
    failure: "answer",
    why: /is no JSON \(encoding\)/,
  },
  { name: "another JSON", answer: body("7"), failure: "answer", why: /must be a/ },
  { name: "nothing", answer: body(""), failure: "answer", why: /is no JSON/ },
  { name: "no answer", answer: silent, failure: "timeout", why: /gave no answer within 500 ms$/ },
  { name: "no end", answer: stalled, failure: "timeout", why: /gave no answer within 500 ms$/ },
  { name: "too much", answer: endless, failure: "answer", why: /the answer is larger than \d+ bytes/ },
];

for (const { name, answer, failure, why } of faults) {
  const options = { timeout: name === "too much" ? "30s" : "500ms", token: "c0ffee00-secret" };

  test(
    faultRow(
      {
        target: "Consul",
        fault: "the list is refused, cut, damaged, endless, or does not come",
        expect: "the read fails as a whole",
        peer: "slime #389",
      },
      name,
    ),
    async (t) => {
      const server = await fake(t, { "/v1/catalog/services": answer });
      await assert.rejects(read(registryAt(t, server.address_, options)), (error: Error & { failure: string }) => {
        assert.equal(error.failure, failure);
        assert.match(describeError(error), why);
        assert.match(describeError(error), /^Cannot read services of registry "dc1": GET \/v1\/catalog\/services/);
        assert.doesNotMatch(describeError(error), /c0ffee/);
        return true;
      });
    },
  );

  test(
    faultRow(
      {
        target: "Consul",
        fault: "the answer of one service is refused, cut, damaged, endless, or does not come",
        expect: "that service stays as it was, the others change",
        peer: "consul2istio",
      },
      name,
    ),
    async (t) => {
      const server = await fake(t, { "/v1/health/service/b": answer });
      const registry = registryAt(t, server.address_, options);
      const snapshot = await read(registry);
      assert.deepEqual(addresses(snapshot, "a"), ["192.0.2.1"]);
      assert.match(failures(snapshot)["dc1/default/b"] ?? "", why);
      assert.equal(snapshot.incomplete, undefined);
      assert.equal((await read(registry)).services[1], snapshot.services[1], "the same failure is the same read");
      server.special = {};
      assert.deepEqual(addresses(await read(registry), "b"), ["192.0.2.1"]);
    },
  );
}

test(
  faultRow({
    target: "Consul",
    fault: "a list lacks what every list has",
    expect: "it is treated as incomplete: nothing is removed",
    peer: "consul2istio",
  }),
  async (t) => {
    for (const text of ["{}", '{"a":[]}']) {
      const server = await fake(t, { "/v1/catalog/services": body(text) });
      const snapshot = await read(registryAt(t, server.address_));
      assert.match(snapshot.incomplete ?? "", /the list does not name consul itself/);
    }
  },
);

test(
  faultRow({ target: "Consul", fault: "a server answers with old data", expect: "the leader is asked instead" }),
  async (t) => {
    const server = await fake(t, {
      "/v1/health/service/b": ({ url = "" }, response) => {
        const isStale = url.includes("stale");
        response.writeHead(200, { "x-consul-lastcontact": isStale ? "20000" : "0", "x-consul-index": "10" });
        response.end(
          isStale ? "[]" : JSON.stringify([{ Node: { Address: "192.0.2.2" }, Service: { Port: 1 }, Checks: [] }]),
        );
      },
    });
    const options = { consistency: "stale", maxStale: "10s" };
    assert.deepEqual(addresses(await read(registryAt(t, server.address_, options)), "b"), ["192.0.2.2"]);
  },
);

test(
  faultRow({
    target: "Consul",
    fault: "it is slow and has hundreds of services",
    expect: "few requests are in flight at once, over as few connections",
  }),
  async (t) => {
    const names = Array.from({ length: 200 }, (_, at) => `s${at}`);
    const seen = { now: 0, most: 0, total: 0 };
    const slow: Handler = (_request, response) => {
      seen.most = Math.max(seen.most, ++seen.now);
      seen.total++;
      setTimeout(() => {
        seen.now--;
        response.writeHead(200, { "x-consul-index": "1" }).end("[]");
      }, 5);
    };
    const list = body(JSON.stringify(Object.fromEntries(["consul", ...names].map((name) => [name, []]))));
    const paths = names.map((name) => [`/v1/health/service/${name}`, slow] as const);
    const consul = await fake(t, { "/v1/catalog/services": list, ...Object.fromEntries(paths) });
    const { services } = await read(registryAt(t, consul.address_));
    assert.equal(services.length, names.length);
    assert.equal(seen.total, names.length);
    assert.ok(seen.most <= 16, `${seen.most} at once`);
  },
);

for (const [name, answer] of Object.entries({ refused: status(403, ""), cut: truncatedAnswer, endless, stalled }))
  test(`read() goes on where the answer of who leads is ${name}`, async (t) => {
    const server = await fake(t, { "/v1/status/leader": answer });
    const timeout = name === "endless" ? "30s" : "500ms";
    const snapshot = await read(registryAt(t, server.address_, { timeout }));
    assert.deepEqual([addresses(snapshot, "a"), addresses(snapshot, "b")], [["192.0.2.1"], ["192.0.2.1"]]);
  });

for (const isAwaited of [false, true])
  test(`read() of a poll that is ${isAwaited ? "" : "not "}awaited, while a list does not come and changes are told`, async (t) => {
    const server = await fake(t);
    const registry = registryAt(t, server.address_, { timeout: "1s" });
    const first = await read(registry);
    const signal = AbortSignal.timeout(60_000);
    await assert.rejects(registry.waitForChange(first.revision, AbortSignal.timeout(100)));
    server.special = { "/v1/catalog/services": silent };
    const polling = registry.read(signal, { trigger: "poll", isAwaited });
    if (isAwaited) await assert.rejects(polling, { failure: "timeout" });
    else {
      assert.deepEqual((await polling).services, first.services, "it comes back at once");
      await registry.waitForChange(first.revision, signal);
      await assert.rejects(read(registry, "hint"), { failure: "timeout" }, "and what it met comes with a hint");
    }
    server.special = {};
    assert.deepEqual((await read(registry)).services, first.services);
  });

test("a change is told while a poll waits for its list", async (t) => {
  const server = await fake(t);
  const registry = registryAt(t, server.address_, { timeout: "30s" });
  const first = await read(registry);
  const hinted = readUntil(registry, first, (now) => addresses(now, "a")?.[0] === "192.0.2.5");
  await until(() => server.asked.some((path) => path.includes("index=")));
  await registry.read(AbortSignal.timeout(60_000), { trigger: "poll" });
  server.special = { "/v1/catalog/services": silent };
  server.address = "192.0.2.5";
  server.index++;
  await hinted;
});

test("read() stops when the signal aborts", async (t) => {
  const server = await fake(t, { "/v1/health/service/b": silent });
  const registry = registryAt(t, server.address_);
  await assert.rejects(registry.read(AbortSignal.timeout(100), { trigger: "poll" }), { name: "TimeoutError" });
  await assert.rejects(registry.read(AbortSignal.abort(new Error("stop")), { trigger: "poll" }), /stop/);
});

/** Wait for a change until the list was asked for so often; gives how long that took, in milliseconds. */
async function untilAskedFor(
  { asked }: { readonly asked: string[] },
  registry: Registry,
  revision: string,
  times: number,
): Promise<number> {
  const enough = new AbortController();
  const startedMs = performance.now();
  asked.length = 0;
  const waiting = assert.rejects(registry.waitForChange(revision, enough.signal), /enough/);
  await until(
    () =>
      asked.filter((path) => path.startsWith("/v1/catalog/services") && !path.includes("node-meta")).length >= times,
  );
  enough.abort(new Error("enough"));
  await waiting;
  return performance.now() - startedMs;
}

test("waitForChange() goes on after faults, and does not hurry", async (t) => {
  const server = await fake(t);
  const registry = registryAt(t, server.address_, { timeout: "500ms" });
  const first = await read(registry);
  await assert.rejects(registry.waitForChange(first.revision, AbortSignal.timeout(100)));
  const paths = ["/v1/catalog/services", "/v1/catalog/nodes", "/v1/health/state/any", "/v1/health/service/a"];
  for (const answer of [status(429, ""), status(500, "No cluster leader"), truncatedAnswer]) {
    server.special = Object.fromEntries(paths.map((path) => [path, answer]));
    server.index++;
    const tookMs = await untilAskedFor(server, registry, first.revision, 2);
    assert.ok(tookMs > 200, `${tookMs} ms: after a failure it rests`);
  }
  server.special = {};
  server.address = "192.0.2.5";
  server.index++;
  const after = await readUntil(registry, first, (now) => addresses(now, "a")?.[0] === "192.0.2.5");
  assert.equal(after.incomplete, undefined);
});

test("waitForChange() does not hurry where no query blocks", async (t) => {
  const server = await fake(t);
  const metrics = createMetrics();
  const registry = registryAt(t, server.address_, {}, { metrics });
  const { revision } = await read(registry);
  for (const path of ["/v1/catalog/services", "/v1/catalog/nodes", "/v1/health/state/any"])
    server.special = {
      ...server.special,
      [path]: (_request, response) => {
        response.setHeader("x-consul-index", server.index);
        response.end(path.endsWith("services") ? '{"consul":[],"a":[],"b":[]}' : "[]");
      },
    };
  server.index++;
  const tookMs = await untilAskedFor(server, registry, revision, 14);
  assert.ok(tookMs > 500, `${tookMs} ms: those beyond the tenth come at an interval`);
});
