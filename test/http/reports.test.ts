import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { rateLimit } from "../../src/http/rate-limit.ts";
import { type ReportResult, reportsHandler } from "../../src/http/reports.ts";
import { reviewed } from "../../src/http/reviews.ts";
import { httpServer } from "../../src/http/server.ts";
import { anyOf, fileTokens } from "../../src/http/tokens.ts";
import type { Report, ReportAnswer, TokenJudge, TokenVerdict } from "../../src/model/report.ts";

const ready: ReportAnswer = {
  state: "ready",
  service: "vms/shop/orders",
  host: "orders.shop.vms.mesh.internal",
  vips: ["240.241.0.7"],
  ports: [{ name: "http-web", number: 8080, transport: "tcp" }],
};
const answers: Readonly<Record<string, ReportAnswer>> = {
  orders: ready,
  slow: { state: "pending", service: "vms/shop/slow", host: "slow.shop.vms.mesh.internal" },
  odrers: { state: "unknown", nearest: ["orders"] },
  broken: { state: "unavailable", why: "registry vms cannot be read now" },
};
const judge: TokenJudge = async (token) =>
  token === "good"
    ? { state: "accepted" }
    : token === "pod"
      ? { state: "accepted", name: "shop/web" }
      : { state: token === "later" ? "unavailable" : "refused" };

interface RequestDetails {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(port: number, { method = "POST", body = "", headers = {} }: RequestDetails) {
  return new Promise<{ status: number; headers: Readonly<Record<string, unknown>>; body: string }>(
    (resolve, reject) => {
      const all = { "content-type": "application/json", authorization: "Bearer good", ...headers };
      const sent = request(
        { host: "127.0.0.1", port, path: "/api/reports", method, headers: all, agent: false },
        async (response) => {
          const chunks = await response.toArray();
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          });
        },
      );
      sent.on("error", reject).end(body);
    },
  );
}

async function serve(t: TestContext, { perSecond = 1000, isConfigured = true, nowMs = (): number => 0 } = {}) {
  const reported: { readonly reports: readonly Report[]; readonly caller: string }[] = [];
  const results: ReportResult[] = [];
  const reports = reportsHandler({
    handler: {
      async report(reports, caller) {
        reported.push({ reports, caller });
        return reports.map((one) => answers["name" in one ? one.name : one.service] ?? answers.odrers ?? ready);
      },
    },
    judge,
    perSecond,
    nowMs,
    onResult: (result) => void results.push(result),
  });
  const server = await httpServer({
    listen: { address: "127.0.0.1", port: 0 },
    source: {
      ready: () => ({ ready: true, reasons: [] }),
      services: () => [],
      plan: () => ({}),
      metrics: async () => "",
      ...(isConfigured ? { reports } : {}),
    },
  });
  t.after(() => server.stop());
  return { port: server.port, reported, results };
}

