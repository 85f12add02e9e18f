import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { stringify } from "yaml";
import { ensureServers, noServers } from "./build.ts";
import { type Child, onDeathOfThisProcess, startChild } from "./child.ts";
import { consulServers } from "./consul.ts";
import { makeConsulTls } from "./consul-files.ts";
import { freePort } from "./free-port.ts";
import { type Kube, kubeServers, startKube } from "./kube.ts";
import { installDefinitions, until } from "./kube-admin.ts";

/** Names that {@link startAdmission} needs of `ensureServers`. Consul makes the certificates. */
export const admissionServers = [...kubeServers, ...consulServers, "pilot-discovery", "gateway-crds"] as const;

/** An object as it would be created; of a namespaced kind. */
export interface Admitted {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
}

/** An API server that asks istiod's validating webhook about each object of Istio's. */
export interface Admission {
  readonly kube: Kube;
  /**
   * What is said against creating an object: a refusal, or warnings. The schema and the rules of its CRD, unknown fields and the
   * webhook are heard. Nothing is created.
   */
  faults(object: Admitted): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/**
 * Start the API server and istiod, with Istio's and the Gateway API's definitions and the webhook as Istio's chart sets it up.
 * They end with `stop`, or with this process.
 *
 * @throws When the servers are not available or do not become ready.
 */
export async function startAdmission(namespaces: readonly string[]): Promise<Admission> {
  const paths = await ensureServers(admissionServers);
  if (paths === undefined) throw new Error(`Cannot start istiod: ${noServers}`);
  const dir = await mkdtemp(join(tmpdir(), "x2istio-admission-"));
  const guard = onDeathOfThisProcess('sleep 1; rm -rf "$1"', dir);
  const kube = await startKube({ namespaces: ["istio-system", ...namespaces] });
  const running: { istiod?: Child } = {};
  const stop = async () => {
    await running.istiod?.stop(0);
    await kube.stop();
    guard.kill("SIGKILL");
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await installDefinitions(kube, paths["gateway-crds"]);
    const tls = await makeConsulTls(paths.consul, dir, "admission");
    const port = await freePort();
    running.istiod = await startIstiod(paths["pilot-discovery"], dir, kube, {
      httpsAddr: `127.0.0.1:${port}`,
      tlsCertFile: tls.serverCert,
      tlsKeyFile: tls.serverKey,
      caCertFile: tls.ca,
    });
    const ca = await readFile(tls.ca);
    const { status, body } = await kube.request("POST", WEBHOOKS, webhook(port, ca));
    if (status !== 201) throw new Error(`Cannot set up the webhook: ${JSON.stringify(body)}`);
    const agent = new Agent({ connect: { ca: await readFile(kube.caFile, "utf8") } });
    const faults = (object: Admitted) => dryRun(kube, agent, object);
    // A webhook is heard a moment after it was set up.
    await until("the webhook is heard", async () => (await faults(wrong)).some((one) => /admission webhook/.test(one)));
    return {
      kube,
      faults,
      async stop() {
        await agent.destroy();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Fine for the CRD, not for istiod. */
const wrong = {
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "wrong", namespace: "istio-system" },
  spec: { hosts: ["a_b.c"], ports: [{ name: "x", number: 80, protocol: "NONE" }], resolution: "STATIC" },
};

async function startIstiod(
  binary: string,
  dir: string,
  kube: Kube,
  tls: Readonly<Record<string, string>>,
): Promise<Child> {
  const mesh = join(dir, "mesh.yaml");
  await writeFile(mesh, stringify({ rootNamespace: "istio-system" }));
  const http = await freePort();
  const flags = {
    kubeconfig: kube.kubeconfigPath,
    httpAddr: `127.0.0.1:${http}`,
    grpcAddr: "",
    secureGRPCAddr: "",
    monitoringAddr: `127.0.0.1:${await freePort()}`,
    meshConfig: mesh,
    networksConfig: "none",
    ctrlz_port: "0",
    ...tls,
  };
  const settings = {
    POD_NAME: "istiod-0",
    POD_NAMESPACE: "istio-system",
    ENABLE_CA_SERVER: "false",
    INJECT_ENABLED: "false",
    XDS_AUTH: "false",
    // The configuration of the webhook is the test's own.
    VALIDATION_WEBHOOK_CONFIG_NAME: "",
  };
  const words = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = await startChild("env", [...words, binary, "discovery", ...args], join(dir, "istiod.out"));
  await until(
    "istiod is ready",
    async () => !child.isRunning() || (await fetch(`http://127.0.0.1:${http}/ready`)).status === 200,
  ).catch(() => {});
  if (child.isRunning()) return child;
  throw new Error(`Cannot start istiod:\n${child.logTail()}`);
}

/** As manifests/charts/istio-control/istio-discovery/templates/validatingwebhookconfiguration.yaml of istio/istio has it. */
function webhook(port: number, ca: Buffer): object {
  const groups = ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io"];
  return {
    metadata: { name: "istio-validator-istio-system" },
    webhooks: [
      {
        name: "rev.validation.istio.io",
        clientConfig: { url: `https://127.0.0.1:${port}/validate`, caBundle: ca.toString("base64") },
        rules: [{ operations: ["CREATE", "UPDATE"], apiGroups: groups, apiVersions: ["*"], resources: ["*"] }],
        failurePolicy: "Fail",
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
      },
    ],
  };
}

async function dryRun(kube: Kube, dispatcher: Agent, object: Admitted): Promise<readonly string[]> {
  const { statusCode, headers, body } = await request(
    `${kube.url}${pathOf(object)}?dryRun=All&fieldValidation=Strict`,
    {
      method: "POST",
      headers: { authorization: `Bearer ${kube.adminToken}`, "content-type": "application/json" },
      body: JSON.stringify(object),
      dispatcher,
    },
  );
  const answer = (await body.json()) as { readonly message?: string };
  const warnings = [headers.warning ?? []].flat();
  return statusCode === 201 ? warnings : [`${statusCode}: ${answer.message}`, ...warnings];
}

function pathOf({ apiVersion, kind, metadata: { namespace } }: Admitted): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = `${kind.toLowerCase().replace(/(?<![aeiou])y$/, "ie")}s`;
  return `${base}/namespaces/${namespace}/${plural}`;
}
