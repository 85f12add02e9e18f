import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureServers, noServers, type Paths } from "./build.ts";
import { type Child, onDeathOfThisProcess, startChild } from "./child.ts";
import { freePort } from "./free-port.ts";
import { type Admin, adminClient, installDefinitions, until } from "./kube-admin.ts";
import { apiserverArgs, etcdArgs, type KubeFiles, writeKubeconfig, writeKubeFiles } from "./kube-files.ts";
import { type AuditEvent, countWrites, parseAuditLog } from "./kube-writes.ts";

/** Names that {@link startKube} needs of `ensureServers`. */
export const kubeServers = ["etcd", "kube-apiserver", "crds"] as const;

/** Options of {@link startKube}. */
export interface KubeOptions {
  /** Keep an audit log of all writes. */
  readonly audit?: boolean;
  /** Created besides default, kube-system, kube-public and kube-node-lease. */
  readonly namespaces?: readonly string[];
}

/**
 * A Kubernetes API server with Istio's custom resource definitions, and nothing else of a cluster.
 *
 * Without a controller manager a deleted namespace stays in phase Terminating with all that is in it, owners
 * do not take their dependents along, and Services get no EndpointSlices. No Istio webhook checks objects: see istioctl.ts.
 */
export interface Kube {
  readonly url: string;
  readonly port: number;
  /** PEM file to verify the server by. */
  readonly caFile: string;
  /** Token of a member of system:masters. */
  readonly adminToken: string;
  /** Kubeconfig of the administrator. */
  readonly kubeconfigPath: string;
  /** Path of a new kubeconfig that sends `token`. */
  kubeconfigFor(token: string): Promise<string>;
  /** See {@link Admin.request}. */
  readonly request: Admin["request"];
  /**
   * Mint a token of a service account, which is created if it is missing. It has no rights before a role is bound to it.
   *
   * @throws When either is refused.
   */
  createServiceAccountToken(namespace: string, name: string): Promise<string>;
  /** Text of /metrics. */
  metrics(): Promise<string>;
  /**
   * See {@link countWrites}. Take the difference of two counts with `addedWrites`.
   *
   * The API server's own writes are among them: up to some seconds after a start namespaces, roles, flowschemas,
   * prioritylevelconfigurations, apiservices, servicecidrs and customresourcedefinitions, with their status. In the
   * three minutes after that it wrote nothing, and it never writes objects of Istio. A restart resets the counts.
   */
  writeCount(): Promise<Record<string, number>>;
  /**
   * All writes since the start, with those of the API server itself (user system:apiserver), each as one event
   * per stage. The last stage is written around the time of the answer: wait for it with `until`.
   *
   * @throws Unless started with `audit`.
   */
  auditEvents(): Promise<AuditEvent[]>;
  /** End the API server, await `whileDown`, and start it again on the same port and data; tokens stay valid. */
  restart(whileDown?: () => Promise<void>): Promise<void>;
  /** End all processes and remove all files; a second call does nothing. */
  stop(): Promise<void>;
}

/**
 * Start etcd and kube-apiserver. Any number may run side by side.
 *
 * They end with `stop`, or with this process, however it ends. Within two seconds of the start the API server answers
 * the creation of an Istio object two seconds late, as it does for every definition that is new (apiextensions-apiserver,
 * customresource_handler.go).
 *
 * @throws When the servers are not available or do not become ready.
 */
