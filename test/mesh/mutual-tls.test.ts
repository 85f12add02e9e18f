import assert from "node:assert/strict";
import { test } from "node:test";
import { runCli } from "../e2e/cli.ts";
import { makeCertificates, serveCertificates, startMutualBackend } from "./certificates.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const PRICING = "xds:///pricing.shop.vms.mesh.internal:9090";
const SIDECAR = "192.0.2.12";
const ALL = ["orders/http@192.0.2.11", `orders/http@${SIDECAR}`];

test("each endpoint is called as it can be, with mutual TLS or without", { skip }, async (t) => {
  const example = await readExample("mutual-tls");
  const named = (name: string, kind: string): Manifest => {
    const found = example.manifests.find(({ metadata, kind: is }) => metadata.name === name && is === kind);
    assert.ok(found !== undefined, name);
    return found;
  };
  const inShop = (manifest: Manifest) => ({ ...manifest, metadata: { ...manifest.metadata, namespace: "shop" } });
  const everything = named("everything-mutual", "DestinationRule");
  const byEndpoint = named("by-endpoint", "DestinationRule");
  const certificates = await makeCertificates(t);
  await serveCertificates(t, certificates);
  const mesh = await startMesh(t, {
    ...example,
    manifests: [named("default", "PeerAuthentication")],
    istiod: { mesh: { enableAutoMtls: true } }, // as Istio has it by default
  });
  for (const backend of backendsOf(...example.services))
    if (backend.address === SIDECAR) await startMutualBackend(t, backend, certificates);
    else await mesh.backends(backend);
  const [web, client, vip, dbVip] = await Promise.all([
    mesh.withSidecar("web"),
    mesh.withoutSidecar("client"),
    mesh.vip(serviceNamed(example, "orders")),
    mesh.vip(serviceNamed(example, "orders-db")),
  ]);
  const whoOf = async () => Object.keys(await web.tally({ kind: "http", url: `http://${vip}:8080`, count: 40 })).sort();
  const database = async () => (await web.tcp(dbVip, 3306)).replace(/^failed: .*/, "out of reach");
  const reaches = async (whom: readonly string[], db: string) => {
    await mesh.istiod.settled();
    await mesh.becomes(whom, whoOf);
    assert.equal(await database(), db);
  };
  /** What x2istio doctor would have applied. */
  const remedies = async () => {
    const args = ["doctor", "--config", mesh.fixture.config, "-o", "json"];
    const { stdout } = await runCli(args, { env: { KUBECONFIG: mesh.kube.kubeconfigPath } });
    const { findings } = JSON.parse(stdout) as {
      readonly findings: readonly { readonly check: string; readonly fix?: string }[];
    };
    const fixes = findings.filter(({ check }) => check === "tls").map(({ fix = "" }) => fix);
    return fixes.flatMap((fix) => {
      const [, text] = /^echo '(.*)' \| kubectl apply -f -$/.exec(fix) ?? [];
      return text === undefined ? [] : [JSON.parse(text) as Manifest];
    });
  };
  const both = () => reaches(ALL, "orders-db/mysql@192.0.2.31");
  const onlySidecars = () => reaches([`orders/http@${SIDECAR}`], "out of reach");

  await t.test("an endpoint with a sidecar turns away who has no certificate", async () => {
    assert.match(await client.http(`http://${SIDECAR}:8080`), /^failed: /);
  });

  await t.test("in a mesh that takes mutual TLS only, by the endpoints' labels", both);

  await t.test("a rule for the cluster's own names does not concern x2istio's", async () => {
    const local = { ...everything, spec: { ...(everything.spec as object), host: "*.local" } };
    await mesh.apply(local);
    await both();
    await mesh.remove(local);
  });

  await t.test("a rule for everything does: endpoints without a sidecar are out of reach", async () => {
    assert.deepEqual(await remedies(), []);
    await mesh.apply(everything);
    await onlySidecars();
    assert.deepEqual(await remedies(), [byEndpoint], "x2istio doctor says what to do");
  });

  await t.test("of a proxyless gRPC client, too", async () => {
    assert.match(await client.grpc(PRICING), /^failed: 14 UNAVAILABLE/);
  });

  await t.test("until there is one for all of x2istio's hosts", async () => {
    await mesh.apply(byEndpoint);
    await both();
    await mesh.becomes("pricing/grpc@192.0.2.41", () => client.grpc(PRICING));
  });

  await t.test("not without mutual TLS: endpoints with a sidecar would be out of reach", async () => {
    const off = { ...(byEndpoint.spec as object), trafficPolicy: { tls: { mode: "DISABLE" } } };
    await mesh.apply({ ...byEndpoint, spec: off });
    await mesh.istiod.settled();
    await mesh.becomes(true, async () => (await whoOf()).some((who) => who.startsWith("failed: 503")));
    assert.equal(await database(), "orders-db/mysql@192.0.2.31");
    await mesh.apply(byEndpoint);
    await both();
  });

  await t.test("a team's own rule for a host stands beside it", async () => {
    const own = {
      ...byEndpoint,
      metadata: { name: "orders", namespace: "shop" },
      spec: { host: "orders.shop.vms.mesh.internal", trafficPolicy: { loadBalancer: { simple: "ROUND_ROBIN" } } },
    };
    await mesh.apply(own);
    await both();
    await mesh.remove(own);
  });

  await t.test("against a rule for everything in the callers' namespace it must be there, too", async () => {
    await mesh.remove(everything);
    await mesh.apply(inShop(everything));
    await onlySidecars();
    const fixes = await remedies();
    assert.deepEqual(fixes, [inShop(byEndpoint)]);
    await mesh.apply(...fixes);
    await both();
    assert.deepEqual(await remedies(), []);
  });

  await t.test("x2istio writes no such rule", async () => {
    const path = "/apis/networking.istio.io/v1/destinationrules?labelSelector=app.kubernetes.io/managed-by%3Dx2istio";
    const { body } = await mesh.kube.request<{ readonly items: readonly Manifest[] }>("GET", path);
    assert.deepEqual(body.items, []);
  });
});
