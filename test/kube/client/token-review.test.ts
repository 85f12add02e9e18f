import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient, KubeRequest } from "../../../src/kube/client/client.ts";
import { reviewToken } from "../../../src/kube/client/token-review.ts";

const ACCOUNT = "system:serviceaccount:shop:orders";
const good = { authenticated: true, audiences: ["x2istio"], user: { username: ACCOUNT } };
const refused = { state: "refused" };

const cases: readonly { readonly name: string; readonly status: unknown; readonly want: object }[] = [
  { name: "a service account's", status: good, want: { state: "accepted", name: "shop/orders" } },
  {
    name: "somebody else's",
    status: { ...good, user: { username: "jane@example.org" } },
    want: { state: "accepted", name: "jane@example.org" },
  },
  {
    name: "a name that only begins like a service account",
    status: { ...good, user: { username: `${ACCOUNT}:more` } },
    want: { state: "accepted", name: `${ACCOUNT}:more` },
  },
  {
    name: "one that is also for others",
    status: { ...good, audiences: ["api", "x2istio"] },
    want: { state: "accepted", name: "shop/orders" },
  },
  {
    name: "one of the second audience",
    status: { ...good, audiences: ["mesh"] },
    want: { state: "accepted", name: "shop/orders" },
  },
  { name: "one that is not authenticated", status: { ...good, authenticated: false }, want: refused },
  { name: "one of which nothing is said", status: { ...good, authenticated: undefined }, want: refused },
  { name: "one that is authenticated in words", status: { ...good, authenticated: "true" }, want: refused },
  { name: "one for another audience", status: { ...good, audiences: ["api"] }, want: refused },
  {
    name: "one for an audience of a similar name",
    status: { ...good, audiences: ["x2istio-2", "X2ISTIO"] },
    want: refused,
  },
  {
    name: "one of an API server that knows nothing of audiences",
    status: { ...good, audiences: undefined },
    want: refused,
  },
  { name: "one for no audience", status: { ...good, audiences: [] }, want: refused },
  { name: "one without a name", status: { ...good, user: {} }, want: refused },
  { name: "one with an error", status: { error: "invalid bearer token" }, want: refused },
  { name: "nothing", status: undefined, want: refused },
];
for (const { name, status, want } of cases)
  test(`reviewToken() takes ${name} as ${JSON.stringify(want)}`, async () => {
    const asked: KubeRequest[] = [];
    const request = async (one: KubeRequest) => {
      asked.push(one);
      return { status };
    };
    assert.deepEqual(await reviewToken({ request } as unknown as KubeClient, "secret", ["x2istio", "mesh"]), want);
    assert.deepEqual(asked[0]?.body, {
      ...{ apiVersion: "authentication.k8s.io/v1", kind: "TokenReview" },
      spec: { token: "secret", audiences: ["x2istio", "mesh"] },
    });
    assert.equal(asked[0]?.method, "POST");
    assert.equal(asked[0]?.operation, undefined, "it writes nothing");
  });

test("reviewToken() throws when the cluster cannot be asked, and does not refuse then", async () => {
  const request = async () => {
    throw new Error("no answer");
  };
  await assert.rejects(reviewToken({ request } as unknown as KubeClient, "secret", ["x2istio"]), /no answer/);
});