export async function startKube(options: KubeOptions = {}): Promise<Kube> {
  const paths = await ensureServers(kubeServers);
  if (paths === undefined) throw new Error(`Cannot start kube-apiserver: ${noServers}`);
  const dir = await mkdtemp(join(tmpdir(), "x2istio-kube-"));
  const guard = onDeathOfThisProcess('sleep 1; rm -rf "$1"', dir);
  const children: { etcd?: Child; api?: Child } = {};
  const cleanUp = async () => {
    await children.api?.stop();
    await children.etcd?.stop();
    guard.kill("SIGKILL");
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    children.etcd = await startChild(paths.etcd, etcdArgs(dir), join(dir, "etcd.out"));
    return await assemble(paths, dir, options, children, cleanUp);
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

async function assemble(
  paths: Paths<(typeof kubeServers)[number]>,
  dir: string,
  options: KubeOptions,
  children: { etcd?: Child; api?: Child },
  cleanUp: () => Promise<void>,
): Promise<Kube> {
  const adminToken = randomUUID();
  const start = async (port: number) => {
    const args = apiserverArgs(dir, port, options.audit === true);
    children.api = await startChild(paths["kube-apiserver"], args, join(dir, "apiserver.out"));
    return children.api;
  };
  const { port, files, admin } = await startOnFreePort(dir, adminToken, start);
  const url = urlOf(port);
  await prepare(admin, paths.crds, options.namespaces ?? []);

  let kubeconfigs = 0;
  let stopped: Promise<void> | undefined;
  return {
    url,
    port,
    caFile: files.caFile,
    adminToken,
    kubeconfigPath: files.kubeconfigPath,
    async kubeconfigFor(token) {
      const path = join(dir, `${++kubeconfigs}.kubeconfig`);
      await writeKubeconfig(path, { url, caFile: files.caFile, token });
      return path;
    },
    request: admin.request,
    createServiceAccountToken: (namespace, name) => mintToken(admin, namespace, name),
    metrics: () => readMetrics(admin),
    writeCount: async () => countWrites(await readMetrics(admin)),
    async auditEvents() {
      if (options.audit !== true)
        throw new Error("Cannot read audit events as the API server was started without audit");
      return parseAuditLog(await readFile(files.auditFile, "utf8"));
    },
    async restart(whileDown) {
      await children.api?.stop();
      await whileDown?.();
      await ready(await start(port), admin);
    },
    stop() {
      stopped ??= admin.close().then(cleanUp);
      return stopped;
    },
  };
}

const urlOf = (port: number) => `https://127.0.0.1:${port}`;

/** Another process may take the port between its choice and its use, hence the repetition. */
async function startOnFreePort(
  dir: string,
  adminToken: string,
  start: (port: number) => Promise<Child>,
): Promise<{ readonly port: number; readonly files: KubeFiles; readonly admin: Admin }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const files = await writeKubeFiles(dir, urlOf(port), adminToken);
    const api = await start(port);
    try {
      await unlessEnded(api, "has made its certificate", async () =>
        (await readFile(files.caFile, "utf8")).includes("END CERTIFICATE"),
      );
      const admin = await adminClient(urlOf(port), files.caFile, adminToken);
      await ready(api, admin);
      return { port, files, admin };
    } catch (error) {
      if (attempt === 4 || !/address already in use/.test(api.logTail())) throw error;
    }
  }
}

function ready(api: Child, admin: Admin): Promise<void> {
  return unlessEnded(api, "is ready", async () => (await admin.request("GET", "/readyz")).status === 200);
}

async function unlessEnded(api: Child, what: string, isTrue: () => Promise<boolean>): Promise<void> {
  try {
    await until(`kube-apiserver ${what}`, async () => !api.isRunning() || (await isTrue()), 90_000);
  } catch (cause) {
    throw new Error(`Cannot start kube-apiserver:\n${api.logTail()}`, { cause });
  }
  if (!api.isRunning()) throw new Error(`Cannot start kube-apiserver as it ended:\n${api.logTail()}`);
}

async function prepare(admin: Admin, crds: string, namespaces: readonly string[]): Promise<void> {
  await Promise.all([
    installDefinitions(admin, crds),
    until(
      "namespace default exists",
      async () => (await admin.request("GET", "/api/v1/namespaces/default")).status === 200,
    ),
    ...namespaces.map(async (name) => {
      const { status, body } = await admin.request("POST", "/api/v1/namespaces", { metadata: { name } });
      if (status !== 201) throw new Error(`Cannot create namespace ${name}: ${status} ${JSON.stringify(body)}`);
    }),
  ]);
}

async function mintToken(admin: Admin, namespace: string, name: string): Promise<string> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  const created = await admin.request("POST", accounts, { metadata: { name } });
  const isThere = created.status === 201 || created.status === 409;
  const answer = isThere
    ? await admin.request<{ status?: { token?: string } }>("POST", `${accounts}/${name}/token`, {})
    : created;
  const token = (answer.body as { status?: { token?: string } }).status?.token;
  if (token === undefined) {
    throw new Error(`Cannot mint a token of ${namespace}/${name}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
  return token;
}

async function readMetrics(admin: Admin): Promise<string> {
  const { status, body } = await admin.request<string>("GET", "/metrics");
  if (status !== 200) throw new Error(`Cannot read metrics of the API server: ${status} ${JSON.stringify(body)}`);
  return body;
}
