import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { rateLimit } from "../../src/http/rate-limit.ts";
import { type ReportResult, reportsHandler } from "../../src/http/reports.ts";
import { httpServer } from "../../src/http/server.ts";
import { anyOf, fileTokens, reviewedTokens } from "../../src/http/tokens.ts";
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

interface Asked {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(port: number, { method = "POST", body = "", headers = {} }: Asked) {
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

async function serve(t: TestContext, { perSecond = 1000, isConfigured = true } = {}) {
  const reported: { readonly reports: readonly Report[]; readonly caller: string }[] = [];
  const results: ReportResult[] = [];
  const reports = reportsHandler({
    desk: {
      async report(reports, caller) {
        reported.push({ reports, caller });
        return reports.map((one) => answers["name" in one ? one.name : one.service] ?? answers.odrers ?? ready);
      },
    },
    judge,
    perSecond,
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
const cases: readonly (Asked & {
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

test("POST /api/reports lets each caller report so often", async (t) => {
  const { port, results } = await serve(t, { perSecond: 2 });
  const statuses: number[] = [];
  for (let n = 0; n < 6; n++) statuses.push((await ask(port, { body: single("orders") })).status);
  assert.deepEqual(statuses.slice(0, 4), [200, 200, 200, 200]);
  assert.equal(statuses.at(-1), 429);
  const other = await ask(port, { body: single("orders"), headers: { authorization: "Bearer pod" } });
  assert.equal(other.status, 200, "another caller has a rate of its own");
  assert.ok(results.includes("limited"));
});

test("rateLimit() gives what it says, to any number of callers, in bounded memory", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.nat({ max: 2000 }), { maxLength: 200 }), (rate, gaps) => {
      let now = 0;
      const limit = rateLimit(rate, () => now);
      let given = 0;
      for (const gap of gaps) {
        now += gap;
        if (limit.take("web", 1) === 0) given++;
      }
      assert.ok(given <= rate * 2 + (now / 1000) * rate + 1, `${given} in ${now} ms at ${rate}`);
    }),
  );
  const limit = rateLimit(1, () => 0);
  assert.equal(limit.take("first", 2), 0);
  assert.ok(limit.take("first", 1) > 0);
  for (let n = 0; n < 20_000; n++) limit.take(`caller-${n}`, 1);
  assert.equal(limit.take("first", 1), 0, "it was forgotten for newer ones");
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

test("reviewedTokens() asks once for a token, and little for those of strangers", async () => {
  const asked: string[] = [];
  let now = 0;
  let fails = false;
  const review = async (token: string): Promise<TokenVerdict> => {
    asked.push(token);
    if (fails) throw new Error("connect ECONNREFUSED");
    return token.startsWith("good") ? { state: "accepted", name: "shop/web" } : { state: "refused" };
  };
  const errors: unknown[] = [];
  const judged = reviewedTokens(review, { onError: (error) => void errors.push(error), nowMs: () => now });
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

test("anyOf() lets in whoever one of them knows", async () => {
  const both = anyOf([judge, async (token) => ({ state: token === "other" ? "accepted" : "refused" })]);
  const states = await Promise.all(["good", "other", "bad", "later"].map(async (token) => (await both(token)).state));
  assert.deepEqual(states, ["accepted", "accepted", "refused", "unavailable"]);
});