const single = (name: string) => JSON.stringify({ name, caller: "web-1" });
const cases: readonly (RequestDetails & {
  readonly name: string;
  readonly status: number;
  readonly want?: RegExp;
  readonly result: ReportResult | undefined;
  readonly caller?: string;
  readonly header?: readonly [string, string];
})[] = [
  {
    name: "a name",
    body: single("orders"),
    status: 200,
    want: /"vips":\["240\.241\.0\.7"\]/,
    result: "ready",
    caller: "web-1",
  },
  {
    name: "a service by its parts",
    body: JSON.stringify({ registry: "vms", namespace: "shop", service: "orders" }),
    status: 200,
    result: "ready",
    caller: "127.0.0.1",
  },
  {
    name: "a caller whose token says who it is",
    body: single("orders"),
    headers: { authorization: "Bearer pod" },
    status: 200,
    result: "ready",
    caller: "shop/web",
  },
  { name: "what is on its way", body: single("slow"), status: 202, result: "pending", header: ["retry-after", "1"] },
  { name: "what nobody knows", body: single("odrers"), status: 404, want: /"nearest":\["orders"\]/, result: "unknown" },
  { name: "what cannot be told now", body: single("broken"), status: 503, result: "unavailable" },
  {
    name: "no token",
    body: single("orders"),
    headers: { authorization: "" },
    status: 401,
    result: "denied",
    header: ["www-authenticate", "Bearer"],
  },
  {
    name: "a wrong token",
    body: single("orders"),
    headers: { authorization: "Bearer bad" },
    status: 401,
    result: "denied",
  },
  {
    name: "a token of another scheme",
    body: "{}",
    headers: { authorization: "Basic good" },
    status: 401,
    result: "denied",
  },
  {
    name: "a token that nobody can judge",
    body: "{}",
    headers: { authorization: "Bearer later" },
    status: 503,
    result: "unavailable",
  },
  {
    name: "a form of a browser",
    body: "{}",
    headers: { "content-type": "text/plain" },
    status: 415,
    result: "invalid",
  },
  { name: "no JSON", body: "{", status: 400, result: "invalid" },
  { name: "no report", body: "7", status: 400, result: "invalid" },
  { name: "half a report", body: '{"registry":"vms"}', status: 400, result: "invalid" },
  { name: "a report in two ways", body: '{"registry":"vms","name":"orders"}', status: 400, result: "invalid" },
  {
    name: "a registry that would move the key's slashes",
    body: '{"registry":"a/b","namespace":"c","service":"d"}',
    status: 400,
    result: "invalid",
  },
  { name: "a caller with a line end", body: '{"name":"orders","caller":"a\\nb"}', status: 400, result: "invalid" },
  {
    name: "too many reports",
    body: JSON.stringify(Array(1001).fill({ name: "orders" })),
    status: 400,
    result: "invalid",
  },
  { name: "too long a body", body: `"${"x".repeat(300_000)}"`, status: 413, result: "invalid" },
  {
    name: "too long a body in pieces",
    body: `"${"x".repeat(300_000)}"`,
    headers: { "transfer-encoding": "chunked" },
    status: 413,
    result: "invalid",
  },
  { name: "a question", method: "GET", status: 405, result: undefined, header: ["allow", "POST"] },
];
for (const { name, status, want, result, caller, header, ...asked } of cases)
  test(`POST /api/reports answers ${name} with ${status}`, async (t) => {
    const { port, reported, results } = await serve(t);
    const answer = await ask(port, asked);
    assert.equal(answer.status, status, answer.body);
    if (want !== undefined) assert.match(answer.body, want);
    assert.deepEqual(results, result === undefined ? [] : [result]);
    if (caller !== undefined) assert.equal(reported[0]?.caller, caller);
    if (status >= 400 && status !== 404 && result !== "unavailable") assert.deepEqual(reported, []);
    if (header !== undefined) assert.equal(answer.headers[header[0]], header[1]);
  });

for (const wrap of [(list: unknown) => list, (reports: unknown) => ({ caller: "gate", reports })])
  test(`POST /api/reports answers each of a batch: ${JSON.stringify(wrap([]))}`, async (t) => {
    const { port, reported } = await serve(t);
    const names = ["orders", "slow", "odrers", "broken"];
    const answer = await ask(port, { body: JSON.stringify(wrap(names.map((name) => ({ name })))) });
    const { results } = JSON.parse(answer.body) as { results: ReportAnswer[] };
    assert.equal(answer.status, 200);
    assert.deepEqual(
      results.map(({ state }) => state),
      ["ready", "pending", "unknown", "unavailable"],
    );
    assert.equal(reported.length, 1);
  });

test("POST /api/reports is not there unless it is configured", async (t) => {
  const { port } = await serve(t, { isConfigured: false });
  assert.deepEqual([(await ask(port, { body: "{}" })).status, (await ask(port, {})).status], [413, 404]);
});

test("POST /api/reports lets each caller report so often, whatever caller its body names", async (t) => {
  let now = 0;
  const { port, results } = await serve(t, { perSecond: 2, nowMs: () => now });
  const report = (caller: string) => ask(port, { body: JSON.stringify({ name: "orders", caller }) });
  const statuses: number[] = [];
  for (let n = 0; n < 4; n++) statuses.push((await report(`web-${n}`)).status);
  assert.deepEqual(statuses, [200, 200, 200, 200]);
  const refused = await report("web-5");
  assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
  const pod = { authorization: "Bearer pod" };
  const other = await ask(port, { body: single("orders"), headers: pod });
  assert.equal(other.status, 200, "another caller has a rate of its own");
  assert.deepEqual(results, ["ready", "ready", "ready", "ready", "limited", "ready"]);
  now += 500;
  assert.equal((await report("web-6")).status, 200, "half a second gives one more");
  assert.equal((await report("web-7")).status, 429);
});

