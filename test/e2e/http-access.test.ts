import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { suite, test } from "node:test";
import { writeCertificate } from "../certificates.ts";
import { apply, readManifests } from "../deploy/manifests.ts";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { lacking } from "../servers/programs.ts";
import { runCli, startReplica } from "./cli.ts";
import { fixture, httpService, tempDir } from "./fixture.ts";

const skip = ((await ensureServers(kubeServers)) === undefined && noServers) || lacking("openssl");
/** Not 127.0.0.1: what a sidecar hands on comes from there, and so what strangers ask. */
const ELSEWHERE = "127.0.0.6";

interface Asked {
  readonly from?: string;
  readonly token?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

suite("HTTPS for those whom the cluster lets read", { skip }, () => {
  test(
    securityRow({
      who: "cluster tenant",
      attack: "reads the API with the token of a service account, with http.authorization",
      outcome: "403 by the cluster's RBAC, though the API server lets every service account get /api/*",
    }),
    async (t) => {
      const kube = await startKube({ namespaces: ["mesh-services", "shop", "monitoring"] });
      t.after(() => kube.stop());
      for (const folder of ["base", "authorization"])
        for (const manifest of await readManifests(folder)) await apply(kube, manifest);
      const bind = async (role: string, namespace: string, name: string) => {
        const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role };
        const subjects = [{ kind: "ServiceAccount", namespace, name }];
        const path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        assert.equal((await kube.request("POST", path, { metadata: { name }, roleRef, subjects })).status, 201);
      };
      const own = await kube.createServiceAccountToken("x2istio-system", "x2istio");
      const tenant = await kube.createServiceAccountToken("shop", "tenant");
      const reader = await kube.createServiceAccountToken("monitoring", "reader");
      await bind("x2istio-reader", "monitoring", "reader");
      const scraper = await kube.createServiceAccountToken("monitoring", "scraper");
      await bind("system:monitoring", "monitoring", "scraper");

      const tls = await writeCertificate(await tempDir(t), "x2istio.example.org");
      const place = await fixture(t, [httpService("orders", "192.0.2.1")]);
      const http = { listen: `0.0.0.0:${place.ports.http}`, tls, authorization: {} };
      await place.setConfig({ owner: "main", http });
      const replica = startReplica(t, { ...place, env: { KUBECONFIG: await kube.kubeconfigFor(own) } });
      const ca = await readFile(tls.certFile);

      async function ask(path: string, { from = ELSEWHERE, token, method = "GET", headers = {} }: Asked = {}) {
        const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
        const place = { host: "127.0.0.1", port: http.listen.split(":")[1], localAddress: from, ca, agent: false };
        const sent = request({ ...place, path, method, headers: { ...headers, ...authorization } }).end();
        const [answer] = await once(sent, "response");
        const body = Buffer.concat(await answer.toArray()).toString();
        return {
          status: answer.statusCode as number,
          body,
          authenticate: answer.headers["www-authenticate"] as unknown,
        };
      }
      const status = async (path: string, asked?: Asked) => (await ask(path, asked)).status;

      await until("it is ready", async () => (await status("/readyz").catch(() => 0)) === 200);
      const guarded = ["/", "/api/services", "/api/plan", "/api/usage", "/api/names", "/metrics"];
      for (const path of guarded) {
        const nobody = await ask(path);
        assert.deepEqual([nobody.status, nobody.authenticate], [401, "Bearer"], path);
        // The API server lets every service account get /api/*: our paths are others.
        assert.equal(await status(path, { token: tenant }), 403, path);
        assert.equal(await status(path, { token: `${tenant.slice(0, -8)}AAAAAAAA` }), 401, path);
        assert.equal(await status(path, { token: reader }), 200, path);
        assert.equal(await status(path, { token: scraper }), path === "/metrics" ? 200 : 403, path);
        assert.equal(await status(path, { from: "127.0.0.1" }), 200, path);
        assert.equal(await status(path, { from: "127.0.0.1", headers: { "x-forwarded-for": "192.0.2.9" } }), 401, path);
      }
      assert.match((await ask("/api/plan", { token: tenant })).body, /shop\/tenant may not get \/x2istio\/api\/plan/);
      for (const path of ["/healthz", "/readyz"]) assert.equal(await status(path), 200);
      assert.equal(await status("/api/plan", { token: reader, method: "HEAD" }), 200);
      assert.equal(await status("/api/brakes/vms/release", { token: reader, method: "POST" }), 403);
      const tokenFile = join(place.dir, "token");
      await writeFile(tokenFile, `${reader}\n`);
      const from = ["--from", `https://localhost:${place.ports.http}/`];
      const reports: readonly (readonly [args: readonly string[], code: number])[] = [
        [[], 0],
        [[...from, "--ca", tls.certFile, "--token-file", tokenFile], 0],
        [from, 1],
      ];
      for (const [args, code] of reports) {
        const report = await runCli(["report", "--config", place.config, "-o", "json", ...args]);
        assert.equal(report.code, code, report.stderr);
        assert.match(report.stdout + report.stderr, code === 0 ? /"vms\/shop\/orders"/ : /self-signed certificate/);
      }
      await assert.rejects(fetch(`http://127.0.0.1:${place.ports.http}/healthz`), "nothing is answered without TLS");
      assert.doesNotMatch(replica.output(), new RegExp([own, tenant, reader, scraper].join("|")));
    },
  );
});
