import { createHash } from "node:crypto";
import { access, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { Agent, type Dispatcher } from "undici";
import { ConfigError } from "../../errors.ts";
import { type CredentialSource, type PodOptions, plainSource, podSource } from "./plain-credentials.ts";

/** Where the API server is and how to be let in. */
export interface Credentials {
  /** Base URL without trailing slash. */
  readonly server: string;
  /** The context's namespace, if it names one. */
  readonly namespace: string | undefined;
  /** What to send now, if it is fresh enough; else ask `refresh`. */
  current(): Access | undefined;
  /** Read tokens and certificates again. Keeps what was there if that fails. */
  refresh(): Promise<Access>;
  close(): Promise<void>;
}

/** Headers and connections of the next request. */
export interface Access {
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher;
}

/** Which kubeconfig to use. */
export interface CredentialOptions {
  /** A path, or several as in $KUBECONFIG. Without it: the pod's service account, else ~/.kube/config. */
  readonly kubeconfig?: string | undefined;
  /** A context other than the current one. */
  readonly context?: string | undefined;
  /** Set in a pod. */
  readonly pod?: PodOptions | undefined;
  /** Where a pod has its service account. Default /var/run/secrets/kubernetes.io/serviceaccount. */
  readonly podFolder?: string;
}

const POD_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Tokens of pods are rotated well before they end; client-node itself reads them once a minute. */
const FRESH_MS = 30_000;

/**
 * Load a kubeconfig or the pod's service account.
 *
 * @throws {ConfigError} When there is none, or it cannot be used.
 */
export async function loadCredentials(options: CredentialOptions): Promise<Credentials> {
  const source = (await plain(options)) ?? anySource(await loadKubeConfig(options));
  let access: Access | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let material: string | undefined;

  async function read(): Promise<Access> {
    const { headers, material: found, connect } = await source.read();
    // Another dispatcher would drop the open connections.
    const kept = found === material ? access?.dispatcher : undefined;
    if (kept === undefined) void access?.dispatcher.close();
    material = found;
    return { headers, dispatcher: kept ?? connect() };
  }

  return {
    server: source.server,
    namespace: source.namespace,
    current: () => (performance.now() - readAtMs < FRESH_MS ? access : undefined),
    async refresh() {
      try {
        access = await read();
      } catch (cause) {
        if (access === undefined) throw new Error("Cannot read the credentials for the API server", { cause });
      }
      readAtMs = performance.now();
      return access;
    },
    async close() {
      await access?.dispatcher.destroy();
    },
  };
}

/** Credentials that are read here; `undefined` when `@kubernetes/client-node` has to. */
async function plain({
  kubeconfig,
  context,
  pod,
  podFolder = POD_FOLDER,
}: CredentialOptions): Promise<CredentialSource | undefined> {
  const paths = pathsOf(kubeconfig);
  const [path] = paths;
  if (path !== undefined) return paths.length === 1 ? plainSource(path, context) : undefined;
  if (!(await exists(join(podFolder, "token")))) return plainSource(join(homedir(), ".kube", "config"), context);
  return pod === undefined || context !== undefined ? undefined : podSource(podFolder, pod);
}

function pathsOf(kubeconfig: string | undefined): readonly string[] {
  return kubeconfig?.split(delimiter).filter((path) => path !== "") ?? [];
}

function anySource(config: KubeConfig): CredentialSource {
  const cluster = config.getCurrentCluster();
  if (cluster === null || typeof cluster.server !== "string") {
    const context = config.getCurrentContext() ?? "";
    const why = context === "" ? "it has no current context" : `context "${context}" names no cluster`;
    throw new ConfigError(`Cannot use the kubeconfig: ${why}`);
  }
  return {
    server: cluster.server.replace(/\/+$/, ""),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace,
    async read() {
      const headers: Record<string, string> = {};
      let offered: Dispatcher | undefined;
      await config.applySecurityAuthentication({
        // A token file may end in a line break.
        setHeaderParam(name: string, value: string) {
          headers[name.toLowerCase()] = value.trim();
        },
        setDispatcher(dispatcher: Dispatcher) {
          offered = dispatcher;
        },
      } as Parameters<KubeConfig["applySecurityAuthentication"]>[0]);
      return { headers, material: await tlsMaterial(config), connect: () => offered ?? new Agent() };
    },
  };
}

async function loadKubeConfig({ kubeconfig, context }: CredentialOptions): Promise<KubeConfig> {
  // Loaded on use: it takes 0.5 s and 50 MB, which few need to pay.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  const paths = pathsOf(kubeconfig);
  try {
    if (paths.length > 0) loadFiles(config, paths, () => new KubeConfig());
    else if (await exists(join(POD_FOLDER, "token"))) config.loadFromCluster();
    else config.loadFromFile(join(homedir(), ".kube", "config"));
    // A cluster without TLS is refused here already.
    config.createDispatcherOptions(config.getCurrentCluster(), {});
  } catch (cause) {
    throw new ConfigError(
      paths.length > 0
        ? `Cannot use kubeconfig "${paths.join(delimiter)}"`
        : "Cannot find the API server: no kubeconfig was given, this is not a pod, and ~/.kube/config cannot be used",
      { cause },
    );
  }
  if (context !== undefined) chooseContext(config, context);
  return config;
}

function loadFiles(config: KubeConfig, paths: readonly string[], create: () => KubeConfig): void {
  const [first = "", ...others] = paths;
  config.loadFromFile(first);
  for (const path of others) {
    const further = create();
    further.loadFromFile(path);
    config.mergeConfig(further, true); // the first file that sets the current context wins, as in kubectl
  }
}

function chooseContext(config: KubeConfig, context: string): void {
  if (config.getContextObject(context) === null) {
    const names = config.getContexts().map(({ name }) => `"${name}"`);
    throw new ConfigError(
      `Cannot use context "${context}" as the kubeconfig must have it: it has ${names.join(", ") || "none"}`,
    );
  }
  config.setCurrentContext(context);
}

/** Changes when a file with certificates does. */
async function tlsMaterial(config: KubeConfig): Promise<string> {
  const user = config.getCurrentUser();
  const files = [config.getCurrentCluster()?.caFile, user?.certFile, user?.keyFile].filter(
    (file) => file !== undefined,
  );
  const hash = createHash("sha256");
  for (const file of files) hash.update(await readFile(file));
  return hash.digest("hex");
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