test("POST /api/reports counts each report of a batch", async (t) => {
  let now = 0;
  const { port, reported } = await serve(t, { perSecond: 2, nowMs: () => now });
  const batch = JSON.stringify(Array(10).fill({ name: "orders" }));
  assert.equal((await ask(port, { body: batch })).status, 200);
  const refused = await ask(port, { body: batch });
  assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "4"], "6 were spent in advance");
  now += 3499;
  assert.equal((await ask(port, { body: single("orders") })).status, 429);
  now += 1;
  assert.equal((await ask(port, { body: single("orders") })).status, 200);
  assert.equal(reported.length, 2);
});

for (const [count, status] of [
  [1, 200],
  [1000, 200],
  [1001, 400],
] as const)
  test(`POST /api/reports answers a batch of ${count} with ${status}`, async (t) => {
    const { port } = await serve(t);
    assert.equal((await ask(port, { body: JSON.stringify(Array(count).fill({ name: "orders" })) })).status, status);
  });

for (const [characters, status] of [
  [512, 404],
  [513, 400],
] as const)
  test(`POST /api/reports answers a name of ${characters} characters with ${status}`, async (t) => {
    const { port } = await serve(t);
    assert.equal((await ask(port, { body: JSON.stringify({ name: "x".repeat(characters) }) })).status, status);
  });

for (const [bytes, status] of [
  [256 * 1024, 404],
  [256 * 1024 + 1, 413],
] as const)
  for (const headers of [{}, { "transfer-encoding": "chunked" }])
    test(`POST /api/reports answers ${bytes} bytes ${JSON.stringify(headers)} with ${status}`, async (t) => {
      const { port } = await serve(t);
      const body = '{"name":"odrers"}'.padEnd(bytes);
      assert.equal((await ask(port, { body, headers })).status, status);
    });

test("POST /api/reports ends the body that takes longest where 128 are read, and answers whoever sends at once", async (t) => {
  const { port } = await serve(t);
  const slow: Socket[] = [];
  const gone: number[] = [];
  const head = ["POST /api/reports HTTP/1.1", "host: localhost", "authorization: Bearer good"];
  const text = [...head, "content-type: application/json", "content-length: 99", "", "{"].join("\r\n");
  for (let n = 0; n < 128; n++) {
    // Of two clients, as one has no more connections than that.
    const socket = connect({ port, host: "127.0.0.1", localAddress: `127.0.0.${8 + (n % 2)}` });
    t.after(() => socket.destroy());
    socket.on("error", () => undefined).on("close", () => gone.push(n));
    await once(socket, "connect");
    socket.write(text);
    slow.push(socket);
  }
  assert.equal((await ask(port, { body: single("orders") })).status, 200);
  while (gone.length === 0) {
    assert.equal((await ask(port, { body: single("orders") })).status, 200);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(gone, [0]);
});

test("POST /api/reports takes a caller of 128 characters, and takes the token's name for it where there is one", async (t) => {
  const { port, reported } = await serve(t);
  const report = (caller: string, headers = {}) =>
    ask(port, { body: JSON.stringify({ name: "orders", caller }), headers });
  assert.equal((await report("x".repeat(128))).status, 200);
  assert.equal((await report("x".repeat(129))).status, 400);
  await report("somebody/else", { authorization: "bearer pod" });
  assert.deepEqual(
    reported.map(({ caller }) => caller),
    ["x".repeat(128), "shop/web"],
  );
});

const never = (error: unknown) => assert.fail(String(error));

test("rateLimit() gives what it says, to any number of callers, in bounded memory", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.nat({ max: 2000 }), { maxLength: 200 }), (rate, gaps) => {
      let now = 0;
      const limit = rateLimit(rate, () => now);
      const given: number[] = [];
      for (const gap of gaps) {
        now += gap;
        if (limit.take("web", 1) === 0) given.push(now);
      }
      // In whatever stretch of time: nobody may save up while silent.
      for (const [at, sinceMs] of given.entries())
        for (const [more, untilMs] of given.slice(at).entries())
          assert.ok(more + 1 <= rate * 2 + ((untilMs - sinceMs) / 1000) * rate + 1e-6, `${more + 1} at ${rate}`);
    }),
  );
  const limit = rateLimit(1, () => 0);
  assert.equal(limit.take("first", 2), 0);
  assert.ok(limit.take("first", 1) > 0);
  for (let n = 0; n < 20_000; n++) limit.take(`caller-${n}`, 1);
  assert.equal(limit.take("first", 1), 0, "it was forgotten for newer ones");
});

