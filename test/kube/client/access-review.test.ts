import assert from "node:assert/strict";
import { test } from "node:test";
import { reviewAccess } from "../../../src/kube/client/access-review.ts";
import type { KubeClient, KubeRequest } from "../../../src/kube/client/client.ts";

const user = {
  username: "system:serviceaccount:shop:web",
  uid: "u-1",
  groups: ["system:authenticated"],
  extra: { "authentication.kubernetes.io/pod-name": ["web-1"] },
};
const known = { authenticated: true, audiences: ["api"], user };
const denied = { state: "denied", name: "shop/web" };

const cases: readonly {
  readonly name: string;
  readonly token?: unknown;
  readonly audiences?: readonly string[];
  readonly access?: unknown;
  readonly want: object;
}[] = [
  { name: "who may", access: { allowed: true }, want: { state: "accepted", name: "shop/web" } },
  { name: "who may not", access: { allowed: false }, want: denied },
  { name: "who is denied expressly", access: { allowed: true, denied: true }, want: denied },
  { name: "of whom nothing is said", access: undefined, want: denied },
  { name: "who may in words", access: { allowed: "true" }, want: denied },
  { name: "nobody", token: { ...known, authenticated: false }, access: { allowed: true }, want: { state: "refused" } },
  {
    name: "a token for another audience",
    audiences: ["x2istio"],
    access: { allowed: true },
    want: { state: "refused" },
  },
];
for (const { name, token = known, audiences = [], access, want } of cases)
  test(`reviewAccess() takes ${name} as ${JSON.stringify(want)}`, async () => {
    const asked: KubeRequest[] = [];
    const request = async (one: KubeRequest) => {
      asked.push(one);
      return { status: one.path.includes("tokenreviews") ? token : access };
    };
    const client = { request } as unknown as KubeClient;
    assert.deepEqual(await reviewAccess(client, "secret", audiences, "/x2istio/api/plan"), want);
    const [review, subject] = asked.map(({ body }) => (body as { readonly spec: object }).spec);
    assert.deepEqual(review, { token: "secret", ...(audiences.length === 0 ? {} : { audiences }) });
    const { username, ...rest } = user;
    if (subject !== undefined)
      assert.deepEqual(subject, {
        ...{ user: username, ...rest },
        nonResourceAttributes: { path: "/x2istio/api/plan", verb: "get" },
      });
  });
