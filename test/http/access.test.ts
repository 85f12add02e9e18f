import assert from "node:assert/strict";
import { test } from "node:test";
import { access } from "../../src/http/access.ts";
import type { AccessVerdict } from "../../src/model/report.ts";

const TOKEN = "a.b.c";
const verdicts: Readonly<Record<string, AccessVerdict>> = {
  "a.good.c": { state: "accepted", name: "shop/reader" },
  "a.tenant.c": { state: "denied", name: "shop/web" },
};
const cases: readonly {
  readonly name: string;
  readonly authorization?: string;
  readonly path?: string;
  readonly status: number | undefined;
  readonly says?: RegExp;
}[] = [
  { name: "whoever may", authorization: "Bearer a.good.c", status: undefined },
  { name: "another spelling of the scheme", authorization: "bearer  a.good.c", status: undefined },
  { name: "nobody", status: 401, says: /bearer token is needed/ },
  { name: "a wrong token", authorization: `Bearer ${TOKEN}`, status: 401 },
  { name: "a password", authorization: "Basic a.good.c", status: 401 },
  { name: "two tokens", authorization: "Bearer a.good.c a.good.c", status: 401 },
  {
    name: "a tenant",
    authorization: "Bearer a.tenant.c",
    status: 403,
    says: /^shop\/web may not get \/x2istio\/api\/plan:/,
  },
  {
    name: "a tenant that asks for metrics",
    authorization: "Bearer a.tenant.c",
    path: "/metrics",
    status: 403,
    says: /^shop\/web may not get \/metrics:/,
  },
  { name: "who cannot be judged", authorization: "Bearer a.later.c", status: 503 },
];
for (const { name, authorization, path = "/api/plan", status, says = /^/ } of cases)
  test(`access() answers ${name} with ${status ?? "what was asked for"}`, async () => {
    const errors: unknown[] = [];
    const judge = access(
      async (token) => {
        if (token === "a.later.c") throw new Error("connect ECONNREFUSED");
        return verdicts[token] ?? { state: "refused" };
      },
      { onError: (error) => errors.push(error) },
    );
    const reply = await judge({ path, client: "192.0.2.1", authorization });
    assert.equal(reply?.status, status);
    assert.match(String(reply?.body ?? ""), says);
    assert.equal(reply?.authenticate, status === 401 ? "Bearer" : undefined);
    assert.equal(errors.length, status === 503 ? 1 : 0);
  });

test("access() asks for each path, of which none is one that the API server has", async () => {
  const asked: string[] = [];
  const judge = access(
    async (_token, url) => {
      asked.push(url);
      return { state: "accepted" };
    },
    { onError: assert.ifError },
  );
  for (const path of ["/", "/api/plan", "/metrics", "/api/plan"])
    await judge({ path, client: "192.0.2.1", authorization: `Bearer ${TOKEN}` });
  assert.deepEqual(asked, ["/x2istio/", "/x2istio/api/plan", "/metrics"]);
});