test("rateLimit() gives twice the rate at once, after whatever silence, and says when to come again", () => {
  let now = 0;
  const limit = rateLimit(4, () => now);
  const atOnce = () => {
    let given = 0;
    while (limit.take("web", 1) === 0) given++;
    return given;
  };
  assert.equal(atOnce(), 8);
  now += 250;
  assert.equal(atOnce(), 1);
  now += 3_600_000;
  assert.equal(atOnce(), 8, "an hour of silence saves nothing up");
  now += 3_600_000;
  assert.equal(limit.take("web", 20), 0, "a large cost may be spent while anything is left");
  const waitSeconds = limit.take("web", 1);
  assert.equal(waitSeconds, 4, "13 are to be made good, 4 a second");
  now += 3249;
  assert.ok(limit.take("web", 1) > 0);
  now += 1;
  assert.equal(limit.take("web", 1), 0);
});

test("rateLimit() tells 10,000 callers apart, and forgets the one that was silent longest", () => {
  const limit = rateLimit(1, () => 0);
  const isNew = (caller: string) => limit.take(caller, 2) === 0;
  assert.ok(isNew("silent"));
  assert.equal(limit.take("busy", 1), 0);
  for (let n = 2; n < 10_000; n++) assert.ok(isNew(`caller-${n}`));
  assert.ok(!isNew("silent"), "10,000 are known");
  assert.ok(isNew("one more"));
  assert.equal(limit.take("busy", 1), 0);
  assert.ok(isNew("silent"), "it was forgotten for one more");
  assert.ok(isNew("caller-2"), "it was forgotten for the one before");
  assert.ok(!isNew("busy"));
  assert.ok(!isNew("caller-9999"));
});

test("fileTokens() takes any line of the file, and sees it replaced", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-tokens-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "tokens");
  const errors: unknown[] = [];
  let now = 0;
  const judged = fileTokens(file, { onError: (error) => void errors.push(error), nowMs: () => now });
  const states = async (...tokens: string[]) => Promise.all(tokens.map(async (token) => (await judged(token)).state));
  assert.deepEqual(await states("a"), ["unavailable"]);
  await writeFile(file, "a\n\n  b  \n");
  now += 5000;
  assert.deepEqual(await states("a", "b", "c", "", "a\n"), ["accepted", "accepted", "refused", "refused", "refused"]);
  await writeFile(file, "c\n");
  assert.deepEqual(await states("a"), ["accepted"]);
  now += 5000;
  assert.deepEqual(await states("a", "c"), ["refused", "accepted"]);
  assert.equal(errors.length, 1);
});

test("reviewed() asks once for a token, and little for those of strangers", async () => {
  const asked: string[] = [];
  let now = 0;
  let fails = false;
  const review = async (token: string): Promise<TokenVerdict> => {
    asked.push(token);
    if (fails) throw new Error("connect ECONNREFUSED");
    return token.startsWith("good") ? { state: "accepted", name: "shop/web" } : { state: "refused" };
  };
  const errors: unknown[] = [];
  const judged = reviewed(review, { onError: (error) => void errors.push(error), nowMs: () => now });
  assert.deepEqual(await Promise.all([judged("good.a.b"), judged("good.a.b")]), [
    { state: "accepted", name: "shop/web" },
    { state: "accepted", name: "shop/web" },
  ]);
  await judged("good.a.b");
  assert.equal(asked.length, 1);
  assert.deepEqual(await judged("no jwt"), { state: "refused" });
  assert.deepEqual(await judged(`good.a.${"b".repeat(9000)}`), { state: "refused" });
  assert.equal(asked.length, 1);
  const many: TokenVerdict[] = [];
  for (let n = 0; n < 500; n++) many.push(await judged(`bad.${n}.x`));
  assert.ok(asked.length <= 51, `${asked.length} questions`);
  assert.ok(many.some(({ state }) => state === "unavailable"));
  now += 61_000;
  fails = true;
  assert.deepEqual(await judged("good.a.b"), { state: "unavailable" });
  assert.equal(errors.length, 1);
  fails = false;
  assert.equal((await judged("good.a.b")).state, "accepted");
});

