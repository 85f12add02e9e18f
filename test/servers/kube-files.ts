import { generateKeyPairSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";

/** What kube-apiserver and its clients read and write, in one folder. */
export interface KubeFiles {
  readonly dir: string;
  /** Certificate that the API server makes for itself at its first start, with its CA. */
  readonly caFile: string;
  readonly auditFile: string;
  readonly kubeconfigPath: string;
}

/** Metadata says who did what to which object and how it ended, without the objects. */
const auditPolicy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  rules: [{ level: "Metadata", verbs: ["create", "update", "patch", "delete", "deletecollection"] }, { level: "None" }],
};

/** Write the files that kube-apiserver needs to `dir`, with `adminToken` for a member of system:masters. */
export async function writeKubeFiles(dir: string, url: string, adminToken: string): Promise<KubeFiles> {
  const caFile = join(dir, "certs/apiserver.crt");
  const kubeconfigPath = join(dir, "admin.kubeconfig");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await mkdir(join(dir, "certs"), { recursive: true });
  await writeFile(join(dir, "service-account.key"), privateKey.export({ type: "sec1", format: "pem" }));
  await writeFile(join(dir, "tokens.csv"), `${adminToken},admin,admin,"system:masters"\n`);
  await writeFile(join(dir, "audit-policy.yaml"), stringify(auditPolicy));
  await writeKubeconfig(kubeconfigPath, { url, caFile, token: adminToken });
  return { dir, caFile, auditFile: join(dir, "audit.log"), kubeconfigPath };
}

/** Write a kubeconfig with one cluster, one user and one context, all named "test". */
export async function writeKubeconfig(
  path: string,
  { url, caFile, token }: { readonly url: string; readonly caFile: string; readonly token: string },
): Promise<void> {
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority": caFile } }],
    users: [{ name: "test", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
  };
  await writeFile(path, stringify(config), { mode: 0o600 });
}

/** Command line of etcd, on sockets in `dir`: no port to clash over, and no fsync as its data is thrown away. */
export function etcdArgs(dir: string): string[] {
  const client = `unix://${join(dir, "etcd.sock")}`;
  const peer = `unix://${join(dir, "peer.sock")}`;
  return [
    "--unsafe-no-fsync",
    ...["--data-dir", join(dir, "etcd")],
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`],
  ];
}

/** Command line of kube-apiserver on 127.0.0.1:`port`, with RBAC and without what only slows a test down. */
export function apiserverArgs(dir: string, port: number, audit: boolean): string[] {
  const serviceAccountKey = join(dir, "service-account.key");
  const flags: Record<string, string> = {
    "etcd-servers": `unix://${join(dir, "etcd.sock")}`,
    "cert-dir": join(dir, "certs"),
    "bind-address": "127.0.0.1",
    "advertise-address": "127.0.0.1",
    "secure-port": String(port),
    "token-auth-file": join(dir, "tokens.csv"),
    "authorization-mode": "RBAC",
    "service-account-issuer": "https://kubernetes.default.svc",
    "service-account-key-file": serviceAccountKey,
    "service-account-signing-key-file": serviceAccountKey,
    "service-cluster-ip-range": "10.96.0.0/16",
    "endpoint-reconciler-type": "none",
    "disable-admission-plugins": "ServiceAccount", // wants a controller to have made each namespace's default account
    // Its identity is a lease renewed every few seconds: writes that are nobody's. The other feature depends on it.
    "feature-gates": "APIServerIdentity=false,UnknownVersionInteroperabilityProxy=false",
    profiling: "false",
    "shutdown-delay-duration": "0s",
  };
  if (audit) {
    flags["audit-policy-file"] = join(dir, "audit-policy.yaml");
    flags["audit-log-path"] = join(dir, "audit.log");
    flags["audit-log-maxsize"] = "0"; // one file, never rotated
  }
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}