for (const { prefix, livesMs } of [
  { prefix: "good", livesMs: 60_000 },
  { prefix: "bad", livesMs: 10_000 },
])
  test(`reviewed() asks again for a ${prefix} token after ${livesMs / 1000} s`, async () => {
    let asked = 0;
    let now = 0;
    const verdict: TokenVerdict = { state: prefix === "good" ? "accepted" : "refused" };
    const judged = reviewed(
      async () => {
        asked++;
        return verdict;
      },
      { onError: never, nowMs: () => now },
    );
    for (const [atMs, want] of [
      [0, 1],
      [livesMs - 1, 1],
      [livesMs, 2],
      [2 * livesMs - 1, 2],
      [2 * livesMs, 3],
    ] as const) {
      now = atMs;
      assert.deepEqual(await judged(`${prefix}.a.b`), verdict);
      assert.equal(asked, want, `after ${atMs} ms`);
    }
  });

test("reviewed() asks 50 questions a second and 16 at a time at most, and does not keep that it could not", async () => {
  let now = 0;
  let asked = 0;
  let wait = Promise.resolve();
  const judged = reviewed(
    async () => {
      asked++;
      await wait;
      return { state: "accepted" };
    },
    { onError: never, nowMs: () => now },
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  wait = promise;
  const waiting = Array.from({ length: 17 }, (_, n) => judged(`a.${n}.b`));
  assert.deepEqual([await waiting[16], asked], [{ state: "unavailable" }, 16]);
  resolve();
  await Promise.all(waiting);
  for (let n = 17; n < 100; n++) await judged(`a.${n}.b`);
  assert.equal(asked, 50);
  now += 999;
  assert.equal((await judged("a.99.b")).state, "unavailable");
  now += 1;
  assert.equal((await judged("a.99.b")).state, "accepted");
  assert.equal(asked, 51);
});

for (const [characters, want] of [
  [8192, 1],
  [8193, 0],
] as const)
  test(`reviewed() asks ${want} times for a token of ${characters} characters`, async () => {
    let asked = 0;
    const judged = reviewed(
      async () => {
        asked++;
        return { state: "accepted" };
      },
      { onError: never, nowMs: () => 0 },
    );
    await judged("a.b.".padEnd(characters, "c"));
    assert.equal(asked, want);
  });

test("fileTokens() refuses all while the file cannot be read, and takes the first 100 lines", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-tokens-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "tokens");
  await writeFile(file, Array.from({ length: 101 }, (_, n) => `token-${n}\n`).join(""));
  let now = 0;
  let errors = 0;
  const judged = fileTokens(file, { onError: () => errors++, nowMs: () => now });
  assert.deepEqual(await judged("token-99"), { state: "accepted" });
  assert.deepEqual(await judged("token-100"), { state: "refused" });
  await rm(file);
  now += 4999;
  assert.deepEqual(await judged("token-99"), { state: "accepted" });
  now += 1;
  assert.deepEqual(await judged("token-99"), { state: "unavailable" });
  assert.equal(errors, 1);
});

test("anyOf() lets in whoever one of them knows", async () => {
  const both = anyOf([judge, async (token) => ({ state: token === "other" ? "accepted" : "refused" })]);
  const states = await Promise.all(["good", "other", "bad", "later"].map(async (token) => (await both(token)).state));
  assert.deepEqual(states, ["accepted", "accepted", "refused", "unavailable"]);
});
